//! The greeting: what a CONNECT asks for, and on what terms the session would run.

use std::net::SocketAddr;

use mqtt_proto::v5::ConnectReasonCode;
use pigeonloft_model::{AccessId, Token};

use crate::xg::codec::{self, ConnackTerms, Connect, Version};
use crate::xg::desk::{Login, Refused};
use crate::xg::limits::Limits;

/// What a session keeps to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// The protocol.
    pub version: Version,
    /// Most messages sent and not acknowledged.
    pub window: usize,
    /// Largest packet the device takes, bytes.
    pub max_packet: usize,
    /// The keep-alive in force, seconds; never 0.
    pub keep_alive: u16,
    /// What CONNACK says of it.
    pub connack: ConnackTerms,
}

/// A CONNECT is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// The protocol to answer in.
    pub version: Version,
    /// Why; 3.1.1 has six codes for all reasons.
    pub reason: ConnectReasonCode,
}

impl Refusal {
    /// The desk refuses.
    #[must_use]
    pub fn by_desk(version: Version, refused: Refused) -> Self {
        let reason = match refused {
            Refused::BadCredentials => ConnectReasonCode::BadUserNameOrPassword,
            Refused::NotAllowed => ConnectReasonCode::NotAuthorized,
            Refused::Unavailable => ConnectReasonCode::ServerUnavailable,
        };
        Self { version, reason }
    }

    /// A protocol this server does not speak, by its level. A client of a later level than 5 understands a CONNACK
    /// of 5, if any; all others one of 3.1.1.
    #[must_use]
    pub fn of_version(level: u8) -> Self {
        let version = if level > 5 { Version::V5 } else { Version::V311 };
        Self { version, reason: ConnectReasonCode::UnsupportedProtocolVersion }
    }

    /// The CONNACK that says so.
    #[must_use]
    pub fn connack(&self) -> Vec<u8> {
        let mut out = Vec::new();
        codec::connack(&mut out, self.version, Err(self.reason));
        out
    }
}

/// Reads a CONNECT: who wants in, and on what terms.
///
/// # Errors
/// What needs no look into the store to be refused: a client id that is no token, a user name that is no AccessId, no
/// password, and what of MQTT 5 is not available here.
pub fn greet(connect: Connect, peer: SocketAddr, limits: &Limits) -> Result<(Login, Terms), Refusal> {
    let version = connect.version;
    let refuse = |reason| Refusal { version, reason };
    if connect.authentication {
        return Err(refuse(ConnectReasonCode::BadAuthMethod));
    }
    if connect.receive_maximum == Some(0) || connect.max_packet == Some(0) {
        return Err(refuse(ConnectReasonCode::ProtocolError));
    }
    if connect.retained_will {
        return Err(refuse(ConnectReasonCode::RetainNotSupported));
    }
    let token: Token = connect.client_id.parse().map_err(|_| refuse(ConnectReasonCode::ClientIdentifierNotValid))?;
    let app: Option<AccessId> = connect.user.and_then(|user| user.parse().ok());
    let (Some(app), Some(password)) = (app, connect.password) else {
        return Err(refuse(ConnectReasonCode::BadUserNameOrPassword));
    };
    let keep_alive = match connect.keep_alive {
        0 => limits.max_keep_alive,
        // 3.1.1 cannot be told another keep-alive than its own, so it keeps it.
        asked if version == Version::V311 => asked,
        asked => asked.min(limits.max_keep_alive),
    }
    .max(1);
    let terms = Terms {
        version,
        window: usize::from(connect.receive_maximum.unwrap_or(u16::MAX).min(limits.window).max(1)),
        max_packet: connect.max_packet.map_or(usize::MAX, |bytes| usize::try_from(bytes).unwrap_or(usize::MAX)),
        keep_alive,
        connack: ConnackTerms {
            max_packet: u32::try_from(limits.max_packet).unwrap_or(u32::MAX),
            server_keep_alive: (keep_alive != connect.keep_alive).then_some(keep_alive),
            session_expiry: connect.session_expiry,
        },
    };
    Ok((Login { token, app, password, peer }, terms))
}
