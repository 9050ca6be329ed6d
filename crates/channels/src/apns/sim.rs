//! Sim: the other side of APNs, for tests and for developers without an account.
//!
//! It checks what it gets as Apple does (path, headers, the token's signature and age, the length of the payload), keeps what
//! it took, and misbehaves on command.

mod check;
mod habits;
mod late;
mod limit;
mod serve;

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use http::HeaderValue;
use rustls::ServerConfig;
use serde_json::Value;
use tokio::net::TcpListener;

pub use check::Team;
pub use habits::{Habits, Reply};

/// A message that was taken.
#[derive(Debug, Clone, PartialEq)]
pub struct Taken {
    /// How often, by different requests.
    pub times: u64,
    /// How often of these under each `apns-collapse-id`.
    pub by_collapse_id: HashMap<String, u64>,
    /// The headers of the last of them.
    pub headers: HashMap<String, String>,
    /// Its payload.
    pub payload: Value,
}

/// What the sim is and knows.
#[derive(Debug)]
pub struct Sim {
    team: Option<Team>,
    habits: Mutex<Habits>,
    /// The team's tokens that were taken, and since when; the last is the newest.
    tokens: Mutex<Vec<(HeaderValue, Instant)>>,
    /// By the token of the device. Only kept where [`Habits::keeps`] says so.
    taken: Mutex<HashMap<String, Taken>>,
    requests: AtomicU64,
    accepted: AtomicU64,
    connections: AtomicU64,
    /// The most streams that a connection had at once.
    most_streams: AtomicU64,
}

impl Sim {
    /// One that takes the tokens of this team, or of any; over a connection that shows a certificate, messages without.
    #[must_use]
    pub fn new(team: Option<Team>) -> Arc<Self> {
        Arc::new(Self {
            team,
            habits: Mutex::default(),
            tokens: Mutex::default(),
            taken: Mutex::default(),
            requests: AtomicU64::new(0),
            accepted: AtomicU64::new(0),
            connections: AtomicU64::new(0),
            most_streams: AtomicU64::new(0),
        })
    }

    /// Serves whoever connects, over TLS where it is given a certificate, until it is dropped.
    ///
    /// # Errors
    /// The listener's.
    pub async fn serve(self: Arc<Self>, listener: TcpListener, tls: Option<Arc<ServerConfig>>) -> io::Result<()> {
        serve::serve(self, listener, tls).await
    }

    /// How it behaves, to be changed.
    pub fn habits(&self) -> MutexGuard<'_, Habits> {
        lock(&self.habits)
    }

    /// What it took for the device of this token.
    #[must_use]
    pub fn taken(&self, token: &str) -> Option<Taken> {
        lock(&self.taken).get(token).cloned()
    }

    /// The devices' tokens for which it took anything, and how often.
    #[must_use]
    pub fn all_taken(&self) -> HashMap<String, u64> {
        lock(&self.taken).iter().map(|(token, taken)| (token.clone(), taken.times)).collect()
    }

    /// The same of what came under one `apns-collapse-id`.
    #[must_use]
    pub fn taken_under(&self, collapse_id: &str) -> HashMap<String, u64> {
        let taken = lock(&self.taken);
        taken.iter().filter_map(|(token, of)| Some((token.clone(), *of.by_collapse_id.get(collapse_id)?))).collect()
    }

    /// How many requests came, how many of them were answered 200, and how many connections were opened.
    #[must_use]
    pub fn counts(&self) -> [u64; 3] {
        [&self.requests, &self.accepted, &self.connections].map(|count| count.load(Ordering::Relaxed))
    }

    /// Takes a token of the team, unless it is a new one too soon after another.
    fn knows(&self, token: &HeaderValue) -> Result<(), Reply> {
        let apart = self.habits().tokens_apart;
        let mut tokens = lock(&self.tokens);
        if tokens.iter().any(|(known, _)| known == token) {
            return Ok(());
        }
        if tokens.last().is_some_and(|(_, since)| since.elapsed() < apart) {
            return Err(Reply::new(429, "TooManyProviderTokenUpdates"));
        }
        tokens.retain(|(_, since)| since.elapsed() < check::OLDEST);
        tokens.push((token.clone(), Instant::now()));
        Ok(())
    }

    /// The most messages that were under way at once on one connection.
    #[must_use]
    pub fn most_at_once(&self) -> u64 {
        self.most_streams.load(Ordering::Relaxed)
    }
}

/// The address of a listener as a URL, for the settings of an app.
#[must_use]
pub fn url(address: SocketAddr, tls: bool) -> String {
    if tls { format!("https://localhost:{}", address.port()) } else { format!("http://{address}") }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
