//! Attend: one thread for many connections: waits, reads, acknowledges, counts.

use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};

use anyhow::{Result, bail};
use mio::{Events, Interest, Poll, Token};

use super::link::{Link, nothing_now};
use super::packets::{Packet, acknowledge};
use crate::clock::now;

/// What all devices together got.
#[derive(Debug, Default)]
pub(super) struct Tally {
    acknowledged: AtomicU64,
    /// How many are waited for.
    target: AtomicU64,
    /// The last target that was reached, and when.
    reached: Mutex<(u64, f64)>,
    is_reached: Condvar,
    pub(super) bytes: AtomicU64,
    pub(super) reads: AtomicU64,
}

impl Tally {
    /// Counts, and calls who waits.
    fn add(&self, acknowledged: u64) {
        if acknowledged == 0 {
            return;
        }
        let before = self.acknowledged.fetch_add(acknowledged, Ordering::SeqCst);
        let target = self.target.load(Ordering::SeqCst);
        if before < target && before + acknowledged >= target {
            *self.reached.lock().unwrap_or_else(PoisonError::into_inner) = (target, now());
            self.is_reached.notify_one();
        }
    }

    /// Waits until so many are acknowledged since the beginning. Answers when they were.
    pub(super) fn wait_for(&self, target: u64) -> f64 {
        let mut reached = self.reached.lock().unwrap_or_else(PoisonError::into_inner);
        self.target.store(target, Ordering::SeqCst);
        if self.acknowledged.load(Ordering::SeqCst) >= target {
            // It was there before it was asked for.
            return now();
        }
        while reached.0 != target {
            reached = self.is_reached.wait(reached).unwrap_or_else(PoisonError::into_inner);
        }
        reached.1
    }
}

/// The connections of one thread.
pub(super) struct Attendance {
    poll: Poll,
    links: Vec<Link>,
}

impl Attendance {
    pub(super) fn new(mut links: Vec<Link>) -> Result<Self> {
        let poll = Poll::new()?;
        for (place, link) in links.iter_mut().enumerate() {
            poll.registry().register(&mut link.socket, Token(place), Interest::READABLE)?;
        }
        Ok(Self { poll, links })
    }

    /// Attends to them for ever.
    ///
    /// # Errors
    /// A connection ended: none may.
    pub(super) fn run(mut self, tally: &Tally) -> Result<Infallible> {
        let mut events = Events::with_capacity(1024);
        let mut buffer = vec![0; 1 << 16];
        let mut answer = Vec::new();
        loop {
            self.poll.poll(&mut events, None)?;
            for event in &events {
                let acknowledged = serve(&mut self.links[event.token().0], &mut buffer, &mut answer, tally)?;
                tally.add(acknowledged);
            }
        }
    }
}

/// Reads what is there and acknowledges it; answers how many messages it was.
fn serve(link: &mut Link, buffer: &mut [u8], answer: &mut Vec<u8>, tally: &Tally) -> Result<u64> {
    let mut acknowledged = 0;
    loop {
        answer.clear();
        let mut messages = 0;
        let read = link.read(buffer, |packet| {
            if let Packet::Publish(id) = packet {
                acknowledge(answer, id);
                messages += 1;
            }
        });
        let length = match read {
            Ok(0) => bail!("a connection was closed by the server"),
            Ok(length) => length,
            Err(error) if nothing_now(&error) => return Ok(acknowledged),
            Err(error) => return Err(error),
        };
        if messages > 0 {
            link.write(answer)?;
        }
        acknowledged += messages;
        tally.bytes.fetch_add(length as u64, Ordering::Relaxed);
        tally.reads.fetch_add(1, Ordering::Relaxed);
        if length < buffer.len() {
            // Nothing was left; what comes now is an event of its own.
            return Ok(acknowledged);
        }
    }
}
