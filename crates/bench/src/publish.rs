//! Publish: one publisher with a message for each device's own topic, as a broker's user would push.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::mpsc;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use serde_json::json;

use crate::clock::{now, processor_time};
use crate::devices::packets::{self, Packet};
use crate::devices::{Identity, identities};
use crate::dialogue::{answer, say};

/// Messages written at once.
const RUN: usize = 64;

/// Publish messages of QoS 1 to the topic of each device, until standard input ends
///
/// Says {"ready": N}. Then for each line "round M" on standard input publishes M messages to each topic, one topic
/// after another as often as that, and says {"begun": …, "done": …, "processor_s": …}: the moments (monotonic clock)
/// before the first was written and after the server acknowledged the last.
#[derive(Debug, Args)]
pub(crate) struct Publish {
    /// Where to
    #[arg(long)]
    address: SocketAddr,
    /// CSV with the columns token and password; the tokens are the topics
    #[arg(long, value_name = "FILE")]
    devices: PathBuf,
    /// Bytes of each payload
    #[arg(long)]
    payload_bytes: usize,
    /// Messages on their way that the server has not acknowledged, at most
    #[arg(long, default_value_t = 20_000)]
    window: u16,
}

impl Publish {
    pub(crate) fn run(self) -> Result<()> {
        let topics: Vec<String> = identities(&self.devices)?.into_iter().map(|Identity { token, .. }| token).collect();
        let mut socket = TcpStream::connect(self.address)?;
        socket.set_nodelay(true)?;
        socket.write_all(&packets::connect("publisher", None))?;
        let mut answers = Answers { socket: socket.try_clone()?, rest: Vec::new() };
        answers.next_run(|packet| ensure_is(packet, Packet::Connack))?;
        let (acknowledge, acknowledged) = mpsc::channel();
        std::thread::spawn(move || {
            loop {
                let run = answers.next_run(|packet| ensure_is(packet, Packet::Puback));
                let failed = run.is_err();
                if acknowledge.send(run).is_err() || failed {
                    return;
                }
            }
        });
        say(&json!({ "ready": topics.len() }))?;
        let payload = vec![b'x'; self.payload_bytes];
        let mut publisher = Publisher { socket, acknowledged, in_flight: 0, window: usize::from(self.window), next: 0 };
        answer("round", |times| {
            let begun = now();
            for _ in 0..times {
                publisher.round(&topics, &payload)?;
            }
            publisher.wait_until(0)?;
            Ok(json!({ "begun": begun, "done": now(), "processor_s": processor_time() }))
        })
    }
}

fn ensure_is(packet: Packet, expected: Packet) -> Result<()> {
    ensure!(packet == expected, "the server says {packet:?}");
    Ok(())
}

struct Publisher {
    socket: TcpStream,
    /// How many messages the server acknowledged, a run of them at a time.
    acknowledged: mpsc::Receiver<Result<usize>>,
    in_flight: usize,
    window: usize,
    next: u16,
}

impl Publisher {
    fn round(&mut self, topics: &[String], payload: &[u8]) -> Result<()> {
        let mut bytes = Vec::new();
        for run in topics.chunks(RUN.min(self.window)) {
            self.wait_until(self.window - run.len().min(self.window))?;
            bytes.clear();
            for topic in run {
                // Fewer are in flight than there are identifiers, and they are acknowledged in order.
                self.next = self.next.checked_add(1).unwrap_or(1);
                bytes.extend(packets::publish(topic, self.next, payload));
            }
            self.socket.write_all(&bytes)?;
            self.in_flight += run.len();
        }
        Ok(())
    }

    /// Waits until no more than `most` are in flight.
    fn wait_until(&mut self, most: usize) -> Result<()> {
        while self.in_flight > most {
            self.in_flight -= self.acknowledged.recv().context("the reader is gone")??;
        }
        Ok(())
    }
}

struct Answers {
    socket: TcpStream,
    rest: Vec<u8>,
}

impl Answers {
    /// Reads once or more, until there is at least a packet. Answers how many.
    fn next_run(&mut self, mut check: impl FnMut(Packet) -> Result<()>) -> Result<usize> {
        let mut buffer = [0; 1 << 14];
        loop {
            let length = self.socket.read(&mut buffer)?;
            if length == 0 {
                bail!("closed by the server");
            }
            self.rest.extend_from_slice(&buffer[..length]);
            let (mut taken, mut count) = (0, 0);
            while let Some((packet, length)) = packets::read(&self.rest[taken..])? {
                check(packet)?;
                taken += length;
                count += 1;
            }
            self.rest.drain(..taken);
            if count > 0 {
                return Ok(count);
            }
        }
    }
}
