//! Apple: the other side of APNs, over TLS, on a port of this machine, and an account with it.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use pigeonloft_channels::apns::sim::{self, Habits, Sim, Team};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
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
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let certificate = Certificate::write(folder.path());
        let key_pem = rcgen::KeyPair::generate().expect("a key can be made").serialize_pem();
        let key = folder.path().join("AuthKey.p8");
        fs::write(&key, &key_pem).expect("a file can be written");
        let team = Team::new(&key_pem, KEY_ID, TEAM_ID).expect("it is a key of P-256");
        let sim = Sim::new(Some(team));
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime can be started");
        let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).expect("a port is free");
        let address = listener.local_addr().expect("it listens");
        runtime.spawn(sim.clone().serve(listener, Some(tls(&certificate))));
        Self { sim, address, certificate, key, _folder: folder, _runtime: runtime }
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
        let [id, key, certificate] = [
            app.access_id.to_string(),
            self.key.display().to_string(),
            self.certificate.certificate.display().to_string(),
        ];
        let url = sim::url(self.address, true);
        server.run([
            "app",
            "channel",
            "set",
            "--app",
            &id,
            "apns",
            "--key",
            &key,
            "--key-id",
            KEY_ID,
            "--team-id",
            TEAM_ID,
            "--topic",
            TOPIC,
            "--url",
            &url,
            "--trust",
            &certificate,
        ]);
    }
}

fn tls(certificate: &Certificate) -> Arc<ServerConfig> {
    let chain = CertificateDer::pem_file_iter(&certificate.certificate).expect("a file can be read");
    let chain = chain.collect::<Result<Vec<_>, _>>().expect("it holds certificates");
    let key = PrivateKeyDer::from_pem_file(&certificate.key).expect("it holds a key");
    let mut config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider has them")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .expect("they fit each other");
    config.alpn_protocols = vec![b"h2".to_vec()];
    Arc::new(config)
}
