//! Moment: what the server is doing when it is killed.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use fastrand::Rng;
use pigeonloft_testkit::Phone;

use crate::world::World;

/// How long a moment is looked for. One that does not come is no fault: the server is killed all the same.
const PATIENCE: Duration = Duration::from_secs(3);

/// What the server is doing when it is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    /// Whatever it is.
    Any,
    /// Reading an upload.
    Uploading,
    /// An upload has come whole: it is sorted, written, and gets its row.
    Keeping,
    /// A package file has got its name, and its row is on its way.
    Placed,
    /// A push was sent, and not answered.
    Accepting,
    /// A push was answered, and starts.
    Accepted,
    /// Devices get messages.
    Sending,
    /// A push has recorded some of its devices.
    Recording,
    /// Devices report.
    Reporting,
    /// Devices come back after a start.
    Returning,
    /// It starts again after the kill before.
    Starting,
}

impl Moment {
    pub(crate) const ALL: [Self; 11] = [
        Self::Any,
        Self::Uploading,
        Self::Keeping,
        Self::Placed,
        Self::Accepting,
        Self::Accepted,
        Self::Sending,
        Self::Recording,
        Self::Reporting,
        Self::Returning,
        Self::Starting,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Any => "at any moment",
            Self::Uploading => "uploading",
            Self::Keeping => "keeping an upload",
            Self::Placed => "between file and row",
            Self::Accepting => "accepting a push",
            Self::Accepted => "beginning a push",
            Self::Sending => "sending",
            Self::Recording => "recording",
            Self::Reporting => "taking receipts",
            Self::Returning => "as devices return",
            Self::Starting => "starting",
        }
    }

    /// All moments in some order.
    pub(crate) fn shuffled(rng: &mut Rng) -> Vec<Self> {
        // Recovery is to be met more often than anything else.
        let mut moments = [Self::ALL.as_slice(), &[Self::Starting; 2]].concat();
        rng.shuffle(&mut moments);
        moments
    }

    /// Waits for the moment, and then for a part of the time that what is done then takes.
    pub(crate) fn wait(self, world: &World, rng: &mut Rng) {
        let millis = |most: u64, rng: &mut Rng| Duration::from_micros(rng.u64(0..=most * 1000));
        if self != Self::Returning {
            // So that something is under way.
            std::thread::sleep(Duration::from_millis(150) + millis(500, rng));
        }
        let calls = &world.scene.calls;
        let lasts = match self {
            Self::Any | Self::Starting => 700,
            Self::Uploading => {
                look(|| some(&calls.in_body));
                60
            }
            Self::Keeping => {
                look(|| some(&calls.body_sent));
                60
            }
            Self::Placed => {
                let placed = || world.server.package_files().iter().filter(|name| !name.starts_with('.')).count();
                let before = placed();
                look(|| placed() > before);
                0
            }
            Self::Accepting => {
                look(|| some(&calls.push_sent));
                3
            }
            Self::Accepted => {
                let before = calls.pushed.load(Ordering::SeqCst);
                look(|| calls.pushed.load(Ordering::SeqCst) > before);
                20
            }
            Self::Sending => {
                let (before, _) = counted(world);
                look(|| counted(world).0 > before);
                60
            }
            Self::Recording => {
                look(|| world.scene.customers.iter().any(|customer| customer.a_push_is_under_way()));
                60
            }
            Self::Reporting => {
                let (_, before) = counted(world);
                look(|| counted(world).1 > before);
                10
            }
            Self::Returning => 150,
        };
        std::thread::sleep(millis(lasts, rng));
    }
}

fn some(calls: &AtomicUsize) -> bool {
    calls.load(Ordering::SeqCst) > 0
}

/// Messages devices got, and receipts the server took.
fn counted(world: &World) -> (usize, usize) {
    let phones = world.scene.customers.iter().flat_map(|customer| &customer.phones);
    phones.map(Phone::count).fold((0, 0), |(m, r), (messages, receipts)| (m + messages, r + receipts))
}

/// Looks again and again, as fast as it goes: some moments are over in a millisecond.
fn look(mut come: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !come() && begun.elapsed() < PATIENCE {
        std::thread::yield_now();
    }
}
