//! Give: sends a page of parked messages to their channel, each push's together, and records what became of them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use pigeonloft_channels::vendor::{Outgoing, Target, Vendor};
use pigeonloft_model::attribute::Values;
use pigeonloft_model::payload::Payload;
use pigeonloft_model::{Channel, DeviceId, Outcome, Push, PushId};
use pigeonloft_store::{DeadToken, Error, Given, ParkedAt, Then, ToGive, Unparked};

use super::Key;
use crate::backoff::Backoff;
use crate::chain::chain;
use crate::clock::{unix_millis, unix_seconds};
use crate::dispatch::vendors::{ByVendor, OpenedVendors, Otherwise, Targets};
use crate::loft::Loft;

/// Pushes of a page at most: each is read whole and opened, and they may be for one device each.
const PUSHES: usize = 64;

/// Of a push with a speed so much of a second goes at once.
const SLICE: Duration = Duration::from_millis(100);

/// A page of parked messages that may be given now.
pub(super) struct Page<'a> {
    pub(super) key: Key,
    pub(super) vendor: &'a Arc<dyn Vendor>,
    /// In their order.
    pub(super) rows: Vec<ToGive>,
    /// The last that was looked at.
    pub(super) last: ParkedAt,
}

/// What was done with a page.
pub(super) struct Done {
    /// How many recipients ended.
    pub(super) ended: u64,
    /// The last that was dealt with.
    pub(super) last: ParkedAt,
}

/// Messages of one push, ready to be sent.
struct Ready {
    push_id: PushId,
    devices: Vec<DeviceId>,
    targets: Vec<Target>,
    vendors: OpenedVendors,
    values: Values,
}

/// A page that is divided.
#[derive(Default)]
struct Divided {
    ready: Vec<Ready>,
    /// Of pushes that have ended meanwhile.
    over: Vec<ParkedAt>,
    /// The last that was dealt with, if not all were.
    last: Option<ParkedAt>,
}

/// Gives a page to its channel. `paced`: when pushes with a speed have their next turn.
///
/// # Errors
/// The database's. What was given by then is given again, under the same ids.
pub(super) async fn give(loft: &Loft, page: Page<'_>, paced: &mut BTreeMap<PushId, Instant>) -> Result<Done, Error> {
    let Page { key, vendor, mut rows, last } = page;
    let held: Vec<ParkedAt> = rows.iter().map(|row| (row.push_id, row.device)).collect();
    let hold = loft.hub.desk().held().hold(key.0, held.clone());
    // Who is online has it from the inbox, if a session may have it.
    rows.retain(|row| row.vendors_only || !loft.hub.is_online(row.device));
    let divided = divide(loft, key, vendor, rows, paced).await;
    let done = match divided {
        Ok(divided) => send(loft, key, divided, last).await,
        Err(error) => Err(error),
    };
    drop(hold);
    for of_push in held.chunk_by(|(a, _), (b, _)| a == b) {
        let devices: Vec<DeviceId> = of_push.iter().map(|(_, device)| *device).collect();
        loft.hub.wake(of_push[0].0, &devices);
    }
    done
}

/// Divides a page by pushes, as far as these may go now.
async fn divide(
    loft: &Loft,
    key: Key,
    vendor: &Arc<dyn Vendor>,
    rows: Vec<ToGive>,
    paced: &mut BTreeMap<PushId, Instant>,
) -> Result<Divided, Error> {
    let mut divided = Divided::default();
    let last_push = rows.last().map(|row| row.push_id);
    let mut rows = rows.into_iter().peekable();
    while let Some(push_id) = rows.peek().map(|row| row.push_id) {
        if divided.ready.len() == PUSHES {
            divided.last = Some((push_id, DeviceId(i64::MIN)));
            break;
        }
        let mut of_push: Vec<ToGive> = Vec::new();
        while let Some(row) = rows.next_if(|row| row.push_id == push_id) {
            of_push.push(row);
        }
        let Some((push, payload, expire_at)) = read(loft, key, push_id).await? else {
            divided.over.extend(of_push.into_iter().map(|row| (push_id, row.device)));
            continue;
        };
        let turn = push.push_speed.map_or(of_push.len(), |speed| take_turn(speed, push_id, paced));
        if turn < of_push.len() {
            of_push.truncate(turn);
            if last_push == Some(push_id) {
                // The rest has its turn in a later walk.
                divided.last = Some((push_id, DeviceId(i64::MAX)));
            }
        }
        if of_push.is_empty() {
            continue;
        }
        let devices: Vec<DeviceId> = of_push.iter().map(|row| row.device).collect();
        let names = payload.attributes();
        let values = match names.is_empty() {
            true => Values::default(),
            false => loft.store.attribute_values(devices.clone(), names).await?,
        };
        let targets = of_push.into_iter().map(|ToGive { device, token, detail, .. }| Target { device, token, detail });
        let vendors = OpenedVendors::one(key.0, key.1, vendor, &Outgoing { push_id, push: &push, expire_at });
        divided.ready.push(Ready { push_id, devices, targets: targets.collect(), vendors, values });
    }
    Ok(divided)
}

/// A push, its payload and when it expires; `None`: it has ended.
async fn read(loft: &Loft, (access_id, _): Key, push_id: PushId) -> Result<Option<(Push, Payload, i64)>, Error> {
    // Read while its messages are held: one that is not stopped now waits for them before its place is taken.
    let Some(stored) = loft.store.push(access_id, push_id).await? else { return Ok(None) };
    if stored.stopped_at.is_some() || stored.expire_at <= unix_seconds() {
        return Ok(None);
    }
    let payload = Payload::from_stored(stored.template).map_err(|error| chain(&error));
    match (Push::from_stored(&stored.request).map_err(|error| error.to_string()), payload) {
        (Ok(push), Ok(payload)) => Ok(Some((push, payload, stored.expire_at))),
        (Err(error), _) | (_, Err(error)) => {
            tracing::error!(%push_id, error, "a stored push is damaged: what is parked of it is not given to its vendor again");
            Ok(None)
        }
    }
}

/// How many messages of a push with this speed may go now.
fn take_turn(speed: u32, push_id: PushId, paced: &mut BTreeMap<PushId, Instant>) -> usize {
    let now = Instant::now();
    if paced.get(&push_id).is_some_and(|due| now < *due) {
        return 0;
    }
    let messages = (f64::from(speed) * SLICE.as_secs_f64()).max(1.0).floor();
    paced.insert(push_id, now + Duration::from_secs_f64(messages / f64::from(speed)));
    messages as usize
}

async fn send(loft: &Loft, key: Key, divided: Divided, last: ParkedAt) -> Result<Done, Error> {
    let Divided { ready, over, last: cut } = divided;
    let sends = ready.into_iter().map(async |Ready { push_id, devices, targets, vendors, values }| {
        let targets = Targets::of_one_channel(targets);
        let by_vendor = vendors.send(loft, targets, &values, Otherwise::both(Outcome::Waiting)).await;
        (push_id, devices, by_vendor)
    });
    let now_ms = unix_millis();
    let mut given: Vec<Given> = over.into_iter().map(|at| Given { at, then: Then::Leave, code: None }).collect();
    let mut dead = Vec::new();
    for (push_id, devices, by_vendor) in join_all(sends).await {
        for ByVendor { place, outcome, code, dead: token, again, .. } in by_vendor {
            dead.extend(token);
            let then = match again {
                _ if outcome.is_final() => Then::End(outcome),
                None => Then::Wait,
                Some(not_before) if not_before > now_ms => Then::Park(not_before),
                // The channel was not asked.
                Some(_) => continue,
            };
            given.push(Given { at: (push_id, devices[place]), then, code });
        }
    }
    let ended = match given.is_empty() {
        true => 0,
        false => record(loft, key, given, dead).await?,
    };
    Ok(Done { ended, last: cut.unwrap_or(last) })
}

/// Records what became of a page, however long the disk is full. Answers how many recipients ended.
async fn record(loft: &Loft, key: Key, given: Vec<Given>, dead: Vec<DeadToken>) -> Result<u64, Error> {
    let (access_id, channel) = key;
    let (given, dead): (Arc<[Given]>, Arc<[DeadToken]>) = (given.into(), dead.into());
    let mut backoff = Backoff::DATABASE;
    let done = loop {
        match loft.store.record_given(access_id, channel, given.clone(), dead.clone(), unix_seconds()).await {
            Ok(done) => break done,
            Err(error) if !error.may_pass() => return Err(error),
            Err(error) => {
                tracing::error!(%access_id, %channel, error = chain(&error), "parked messages that were given could not be recorded");
                tokio::time::sleep(backoff.wait()).await;
            }
        }
    };
    Ok(settle(loft, key, done))
}

/// Counts what was recorded, and tells who is to know. Answers how many recipients ended.
pub(super) fn settle(loft: &Loft, key: Key, done: Unparked) -> u64 {
    let Unparked { removed, ended, to_wake } = done;
    loft.parked.remove(key, removed);
    for (revocation, devices) in to_wake {
        loft.hub.wake(revocation, &devices);
    }
    for (outcome, count) in &ended {
        // Those that no channel is left for are counted where our own stands for none.
        let channel = if *outcome == Outcome::NoChannel { Channel::Xg } else { key.1 };
        loft.metrics.outcomes(channel.as_str(), outcome.as_str(), *count);
    }
    ended.values().sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_push_with_a_speed_has_its_next_turn_when_it_may_send_again() {
        let (push_id, mut paced) = (PushId(1), BTreeMap::new());
        assert_eq!(take_turn(5_000, push_id, &mut paced), 500);
        assert_eq!(take_turn(5_000, push_id, &mut paced), 0, "that was a tenth of a second's");
        assert_eq!(take_turn(5_000, PushId(2), &mut paced), 500, "each has its own");
        paced.insert(push_id, Instant::now());
        assert_eq!(take_turn(5_000, push_id, &mut paced), 500);
        // Fewer than one has its turn as much later.
        assert_eq!(take_turn(4, PushId(3), &mut paced), 1);
        assert!(paced[&PushId(3)] > Instant::now() + SLICE);
    }
}
