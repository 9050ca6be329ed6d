//! Apple: the other side of APNs, over TLS, on a port of this machine, and an account with it.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use pigeonloft_channels::apns::TeamKey;
use pigeonloft_channels::apns::sim::{self, Habits, Sim, Team};
use pigeonloft_channels::sim_tls;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use crate::app::App;
use crate::certificate::Certificate;
use crate::server::Server;

const KEY_ID: &str = "ABC123DEFG";
const TEAM_ID: &str = "DEF123GHIJ";

/// The topic that apps are given.
const TOPIC: &str = "com.example.shop";

/// A sim of APNs. Dropping it ends it.
#[derive(Debug)]
pub struct Apple {
    /// What it is asked and told.
    pub sim: Arc<Sim>,
    address: SocketAddr,
    certificate: Certificate,
    /// The .p8 file of the team's key.
    pub key: PathBuf,
    _folder: TempDir,
    _runtime: Runtime,
}

impl Apple {
    /// Starts it.
    ///
    /// # Panics
    /// It cannot be started.
    #[must_use]
    pub fn start() -> Self {
        Self::that_trusts(None)
    }

    /// Starts one that takes no tokens, but connections that show a certificate which this one signed, PEM.
    ///
    /// # Panics
    /// It cannot be started.
    #[must_use]
    pub fn that_demands(authority: &str) -> Self {
        Self::that_trusts(Some(authority))
    }

    fn that_trusts(authority: Option<&str>) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let key_pem = rcgen::KeyPair::generate().expect("a key can be made").serialize_pem();
        fs::write(folder.path().join("AuthKey.p8"), key_pem).expect("a file can be written");
        let certificate = Certificate::write(folder.path());
        Self::in_folder(folder, certificate, authority)
    }

    /// One with the key in this folder.
    fn in_folder(folder: TempDir, certificate: Certificate, authority: Option<&str>) -> Self {
        let read = |path: &PathBuf| fs::read_to_string(path).expect("a file can be read");
        let tls = sim_tls(&read(&certificate.certificate), &read(&certificate.key), authority, &["h2"]);
        let tls = tls.expect("the certificates can be used");
        let key = folder.path().join("AuthKey.p8");
        let team_key = TeamKey { key: read(&key), key_id: KEY_ID.to_owned(), team_id: TEAM_ID.to_owned() };
        let team = Team::new(&team_key).expect("it is a key of P-256");
        let sim = Sim::new(authority.is_none().then_some(team));
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime can be started");
        let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).expect("a port is free");
        let address = listener.local_addr().expect("it listens");
        runtime.spawn(sim.clone().serve(listener, Some(tls)));
        Self { sim, address, certificate, key, _folder: folder, _runtime: runtime }
    }

    /// Starts the other one of the same account: what is for devices of the environment dev may go there.
    ///
    /// # Panics
    /// It cannot be started.
    #[must_use]
    pub fn sandbox(&self) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let key = folder.path().join("AuthKey.p8");
        fs::copy(&self.key, &key).expect("a file can be copied");
        Self::in_folder(folder, self.certificate.clone(), None)
    }

    /// Changes how it behaves.
    pub fn behaves(&self, change: impl FnOnce(&mut Habits)) {
        change(&mut self.sim.habits());
    }

    /// Gives an app its credentials with it, by the command line.
    ///
    /// # Panics
    /// The command fails.
    pub fn serves(&self, server: &Server, app: &App) {
        let key = self.key.display().to_string();
        let key = ["--key", &key, "--key-id", KEY_ID, "--team-id", TEAM_ID, "--topic", TOPIC];
        self.knows(server, app, &key).expect("the credentials are taken");
    }

    /// As [`Apple::serves`]; devices of the environment dev are reached through the other.
    ///
    /// # Panics
    /// The command fails.
    pub fn serves_beside(&self, sandbox: &Self, server: &Server, app: &App) {
        let (key, url) = (self.key.display().to_string(), sim::url(sandbox.address, true));
        let key = ["--key", &key, "--key-id", KEY_ID, "--team-id", TEAM_ID, "--topic", TOPIC, "--sandbox-url", &url];
        self.knows(server, app, &key).expect("the credentials are taken");
    }

    /// Gives an app these credentials with it, by the command line.
    ///
    /// # Errors
    /// What the command says where it fails.
    pub fn knows(&self, server: &Server, app: &App, credentials: &[&str]) -> Result<String, String> {
        let (id, url) = (app.access_id.to_string(), sim::url(self.address, true));
        let trust = self.certificate.certificate.display().to_string();
        let whose = ["app", "channel", "set", "--app", &id, "apns", "--url", &url, "--trust", &trust];
        server.try_run(whose.iter().chain(credentials).copied())
    }
}
