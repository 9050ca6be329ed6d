//! `pigeonloft sim webpush`: the push service of browsers.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use pigeonloft_channels::webpush::sim::Sim;
use rustls::ServerConfig;
use tokio::net::TcpListener;

use super::tls;
use crate::cli::failure::{Failure, say};
use crate::cli::serve::runtime;

/// A push service of browsers: gives subscriptions, decrypts what is sent to them, and shows it
///
/// The server has to be allowed to reach it: webpush.allow_http, unless it has a certificate, and webpush.allow_private_addresses.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  \
        pigeonloft sim webpush &\n  \
        curl -X POST http://127.0.0.1:9093/subscriptions                        # a browser, for channels.webpush of a device\n  \
        curl http://127.0.0.1:9093/subscriptions/00000000                       # what it got\n  \
        curl -X PUT http://127.0.0.1:9093/behaviour -d '{\"status\": 503, \"times\": 3}'\n  \
        curl http://127.0.0.1:9093/log                                          # what was wrong with requests")]
pub(in crate::cli) struct Webpush {
    /// Where it listens
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9093")]
    listen: SocketAddr,
    /// Certificate of localhost, PEM: it is reached by https then, over HTTP/2 or 1.1 [default: by http, over 1.1]
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    certificate: Option<PathBuf>,
    /// Its key, PEM
    #[arg(long, value_name = "FILE", requires = "certificate")]
    tls_key: Option<PathBuf>,
}

impl Webpush {
    pub(super) fn run(self) -> Result<(), Failure> {
        let tls = self.tls()?;
        let ended = runtime()?.block_on(async {
            let listener = TcpListener::bind(self.listen).await?;
            let at = listener.local_addr()?;
            let origin = match tls {
                None => format!("http://{at}"),
                Some(_) => format!("https://localhost:{}", at.port()),
            };
            // It serves, whoever reads this.
            let _ = say(format_args!("a push service is at {origin}"));
            Sim::serve(listener, &origin, tls).await
        });
        let Err(error) = ended;
        Err(Failure::of(format_args!("cannot serve at {}", self.listen), &error))
    }

    fn tls(&self) -> Result<Option<Arc<ServerConfig>>, Failure> {
        let (Some(certificate), Some(key)) = (&self.certificate, &self.tls_key) else { return Ok(None) };
        tls(certificate, key, None, &["h2", "http/1.1"]).map(Some)
    }
}
