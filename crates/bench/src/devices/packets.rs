//! Packets: the few of MQTT 3.1.1 that load needs, written by hand, for they are most of what a device costs.

use anyhow::{Result, bail, ensure};

const CONNECT: u8 = 0x10;
const CONNACK: u8 = 0x20;
const PUBLISH: u8 = 0x30;
const PUBACK: u8 = 0x40;
const SUBSCRIBE: u8 = 0x82;
const SUBACK: u8 = 0x90;

/// Longer than any bench lasts: no pings.
const KEEP_ALIVE_S: u16 = 1200;

fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let mut packet = vec![first];
    let mut length = body.len();
    while length >= 0x80 {
        packet.push(0x80 | (length & 0x7f) as u8);
        length >>= 7;
    }
    packet.push(length as u8);
    packet.extend_from_slice(body);
    packet
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(&(text.len() as u16).to_be_bytes());
    out.extend_from_slice(text.as_bytes());
}

pub(crate) fn connect(client: &str, login: Option<(&str, &str)>) -> Vec<u8> {
    const CLEAN: u8 = 0x02;
    const USER_AND_PASSWORD: u8 = 0xc0;
    let mut body = Vec::new();
    put_text(&mut body, "MQTT");
    body.extend([4, CLEAN | if login.is_some() { USER_AND_PASSWORD } else { 0 }]);
    body.extend(KEEP_ALIVE_S.to_be_bytes());
    put_text(&mut body, client);
    if let Some((user, password)) = login {
        put_text(&mut body, user);
        put_text(&mut body, password);
    }
    packet(CONNECT, &body)
}

pub(super) fn subscribe(topic: &str) -> Vec<u8> {
    let mut body = vec![0, 1];
    put_text(&mut body, topic);
    body.push(1);
    packet(SUBSCRIBE, &body)
}

/// PUBLISH of QoS 1.
pub(crate) fn publish(topic: &str, id: u16, payload: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    put_text(&mut body, topic);
    body.extend(id.to_be_bytes());
    body.extend_from_slice(payload);
    packet(PUBLISH | 2, &body)
}

/// What of an incoming packet matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Packet {
    /// Accepted.
    Connack,
    /// Granted.
    Suback,
    /// A message of QoS 1, with its identifier.
    Publish([u8; 2]),
    /// A message is acknowledged.
    Puback,
}

/// Reads the packet `bytes` begin with, and says how many bytes it has; `None`: it is not complete.
///
/// # Errors
/// It is none that a device expects.
pub(crate) fn read(bytes: &[u8]) -> Result<Option<(Packet, usize)>> {
    let Some((&first, rest)) = bytes.split_first() else { return Ok(None) };
    let mut length = 0;
    for place in 0..4 {
        let Some(&byte) = rest.get(place) else { return Ok(None) };
        length |= usize::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            let Some(body) = rest.get(place + 1..place + 1 + length) else { return Ok(None) };
            return Ok(Some((meaning(first, body)?, place + 2 + length)));
        }
    }
    bail!("a remaining length of more than four bytes")
}

fn meaning(first: u8, body: &[u8]) -> Result<Packet> {
    match (first & 0xf0, body) {
        (CONNACK, [_, code]) => {
            ensure!(*code == 0, "refused with code {code}");
            Ok(Packet::Connack)
        }
        (SUBACK, [_, _, granted]) => {
            ensure!(*granted == 1, "the subscription was answered with {granted}");
            Ok(Packet::Suback)
        }
        (PUBLISH, [high, low, rest @ ..]) => {
            ensure!(first & 0x06 == 0x02, "a message that is not of QoS 1");
            match rest.get(usize::from(u16::from_be_bytes([*high, *low]))..) {
                Some([high, low, ..]) => Ok(Packet::Publish([*high, *low])),
                _ => bail!("a message without an identifier"),
            }
        }
        (PUBACK, [_, _]) => Ok(Packet::Puback),
        _ => bail!("an unexpected packet {first:#04x} of {} bytes", body.len()),
    }
}

/// Appends PUBACK.
pub(super) fn acknowledge(out: &mut Vec<u8>, id: [u8; 2]) {
    out.extend([PUBACK, 2, id[0], id[1]]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_read_back_however_it_is_cut() {
        let payload = [7; 300];
        let message = publish("a/topic", 0x0102, &payload);
        for end in 0..message.len() {
            assert_eq!(read(&message[..end]).unwrap(), None, "{end} bytes");
        }
        let two = [message.as_slice(), &message].concat();
        assert_eq!(read(&two).unwrap(), Some((Packet::Publish([1, 2]), message.len())));
    }

    #[test]
    fn what_a_device_does_not_expect_is_an_error() {
        for bytes in [
            &[0x20, 2, 0, 5][..],
            &[0x90, 3, 0, 1, 0x80],
            &[0x30, 3, 0, 1, 65],
            &[0xe0, 0],
            &[0x40, 0x80, 0x80, 0x80, 0x80],
        ] {
            assert!(read(bytes).is_err(), "{bytes:?}");
        }
    }
}
