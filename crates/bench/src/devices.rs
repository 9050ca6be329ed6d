//! Devices: thousands of MQTT connections in one process, which acknowledge whatever they are sent.
//!
//! Made to cost next to nothing beside the server it loads: connections are opened by a few blocking threads, then one
//! thread waits for all of them, reads into one buffer, and answers all messages of a read with one write. What it
//! costs is told with every answer, so that a bench can say whose limit it measured.

mod attend;
mod link;
pub(crate) mod packets;

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum};
use serde_json::json;

use crate::clock::{now, processor_time};
use crate::dialogue::{answer, say};
use attend::{Attendance, Tally};
use link::{Door, Link};

/// Connections that are opened at the same time.
const OPENING: usize = 16;

/// Connect devices that acknowledge every message, until standard input ends
///
/// Says {"online": N} once all are subscribed. Then for each line "expect M" on standard input waits until M more
/// messages are acknowledged, and says {"at": …, "bytes": …, "processor_s": …, "reads": …}: the moment of the last
/// acknowledgement (monotonic clock), and what was read and spent in all.
#[derive(Debug, Args)]
pub(crate) struct Devices {
    /// Where to
    #[arg(long)]
    address: SocketAddr,
    /// CSV with the columns token and password, as `pigeonloft device import --out` writes it
    #[arg(long, value_name = "FILE")]
    devices: PathBuf,
    /// The user name, for all: the AccessId of their app
    #[arg(long)]
    user: String,
    /// The topic all subscribe to [default: each the one of its own token, as a broker needs it]
    #[arg(long)]
    topic: Option<String>,
    /// How MQTT travels
    #[arg(long, default_value = "tcp")]
    over: Over,
    /// The server's certificate, PEM, for `--over tls`
    #[arg(long, value_name = "FILE")]
    certificate: Option<PathBuf>,
    /// Threads that attend to the connections
    #[arg(long, default_value_t = 1)]
    threads: usize,
}

/// How MQTT travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Over {
    Tcp,
    Websocket,
    Tls,
}

/// One device's name and password.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    pub(crate) token: String,
    password: String,
}

/// Reads the columns token and password of a CSV file.
///
/// # Errors
/// The file cannot be read, or lacks a column.
pub(crate) fn identities(path: &Path) -> Result<Vec<Identity>> {
    let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut reader = csv::Reader::from_reader(file);
    let header = reader.headers()?.clone();
    let column = |name| header.iter().position(|column| column == name).with_context(|| format!("no column {name}"));
    let (token, password) = (column("token")?, column("password")?);
    let row = |row: csv::StringRecord| Identity { token: row[token].into(), password: row[password].into() };
    reader.records().map(|record| Ok(row(record?))).collect()
}

impl Devices {
    pub(crate) fn run(self) -> Result<()> {
        let identities = identities(&self.devices)?;
        ensure!(self.threads > 0 && !identities.is_empty(), "no threads, or no devices");
        let links = self.open(&identities)?;
        let online = links.len();
        let tally = Arc::new(Tally::default());
        let mut shares: Vec<Vec<Link>> = (0..self.threads).map(|_| Vec::new()).collect();
        links.into_iter().enumerate().for_each(|(place, link)| shares[place % self.threads].push(link));
        for share in shares {
            let (attendance, tally) = (Attendance::new(share)?, Arc::clone(&tally));
            std::thread::spawn(move || {
                let Err(error) = attendance.run(&tally);
                // A device less makes every figure wrong: nothing is measured any more.
                eprintln!("pigeonloft-bench devices: {error:#}");
                std::process::exit(1);
            });
        }
        say(&json!({ "online": online }))?;
        let mut expected = 0;
        answer("expect", |more| {
            expected += more;
            let at = tally.wait_for(expected);
            Ok(json!({
                "at": at,
                "answered": now(),
                "bytes": tally.bytes.load(Ordering::Relaxed),
                "reads": tally.reads.load(Ordering::Relaxed),
                "processor_s": processor_time(),
            }))
        })
    }

    /// Opens all connections, a few at the same time; each is subscribed.
    fn open(&self, identities: &[Identity]) -> Result<Vec<Link>> {
        let door = match self.over {
            Over::Tcp => Door::Tcp,
            Over::Websocket => Door::Websocket,
            Over::Tls => {
                Door::Tls(link::trusting(self.certificate.as_deref().context("--over tls needs --certificate")?)?)
            }
        };
        let open = |identity: &Identity| {
            let topic = self.topic.as_deref().unwrap_or(&identity.token);
            Link::open(&door, self.address, &self.user, identity, topic)
                .with_context(|| format!("device {} cannot connect", identity.token))
        };
        std::thread::scope(|scope| {
            let share = identities.len().div_ceil(OPENING);
            let threads: Vec<_> = identities
                .chunks(share)
                .map(|share| scope.spawn(move || share.iter().map(open).collect::<Result<Vec<Link>>>()))
                .collect();
            let mut links = Vec::with_capacity(identities.len());
            for thread in threads {
                links.extend(thread.join().map_err(|_| anyhow::anyhow!("a thread panicked"))??);
            }
            Ok(links)
        })
    }
}

impl Identity {
    /// CONNECT (3.1.1, clean, keep-alive 1200 s) and SUBSCRIBE to `topic`, QoS 1.
    fn greeting(&self, user: &str, topic: &str) -> (Vec<u8>, Vec<u8>) {
        (packets::connect(&self.token, Some((user, &self.password))), packets::subscribe(topic))
    }
}
