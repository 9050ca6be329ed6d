//! Lane: the parked messages of one app and channel, walked from the first to the last, and again after a wait as long as some
//! are left.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pigeonloft_channels::vendor::Vendor;
use pigeonloft_model::{DeviceId, PushId};
use pigeonloft_store::{Error, ParkedAt, ParkedPage};

use super::Key;
use super::give::{Page, give, settle};
use crate::backoff::Backoff;
use crate::clock::{unix_millis, unix_seconds};
use crate::loft::Loft;
use crate::vendors::Paused;

/// How often a lane that waits looks whether the credentials are others now, or the channel is used again.
pub(super) const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Between two walks, as long as some are left: because of themselves, while the channel is in use.
const WAITS: Backoff = Backoff::new(Duration::from_secs(5), Duration::from_secs(300));

/// Messages of a page that tries a paused channel: as many as a try can take.
const TRIED: usize = 50;

/// Before the first.
const START: ParkedAt = (PushId(i64::MIN), DeviceId(i64::MIN));

/// A walk and its waits.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) key: Key,
    /// When it has its next turn.
    pub(super) due: Instant,
    /// The channel, as of its last turn: another one once the credentials are others.
    vendor: Option<Arc<dyn Vendor>>,
    /// Whether its credentials could be used at the last turn.
    was_usable: bool,
    /// The last message of the walk that was dealt with.
    at: ParkedAt,
    /// The last that was looked at for whether it is over, while none can be given.
    swept: ParkedAt,
    /// This walk heeds no wait of a message's own: they were asked for before credentials or vendor were well.
    anew: bool,
    /// What of the channel was paused at its last turn.
    paused: Vec<Paused>,
    /// How many recipients this walk has ended.
    took: u64,
    next_walk: Instant,
    waits: Backoff,
    /// Pushes with a speed: when their next messages have their turn.
    paced: BTreeMap<PushId, Instant>,
}

impl Lane {
    /// One that walks at once. After a restart every channel is tried.
    pub(super) fn new(key: Key) -> Self {
        let now = Instant::now();
        Self {
            key,
            due: now,
            vendor: None,
            was_usable: true,
            at: START,
            swept: START,
            anew: false,
            paused: Vec::new(),
            took: 0,
            next_walk: now,
            waits: WAITS,
            paced: BTreeMap::new(),
        }
    }

    /// Deals with the next page, if any message of it may be given now.
    ///
    /// # Errors
    /// The database's: nothing of the page was given.
    pub(super) async fn turn(&mut self, loft: &Loft) -> Result<(), Error> {
        let (access_id, channel) = self.key;
        let vendors = loft.vendors.of(&loft.store, access_id).await?;
        let now = Instant::now();
        self.due = now + LOOK_EVERY;
        let vendor = match vendors.iter().find(|(of, _)| *of == channel) {
            Some((_, Ok(vendor))) => vendor,
            // Credentials that cannot be used; or the app has given the channel up.
            unusable => {
                self.was_usable = false;
                return self.sweep(loft, unusable.is_none()).await;
            }
        };
        let before = self.vendor.replace(vendor.clone());
        let is_other = before.is_some_and(|before| !Arc::ptr_eq(&before, vendor));
        if is_other || !std::mem::replace(&mut self.was_usable, true) {
            self.walk_anew();
        }
        let paused: Vec<Paused> =
            loft.vendors.paused(access_id).into_iter().filter(|paused| paused.channel == channel).collect();
        let before = std::mem::replace(&mut self.paused, paused);
        if before.iter().any(|before| !self.paused.iter().any(|paused| paused.origin == before.origin)) {
            self.walk_anew();
        }
        let most = loft.config.push.batch_rows;
        match self.next_try() {
            Some(next_try) if now < next_try => self.sweep(loft, false).await,
            Some(_) => self.walk(loft, vendor, TRIED.min(most)).await,
            None if now < self.next_walk => {
                self.due = self.due.min(self.next_walk);
                Ok(())
            }
            None => self.walk(loft, vendor, most).await,
        }
    }

    /// When the channel is tried again, if all of it is paused.
    fn next_try(&self) -> Option<Instant> {
        self.paused.iter().find(|paused| paused.origin.is_empty()).map(|paused| paused.pause.next_try)
    }

    fn walk_anew(&mut self) {
        (self.at, self.anew, self.next_walk) = (START, true, Instant::now());
        self.waits.reset();
    }

    /// Gives a page, and goes on behind it.
    async fn walk(&mut self, loft: &Loft, vendor: &Arc<dyn Vendor>, most: usize) -> Result<(), Error> {
        let counted = loft.parked.of(self.key);
        let (access_id, channel) = self.key;
        let found = loft.store.parked(access_id, channel, self.at, unix_seconds(), most).await?;
        let ParkedPage { to_give, over, last } = found;
        self.take_away(loft, over).await?;
        let Some(last) = last else {
            if self.at == START {
                // Counted twice, or not at all: it is told from the table.
                loft.parked.remove(self.key, counted);
            }
            self.end_walk();
            return Ok(());
        };
        // Messages that try a paused channel do so whatever their waits: the pause has its own.
        let (anew, now_ms) = (self.anew || self.next_try().is_some(), unix_millis());
        let rows = to_give.into_iter().filter(|row| anew || row.not_before <= now_ms).collect();
        let done = give(loft, Page { key: self.key, vendor, rows, last }, &mut self.paced).await?;
        self.took += done.ended;
        self.at = done.last;
        // A try that changed nothing is not made again at once.
        let wait = if self.next_try().is_some() { LOOK_EVERY } else { Duration::ZERO };
        self.due = Instant::now() + wait;
        Ok(())
    }

    fn end_walk(&mut self) {
        if self.took > 0 {
            let (access_id, channel) = self.key;
            tracing::info!(%access_id, %channel, messages = self.took, "parked messages were given to their channel");
            self.waits.reset();
        }
        let now = Instant::now();
        self.next_walk = now + self.waits.jittered(fastrand::f64());
        self.paced.retain(|_, due| now < *due);
        // Of a channel of many services, each is tried when its pause says so.
        let tries = self.paused.iter().map(|paused| paused.pause.next_try).filter(|next_try| now < *next_try);
        if let Some(soonest) = self.paced.values().copied().chain(tries).min() {
            self.next_walk = self.next_walk.min(soonest);
        }
        (self.at, self.anew, self.took) = (START, false, 0);
        self.due = self.next_walk.min(now + LOOK_EVERY);
    }

    /// While none can be given: takes away those of a page that are over, or all of them.
    async fn sweep(&mut self, loft: &Loft, all: bool) -> Result<(), Error> {
        let (access_id, channel) = self.key;
        let most = loft.config.push.batch_rows;
        let ParkedPage { to_give, mut over, last } =
            loft.store.parked(access_id, channel, self.swept, unix_seconds(), most).await?;
        if all {
            over.extend(to_give.into_iter().map(|message| (message.push_id, message.device)));
        }
        self.swept = last.unwrap_or(START);
        self.take_away(loft, over).await
    }

    async fn take_away(&self, loft: &Loft, over: Vec<ParkedAt>) -> Result<(), Error> {
        if over.is_empty() {
            return Ok(());
        }
        let (access_id, channel) = self.key;
        let done = loft.store.unpark(access_id, channel, over, unix_seconds()).await?;
        settle(loft, self.key, done);
        Ok(())
    }
}
