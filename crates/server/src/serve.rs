//! Serve: puts a server together, runs it, and takes it down again without losing anything.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use pigeonloft_channels::xg;
use pigeonloft_store::Store;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::chain::chain;
use crate::config::Config;
use crate::desk::FrontDesk;
use crate::loft::Loft;
use crate::metrics::Metrics;
use crate::net::{Addresses, Listeners};
use crate::packages::PackageFolder;
use crate::vault::{Unopened, Vault};
use crate::{api, dispatch, housekeeping, net, openings, recorder, stops};

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The data folder cannot be used.
    #[error("the data folder {path} cannot be used")]
    DataDir {
        /// The folder.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// Another server runs on the data folder.
    #[error("another server runs on the data folder {0}\nhint: stop it, or give this one its own --data-dir")]
    Running(PathBuf),
    /// The database cannot be opened.
    #[error("the database in {path} cannot be used")]
    Database {
        /// The data folder.
        path: PathBuf,
        /// What the store says.
        source: pigeonloft_store::Error,
    },
    /// An address cannot be listened on, or the certificate cannot be used.
    #[error(transparent)]
    Net(#[from] net::Error),
    /// A part of the running server ended by a fault of the program: without it the rest is no server.
    #[error("the server's part \"{0}\" has failed\nhint: start the server again, it goes on where it stopped")]
    Part(&'static str),
}

/// Runs a server until `stop` resolves, and then until what runs is finished or broken off. `started` is called once it
/// can be reached.
///
/// # Errors
/// The server could not start. Once it has, nothing but `stop` ends it, or [`Error::Part`].
pub async fn run(
    config: Config,
    started: impl FnOnce(&Addresses) + Send,
    stop: impl Future<Output = ()> + Send,
) -> Result<(), Error> {
    let _lock = lock_data_dir(&config)?;
    let listeners = Listeners::bind(&config)?;
    let no_database = |source| Error::Database { path: config.data_dir.clone(), source };
    let store = Store::open(&config.data_dir).map_err(no_database)?.in_zone(config.push.utc_offset);
    if let Err(error) = store.lengthen_log() {
        tracing::warn!(%error, "the database's log keeps its length: while files are uploaded, commits take longer");
    }
    let unusable = |source| Error::DataDir { path: config.packages_dir(), source };
    let orphans = PackageFolder::of(&config).prepare(&store).await.map_err(unusable)?;
    if orphans > 0 {
        tracing::warn!(orphans, "files of uploads that never ended were removed");
    }
    let sealed = store.credentials_of_all_apps().await.map_err(no_database)?;
    if let Some(Unopened { count, first: (access_id, channel), error }) = Vault::of(&config).unopened(&sealed) {
        tracing::error!(
            count, %access_id, %channel, reason = chain(&error),
            "credentials with vendors cannot be opened: messages for these channels wait in inboxes"
        );
    }
    let grace = Duration::from_secs(config.shutdown.grace_s);
    let unfinished = store.unfinished().await.map_err(no_database)?;
    let data_dir = config.data_dir.display().to_string();
    let (ends, mut ended) = mpsc::channel(1);
    let parts = Parts::start(&ends, config, store, listeners);
    tracing::info!(version = env!("CARGO_PKG_VERSION"), data_dir, unfinished, "started: unfinished pushes go on");
    started(&parts.addresses);
    let failed = tokio::select! {
        () = stop => None,
        failed = ended.recv() => failed,
    };
    parts.stop(grace).await;
    failed.map_or(Ok(()), |part| Err(Error::Part(part)))
}

/// Says that a part has ended, however it did.
struct Ends(mpsc::Sender<&'static str>, &'static str);

impl Drop for Ends {
    fn drop(&mut self) {
        // Only the first is waited for.
        let _ = self.0.try_send(self.1);
    }
}

/// Runs a part of the server. None ends before it is told to, unless it fails.
fn part(
    ends: &mpsc::Sender<&'static str>,
    name: &'static str,
    run: impl Future<Output = ()> + Send + 'static,
) -> tokio::task::JoinHandle<()> {
    let ends = Ends(ends.clone(), name);
    tokio::spawn(async move {
        let _ends = ends;
        run.await;
    })
}

fn lock_data_dir(config: &Config) -> Result<File, Error> {
    let path = config.data_dir.clone();
    let locked = crate::folder::create(&path).and_then(|()| crate::folder::lock(&path));
    match locked {
        Ok(Some(lock)) => Ok(lock),
        Ok(None) => Err(Error::Running(path)),
        Err(source) => Err(Error::DataDir { path, source }),
    }
}

/// What runs, and what stops it, in the order in which it must be stopped.
struct Parts {
    loft: Arc<Loft>,
    addresses: Addresses,
    intake: (CancellationToken, tokio::task::JoinHandle<()>),
    work: (CancellationToken, Vec<tokio::task::JoinHandle<()>>),
    recorder: (CancellationToken, tokio::task::JoinHandle<()>),
}

impl Parts {
    fn start(ends: &mpsc::Sender<&'static str>, config: Config, store: Store, listeners: Listeners) -> Self {
        let metrics = Arc::new(Metrics::new());
        let (reports, reported) = mpsc::unbounded_channel();
        let desk = FrontDesk::new(store.clone(), reports, config.push.utc_offset);
        let hub = xg::Hub::new(desk, channel_limits(&config));
        let loft = Arc::new(Loft::new(config, store.clone(), hub.clone(), metrics.clone()));
        let recorder_stop = CancellationToken::new();
        let recorder = part(ends, "recorder", recorder::run(store, hub, metrics, reported, recorder_stop.clone()));
        let work_stop = CancellationToken::new();
        let work = vec![
            part(ends, "dispatch", dispatch::run(loft.clone(), work_stop.clone())),
            part(ends, "parked", dispatch::parked::run(loft.clone(), work_stop.clone())),
            part(ends, "housekeeping", housekeeping::run(loft.clone(), work_stop.clone())),
            part(ends, "stops", stops::run(loft.clone(), work_stop.clone())),
            part(ends, "openings", openings::run(loft.clone(), loft.minute_of_day(), work_stop.clone())),
        ];
        let intake_stop = CancellationToken::new();
        let addresses = listeners.addresses();
        let serving = listeners.serve(loft.clone(), api::router(loft.clone()), intake_stop.clone());
        let intake = part(ends, "net", serving);
        Self {
            loft,
            addresses,
            intake: (intake_stop, intake),
            work: (work_stop, work),
            recorder: (recorder_stop, recorder),
        }
    }

    /// Running pushes are broken off; then calls in flight end; then devices are sent away; then what they reported is
    /// written down. Each within the grace time: what is cut off goes on at the next start.
    async fn stop(self, grace: Duration) {
        tracing::info!(grace_s = grace.as_secs(), "stopping: no new work is taken");
        self.loft.drain();
        let wind_down = async {
            let (work_stop, work) = self.work;
            work_stop.cancel();
            for task in work {
                ended(task.await);
            }
            self.intake.0.cancel();
            ended(self.intake.1.await);
            self.loft.hub.drain().await;
            self.recorder.0.cancel();
            ended(self.recorder.1.await);
        };
        if tokio::time::timeout(grace, wind_down).await.is_err() {
            tracing::warn!("the grace time is over: what still runs is cut off, and goes on at the next start");
        }
        match self.loft.store.unfinished().await {
            Ok(0) => tracing::info!("stopped: no push is unfinished"),
            Ok(unfinished) => tracing::info!(unfinished, "stopped: unfinished pushes go on at the next start"),
            Err(error) => tracing::warn!(%error, "stopped"),
        }
    }
}

fn ended(task: Result<(), tokio::task::JoinError>) {
    if let Err(error) = task {
        tracing::error!(%error, "a part of the server had failed");
    }
}

fn channel_limits(config: &Config) -> xg::Limits {
    let mqtt = &config.mqtt;
    xg::Limits {
        connect_timeout: Duration::from_secs(mqtt.connect_timeout_s),
        max_packet: mqtt.packet_bytes,
        max_keep_alive: mqtt.keep_alive_max_s,
        window: mqtt.window,
        write_stall: Duration::from_secs(mqtt.write_stall_s),
        ..xg::Limits::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_part_that_fails_is_named() {
        let (ends, mut ended) = mpsc::channel(1);
        let sound = part(&ends, "sound", std::future::pending());
        let failing = part(&ends, "failing", async { panic!("a fault of the program") });
        assert_eq!(ended.recv().await, Some("failing"));
        assert!(failing.await.unwrap_err().is_panic());
        assert!(!sound.is_finished());
        sound.abort();
    }
}
