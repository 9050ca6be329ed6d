//! Openings: when a part of the day begins in which messages may go out (`accept_time`), the connected devices that have
//! some waiting are told to look into their inbox. Devices that connect look by themselves, and the inbox shows nothing
//! outside of these parts: being late here makes messages late, never early.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use pigeonloft_model::PushId;
use tokio_util::sync::CancellationToken;

use crate::chain::chain;
use crate::clock::unix_seconds;
use crate::loft::Loft;

/// How often the clock is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Pushes, and devices of one, that are read at once.
const BITE: u32 = 2000;

const LAST_MINUTE: u16 = 24 * 60 - 1;

/// Tells devices until `stop`. `since`: the minute of the day before which no session can have looked.
pub async fn run(loft: Arc<Loft>, since: u16, stop: CancellationToken) {
    let mut told = since;
    loop {
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            () = stop.cancelled() => return,
        }
        let minute = loft.minute_of_day();
        match tell(&loft, told, minute, &stop).await {
            Ok(()) => told = minute,
            Err(error) => {
                tracing::error!(error = chain(&error), "devices could not be told of what may go out now: again soon");
            }
        }
    }
}

/// Tells the devices of pushes that may go out now, and could not in the minute `told`: they have a part that began since.
/// That holds for a clock that jumped, too, forward or back: what a day has between the two is gone through.
async fn tell(loft: &Loft, told: u16, minute: u16, stop: &CancellationToken) -> Result<(), pigeonloft_store::Error> {
    let ranges: &[RangeInclusive<u16>] = match told.cmp(&minute) {
        std::cmp::Ordering::Equal => &[],
        std::cmp::Ordering::Less => &[told + 1..=minute],
        std::cmp::Ordering::Greater => &[told + 1..=LAST_MINUTE, 0..=minute],
    };
    for minutes in ranges.iter().filter(|minutes| !minutes.is_empty()) {
        let mut after = PushId(0);
        loop {
            let pushes = loft.store.opening_pushes(minutes.clone(), unix_seconds(), after, BITE).await?;
            for &push in &pushes {
                wake(loft, push, stop).await?;
            }
            match pushes.last() {
                Some(&last) if pushes.len() == BITE as usize && !stop.is_cancelled() => after = last,
                _ => break,
            }
        }
    }
    Ok(())
}

async fn wake(loft: &Loft, push: PushId, stop: &CancellationToken) -> Result<(), pigeonloft_store::Error> {
    let mut after = None;
    while !stop.is_cancelled() {
        let devices = loft.store.waiting_devices(push, after, BITE).await?;
        loft.hub.wake(push, &devices);
        if devices.len() < BITE as usize {
            break;
        }
        after = devices.last().copied();
    }
    Ok(())
}
