//! Google: the other side of FCM, on a port of this machine, and an account with it.

use std::fs;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::OnceLock;

use pigeonloft_channels::fcm::sim::Sim;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::app::App;
use crate::program::require;
use crate::server::Server;

/// A sim of FCM. Dropping it ends it.
#[derive(Debug)]
pub struct Google {
    /// What it is asked and told.
    pub sim: Sim,
    /// The service account's file.
    pub service_account: PathBuf,
    _folder: TempDir,
    _runtime: Runtime,
}

impl Google {
    /// Starts it.
    ///
    /// # Panics
    /// It cannot be started, or `openssl` is not here.
    #[must_use]
    pub fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime can be started");
        let sim = runtime.block_on(Sim::start((Ipv4Addr::LOCALHOST, 0).into(), Self::key())).expect("a port is free");
        let service_account = folder.path().join("service-account.json");
        fs::write(&service_account, sim.service_account()).expect("a file can be written");
        Self { sim, service_account, _folder: folder, _runtime: runtime }
    }

    /// Gives an app its credentials with it, by the command line.
    ///
    /// # Panics
    /// The command fails.
    pub fn serves(&self, server: &Server, app: &App) {
        let [id, file] = [app.access_id.to_string(), self.service_account.display().to_string()];
        let url = self.sim.url();
        server.run(["app", "channel", "set", "--app", &id, "fcm", "--service-account", &file, "--url", url]);
    }

    /// An RSA key, PEM, the same for all.
    ///
    /// # Panics
    /// `openssl` is not here.
    #[must_use]
    pub fn key() -> &'static str {
        static KEY: OnceLock<String> = OnceLock::new();
        KEY.get_or_init(|| {
            let made = require("openssl").args(["genpkey", "-quiet", "-algorithm", "RSA"]).output();
            String::from_utf8(made.expect("openssl can be run").stdout).expect("a key is text")
        })
    }
}
