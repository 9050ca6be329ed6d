//! Serve: puts a server together, runs it, and takes it down again without losing anything.

use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use pigeonloft_channels::xg;
use pigeonloft_store::Store;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::desk::FrontDesk;
use crate::loft::Loft;
use crate::metrics::Metrics;
use crate::net::Listeners;
use crate::packages::PackageFolder;
use crate::{api, dispatch, housekeeping, net, recorder};

/// Held by the one server of a data folder.
const LOCK_FILE: &str = "server.lock";

/// Where a running server can be reached.
#[derive(Debug, Clone, Copy)]
pub struct Addresses {
    /// The API.
    pub http: SocketAddr,
    /// The API over TLS.
    pub https: Option<SocketAddr>,
    /// The own channel.
    pub mqtt: SocketAddr,
    /// The own channel over TLS.
    pub mqtts: Option<SocketAddr>,
}

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
}

/// Runs a server until `stop` resolves, and then until what runs is finished or parked. `started` is called once it
/// can be reached.
///
/// # Errors
/// The server could not start. Once it has, nothing but `stop` ends it.
pub async fn run(
    config: Config,
    started: impl FnOnce(&Addresses) + Send,
    stop: impl Future<Output = ()> + Send,
) -> Result<(), Error> {
    let _lock = lock_data_dir(&config)?;
    let listeners = Listeners::bind(&config)?;
    let no_database = |source| Error::Database { path: config.data_dir.clone(), source };
    let store = Store::open(&config.data_dir).map_err(no_database)?;
    let unusable = |source| Error::DataDir { path: config.packages_dir(), source };
    let orphans = PackageFolder::of(&config).prepare(&store).await.map_err(unusable)?;
    if orphans > 0 {
        tracing::warn!(orphans, "files of uploads that never ended were removed");
    }
    let grace = Duration::from_secs(config.shutdown.grace_s);
    let (_, unfinished) = store.unfinished(i64::MAX).await.map_err(no_database)?;
    let data_dir = config.data_dir.display().to_string();
    let parts = Parts::start(config, store, listeners);
    tracing::info!(version = env!("CARGO_PKG_VERSION"), data_dir, unfinished, "started: unfinished pushes go on");
    started(&parts.addresses);
    stop.await;
    parts.stop(grace).await;
    Ok(())
}

/// The lock ends with the process, however it ends.
fn lock_data_dir(config: &Config) -> Result<File, Error> {
    let path = config.data_dir.clone();
    let unusable = |source| Error::DataDir { path: path.clone(), source };
    std::fs::create_dir_all(&path).map_err(unusable)?;
    let file = File::create(path.join(LOCK_FILE)).map_err(unusable)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(Error::Running(path)),
        Err(std::fs::TryLockError::Error(source)) => Err(unusable(source)),
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
    fn start(config: Config, store: Store, listeners: Listeners) -> Self {
        let metrics = Arc::new(Metrics::new());
        let (reports, reported) = mpsc::unbounded_channel();
        let hub = xg::Hub::new(FrontDesk::new(store.clone(), reports), channel_limits(&config));
        let loft = Arc::new(Loft::new(config, store.clone(), hub.clone(), metrics.clone()));
        let recorder_stop = CancellationToken::new();
        let recorder = tokio::spawn(recorder::run(store, hub, metrics, reported, recorder_stop.clone()));
        let work_stop = CancellationToken::new();
        let work = vec![
            tokio::spawn(dispatch::run(loft.clone(), work_stop.clone())),
            tokio::spawn(housekeeping::run(loft.clone(), work_stop.clone())),
        ];
        let intake_stop = CancellationToken::new();
        let addresses = listeners.addresses();
        let intake = tokio::spawn(listeners.serve(loft.clone(), api::router(loft.clone()), intake_stop.clone()));
        Self {
            loft,
            addresses,
            intake: (intake_stop, intake),
            work: (work_stop, work),
            recorder: (recorder_stop, recorder),
        }
    }

    /// Calls in flight end; then running pushes are parked; then devices are sent away; then what they reported is
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
        match self.loft.store.unfinished(i64::MAX).await {
            Ok((_, 0)) => tracing::info!("stopped: no push is unfinished"),
            Ok((_, unfinished)) => tracing::info!(unfinished, "stopped: unfinished pushes go on at the next start"),
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
