//! Scrape: what is looked up at the moment somebody asks for the metrics, instead of being counted all the time.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::SystemTime;

use pigeonloft_channels::xg::Stats;
use pigeonloft_model::Channel;
use pigeonloft_store::WriterStats;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use crate::folder::Disk;

/// One look at everything that is not counted. What is `None` could not be learned, and is left out.
#[derive(Debug, Default)]
pub struct Scrape {
    /// The own channel.
    pub devices: Devices,
    /// Of how many apps the channel with a vendor is in which state.
    pub vendors: BTreeMap<(Channel, &'static str), u64>,
    /// Messages that are parked for vendors, by channel.
    pub parked: BTreeMap<Channel, u64>,
    /// The database; `None`: it does not answer.
    pub database: Option<Database>,
    /// What its writer did.
    pub writer: Writer,
    /// Bytes on disk of the database and its log.
    pub database_bytes: u64,
    /// The disk of the data folder.
    pub disk: Option<Disk>,
    /// This process.
    pub process: Process,
}

/// What the own channel's connections did since the start.
#[derive(Debug, Default, Clone, Copy)]
#[expect(missing_docs, reason = "each is documented at the channel's `Stats`, which this is a copy of")]
pub struct Devices {
    pub connections: u64,
    pub connected: u64,
    pub published: u64,
    pub acknowledged: u64,
    pub receipts: u64,
    pub refused: u64,
    pub malformed: u64,
    pub taken_over: u64,
    pub timed_out: u64,
}

impl From<&Stats> for Devices {
    fn from(stats: &Stats) -> Self {
        Self {
            connections: stats.connections.load(Ordering::Relaxed),
            connected: stats.connected.load(Ordering::Relaxed),
            published: stats.published.load(Ordering::Relaxed),
            acknowledged: stats.acknowledged.load(Ordering::Relaxed),
            receipts: stats.receipts.load(Ordering::Relaxed),
            refused: stats.refused.load(Ordering::Relaxed),
            malformed: stats.malformed.load(Ordering::Relaxed),
            taken_over: stats.taken_over.load(Ordering::Relaxed),
            timed_out: stats.timed_out.load(Ordering::Relaxed),
        }
    }
}

/// What the writer of the database did since the start.
#[derive(Debug, Default, Clone, Copy)]
#[expect(missing_docs, reason = "each is documented at the store's `WriterStats`, which this is a copy of")]
pub struct Writer {
    pub groups: u64,
    pub writes: u64,
    pub failed_groups: u64,
}

impl From<&WriterStats> for Writer {
    fn from(stats: &WriterStats) -> Self {
        Self {
            groups: stats.groups.load(Ordering::Relaxed),
            writes: stats.writes.load(Ordering::Relaxed),
            failed_groups: stats.failed_groups.load(Ordering::Relaxed),
        }
    }
}

/// What the database says.
#[derive(Debug, Clone, Copy)]
pub struct Database {
    /// Messages in all inboxes.
    pub inbox: u64,
    /// Pushes that are not finished, due or not.
    pub unfinished: u64,
    /// Seconds since the oldest unfinished push was due; 0 where none is.
    pub queue_age: u64,
}

/// The process, by the names every Prometheus client uses. On systems without /proc only the start is known.
#[derive(Debug, Default, Clone, Copy)]
pub struct Process {
    /// When it started.
    pub started: Option<SystemTime>,
    /// Memory in use, bytes.
    pub resident_bytes: Option<u64>,
    /// Open files and sockets.
    pub open_files: Option<u64>,
    /// How many it may have open.
    pub max_files: Option<u64>,
}

impl Process {
    /// Looks at this process.
    #[must_use]
    pub fn look(started: SystemTime) -> Self {
        Self {
            started: Some(started),
            resident_bytes: resident_bytes(),
            open_files: std::fs::read_dir("/proc/self/fd").ok().map(|entries| entries.count() as u64),
            max_files: rustix::process::getrlimit(rustix::process::Resource::Nofile).current,
        }
    }
}

/// The second number of statm, in pages. (proc_pid_statm(5))
fn resident_bytes() -> Option<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split(' ').nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}

fn gauge(value: u64) -> ConstGauge<i64> {
    ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX))
}

impl Scrape {
    pub(super) fn registry(&self) -> Registry {
        let mut registry = Registry::default();
        let ours = registry.sub_registry_with_prefix("pigeonloft");
        self.register_devices(ours);
        self.register_vendors(ours);
        self.register_store(ours);
        ours.register("build", "The program", Info::new([("version", env!("CARGO_PKG_VERSION"))]));
        self.register_process(&mut registry);
        registry
    }

    fn register_devices(&self, to: &mut Registry) {
        let devices = &self.devices;
        to.register("devices_connected", "Devices with an open session", gauge(devices.connected));
        to.register("mqtt_connections_open", "MQTT connections, logged in or not", gauge(devices.connections));
        for (name, help, value) in [
            ("mqtt_published", "Messages written to sessions", devices.published),
            ("mqtt_acknowledged", "Messages acknowledged by devices", devices.acknowledged),
            ("mqtt_receipts", "Receipts taken from devices", devices.receipts),
            ("mqtt_refused", "CONNECTs refused", devices.refused),
            ("mqtt_malformed", "Connections ended for what they sent", devices.malformed),
            ("mqtt_taken_over", "Sessions ended by a newer one of the device", devices.taken_over),
            ("mqtt_timed_out", "Connections ended for silence or for not reading", devices.timed_out),
        ] {
            to.register(name, help, ConstCounter::new(value));
        }
    }

    fn register_vendors(&self, to: &mut Registry) {
        let apps: Family<[(&str, &str); 2], Gauge> = Family::default();
        for ((channel, state), count) in &self.vendors {
            let labels = [("channel", channel.as_str()), ("state", *state)];
            apps.get_or_create(&labels).set(i64::try_from(*count).unwrap_or(i64::MAX));
        }
        to.register(
            "vendor_channels",
            "Apps (webpush: push services of apps), by the state of their channel with a vendor",
            apps,
        );
        let parked: Family<[(&str, &str); 1], Gauge> = Family::default();
        for (channel, count) in &self.parked {
            parked.get_or_create(&[("channel", channel.as_str())]).set(i64::try_from(*count).unwrap_or(i64::MAX));
        }
        to.register("parked", "Messages that a vendor did not take for now, and is given again", parked);
    }

    fn register_store(&self, to: &mut Registry) {
        to.register("database_up", "Whether the database answers", gauge(self.database.is_some().into()));
        to.register("database_bytes", "Bytes on disk of the database and its log", gauge(self.database_bytes));
        for (name, help, value) in [
            ("store_commits", "Groups of writes committed", self.writer.groups),
            ("store_writes", "Writes in them", self.writer.writes),
            ("store_failures", "Groups of writes of which nothing was kept", self.writer.failed_groups),
        ] {
            to.register(name, help, ConstCounter::new(value));
        }
        if let Some(database) = self.database {
            to.register("inbox_messages", "Messages that wait for their devices", gauge(database.inbox));
            to.register("pushes_unfinished", "Pushes not finished, due or not", gauge(database.unfinished));
            to.register(
                "queue_age_seconds",
                "Since when the oldest unfinished push has been due",
                gauge(database.queue_age),
            );
        }
        if let Some(disk) = self.disk {
            to.register("data_dir_free_bytes", "Space left on the disk of the data folder", gauge(disk.free));
            to.register("data_dir_size_bytes", "Size of the disk of the data folder", gauge(disk.size));
        }
    }

    fn register_process(&self, to: &mut Registry) {
        let process = &self.process;
        let started = process.started.and_then(|at| at.duration_since(SystemTime::UNIX_EPOCH).ok());
        for (name, help, value) in [
            ("process_start_time_seconds", "When the process started, unix seconds", started.map(|at| at.as_secs())),
            ("process_resident_memory_bytes", "Memory in use", process.resident_bytes),
            ("process_open_fds", "Open files and sockets", process.open_files),
            ("process_max_fds", "How many files and sockets may be open", process.max_files),
        ] {
            if let Some(value) = value {
                to.register(name, help, gauge(value));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;

    fn has(text: &str, line: &str) -> bool {
        text.lines().any(|found| found == line)
    }

    #[test]
    fn a_database_that_does_not_answer_is_shown_as_down_and_not_as_empty() {
        let text = Metrics::new().encode(&Scrape::default());
        assert!(has(&text, "pigeonloft_database_up 0"), "{text}");
        assert!(!text.contains("inbox_messages"));
        let database = Some(Database { inbox: 7, unfinished: 2, queue_age: 40 });
        let text = Metrics::new().encode(&Scrape { database, ..Scrape::default() });
        assert!(has(&text, "pigeonloft_database_up 1"), "{text}");
        assert!(has(&text, "pigeonloft_inbox_messages 7") && has(&text, "pigeonloft_queue_age_seconds 40"), "{text}");
    }

    #[test]
    fn the_process_is_shown_by_the_usual_names() {
        let process = Process::look(SystemTime::now());
        let text = Metrics::new().encode(&Scrape { process, ..Scrape::default() });
        let rss = text.lines().find_map(|line| line.strip_prefix("process_resident_memory_bytes "));
        #[cfg(target_os = "linux")]
        assert!(rss.unwrap().parse::<u64>().unwrap() > 1 << 20, "{text}");
        assert!(has(&text, &format!("pigeonloft_build_info{{version=\"{}\"}} 1", env!("CARGO_PKG_VERSION"))), "{text}");
    }

    #[test]
    fn the_channel_s_counters_are_copied_each_to_its_name() {
        let stats = Stats::default();
        let numbered = [
            (&stats.connections, "mqtt_connections_open"),
            (&stats.connected, "devices_connected"),
            (&stats.published, "mqtt_published_total"),
            (&stats.acknowledged, "mqtt_acknowledged_total"),
            (&stats.receipts, "mqtt_receipts_total"),
            (&stats.refused, "mqtt_refused_total"),
            (&stats.malformed, "mqtt_malformed_total"),
            (&stats.taken_over, "mqtt_taken_over_total"),
            (&stats.timed_out, "mqtt_timed_out_total"),
        ];
        for (number, (counter, _)) in (1..).zip(&numbered) {
            counter.store(number, Ordering::Relaxed);
        }
        let text = Metrics::new().encode(&Scrape { devices: (&stats).into(), ..Scrape::default() });
        for (number, (_, name)) in (1..).zip(&numbered) {
            assert!(has(&text, &format!("pigeonloft_{name} {number}")), "{name} is not {number} in\n{text}");
        }
    }
}
