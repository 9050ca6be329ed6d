//! Packets from a device: their borders, and what `mqtt-proto` reads between them.

use mqtt_proto::{PollHeader, Protocol, v3, v5};

use super::{Connect, Fault, Packet, Publish, Secret, Version};

/// Reads the packets of one connection. The first must be CONNECT, and decides the version of the rest.
#[derive(Debug)]
pub struct Codec {
    version: Option<Version>,
    max_packet: usize,
}

impl Codec {
    /// A codec for a new connection that takes packets of at most `max_packet` bytes.
    #[must_use]
    pub fn new(max_packet: usize) -> Self {
        Self { version: None, max_packet }
    }

    /// Reads the packet `bytes` begins with, and says how many bytes it took. `None`: it is not complete yet; call
    /// again with the same bytes and more. How bytes are cut into calls makes no difference to what is read.
    ///
    /// # Errors
    /// Nothing after a [`Fault`] is to be read.
    pub fn decode(&mut self, bytes: &[u8]) -> Result<Option<(Packet, usize)>, Fault> {
        let Some((first, start, size)) = self.borders(bytes)? else { return Ok(None) };
        let Some(body) = bytes.get(start..size) else { return Ok(None) };
        let packet = match self.version {
            None => {
                let connect = decode_connect(first, body, size)?;
                self.version = Some(connect.version);
                Packet::Connect(Box::new(connect))
            }
            Some(Version::V311) => decode_v3(first, body, size)?,
            Some(Version::V5) => decode_v5(first, body, size)?,
        };
        Ok(Some((packet, size)))
    }

    /// First byte, where the body begins, and where it ends (which may be further than `bytes` goes).
    fn borders(&self, bytes: &[u8]) -> Result<Option<(u8, usize, usize)>, Fault> {
        const CONNECT: u8 = 0x10;
        let Some((&first, rest)) = bytes.split_first() else { return Ok(None) };
        if self.version.is_none() && first != CONNECT {
            return Err(Fault::Protocol("the first packet is not CONNECT"));
        }
        let mut length = 0;
        for (place, byte) in rest.iter().take(4).enumerate() {
            length |= usize::from(byte & 0x7f) << (7 * place);
            if byte & 0x80 == 0 {
                let size = place + 2 + length;
                if size > self.max_packet {
                    return Err(Fault::TooLarge { size, limit: self.max_packet });
                }
                return Ok(Some((first, place + 2, size)));
            }
        }
        if rest.len() >= 4 { Err(Fault::Malformed("remaining length".to_owned())) } else { Ok(None) }
    }
}

/// A length below [`Codec`]'s limit, which is below MQTT's of 2^28.
fn length(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

/// `mqtt-proto` reads fields, not packets: bytes after the last field are left to the caller.
fn whole(offset: usize, body: &[u8]) -> Result<(), Fault> {
    if offset == body.len() { Ok(()) } else { Err(Fault::Malformed("bytes after the last field".to_owned())) }
}

fn decode_connect(first: u8, body: &[u8], size: usize) -> Result<Connect, Fault> {
    let mut offset = 0;
    let protocol = Protocol::decode(body, &mut offset).map_err(|error| match error {
        mqtt_proto::Error::InvalidProtocol(_, level) => Fault::Version(level),
        other => Fault::malformed(other),
    })?;
    let connect = match protocol {
        Protocol::V310 => return Err(Fault::Version(3)),
        Protocol::V311 => v3::Connect::decode_buffer_with_protocol(body, &mut offset, protocol)
            .map(Connect::from)
            .map_err(Fault::malformed)?,
        Protocol::V500 => {
            let header = v5::Header::new_with(first, length(body.len()), length(size)).map_err(Fault::malformed)?;
            v5::Connect::decode_buffer_with_protocol(body, &mut offset, header, protocol)
                .map(Connect::from)
                .map_err(Fault::malformed)?
        }
    };
    whole(offset, body)?;
    Ok(connect)
}

impl From<v3::Connect> for Connect {
    fn from(connect: v3::Connect) -> Self {
        Self {
            version: Version::V311,
            client_id: connect.client_id,
            user: connect.username,
            password: connect.password.map(Secret),
            keep_alive: connect.keep_alive,
            receive_maximum: None,
            max_packet: None,
            session_expiry: false,
            // 3.1.1 has no way to say that retained messages are not available.
            retained_will: false,
            authentication: false,
        }
    }
}

impl From<v5::Connect> for Connect {
    fn from(connect: v5::Connect) -> Self {
        Self {
            version: Version::V5,
            client_id: connect.client_id,
            user: connect.username,
            password: connect.password.map(Secret),
            keep_alive: connect.keep_alive,
            receive_maximum: connect.properties.receive_max,
            max_packet: connect.properties.max_packet_size,
            session_expiry: connect.properties.session_expiry_interval.is_some_and(|seconds| seconds > 0),
            retained_will: connect.last_will.is_some_and(|will| will.retain),
            authentication: connect.properties.auth_method.is_some(),
        }
    }
}

pub(super) const NOT_FOR_SERVERS: Fault = Fault::Protocol("a packet no client may send here");

fn decode_v3(first: u8, body: &[u8], size: usize) -> Result<Packet, Fault> {
    let header = v3::Header::new_with(first, length(body.len()), length(size)).map_err(Fault::malformed)?;
    let mut offset = 0;
    let packet = match header.build_empty_packet() {
        Some(packet) => packet,
        None => header.decode_buffer(body, &mut offset).map_err(Fault::malformed)?,
    };
    whole(offset, body)?;
    Ok(match packet {
        v3::Packet::Publish(publish) => Packet::Publish(Publish {
            topic: publish.topic_name,
            payload: publish.payload,
            answer: publish.qos_pid.into(),
            retain: false,
        }),
        v3::Packet::Puback(id) => Packet::Puback { id: id.value(), refused: false },
        v3::Packet::Pubrel(id) => Packet::Pubrel(id.value()),
        v3::Packet::Subscribe(subscribe) => Packet::Subscribe {
            id: subscribe.pid.value(),
            filters: subscribe.topics.into_iter().map(|(filter, _)| filter).collect(),
            numbered: false,
        },
        v3::Packet::Unsubscribe(unsubscribe) => {
            Packet::Unsubscribe { id: unsubscribe.pid.value(), filters: unsubscribe.topics }
        }
        v3::Packet::Pingreq => Packet::Ping,
        v3::Packet::Disconnect => Packet::Disconnect,
        v3::Packet::Connect(_) => return Err(Fault::Protocol("a second CONNECT")),
        _ => return Err(NOT_FOR_SERVERS),
    })
}

fn decode_v5(first: u8, body: &[u8], size: usize) -> Result<Packet, Fault> {
    let header = v5::Header::new_with(first, length(body.len()), length(size)).map_err(Fault::malformed)?;
    let mut offset = 0;
    let packet = match header.build_empty_packet() {
        Some(packet) => packet,
        None => header.decode_buffer(body, &mut offset).map_err(Fault::malformed)?,
    };
    whole(offset, body)?;
    Ok(match packet {
        v5::Packet::Publish(publish) => {
            if publish.properties.topic_alias.is_some() {
                return Err(Fault::TopicAlias);
            }
            Packet::Publish(Publish {
                topic: publish.topic_name,
                payload: publish.payload,
                answer: publish.qos_pid.into(),
                retain: publish.retain,
            })
        }
        v5::Packet::Puback(puback) => {
            Packet::Puback { id: puback.pid.value(), refused: puback.reason_code as u8 >= 0x80 }
        }
        v5::Packet::Pubrel(pubrel) => Packet::Pubrel(pubrel.pid.value()),
        v5::Packet::Subscribe(subscribe) => Packet::Subscribe {
            id: subscribe.pid.value(),
            numbered: subscribe.properties.subscription_id.is_some(),
            filters: subscribe.topics.into_iter().map(|(filter, _)| filter).collect(),
        },
        v5::Packet::Unsubscribe(unsubscribe) => {
            Packet::Unsubscribe { id: unsubscribe.pid.value(), filters: unsubscribe.topics }
        }
        v5::Packet::Pingreq => Packet::Ping,
        v5::Packet::Disconnect(_) => Packet::Disconnect,
        v5::Packet::Connect(_) => return Err(Fault::Protocol("a second CONNECT")),
        _ => return Err(NOT_FOR_SERVERS),
    })
}
