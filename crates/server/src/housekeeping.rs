//! Housekeeping: what must end by itself. Messages expire, packages nobody uses go, and what became of single devices
//! is forgotten after a while. Each round takes small bites, so that it never holds the writer up.

use std::sync::Arc;
use std::time::Duration;

use pigeonloft_model::PushId;
use tokio_util::sync::CancellationToken;

use crate::chain::chain;
use crate::clock::{unix_millis, unix_seconds};
use crate::loft::Loft;
use crate::packages::PackageFolder;

/// How often messages are looked at for their expiry.
const EXPIRE_EVERY: Duration = Duration::from_secs(1);

/// How many rounds of expiry there are to one of everything else.
const ROUNDS: u32 = 600;

/// Pushes whose messages expire in one round; the next round goes on.
const PUSHES: u32 = 1000;

/// Rows changed in one transaction.
const BITE: u32 = 2000;

const DAY_MS: i64 = 86_400_000;

/// Keeps house until `stop`.
pub async fn run(loft: Arc<Loft>, stop: CancellationToken) {
    let mut round = 0;
    loop {
        let done = async {
            expire(&loft, &stop).await?;
            clear_deleted_tags(&loft, &stop).await?;
            forget_deleted_devices(&loft, &stop).await?;
            if round == 0 {
                forget(&loft, &stop).await?;
                forget_accept_times(&loft, &stop).await?;
                forget_answers(&loft, &stop).await?;
                remove_unused_packages(&loft).await?;
                loft.vendors.forget_unused();
            }
            Ok::<(), pigeonloft_store::Error>(())
        };
        if let Err(error) = done.await {
            tracing::error!(error = chain(&error), "housekeeping failed: it goes on with the next round");
        }
        round = (round + 1) % ROUNDS;
        tokio::select! {
            () = tokio::time::sleep(EXPIRE_EVERY) => {}
            () = stop.cancelled() => return,
        }
    }
}

async fn expire(loft: &Loft, stop: &CancellationToken) -> Result<(), pigeonloft_store::Error> {
    for push in loft.store.expired_pushes(unix_seconds(), PUSHES).await? {
        let mut last = None;
        loop {
            if stop.is_cancelled() {
                return Ok(());
            }
            let expired = loft.store.expire(push, last, BITE).await?;
            for &device in &expired {
                loft.hub.settled(device, push);
            }
            loft.metrics.outcomes("xg", "expired", expired.len() as u64);
            if expired.len() < BITE as usize {
                break;
            }
            last = expired.last().copied();
        }
    }
    Ok(())
}

/// What is left of tags that were taken off all devices at once.
async fn clear_deleted_tags(loft: &Loft, stop: &CancellationToken) -> Result<(), pigeonloft_store::Error> {
    while !stop.is_cancelled() && loft.store.clear_deleted_tags(BITE).await? > 0 {}
    Ok(())
}

/// Devices that were deleted while pushes were under way which have ended.
async fn forget_deleted_devices(loft: &Loft, stop: &CancellationToken) -> Result<(), pigeonloft_store::Error> {
    while !stop.is_cancelled() && loft.store.forget_deleted_devices(BITE).await? > 0 {}
    Ok(())
}

async fn forget(loft: &Loft, stop: &CancellationToken) -> Result<(), pigeonloft_store::Error> {
    let days = loft.config.push.recipients_days;
    if days == 0 {
        return Ok(());
    }
    let before = unix_millis() - i64::from(days) * DAY_MS;
    while !stop.is_cancelled() && loft.store.forget_recipients(before, BITE).await? > 0 {}
    Ok(())
}

async fn forget_accept_times(loft: &Loft, stop: &CancellationToken) -> Result<(), pigeonloft_store::Error> {
    let mut after = PushId(0);
    while let Some(last) = loft.store.forget_accept_times(after, BITE).await? {
        after = last;
        if stop.is_cancelled() {
            break;
        }
    }
    Ok(())
}

async fn forget_answers(loft: &Loft, stop: &CancellationToken) -> Result<(), pigeonloft_store::Error> {
    let before = loft.answers_kept_since();
    while !stop.is_cancelled() && loft.store.forget_answers(before, BITE).await? > 0 {}
    Ok(())
}

async fn remove_unused_packages(loft: &Loft) -> Result<(), pigeonloft_store::Error> {
    let days = loft.config.package.unused_days;
    if days == 0 {
        return Ok(());
    }
    let removed = loft.store.remove_unused_packages(unix_millis() - i64::from(days) * DAY_MS).await?;
    for stored_as in removed {
        // Its row is gone: a file that stays is an orphan, which the next start removes.
        match PackageFolder::of(&loft.config).remove(&stored_as) {
            Ok(()) => tracing::info!(stored_as, unused_days = days, "an unused package was removed"),
            Err(error) => tracing::warn!(stored_as, %error, "the file of a removed package stays until the next start"),
        }
    }
    Ok(())
}
