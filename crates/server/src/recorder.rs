//! The recorder: what devices report (seen, arrived, receipts), written down in groups.
//!
//! Sessions hand their reports to a queue and go on. One task takes what has gathered, writes it in one transaction,
//! and only then tells the sessions. What cannot be written now is tried again until it can; what can never be is
//! logged and given up, alone. A report lost with the server is made again, since its message is still in the inbox.

use std::sync::Arc;

use pigeonloft_channels::xg::{Desk, Hub};
use pigeonloft_model::{DeviceId, PushId, ReceiptEvent};
use pigeonloft_store::{Acknowledged, Kept, Store};
use tokio::sync::{mpsc, oneshot};

use crate::backoff::Backoff;
use crate::chain::chain;
use crate::metrics::Metrics;

/// Reports written together at most.
const GROUP: usize = 4096;

/// What a device reports. `done` is called once it is durable.
#[derive(Debug)]
pub enum Report {
    /// Its session began.
    Opened {
        /// The device.
        device: DeviceId,
        /// Called once this and every earlier report is durable.
        done: oneshot::Sender<()>,
    },
    /// It acknowledged a message.
    Arrived {
        /// The device.
        device: DeviceId,
        /// The message's push.
        push: PushId,
    },
    /// It says what became of a message.
    Receipt {
        /// The device.
        device: DeviceId,
        /// The message's push.
        push: PushId,
        /// What became of it.
        event: ReceiptEvent,
        /// Called once it is durable.
        done: oneshot::Sender<()>,
    },
}

/// The queue of reports. Unbounded in name only: a session holds at most a window's worth unsettled and one receipt.
pub type Reports = mpsc::UnboundedSender<Report>;

/// Writes reports down until the last sender of the queue is gone.
pub async fn run<D: Desk>(
    store: Store,
    hub: Arc<Hub<D>>,
    metrics: Arc<Metrics>,
    mut reports: mpsc::UnboundedReceiver<Report>,
    stop: tokio_util::sync::CancellationToken,
) {
    let mut group = Vec::with_capacity(GROUP);
    loop {
        tokio::select! {
            biased;
            taken = reports.recv_many(&mut group, GROUP) => if taken == 0 { return },
            () = stop.cancelled() => return,
        }
        if let Ok(kept) = keep(&store, &group).await {
            told(&kept, &hub, &metrics);
            group.drain(..).for_each(|report| report.kept(&hub));
            continue;
        }
        // One of them cannot be written, ever, such as one of a damaged row: it must not take its neighbours with it.
        for report in group.drain(..) {
            match keep(&store, std::slice::from_ref(&report)).await {
                Ok(kept) => {
                    told(&kept, &hub, &metrics);
                    report.kept(&hub);
                }
                Err(error) => tracing::error!(?report, error = chain(&error), "a device's report is lost"),
            }
        }
    }
}

/// Reports are durable: counts them, and wakes the sessions into whose inboxes they put something.
fn told<D: Desk>(kept: &Kept, hub: &Hub<D>, metrics: &Metrics) {
    metrics.outcomes("xg", "arrived", kept.arrived);
    for (push, devices) in &kept.to_wake {
        hub.wake(*push, devices);
    }
}

impl Report {
    /// It is durable: tells those who wait for that.
    fn kept<D: Desk>(self, hub: &Hub<D>) {
        match self {
            Self::Arrived { device, push } => hub.settled(device, push),
            Self::Opened { done, .. } | Self::Receipt { done, .. } => {
                // A session that ended meanwhile no longer wants to know.
                let _ = done.send(());
            }
        }
    }
}

fn sort_out(group: &[Report]) -> Acknowledged {
    let mut reported = Acknowledged::default();
    for report in group {
        match *report {
            Report::Opened { device, .. } => reported.seen.push(device),
            Report::Arrived { device, push } => reported.arrived.push((device, push)),
            Report::Receipt { device, push, event, .. } => reported.receipts.push((device, push, event)),
        }
    }
    reported
}

/// Writes reports down, all or none, as often as it takes. `Err`: no time helps.
async fn keep(store: &Store, group: &[Report]) -> Result<Kept, pigeonloft_store::Error> {
    let reported = sort_out(group);
    let mut backoff = Backoff::DATABASE;
    loop {
        match store.acknowledge(reported.clone()).await {
            Err(error) if error.may_pass() => {
                let wait = backoff.wait();
                let retry_ms = wait.as_millis();
                tracing::error!(error = chain(&error), retry_ms, "reports of devices could not be written");
                tokio::time::sleep(wait).await;
            }
            kept_or_hopeless => return kept_or_hopeless,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use pigeonloft_channels::xg::Limits;
    use pigeonloft_model::{AccessId, AudienceKind, Day, MessageType, Outcome, Platform, Token, Zone};
    use pigeonloft_store::{Accepted, App, BadRows, Batch, Cursor, LeftOut, NewDevice, NewPush, Recipient, Registered};

    use super::*;
    use crate::desk::FrontDesk;

    const APP: AccessId = AccessId(1_500_000_001);

    /// A store with a push that waits for two devices.
    async fn two_waiting(folder: &std::path::Path) -> (Store, PushId, [DeviceId; 2]) {
        let store = Store::open(folder).unwrap();
        let (secret_key, access_key, name) = ("secret".into(), "key".into(), "test".into());
        let (platform, bad_rows) = (Platform::Android, BadRows::Refuse);
        let allowed = pigeonloft_model::Networks::default();
        store.add_app(App { access_id: APP, secret_key, access_key, platform, name, bad_rows, allowed }).await.unwrap();
        let mut devices = Vec::new();
        for n in 0..2 {
            let (token, password_hash) = (Token::from_bytes([n; 18]), [n; 32]);
            let new = NewDevice {
                access_id: APP,
                token,
                password_hash,
                environment: None,
                channels: Vec::new(),
                reported: Vec::new(),
            };
            let Registered::New(device) = store.register_device(new).await.unwrap() else { panic!("{n} is new") };
            devices.push(device);
        }
        let (start_at, expire_at) = (0, 4_000_000_000);
        let request = "{}".to_owned();
        let new = NewPush {
            access_id: APP,
            request,
            upload_id: None,
            exclude_upload_id: None,
            audience_rows: 2,
            message_type: MessageType::Notify,
            audience: AudienceKind::TokenList,
            plan_id: None,
            group_id: None,
            first_device: None,
            digest: None,
            line: None,
            start_at,
            day: Day(0),
            expire_at,
            accept: None,
            vendors_only: false,
        };
        let Accepted::Pushes(ids) = store.add_pushes(vec![new], |_, _| String::new()).await.unwrap() else {
            panic!("it is accepted")
        };
        let push_id = ids[0];
        let recipients = devices.iter().map(|&device| Recipient::own(device, Outcome::Waiting)).collect();
        let (from, to) = (Cursor::default(), Cursor { row: 2, within: None });
        let batch = Batch {
            push_id,
            from,
            to,
            rows_done: 2,
            no_device: 0,
            left_out: LeftOut::default(),
            recipients,
            dead: Vec::new(),
            parked: Vec::new(),
            started_at: 1,
            is_last: true,
        };
        store.permit().await.unwrap().record_batch(Arc::new(batch)).await.unwrap();
        (store, push_id, [devices[0], devices[1]])
    }

    #[tokio::test]
    async fn a_report_that_can_never_be_written_takes_no_other_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let (store, push, [damaged, sound]) = two_waiting(folder.path()).await;
        let damage = move |tx: pigeonloft_store::Tx<'_>| {
            Ok(tx.execute("UPDATE recipient SET outcome = 99 WHERE device_id = ?1", [damaged.0])?)
        };
        assert_eq!(store.write(damage).await.unwrap(), 1);

        let (reports, reported) = mpsc::unbounded_channel();
        let (done, is_durable) = oneshot::channel();
        let event = ReceiptEvent::Clicked;
        for report in [
            Report::Arrived { device: damaged, push },
            Report::Arrived { device: sound, push },
            Report::Receipt { device: sound, push, event, done },
        ] {
            reports.send(report).unwrap();
        }
        let hub = Hub::new(FrontDesk::new(store.clone(), reports, Zone::CHINA), Limits::default());
        let stop = tokio_util::sync::CancellationToken::new();
        let recorder = tokio::spawn(run(store.clone(), hub, Arc::new(Metrics::new()), reported, stop.clone()));
        let patience = Duration::from_secs(60);
        tokio::time::timeout(patience, is_durable).await.expect("in time").expect("the receipt is kept");
        let counts = store.push(APP, push).await.unwrap().unwrap().counts;
        assert_eq!((counts.arrived, counts.waiting, counts.clicked), (1, 1, 1));
        stop.cancel();
        tokio::time::timeout(patience, recorder).await.expect("in time").unwrap();
    }
}
