//! `pigeonloft sim apns`: Apple's side, for developers without an account there.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use pigeonloft_channels::apns::TeamKey;
use pigeonloft_channels::apns::sim::{Habits, Sim, Team, url};
use rustls::ServerConfig;
use tokio::net::TcpListener;

use super::script::{LOOKS_EVERY, Script};
use super::tls;
use crate::cli::failure::{Failure, say};
use crate::cli::files::text_of;
use crate::cli::serve::runtime;
use crate::cli::signals::Signals;

/// Apple's: HTTP/2, over TLS where a certificate is given; prints how much it took when it is stopped
///
/// The file given as --behaviour is a JSON object of any of: latency_ms; streams, at once on a connection; first_streams,
/// until its first message is answered (Apple: 1); really, streams that are not refused; by_token, answers for devices'
/// tokens, {"0a…": {"status": 410, "reason": "Unregistered", "timestamp": milliseconds}}; next, how many of the next messages
/// get which answer, [30, {"status": 503, "reason": "ServiceUnavailable", "retry_after": seconds}]; resets, how many of them
/// are reset unanswered; goes_away_after, messages of a connection; cut_after, the same; is_silent; tokens_apart_ms,
/// how long a second token of a team comes too soon (Apple: 1200000). It is read again whenever it changes.
#[derive(Debug, Args)]
#[command(after_help = "Example, in two terminals:\n  \
        pigeonloft sim apns --listen 127.0.0.1:2197\n  \
        pigeonloft app channel set --app 1600007893 apns … --url http://127.0.0.1:2197\n\
        And with a certificate in place of a key:\n  \
        pigeonloft sim apns --certificate tls.pem --tls-key tls.key --client-certificate shop.pem\n  \
        pigeonloft app channel set --app 1600007893 apns --certificate shop.p12 --url https://localhost:2197 --trust tls.pem")]
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
    /// Take messages over connections alone that show this certificate, or one that it signed, PEM
    #[arg(long, value_name = "FILE", requires = "certificate", conflicts_with = "key")]
    client_certificate: Option<PathBuf>,
    /// How long it takes to answer
    #[arg(long, value_name = "MS", default_value_t = 0)]
    latency_ms: u64,
    /// Streams that a connection may have
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    streams: u32,
    /// How it behaves, JSON
    #[arg(long, value_name = "FILE", conflicts_with_all = ["latency_ms", "streams"])]
    behaviour: Option<PathBuf>,
}

impl Apns {
    pub(super) fn run(self) -> Result<(), Failure> {
        runtime()?.block_on(self.play())
    }

    async fn play(self) -> Result<(), Failure> {
        let (team, tls) = (self.team()?, self.tls()?);
        let signals = Signals::listen().map_err(|error| Failure::of("cannot listen for signals", &error))?;
        let cannot = |error: std::io::Error| Failure::of(format_args!("cannot listen on {}", self.listen), &error);
        let sim = Sim::new(team);
        let mut script = Script::new(self.behaviour);
        let begins = script.changed()?.unwrap_or_else(|| Habits {
            latency: Duration::from_millis(self.latency_ms),
            streams: self.streams,
            ..Habits::default()
        });
        // It may stand for long: what it took is counted, and not kept.
        let behave = |habits: Habits| *sim.habits() = Habits { keeps: false, ..habits };
        behave(begins);
        let listener = TcpListener::bind(self.listen).await.map_err(cannot)?;
        let address = listener.local_addr().map_err(cannot)?;
        say(format_args!("the sim of APNs is at {}", url(address, tls.is_some())))?;
        let mut served = pin!(sim.clone().serve(listener, tls));
        let mut asked_to_stop = pin!(signals.asked_to_stop());
        let mut looks = tokio::time::interval(LOOKS_EVERY);
        loop {
            tokio::select! {
                served = &mut served => return served.map_err(cannot),
                () = &mut asked_to_stop => break,
                _ = looks.tick() => {
                    if let Some(habits) = script.looked_at() {
                        behave(habits);
                    }
                }
            }
        }
        let [requests, accepted, connections] = sim.counts();
        say(format_args!("{requests} requests over {connections} connections, {accepted} taken"))
    }

    fn team(&self) -> Result<Option<Team>, Failure> {
        let (Some(key), Some(key_id), Some(team_id)) = (&self.key, &self.key_id, &self.team_id) else {
            return Ok(None);
        };
        let key = TeamKey { key: text_of(key)?, key_id: key_id.clone(), team_id: team_id.clone() };
        Team::new(&key).map(Some).map_err(|error| Failure::of("the key cannot be used", &error))
    }

    fn tls(&self) -> Result<Option<Arc<ServerConfig>>, Failure> {
        let (Some(certificate), Some(key)) = (&self.certificate, &self.tls_key) else { return Ok(None) };
        tls(certificate, key, self.client_certificate.as_deref(), &["h2"]).map(Some)
    }
}
