//! Raw MQTT: a device by hand over a TCP connection, for what no client would send.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use bytes::Bytes;
use mqtt_proto::v3::{Connect, Packet, Publish, Subscribe};
use mqtt_proto::{Pid, QoS, QosPid, TopicFilter, TopicName};
use serde_json::json;

use crate::app::Device;
use crate::raw;

/// A packet as it is sent.
///
/// # Panics
/// It cannot be.
#[must_use]
pub fn bytes(packet: impl Into<Packet>) -> Vec<u8> {
    packet.into().encode().expect("it can be sent").as_ref().to_vec()
}

/// CONNECT of this device, which will be heard of within so many seconds.
#[must_use]
pub fn connect(device: &Device, keep_alive: u16) -> Vec<u8> {
    let mut connect = Connect::new(device.token.as_str().into(), keep_alive);
    connect.username = Some(device.access_id.to_string().into());
    connect.password = Some(Bytes::from(device.password.clone()));
    bytes(connect)
}

/// A receipt for this push, with QoS 1.
///
/// # Panics
/// It cannot be sent.
#[must_use]
pub fn receipt(push_id: &str, event: &str) -> Vec<u8> {
    let topic = TopicName::try_from("receipt").expect("a topic");
    let text = json!({ "push_id": push_id, "event": event }).to_string();
    bytes(Publish::new(QosPid::Level1(Pid::default()), topic, Bytes::from(text)))
}

/// The acknowledgement of the message with this packet id.
#[must_use]
pub fn puback(id: Pid) -> Vec<u8> {
    bytes(Packet::Puback(id))
}

/// A connection of this device that is subscribed to its messages.
///
/// # Panics
/// The server refuses it.
#[must_use]
pub fn subscribed(server: SocketAddr, device: &Device, keep_alive: u16) -> TcpStream {
    let mut stream = connected(server, device, keep_alive);
    subscribe(&mut stream);
    stream
}

/// A connection of this device that is not subscribed to anything.
///
/// # Panics
/// The server refuses it.
#[must_use]
pub fn connected(server: SocketAddr, device: &Device, keep_alive: u16) -> TcpStream {
    let mut stream = raw::connect(server);
    stream.write_all(&connect(device, keep_alive)).expect("the server reads");
    assert!(matches!(next(&mut stream), Some(Packet::Connack(_))), "it answers CONNECT");
    stream
}

/// Subscribes a device to its messages.
///
/// # Panics
/// The server refuses it.
pub fn subscribe(stream: &mut TcpStream) {
    let filter = TopicFilter::try_from("push").expect("a filter");
    let subscribe = Subscribe::new(Pid::default(), vec![(filter, QoS::Level1)]);
    stream.write_all(&bytes(subscribe)).expect("the server reads");
    assert!(matches!(next(stream), Some(Packet::Suback(_))), "it answers SUBSCRIBE");
}

/// The next packet. `None`: the server closed the connection.
///
/// # Panics
/// What it sends is no packet.
#[must_use]
pub fn next(stream: &mut TcpStream) -> Option<Packet> {
    let mut read = Vec::new();
    let mut byte = [0];
    // One at a time, so that nothing of the packet after it is taken.
    while stream.read(&mut byte).is_ok_and(|length| length > 0) {
        read.push(byte[0]);
        if let Some(packet) = Packet::decode(&read).expect("a packet") {
            return Some(packet);
        }
    }
    None
}

/// The next message: its packet id and its text.
///
/// # Panics
/// There is none.
#[must_use]
pub fn message(stream: &mut TcpStream) -> (Pid, String) {
    match next(stream) {
        Some(Packet::Publish(Publish { qos_pid: QosPid::Level1(id), payload, .. })) => {
            (id, String::from_utf8_lossy(&payload).into_owned())
        }
        other => panic!("no message: {other:?}"),
    }
}
