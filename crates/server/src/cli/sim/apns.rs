//! `pigeonloft sim apns`: Apple's side, for developers without an account there.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use pigeonloft_channels::apns::sim::{Sim, Team, url};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpListener;

use crate::cli::failure::{Failure, say};
use crate::cli::serve::runtime;
use crate::cli::signals::Signals;

/// Apple's: HTTP/2, over TLS where a certificate is given; prints what it took when it is stopped
#[derive(Debug, Args)]
#[command(after_help = "Example, in two terminals:\n  \
        pigeonloft sim apns --listen 127.0.0.1:2197\n  \
        pigeonloft app channel set --app 1600007893 apns … --url http://127.0.0.1:2197")]
pub(in crate::cli) struct Apns {
    /// Address and port; port 0 takes a free one
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:2197")]
    listen: SocketAddr,
    /// The .p8 file whose signatures it takes [default: any team's tokens, whose form and age alone are looked at]
    #[arg(long, value_name = "FILE", requires = "key_id", requires = "team_id")]
    key: Option<PathBuf>,
    /// The id of the key
    #[arg(long, value_name = "ID")]
    key_id: Option<String>,
    /// The id of the team
    #[arg(long, value_name = "ID")]
    team_id: Option<String>,
    /// Certificate for TLS, PEM
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    certificate: Option<PathBuf>,
    /// Its key, PEM
    #[arg(long, value_name = "FILE", requires = "certificate")]
    tls_key: Option<PathBuf>,
    /// How long it takes to answer
    #[arg(long, value_name = "MS", default_value_t = 0)]
    latency_ms: u64,
    /// Streams that a connection may have
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    streams: u32,
}

impl Apns {
    pub(super) fn run(self) -> Result<(), Failure> {
        let (team, tls) = (self.team()?, self.tls()?);
        runtime()?.block_on(async {
            let signals = Signals::listen().map_err(|error| Failure::of("cannot listen for signals", &error))?;
            let cannot = |error: std::io::Error| Failure::of(format_args!("cannot listen on {}", self.listen), &error);
            let listener = TcpListener::bind(self.listen).await.map_err(cannot)?;
            let address = listener.local_addr().map_err(cannot)?;
            let sim = Sim::new(team);
            {
                let mut habits = sim.habits();
                habits.latency = Duration::from_millis(self.latency_ms);
                habits.streams = self.streams;
                // It may stand for long.
                habits.keeps = false;
            }
            say(format_args!("the sim of APNs is at {}", url(address, tls.is_some())))?;
            tokio::select! {
                served = sim.clone().serve(listener, tls) => served.map_err(cannot)?,
                () = signals.asked_to_stop() => {}
            }
            let [requests, accepted, connections] = sim.counts();
            say(format_args!("{requests} requests over {connections} connections, {accepted} taken"))
        })
    }

    fn team(&self) -> Result<Option<Team>, Failure> {
        let (Some(key), Some(key_id), Some(team_id)) = (&self.key, &self.key_id, &self.team_id) else {
            return Ok(None);
        };
        let text = std::fs::read_to_string(key)
            .map_err(|error| Failure::of(format_args!("cannot read {}", key.display()), &error))?;
        Team::new(&text, key_id, team_id).map(Some).map_err(|error| Failure::of("the key cannot be used", &error))
    }

    fn tls(&self) -> Result<Option<Arc<ServerConfig>>, Failure> {
        let (Some(certificate), Some(key)) = (&self.certificate, &self.tls_key) else { return Ok(None) };
        let unusable = |error: &dyn std::error::Error| Failure::of("the certificate cannot be used", error);
        let chain = CertificateDer::pem_file_iter(certificate).and_then(Iterator::collect).map_err(|e| unusable(&e))?;
        let key = PrivateKeyDer::from_pem_file(key).map_err(|e| unusable(&e))?;
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .and_then(|config| config.with_no_client_auth().with_single_cert(chain, key))
            .map_err(|e| unusable(&e))?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Some(Arc::new(config)))
    }
}
