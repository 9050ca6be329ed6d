//! A desk that remembers everything in memory, and a device that speaks MQTT by hand: enough to watch the channel
//! from both its ends.

// Each test program uses its own part.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

use std::collections::{BTreeMap, HashSet};
use std::net::SocketAddr;
use std::ops::Bound::{Excluded, Included};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, Weak};
use std::time::Duration;

use bytes::Bytes;
use mqtt_proto::{Pid, PollHeader, Protocol, QoS, QosPid, TopicFilter, TopicName, v3, v5};
use pigeonloft_channels::xg::{Ask, Desk, Hub, Limits, Login, Outgoing, ReceiptEvent, Refused, Unavailable};
use pigeonloft_model::payload::Payload;
use pigeonloft_model::{DeviceId, PushId};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;

pub const NEVER: i64 = i64::MAX;
pub const APP: &str = "1500001048";
pub const PASSWORD: &str = "a secret";

/// The token of a device of these tests.
pub fn token(device: i64) -> String {
    format!("{device:036x}")
}

#[derive(Debug, Default)]
pub struct Book {
    pub inbox: BTreeMap<(DeviceId, PushId), Outgoing>,
    pub arrived: Vec<(DeviceId, PushId)>,
    pub receipts: Vec<(DeviceId, PushId, ReceiptEvent)>,
    /// `opened`, `closed`, `arrived`, in the order called.
    pub calls: Vec<(&'static str, DeviceId)>,
    pub asks: usize,
    /// The most that was asked for and left out at once.
    pub largest_except: usize,
    pub now: i64,
}

/// The server, as the channel sees it.
#[derive(Debug)]
pub struct FakeDesk {
    book: Mutex<Book>,
    hub: OnceLock<Weak<Hub<Arc<FakeDesk>>>>,
    /// Acknowledgements become durable at once, and the hub is told.
    pub settles: Mutex<bool>,
    /// `waiting` and `receipt` answer "unavailable".
    pub unavailable: Mutex<bool>,
    /// Each `receipt` takes one.
    pub receipt_permits: Semaphore,
    changed: watch::Sender<()>,
}

impl FakeDesk {
    pub fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap()
    }

    pub fn hub(&self) -> Arc<Hub<Arc<FakeDesk>>> {
        self.hub.get().and_then(Weak::upgrade).expect("the hub is there")
    }

    pub fn put(&self, device: i64, push: i64) {
        self.put_until(device, push, NEVER);
    }

    pub fn put_until(&self, device: i64, push: i64, expires_at: i64) {
        let (device, push) = (DeviceId(device), PushId(push));
        self.book().inbox.insert((device, push), Outgoing { push, payload: content(push, device), expires_at });
    }

    /// Waits for a state of the book.
    pub async fn until(&self, what: &str, mut reached: impl FnMut(&Book) -> bool) {
        let mut changed = self.changed.subscribe();
        let reached = changed.wait_for(|()| reached(&self.book()));
        assert!(tokio::time::timeout(LONG, reached).await.is_ok(), "not reached: {what}; {:?}", self.book());
    }
}

impl Desk for FakeDesk {
    async fn admit(&self, login: Login) -> Result<DeviceId, Refused> {
        let device = i64::from_str_radix(login.token.as_str(), 16).map_err(|_| Refused::BadCredentials)?;
        assert!(!format!("{login:?}").contains(PASSWORD), "a password is not shown");
        match &login.password.0[..] {
            b"a secret" if login.app.to_string() == APP => Ok(DeviceId(device)),
            b"banned" => Err(Refused::NotAllowed),
            b"later" => Err(Refused::Unavailable),
            b"hang" => std::future::pending().await,
            _ => Err(Refused::BadCredentials),
        }
    }

    async fn opened(&self, device: DeviceId) {
        self.book().calls.push(("opened", device));
        self.changed.send_replace(());
    }

    async fn waiting(&self, device: DeviceId, ask: Ask) -> Result<Vec<Outgoing>, Unavailable> {
        if *self.unavailable.lock().unwrap() {
            return Err(Unavailable);
        }
        tokio::task::yield_now().await;
        let mut book = self.book();
        book.asks += 1;
        book.largest_except = book.largest_except.max(ask.except.len());
        let except: HashSet<_> = ask.except.into_iter().collect();
        let waiting = book.inbox.range((Excluded((device, ask.after)), Included((device, PushId(i64::MAX)))));
        Ok(waiting.map(|(_, message)| message).filter(|m| !except.contains(&m.push)).take(ask.limit).cloned().collect())
    }

    fn arrived(&self, device: DeviceId, push: PushId) {
        let mut book = self.book();
        book.arrived.push((device, push));
        book.calls.push(("arrived", device));
        if *self.settles.lock().unwrap() {
            book.inbox.remove(&(device, push));
            drop(book);
            self.hub().settled(device, push);
        } else {
            drop(book);
        }
        self.changed.send_replace(());
    }

    async fn receipt(&self, device: DeviceId, push: PushId, event: ReceiptEvent) -> Result<(), Unavailable> {
        self.receipt_permits.acquire().await.expect("never closed").forget();
        if *self.unavailable.lock().unwrap() {
            return Err(Unavailable);
        }
        self.book().receipts.push((device, push, event));
        self.changed.send_replace(());
        Ok(())
    }

    fn closed(&self, device: DeviceId) {
        self.book().calls.push(("closed", device));
        self.changed.send_replace(());
    }

    fn now(&self) -> i64 {
        self.book().now
    }
}

pub type TestHub = Arc<Hub<Arc<FakeDesk>>>;

pub fn hub(limits: Limits) -> (TestHub, Arc<FakeDesk>) {
    let desk = Arc::new(FakeDesk {
        book: Mutex::default(),
        hub: OnceLock::new(),
        settles: Mutex::new(true),
        unavailable: Mutex::new(false),
        receipt_permits: Semaphore::new(1_000_000),
        changed: watch::Sender::new(()),
    });
    let hub = Hub::new(Arc::clone(&desk), limits);
    desk.hub.set(Arc::downgrade(&hub)).expect("set once");
    (hub, desk)
}

/// The payload of a push of these tests.
pub fn payload(push: i64) -> Payload {
    Payload::from_stored(format!(r#"{{"push_id":"{push}","title":"信鸽"}}"#)).unwrap()
}

/// What of it a device is sent.
pub fn content(push: PushId, device: DeviceId) -> Bytes {
    payload(push.0).for_device(device).into()
}

/// The push of a message of these tests.
pub fn push_of(publish: &v5::Publish) -> i64 {
    message_of(publish).0.0
}

/// The push of a message of these tests, and the device it is for.
fn message_of(publish: &v5::Publish) -> (PushId, DeviceId) {
    let text = std::str::from_utf8(&publish.payload).unwrap();
    let (push, device) = text.split('"').nth(3).unwrap().split_once('-').unwrap();
    (push.parse().unwrap(), device.parse().unwrap())
}

const PEER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 1);
/// No state of these tests takes this long; under a paused clock it costs nothing.
pub const LONG: Duration = Duration::from_secs(600);

/// One end of a connection the hub serves; the other end's task ends when the connection does.
pub fn connect(hub: &TestHub, pipe: usize) -> (DuplexStream, JoinHandle<()>) {
    let (device, server) = tokio::io::duplex(pipe);
    (device, tokio::spawn(Arc::clone(hub).serve(server, PEER, ())))
}

/// A device with MQTT 5, or 3.1.1 in words of 5.
pub struct Device<S> {
    pub stream: S,
    pub version: Protocol,
    buffer: Vec<u8>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Device<S> {
    pub fn new(stream: S, version: Protocol) -> Self {
        Self { stream, version, buffer: Vec::new() }
    }

    pub async fn send_bytes(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    pub async fn send(&mut self, packet: impl Into<v5::Packet>) {
        let bytes = encode(self.version, packet.into());
        self.send_bytes(&bytes).await;
    }

    /// The next packet; `None` when the connection is closed.
    pub async fn next(&mut self) -> Option<v5::Packet> {
        tokio::time::timeout(LONG, async {
            loop {
                if let Some((packet, length)) = decode(self.version, &self.buffer) {
                    self.buffer.drain(..length);
                    return Some(packet);
                }
                let mut space = [0; 4096];
                match self.stream.read(&mut space).await {
                    Ok(0) | Err(_) => return None,
                    Ok(length) => self.buffer.extend_from_slice(&space[..length]),
                }
            }
        })
        .await
        .expect("a packet, or the end")
    }

    pub async fn expect_publish(&mut self) -> (Pid, v5::Publish) {
        match self.next().await {
            Some(v5::Packet::Publish(publish)) => (publish.qos_pid.pid().expect("QoS 1"), publish),
            other => panic!("no message, but {other:?}"),
        }
    }

    /// The push of the next message, which must be a message of these tests.
    pub async fn expect_push(&mut self) -> (Pid, i64) {
        let (pid, publish) = self.expect_publish().await;
        assert_eq!(&*publish.topic_name, "push");
        let (push, device) = message_of(&publish);
        assert_eq!(publish.payload, content(push, device));
        (pid, push.0)
    }

    pub async fn ack(&mut self, pid: Pid) {
        self.send(v5::Puback::new_success(pid)).await;
    }

    /// Nothing has come, and the server has had its turn: it has answered a ping before sending anything.
    pub async fn expect_silence(&mut self) {
        self.send(v5::Packet::Pingreq).await;
        assert_eq!(self.next().await, Some(v5::Packet::Pingresp));
    }

    pub async fn login(&mut self, device: i64) -> v5::Connack {
        let connect = connect_packet(device);
        self.send(connect).await;
        match self.next().await {
            Some(v5::Packet::Connack(connack)) => connack,
            other => panic!("no CONNACK, but {other:?}"),
        }
    }

    pub async fn subscribe(&mut self) {
        self.send(subscribe_packet("push")).await;
        match self.next().await {
            Some(v5::Packet::Suback(suback)) => {
                assert_eq!(suback.topics, [v5::SubscribeReasonCode::GrantedQoS1]);
            }
            other => panic!("no SUBACK, but {other:?}"),
        }
    }

    pub async fn receipt(&mut self, pid: Option<u16>, push: i64, event: &str) {
        let text = format!(r#"{{"push_id":"{push}","event":"{event}"}}"#);
        let qos = pid.map_or(QosPid::Level0, |pid| QosPid::Level1(Pid::try_from(pid).unwrap()));
        let topic = TopicName::try_from("receipt").unwrap();
        self.send(v5::Publish::new(qos, topic, text.into_bytes().into())).await;
    }
}

pub fn connect_packet(device: i64) -> v5::Connect {
    let mut connect = v5::Connect::new(token(device).as_str().into(), 60);
    connect.username = Some(APP.into());
    connect.password = Some(Bytes::from_static(PASSWORD.as_bytes()));
    connect
}

pub fn subscribe_packet(filter: &str) -> v5::Subscribe {
    let options = v5::SubscriptionOptions::new(QoS::Level1);
    v5::Subscribe::new(Pid::default(), vec![(TopicFilter::try_from(filter).unwrap(), options)])
}

/// A device that is logged in.
pub async fn logged_in(hub: &TestHub, device: i64, version: Protocol) -> (Device<DuplexStream>, JoinHandle<()>) {
    let (stream, served) = connect(hub, 65_536);
    let mut phone = Device::new(stream, version);
    let connack = phone.login(device).await;
    assert_eq!((connack.reason_code, connack.session_present), (v5::ConnectReasonCode::Success, false));
    (phone, served)
}

/// A device that is subscribed, whose inbox was empty.
pub async fn online(hub: &TestHub, device: i64, version: Protocol) -> (Device<DuplexStream>, JoinHandle<()>) {
    let (mut phone, served) = logged_in(hub, device, version).await;
    phone.subscribe().await;
    // By the answer to the ping the session has read its inbox, and takes live messages.
    phone.expect_silence().await;
    (phone, served)
}

pub fn encode(version: Protocol, packet: v5::Packet) -> Vec<u8> {
    if version == Protocol::V500 {
        return packet.encode().unwrap().as_ref().to_vec();
    }
    let packet = match packet {
        v5::Packet::Connect(connect) => {
            let mut older = v3::Connect::new(connect.client_id, connect.keep_alive);
            older.username = connect.username;
            older.password = connect.password;
            older.into()
        }
        v5::Packet::Publish(p) => v3::Publish::new(p.qos_pid, p.topic_name, p.payload).into(),
        v5::Packet::Puback(puback) => v3::Packet::Puback(puback.pid),
        v5::Packet::Pubrel(pubrel) => v3::Packet::Pubrel(pubrel.pid),
        v5::Packet::Subscribe(s) => {
            v3::Subscribe::new(s.pid, s.topics.into_iter().map(|(filter, o)| (filter, o.max_qos)).collect()).into()
        }
        v5::Packet::Unsubscribe(unsubscribe) => v3::Unsubscribe::new(unsubscribe.pid, unsubscribe.topics).into(),
        v5::Packet::Pingreq => v3::Packet::Pingreq,
        v5::Packet::Disconnect(_) => v3::Packet::Disconnect,
        other => panic!("3.1.1 has no {other:?}"),
    };
    packet.encode().unwrap().as_ref().to_vec()
}

fn decode(version: Protocol, bytes: &[u8]) -> Option<(v5::Packet, usize)> {
    let (&first, rest) = bytes.split_first()?;
    let place = rest.iter().position(|byte| byte & 0x80 == 0)?;
    let length = rest[..=place].iter().rev().fold(0, |length, byte| length << 7 | usize::from(byte & 0x7f));
    let body = rest.get(place + 1..place + 1 + length)?;
    let size = place + 2 + length;
    let packet = if version == Protocol::V500 {
        let header = v5::Header::new_with(first, length as u32, size as u32).unwrap();
        header.build_empty_packet().unwrap_or_else(|| header.decode_buffer(body, &mut 0).unwrap())
    } else {
        let header = v3::Header::new_with(first, length as u32, size as u32).unwrap();
        newer(header.build_empty_packet().unwrap_or_else(|| header.decode_buffer(body, &mut 0).unwrap()))
    };
    Some((packet, size))
}

fn newer(packet: v3::Packet) -> v5::Packet {
    use v5::{ConnectReasonCode as Connected, SubscribeReasonCode as Subscribed};
    match packet {
        v3::Packet::Connack(connack) => {
            let reason = match connack.code {
                v3::ConnectReturnCode::Accepted => Connected::Success,
                v3::ConnectReturnCode::UnacceptableProtocolVersion => Connected::UnsupportedProtocolVersion,
                v3::ConnectReturnCode::IdentifierRejected => Connected::ClientIdentifierNotValid,
                v3::ConnectReturnCode::ServerUnavailable => Connected::ServerUnavailable,
                v3::ConnectReturnCode::BadUserNameOrPassword => Connected::BadUserNameOrPassword,
                v3::ConnectReturnCode::NotAuthorized => Connected::NotAuthorized,
            };
            v5::Connack::new(connack.session_present, reason).into()
        }
        v3::Packet::Publish(p) => v5::Publish::new(p.qos_pid, p.topic_name, p.payload).into(),
        v3::Packet::Puback(pid) => v5::Puback::new_success(pid).into(),
        v3::Packet::Pubrec(pid) => v5::Pubrec::new_success(pid).into(),
        v3::Packet::Pubcomp(pid) => v5::Pubcomp::new_success(pid).into(),
        v3::Packet::Suback(suback) => {
            let reasons = suback.topics.into_iter().map(|code| match code {
                v3::SubscribeReturnCode::MaxLevel1 => Subscribed::GrantedQoS1,
                _ => Subscribed::UnspecifiedError,
            });
            v5::Suback::new(suback.pid, reasons.collect()).into()
        }
        v3::Packet::Unsuback(pid) => v5::Unsuback::new(pid, Vec::new()).into(),
        v3::Packet::Pingresp => v5::Packet::Pingresp,
        other => panic!("a server does not send {other:?}"),
    }
}
