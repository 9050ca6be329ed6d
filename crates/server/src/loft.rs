//! The loft: what every part of a running server shares, and nothing else.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use pigeonloft_channels::xg::Hub;
use pigeonloft_model::{AcceptMinutes, AccessId, PushId};
use pigeonloft_store::{App, Store};
use tokio::sync::{Notify, Semaphore};

use crate::clock::{unix_millis, unix_seconds};
use crate::config::Config;
use crate::desk::FrontDesk;
use crate::dispatch::parked::Park;
use crate::dispatch::progress::Board;
use crate::hourly::Hourly;
use crate::lock::lock;
use crate::metrics::Metrics;
use crate::registrations::Registrations;
use crate::turns::Turns;
use crate::vault::Vault;
use crate::vendors::Vendors;

/// How long an app is remembered before the database is asked again: so soon a change by the command line is seen.
const APP_REMEMBERED: Duration = Duration::from_secs(2);

/// Apps remembered at most; beyond it all are forgotten at once.
const APPS_REMEMBERED: usize = 10_000;

/// Estimates made at once: each keeps a core busy, and holds 64 Ki rows and their devices.
const ESTIMATES_AT_ONCE: usize = 2;

/// What every part of a running server shares.
#[derive(Debug)]
pub struct Loft {
    /// The settings.
    pub config: Config,
    /// The database.
    pub store: Store,
    /// The own channel's connected devices.
    pub hub: Arc<Hub<FrontDesk>>,
    /// Figures for `/metrics`.
    pub metrics: Arc<Metrics>,
    /// Woken when a push may be due.
    pub due: Notify,
    /// Woken when something may wait of a push that is stopped.
    pub stopped: Notify,
    /// How many messages are parked for vendors.
    pub parked: Park,
    /// How the pushes under way get on.
    pub progress: Board,
    /// Memory for the bodies of JSON calls, a permit for each byte.
    pub bodies: Semaphore,
    /// Turns of uploads: as many as are worked on at once.
    pub uploads: Turns,
    /// Turns of estimates.
    pub estimates: Turns,
    /// How many new devices may be registered.
    pub registrations: Registrations,
    /// The calls for statistics of this hour.
    pub hourly: Hourly,
    /// The apps' channels with vendors.
    pub vendors: Vendors,
    apps: Mutex<HashMap<AccessId, (Arc<App>, Instant)>>,
    last_bulk_push: Mutex<HashMap<AccessId, Instant>>,
    draining: AtomicBool,
}

impl Loft {
    /// Puts the parts together.
    #[must_use]
    pub fn new(config: Config, store: Store, hub: Arc<Hub<FrontDesk>>, metrics: Arc<Metrics>) -> Self {
        Self {
            bodies: Semaphore::new(config.http.bodies_bytes),
            uploads: Turns::new(config.package.uploads_at_once),
            estimates: Turns::new(ESTIMATES_AT_ONCE),
            registrations: Registrations::new(&config.device),
            hourly: Hourly::new(config.statistics.calls_per_hour),
            vendors: Vendors::new(Vault::of(&config), &config, metrics.clone()),
            config,
            store,
            hub,
            metrics,
            due: Notify::new(),
            stopped: Notify::new(),
            parked: Park::default(),
            progress: Board::default(),
            apps: Mutex::default(),
            last_bulk_push: Mutex::default(),
            draining: AtomicBool::new(false),
        }
    }

    /// The app of this id.
    ///
    /// # Errors
    /// The database's.
    pub async fn app(&self, access_id: AccessId) -> Result<Option<Arc<App>>, pigeonloft_store::Error> {
        let remembered = lock(&self.apps).get(&access_id).cloned();
        if let Some((app, since)) = remembered
            && since.elapsed() < APP_REMEMBERED
        {
            return Ok(Some(app));
        }
        let app = self.store.app(access_id).await?.map(Arc::new);
        let mut apps = lock(&self.apps);
        match &app {
            Some(app) => {
                if apps.len() >= APPS_REMEMBERED {
                    apps.clear();
                }
                apps.insert(access_id, (app.clone(), Instant::now()));
            }
            None => {
                apps.remove(&access_id);
            }
        }
        Ok(app)
    }

    /// Takes the app's turn to push to all, by tag or to a package: one a second. `false`: it had one less than a second ago.
    pub fn take_bulk_push_turn(&self, access_id: AccessId) -> bool {
        let now = Instant::now();
        let mut turns = lock(&self.last_bulk_push);
        turns.retain(|_, at| now.duration_since(*at) < Duration::from_secs(1));
        match turns.entry(access_id) {
            std::collections::hash_map::Entry::Occupied(_) => false,
            std::collections::hash_map::Entry::Vacant(entry) => {
                entry.insert(now);
                true
            }
        }
    }

    /// Gives the turn back: the push was not accepted after all.
    pub fn give_back_bulk_push_turn(&self, access_id: AccessId) {
        lock(&self.last_bulk_push).remove(&access_id);
    }

    /// Passes on that a push is stopped, once that is durable: its run ends, and what waits of it goes.
    pub fn push_is_stopped(&self, push_id: PushId) {
        self.progress.stop(push_id);
        self.due.notify_one();
        self.stopped.notify_one();
    }

    /// The minute of the day, 0–1439, in the zone in which calls mean their times.
    #[must_use]
    pub fn minute_of_day(&self) -> u16 {
        self.config.push.utc_offset.minute_of_day(unix_seconds())
    }

    /// Whether messages with these accept times may go to devices now; `None` = at any time.
    #[must_use]
    pub fn accepts_now(&self, accept: Option<&AcceptMinutes>) -> bool {
        accept.is_none_or(|accept| accept.contains(self.minute_of_day()))
    }

    /// Answers given before this, unix milliseconds, are kept no longer: their calls cannot be repeated any more.
    #[must_use]
    pub fn answers_kept_since(&self) -> i64 {
        let kept_ms = self.config.http.idempotency_s.saturating_mul(1000);
        unix_millis().saturating_sub(i64::try_from(kept_ms).unwrap_or(i64::MAX))
    }

    /// From now on no new work is taken.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Release);
    }

    /// Whether the server is shutting down.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }
}
