//! Everything at once: senders, a writer that is always a little behind, devices that come, go, take over, and drop
//! their connections in the middle. In the end every message has arrived once by the books, and no device was sent
//! again what it had acknowledged.

mod common;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::time::Duration;

use common::{Device, NEVER, content, payload, subscribe_packet};
use mqtt_proto::{Protocol, v5};
use pigeonloft_channels::xg::{AckSet, Ask, Desk, Handed, Hub, Limits, Login, Outgoing, Refused, Tracker, Unavailable};
use pigeonloft_model::{DeviceId, PushId, ReceiptEvent};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

const DEVICES: i64 = 40;
const PUSHES: i64 = 60;
const PATIENCE: Duration = Duration::from_secs(120);

/// What the writer does, first come, first served.
enum Job {
    /// A batch: who acknowledged, and who is to find the message in the inbox.
    Record {
        push: PushId,
        acked: Vec<DeviceId>,
        rest: Vec<DeviceId>,
    },
    Arrived(DeviceId, PushId),
    Flush(oneshot::Sender<()>),
}

#[derive(Debug, Default)]
struct Book {
    inbox: BTreeSet<(DeviceId, PushId)>,
    /// How often each message was put down as arrived.
    arrived: BTreeMap<(DeviceId, PushId), usize>,
}

struct SlowDesk {
    book: Mutex<Book>,
    jobs: mpsc::UnboundedSender<Job>,
    hub: OnceLock<Weak<Hub<Arc<SlowDesk>>>>,
    progress: watch::Sender<usize>,
}

impl Desk for SlowDesk {
    async fn admit(&self, login: Login) -> Result<DeviceId, Refused> {
        i64::from_str_radix(login.token.as_str(), 16).map(DeviceId).map_err(|_| Refused::BadCredentials)
    }

    async fn opened(&self, _: DeviceId) {
        let (done, flushed) = oneshot::channel();
        self.jobs.send(Job::Flush(done)).expect("the writer runs");
        flushed.await.expect("the writer runs");
    }

    async fn waiting(&self, device: DeviceId, ask: Ask) -> Result<Vec<Outgoing>, Unavailable> {
        tokio::task::yield_now().await;
        let except: HashSet<_> = ask.except.into_iter().collect();
        let book = self.book.lock().expect("no panic");
        let waiting = book.inbox.range((device, PushId(0))..=(device, PushId(i64::MAX)));
        let waiting = waiting.filter(|(_, push)| *push > ask.after && !except.contains(push)).take(ask.limit);
        Ok(waiting
            .map(|(_, push)| Outgoing { push: *push, payload: content(*push, device), expires_at: NEVER })
            .collect())
    }

    fn arrived(&self, device: DeviceId, push: PushId) {
        self.jobs.send(Job::Arrived(device, push)).expect("the writer runs");
    }

    async fn receipt(&self, _: DeviceId, _: PushId, _: ReceiptEvent) -> Result<(), Unavailable> {
        Ok(())
    }

    fn closed(&self, _: DeviceId) {}
}

impl SlowDesk {
    async fn write(self: Arc<Self>, mut jobs: mpsc::UnboundedReceiver<Job>) {
        let mut turn = 0_u64;
        while let Some(job) = jobs.recv().await {
            turn += 1;
            if turn.is_multiple_of(7) {
                tokio::time::sleep(Duration::from_millis(turn % 3)).await;
            }
            let hub = self.hub.get().and_then(Weak::upgrade).expect("the hub is there");
            match job {
                Job::Record { push, acked, rest } => {
                    let mut book = self.book.lock().expect("no panic");
                    for device in &acked {
                        *book.arrived.entry((*device, push)).or_default() += 1;
                    }
                    book.inbox.extend(rest.iter().map(|device| (*device, push)));
                    drop(book);
                    for device in acked {
                        hub.settled(device, push);
                    }
                    hub.wake(push, &rest);
                }
                Job::Arrived(device, push) => {
                    let mut book = self.book.lock().expect("no panic");
                    assert!(book.inbox.remove(&(device, push)), "{push} of {device} was not waiting");
                    *book.arrived.entry((device, push)).or_default() += 1;
                    drop(book);
                    hub.settled(device, push);
                }
                Job::Flush(done) => _ = done.send(()),
            }
            let arrived = self.book.lock().expect("no panic").arrived.len();
            self.progress.send_replace(arrived);
        }
    }
}

/// A cheap generator: this test is about interleavings, which no seed repeats anyway.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }
}

/// One device's life: connection after connection until `done`. Returns how often it was sent each push after the
/// server had certainly read its acknowledgement.
async fn live(hub: Arc<Hub<Arc<SlowDesk>>>, device: i64, mut done: watch::Receiver<bool>) -> HashMap<i64, usize> {
    let peer = SocketAddr::from(([127, 0, 0, 1], 1));
    let mut dice = Dice(0x9e37_79b9 + device as u64);
    let version = if device % 2 == 0 { Protocol::V311 } else { Protocol::V500 };
    let mut acknowledged = HashSet::new();
    let mut repeats = HashMap::new();
    while !*done.borrow() {
        let (stream, server) = tokio::io::duplex(1 << dice.below(12).max(6));
        tokio::spawn(Arc::clone(&hub).serve(server, peer, ()));
        let mut phone = Device::new(stream, version);
        phone.send(common::connect_packet(device)).await;
        phone.send(subscribe_packet("push")).await;
        let mut unsure = Vec::new();
        let packets = if dice.below(4) == 0 { 1000 } else { dice.below(40) };
        for _ in 0..packets {
            let packet = tokio::select! {
                packet = phone.next() => packet,
                // A window full of what it did not acknowledge: it tries another connection.
                () = tokio::time::sleep(Duration::from_millis(20)) => break,
                _ = done.wait_for(|done| *done) => return repeats,
            };
            match packet {
                Some(v5::Packet::Publish(publish)) => {
                    let push = common::push_of(&publish);
                    if acknowledged.contains(&push) {
                        *repeats.entry(push).or_default() += 1;
                    }
                    if dice.below(5) > 0 {
                        phone.ack(publish.qos_pid.pid().expect("QoS 1")).await;
                        phone.send(v5::Packet::Pingreq).await;
                        unsure.push(push);
                    }
                }
                // Pings are answered in order, so the oldest acknowledgement was read.
                Some(v5::Packet::Pingresp) => _ = acknowledged.insert(unsure.remove(0)),
                Some(v5::Packet::Connack(_) | v5::Packet::Suback(_)) => {}
                Some(v5::Packet::Disconnect(_)) | None => break,
                other => panic!("{other:?}"),
            }
        }
        // Now and then a second connection comes while the first is still open, and takes over.
        if dice.below(3) == 0 {
            let (stream, server) = tokio::io::duplex(4096);
            tokio::spawn(Arc::clone(&hub).serve(server, peer, ()));
            let mut second = Device::new(stream, version);
            second.login(device).await;
        }
    }
    repeats
}

/// Sends one push to all devices, as a dispatcher would.
async fn dispatch(hub: Arc<Hub<Arc<SlowDesk>>>, desk: Arc<SlowDesk>, push: i64) {
    let batch: Vec<_> = (1..=DEVICES).map(DeviceId).collect();
    let tracker = Tracker::new(batch.len());
    let handed = hub.send(&payload(push), &batch, NEVER, &tracker);
    tracker.wait(Instant::now() + Duration::from_millis(5 * (push as u64 % 5))).await;
    tracker.close_with(|set: &AckSet| {
        let (acked, rest): (Vec<_>, Vec<_>) = (0..batch.len()).partition(|index| set.contains(*index));
        assert!(acked.iter().all(|index| handed[*index] == Handed::Accepted));
        let devices = |indices: Vec<usize>| indices.into_iter().map(|index| batch[index]).collect();
        let record = Job::Record { push: PushId(push), acked: devices(acked), rest: devices(rest) };
        desk.jobs.send(record).expect("the writer runs");
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_message_arrives_once_whatever_devices_do() {
    let (jobs, queue) = mpsc::unbounded_channel();
    let desk =
        Arc::new(SlowDesk { book: Mutex::default(), jobs, hub: OnceLock::new(), progress: watch::Sender::new(0) });
    let limits = Limits { window: 4, max_unsettled: 16, ..Limits::default() };
    let hub = Hub::new(Arc::clone(&desk), limits);
    desk.hub.set(Arc::downgrade(&hub)).expect("set once");
    tokio::spawn(Arc::clone(&desk).write(queue));
    let done = watch::Sender::new(false);
    let devices: Vec<_> =
        (1..=DEVICES).map(|device| tokio::spawn(live(Arc::clone(&hub), device, done.subscribe()))).collect();
    let senders: Vec<_> = (1..=PUSHES)
        .map(|push| {
            let (hub, desk) = (Arc::clone(&hub), Arc::clone(&desk));
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(10 * push as u64)).await;
                dispatch(hub, desk, push).await;
            })
        })
        .collect();
    for sender in senders {
        sender.await.expect("no panic");
    }
    let all = (DEVICES * PUSHES) as usize;
    let mut progress = desk.progress.subscribe();
    let finished = tokio::time::timeout(PATIENCE, progress.wait_for(|arrived| *arrived == all)).await.is_ok();
    assert!(finished, "{:?} are left", desk.book.lock().expect("no panic").inbox);
    done.send_replace(true);
    for (device, handle) in (1..).zip(devices) {
        let repeats = handle.await.expect("no panic");
        assert!(repeats.is_empty(), "device {device} was sent again what it had acknowledged: {repeats:?}");
    }
    let book = desk.book.lock().expect("no panic");
    assert_eq!(book.arrived.values().filter(|times| **times != 1).count(), 0, "each is counted once");
    assert!(book.inbox.is_empty());
}
