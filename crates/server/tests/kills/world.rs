//! World: the server, its customers and their devices, and the hand that kills the server.

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use fastrand::Rng;
use pigeonloft_testkit::{Fleet, Habit, Phone, Server, pigeonloft};

use crate::check;
use crate::customer::{Calls, Customer};
use crate::gate::Gate;
use crate::moment::Moment;
use crate::settle;
use crate::tally::Tally;

const CUSTOMERS: usize = 4;
pub(crate) const BATCH_ROWS: u64 = 10;
pub(crate) const BATCHES_IN_FLIGHT: u64 = 2;
/// Messages of one device that are not acknowledged: the default of `mqtt.window`.
pub(crate) const WINDOW: u64 = 32;

/// A time without a server.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Down {
    pub(crate) since: Instant,
    pub(crate) until: Instant,
}

/// What a phone does between the ends of rounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Is there, and says what it showed.
    Steady,
    /// Is there, and acknowledges nothing.
    Silent,
    /// Comes and goes.
    Fickle,
    /// Is not there.
    Away,
}

impl Way {
    fn of(place: usize) -> Self {
        match place % 20 {
            0..10 => Self::Steady,
            10 => Self::Silent,
            11..15 => Self::Fickle,
            _ => Self::Away,
        }
    }
}

/// What all threads share.
#[derive(Debug)]
pub(crate) struct Scene {
    pub(crate) http: SocketAddr,
    pub(crate) fleet: Fleet,
    pub(crate) customers: Vec<Customer>,
    pub(crate) calls: Calls,
    pub(crate) gate: Gate,
}

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) server: Server,
    pub(crate) scene: Arc<Scene>,
    pub(crate) tally: Tally,
    /// When the server was down in this round.
    pub(crate) downs: Vec<Down>,
    rng: Rng,
    moments: Vec<Moment>,
    /// How long its last start took.
    start: Duration,
    threads: Vec<JoinHandle<()>>,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let server = pigeonloft!()
            .set("push.batch_rows", BATCH_ROWS)
            .set("push.batches_in_flight", BATCHES_IN_FLIGHT)
            .set("push.ack_wait_ms", 100)
            .set("package.sort_memory_bytes", 65_536)
            .start();
        let customers = (0..CUSTOMERS).map(|place| Customer::new(&server, place % 2 == 0)).collect();
        let fleet = Fleet::new(server.mqtt());
        let (calls, gate) = (Calls::default(), Gate::default());
        let scene = Arc::new(Scene { http: server.http(), fleet, customers, calls, gate });
        let mut rng = Rng::with_seed(seed);
        let mut threads: Vec<_> = (0..CUSTOMERS).map(|place| customer_acts(&scene, place, rng.fork())).collect();
        threads.push(phones_come_and_go(&scene, rng.fork()));
        let (tally, start) = (Tally::default(), Duration::from_millis(100));
        Self { server, scene, tally, downs: Vec::new(), rng, moments: Vec::new(), start, threads }
    }

    /// Kills the server so many times, then lets everything come to its end and looks at it.
    pub(crate) fn round(&mut self, kills: u64) {
        let last = self.tally.kills + kills;
        self.downs.clear();
        self.each_its_way();
        while self.tally.kills < last {
            self.scene.gate.open();
            let moment = self.next_moment();
            let mut rng = self.rng.fork();
            moment.wait(self, &mut rng);
            self.scene.gate.close_for_a_kill();
            self.kill(moment);
            self.scene.gate.wait_until_empty();
            self.assert_nobody_failed();
            let files = self.server.package_files();
            while self.tally.kills < last && self.moments.last() == Some(&Moment::Starting) {
                self.moments.pop();
                self.kill_while_it_starts();
            }
            self.start();
            self.note_what_was_swept(&files);
            check::after_a_start(self);
        }
        settle::settle(self);
        println!(
            "{} kills: {} messages, {} uploads",
            self.tally.kills, self.tally.messages, self.tally.uploads.answered
        );
    }

    /// Once more, after a start that follows an orderly end.
    pub(crate) fn last_look(&mut self) {
        self.examine();
        check::after_a_start(self);
        for customer in &self.scene.customers {
            for (push_id, devices) in &customer.ledger().ended {
                assert_eq!(customer.app.progress(push_id)["outcomes"]["arrived"], *devices);
            }
            let silent = customer.phones.iter().all(|phone| phone.count() == (0, 0));
            assert!(silent, "what has ended does not come again");
        }
        self.scene.gate.end();
        self.threads.drain(..).for_each(|thread| thread.join().expect("nobody failed"));
    }

    /// Stops the server as it should be, has the data folder examined, every package among it, and starts the server again.
    pub(crate) fn examine(&mut self) {
        self.server.terminate();
        let said = self.server.run(["doctor", "--check-only"]);
        assert!(said.contains("nothing is wrong"), "{said}");
        self.server.restart();
    }

    fn next_moment(&mut self) -> Moment {
        if self.moments.iter().all(|moment| *moment == Moment::Starting) {
            self.moments.splice(0..0, Moment::shuffled(&mut self.rng));
        }
        let place = self.moments.iter().rposition(|moment| *moment != Moment::Starting);
        self.moments.remove(place.expect("there is another"))
    }

    fn kill(&mut self, moment: Moment) {
        let since = Instant::now();
        self.server.kill9();
        self.downs.push(Down { since, until: since });
        self.tally.kills += 1;
        self.tally.by_moment[moment as usize] += 1;
    }

    fn kill_while_it_starts(&mut self) {
        self.begin_to_start();
        std::thread::sleep(self.start.mul_f64(1.3 * self.rng.f64()));
        self.tally.before_listening += u64::from(!self.server.has_started());
        self.kill(Moment::Starting);
    }

    fn begin_to_start(&mut self) {
        if let Some(down) = self.downs.last_mut() {
            down.until = Instant::now();
        }
        self.server.begin_to_start();
    }

    fn start(&mut self) {
        let begun = Instant::now();
        self.begin_to_start();
        self.server.wait_until_started();
        self.start = begun.elapsed();
        let log = self.server.log();
        let unfinished = log.rsplit_once(" unfinished=").and_then(|(_, rest)| rest.lines().next());
        let unfinished: u64 = unfinished.and_then(|count| count.parse().ok()).expect("a start says what goes on");
        let met = &mut self.tally.went_on;
        *met = (met.0 + u64::from(unfinished > 0), met.1 + unfinished);
    }

    /// What was in the packages folder at the kill, and is not any more.
    fn note_what_was_swept(&mut self, before: &[String]) {
        let after = self.server.package_files();
        let gone = before.iter().filter(|name| !after.contains(name));
        let (broken_off, without_row): (Vec<_>, Vec<_>) = gone.partition(|name| name.starts_with('.'));
        for (met, files) in [(&mut self.tally.broken_off, broken_off), (&mut self.tally.without_row, without_row)] {
            met.0 += u64::from(!files.is_empty());
            met.1 += files.len() as u64;
        }
    }

    fn each_its_way(&self) {
        for (place, phone) in self.scene.customers.iter().flat_map(|customer| customer.phones.iter().enumerate()) {
            match Way::of(place) {
                Way::Steady | Way::Fickle => self.scene.fleet.stay(phone, Habit::Shows),
                Way::Silent => self.scene.fleet.stay(phone, Habit::NeverAcknowledges),
                Way::Away => phone.leave(),
            }
        }
    }

    fn assert_nobody_failed(&mut self) {
        if let Some(place) = self.threads.iter().position(JoinHandle::is_finished) {
            self.threads.remove(place).join().expect("a customer found nothing amiss");
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.scene.gate.end();
    }
}

fn customer_acts(scene: &Arc<Scene>, place: usize, mut rng: Rng) -> JoinHandle<()> {
    let scene = Arc::clone(scene);
    std::thread::spawn(move || {
        while let Some(pass) = scene.gate.enter() {
            scene.customers[place].act(&mut rng, &scene, &pass);
            drop(pass);
            // An app pushes to one package a second: without a rest, most would be uploaded for nothing.
            std::thread::sleep(Duration::from_millis(rng.u64(0..100)));
        }
    })
}

fn phones_come_and_go(scene: &Arc<Scene>, mut rng: Rng) -> JoinHandle<()> {
    let scene = Arc::clone(scene);
    std::thread::spawn(move || {
        let phones = scene.customers.iter().flat_map(|customer| customer.phones.iter().enumerate());
        let fickle: Vec<&Phone> =
            phones.filter(|(place, _)| Way::of(*place) == Way::Fickle).map(|(_, phone)| phone).collect();
        while let Some(_pass) = scene.gate.enter() {
            let phone = fickle[rng.usize(0..fickle.len())];
            match rng.u8(0..8) {
                0 => phone.vanish(),
                1 | 2 => phone.leave(),
                3 => scene.fleet.stay(phone, Habit::NeverAcknowledges),
                4 => scene.fleet.stay(phone, Habit::NeverReads),
                _ => scene.fleet.stay(phone, Habit::Shows),
            }
            // As fast as it goes would leave nothing of two cores for the server.
            std::thread::sleep(Duration::from_millis(rng.u64(0..20)));
        }
    })
}
