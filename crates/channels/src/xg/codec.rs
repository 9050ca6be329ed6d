//! The codec: MQTT packets, bytes to meaning and back. Thin, over `mqtt-proto`: it finds the borders of packets,
//! bounds their size, takes only what a client may send, and levels 3.1.1 and 5 into one vocabulary (that of 5, its
//! reason codes included). What a packet *does* is the session's business.

mod decode;
mod encode;

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use mqtt_proto::v5::DisconnectReasonCode;
use mqtt_proto::{QosPid, TopicFilter, TopicName};

pub use decode::Codec;
pub use encode::{ConnackTerms, TooLargeForDevice};
pub(super) use encode::{connack, disconnect, pong, puback, pubcomp, publish, pubrec, suback, unsuback};

/// The protocol a connection speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// MQTT 3.1.1.
    V311,
    /// MQTT 5.
    V5,
}

/// A packet from a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Packet {
    /// The first packet.
    Connect(Box<Connect>),
    /// The device says something.
    Publish(Publish),
    /// The device answers a message.
    Puback {
        /// The message's packet identifier.
        id: u16,
        /// A reason code that says the device does not take the message (5 only).
        refused: bool,
    },
    /// The third of the four packets of a QoS 2 exchange.
    Pubrel(u16),
    /// The device asks for messages.
    Subscribe {
        /// Packet identifier, to be answered.
        id: u16,
        /// What it asks for.
        filters: Vec<TopicFilter>,
        /// It wants its messages to carry a subscription identifier (5 only).
        numbered: bool,
    },
    /// The device wants no more messages.
    Unsubscribe {
        /// Packet identifier, to be answered.
        id: u16,
        /// What it no longer asks for.
        filters: Vec<TopicFilter>,
    },
    /// PINGREQ.
    Ping,
    /// The device leaves.
    Disconnect,
}

/// A CONNECT, as far as this server looks at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connect {
    /// The protocol it asks for.
    pub version: Version,
    /// Client id.
    pub client_id: Arc<str>,
    /// User name.
    pub user: Option<Arc<str>>,
    /// Password.
    pub password: Option<Secret>,
    /// Keep-alive, seconds; 0: none.
    pub keep_alive: u16,
    /// Receive Maximum (5 only).
    pub receive_maximum: Option<u16>,
    /// Maximum Packet Size (5 only).
    pub max_packet: Option<u32>,
    /// It hopes its session outlives the connection (5 only).
    pub session_expiry: bool,
    /// It has a last will to be retained.
    pub retained_will: bool,
    /// It wants an authentication exchange (5 only).
    pub authentication: bool,
}

/// A PUBLISH of a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publish {
    /// Where to.
    pub topic: TopicName,
    /// What.
    pub payload: Bytes,
    /// How it is to be answered.
    pub answer: Answer,
    /// It is to be retained.
    pub retain: bool,
}

/// The answer a PUBLISH of a device calls for, with its packet identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// QoS 0: none.
    Nothing,
    /// QoS 1.
    Puback(u16),
    /// QoS 2: and PUBREL is then answered whatever came before, for a receipt may be taken twice.
    Pubrec(u16),
}

impl From<QosPid> for Answer {
    fn from(qos: QosPid) -> Self {
        match qos {
            QosPid::Level0 => Self::Nothing,
            QosPid::Level1(id) => Self::Puback(id.value()),
            QosPid::Level2(id) => Self::Pubrec(id.value()),
        }
    }
}

/// A password: its `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub Bytes);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// What a device may not send. Its connection ends.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A packet above the limit.
    #[error("a packet of {size} bytes, where {limit} are taken")]
    TooLarge {
        /// The packet's size, header included.
        size: usize,
        /// The most that is taken.
        limit: usize,
    },
    /// Not MQTT.
    #[error("a malformed packet: {0}")]
    Malformed(String),
    /// A protocol other than MQTT 3.1.1 and 5; its level.
    #[error("protocol level {0}, where 4 (3.1.1) and 5 are taken")]
    Version(u8),
    /// A packet that is not allowed here.
    #[error("{0}")]
    Protocol(&'static str),
    /// A topic alias, though none was offered.
    #[error("a topic alias")]
    TopicAlias,
    /// A message to be retained, though that was said to be unavailable.
    #[error("a message to be retained")]
    Retain,
}

impl Fault {
    /// How MQTT 5 names it.
    #[must_use]
    pub fn reason(&self) -> DisconnectReasonCode {
        match self {
            Self::TooLarge { .. } => DisconnectReasonCode::PacketTooLarge,
            Self::Malformed(_) => DisconnectReasonCode::MalformedPacket,
            Self::Version(_) | Self::Protocol(_) => DisconnectReasonCode::ProtocolError,
            Self::TopicAlias => DisconnectReasonCode::TopicAliasInvalid,
            Self::Retain => DisconnectReasonCode::RetainNotSupported,
        }
    }

    /// `Debug` text of the codec's error: it quotes what the peer sent, and escapes it.
    fn malformed(error: impl fmt::Debug) -> Self {
        Self::Malformed(format!("{error:?}"))
    }
}

#[cfg(test)]
mod tests;
