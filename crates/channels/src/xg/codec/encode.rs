//! Packets to a device, appended to its outgoing bytes.

use mqtt_proto::v5::{ConnectReasonCode, DisconnectReasonCode, PubackReasonCode, SubscribeReasonCode};
use mqtt_proto::{Error, Pid, VarBytes, total_len, v3, v5};

use super::Version;
use crate::xg::PUSH_TOPIC;

/// The message is larger than the Maximum Packet Size its device asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the packet of {size} bytes is larger than the device takes")]
pub struct TooLargeForDevice {
    /// The packet's size, header included.
    pub size: usize,
}

/// What a CONNACK of MQTT 5 tells the device to keep to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnackTerms {
    /// Largest packet the server takes, bytes.
    pub max_packet: u32,
    /// The keep-alive to use instead of the one asked for, seconds.
    pub server_keep_alive: Option<u16>,
    /// The device asked for a session that outlives the connection; it is told that it gets none.
    pub session_expiry: bool,
}

/// Appends a packet. Encoding fails only above 256 MiB, which is checked where a packet has a payload.
fn put(out: &mut Vec<u8>, packet: Result<VarBytes, Error>) {
    if let Ok(bytes) = packet {
        out.extend_from_slice(bytes.as_ref());
    }
}

/// CONNACK: accepted with `terms`, or refused.
pub(in crate::xg) fn connack(out: &mut Vec<u8>, version: Version, answer: Result<ConnackTerms, ConnectReasonCode>) {
    let reason = answer.err().unwrap_or(ConnectReasonCode::Success);
    match version {
        Version::V311 => put(out, v3::Packet::Connack(v3::Connack::new(false, v3_reason(reason))).encode()),
        Version::V5 => {
            let mut connack = v5::Connack::new(false, reason);
            if let Ok(terms) = answer {
                let properties = &mut connack.properties;
                properties.retain_available = Some(false);
                properties.wildcard_subscription_available = Some(false);
                properties.shared_subscription_available = Some(false);
                properties.subscription_id_available = Some(false);
                properties.max_packet_size = Some(terms.max_packet);
                properties.server_keep_alive = terms.server_keep_alive;
                properties.session_expiry_interval = terms.session_expiry.then_some(0);
            }
            put(out, v5::Packet::Connack(connack).encode());
        }
    }
}

fn v3_reason(reason: ConnectReasonCode) -> v3::ConnectReturnCode {
    match reason {
        ConnectReasonCode::Success => v3::ConnectReturnCode::Accepted,
        ConnectReasonCode::UnsupportedProtocolVersion => v3::ConnectReturnCode::UnacceptableProtocolVersion,
        ConnectReasonCode::ClientIdentifierNotValid => v3::ConnectReturnCode::IdentifierRejected,
        ConnectReasonCode::ServerUnavailable => v3::ConnectReturnCode::ServerUnavailable,
        ConnectReasonCode::BadUserNameOrPassword => v3::ConnectReturnCode::BadUserNameOrPassword,
        _ => v3::ConnectReturnCode::NotAuthorized,
    }
}

/// PUBLISH of QoS 1 on topic `push`; the payload's pieces follow one another. `expires_in`: seconds. Appends nothing if
/// the packet is larger than `limit`. Written by hand: nothing is sent as often, and it costs no more than the copy.
pub(in crate::xg) fn publish(
    out: &mut Vec<u8>,
    version: Version,
    id: Pid,
    payload: [&[u8]; 2],
    expires_in: u32,
    limit: usize,
) -> Result<(), TooLargeForDevice> {
    const PUBLISH_QOS_1: u8 = 0b0011_0010;
    const TOPIC_LENGTH: [u8; 2] = (PUSH_TOPIC.len() as u16).to_be_bytes();
    const MESSAGE_EXPIRY_INTERVAL: u8 = 0x02;
    let properties = match version {
        Version::V311 => 0,
        Version::V5 => 1 + 1 + size_of_val(&expires_in),
    };
    let payload_length: usize = payload.iter().map(|piece| piece.len()).sum();
    let length = TOPIC_LENGTH.len() + PUSH_TOPIC.len() + size_of::<u16>() + properties + payload_length;
    let size = total_len(length).unwrap_or(usize::MAX);
    if size > limit {
        return Err(TooLargeForDevice { size });
    }
    out.reserve(size);
    header(out, PUBLISH_QOS_1, length);
    out.extend_from_slice(&TOPIC_LENGTH);
    out.extend_from_slice(PUSH_TOPIC.as_bytes());
    out.extend_from_slice(&id.value().to_be_bytes());
    if version == Version::V5 {
        // The length of all properties, itself not counted.
        out.extend_from_slice(&[properties as u8 - 1, MESSAGE_EXPIRY_INTERVAL]);
        out.extend_from_slice(&expires_in.to_be_bytes());
    }
    payload.iter().for_each(|piece| out.extend_from_slice(piece));
    Ok(())
}

/// First byte and remaining length.
fn header(out: &mut Vec<u8>, first: u8, mut length: usize) {
    out.push(first);
    while length >= 0x80 {
        out.push(0x80 | (length & 0x7f) as u8);
        length >>= 7;
    }
    out.push(length as u8);
}

/// PUBACK. 3.1.1 has no reasons: it acknowledges, whatever the reason.
pub(in crate::xg) fn puback(out: &mut Vec<u8>, version: Version, id: Pid, reason: PubackReasonCode) {
    match version {
        Version::V311 => put(out, v3::Packet::Puback(id).encode()),
        Version::V5 => put(out, v5::Packet::Puback(v5::Puback::new(id, reason)).encode()),
    }
}

/// PUBREC, with the reason of a PUBACK.
pub(in crate::xg) fn pubrec(out: &mut Vec<u8>, version: Version, id: Pid, reason: PubackReasonCode) {
    let reason = match reason {
        PubackReasonCode::Success => v5::PubrecReasonCode::Success,
        PubackReasonCode::NotAuthorized => v5::PubrecReasonCode::NotAuthorized,
        PubackReasonCode::PayloadFormatInvalid => v5::PubrecReasonCode::PayloadFormatInvalid,
        _ => v5::PubrecReasonCode::UnspecifiedError,
    };
    match version {
        Version::V311 => put(out, v3::Packet::Pubrec(id).encode()),
        Version::V5 => put(out, v5::Packet::Pubrec(v5::Pubrec::new(id, reason)).encode()),
    }
}

/// PUBCOMP.
pub(in crate::xg) fn pubcomp(out: &mut Vec<u8>, version: Version, id: Pid) {
    match version {
        Version::V311 => put(out, v3::Packet::Pubcomp(id).encode()),
        Version::V5 => put(out, v5::Packet::Pubcomp(v5::Pubcomp::new(id, v5::PubcompReasonCode::Success)).encode()),
    }
}

/// SUBACK, a reason for each filter asked for; in 3.1.1 every refusal is 0x80. Written by hand there: `mqtt-proto`
/// 0.4 writes a refusal as 0x03, which no client understands.
pub(in crate::xg) fn suback(out: &mut Vec<u8>, version: Version, id: Pid, reasons: Vec<SubscribeReasonCode>) {
    const SUBACK: u8 = 0x90;
    const REFUSED: u8 = 0x80;
    match version {
        Version::V311 => {
            header(out, SUBACK, 2 + reasons.len());
            out.extend_from_slice(&id.value().to_be_bytes());
            out.extend(reasons.into_iter().map(|reason| match reason {
                SubscribeReasonCode::GrantedQoS1 => 1,
                _ => REFUSED,
            }));
        }
        Version::V5 => put(out, v5::Packet::Suback(v5::Suback::new(id, reasons)).encode()),
    }
}

/// UNSUBACK, a reason for each filter.
pub(in crate::xg) fn unsuback(out: &mut Vec<u8>, version: Version, id: Pid, reasons: Vec<v5::UnsubscribeReasonCode>) {
    match version {
        Version::V311 => put(out, v3::Packet::Unsuback(id).encode()),
        Version::V5 => put(out, v5::Packet::Unsuback(v5::Unsuback::new(id, reasons)).encode()),
    }
}

/// PINGRESP.
pub(in crate::xg) fn pong(out: &mut Vec<u8>) {
    out.extend_from_slice(&[0xd0, 0]);
}

/// DISCONNECT; 3.1.1 knows none from a server, and gets nothing.
pub(in crate::xg) fn disconnect(out: &mut Vec<u8>, version: Version, reason: DisconnectReasonCode) {
    if version == Version::V5 {
        put(out, v5::Packet::Disconnect(v5::Disconnect::new(reason)).encode());
    }
}
