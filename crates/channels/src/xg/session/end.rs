//! Ends: why a connection ends, and how MQTT 5 puts it.

use mqtt_proto::v5::DisconnectReasonCode;

use crate::xg::codec::Fault;

/// Why a connection ends.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum End {
    /// DISCONNECT came.
    #[error("the device left")]
    Left,
    /// The connection broke, or was closed without DISCONNECT.
    #[error("the connection was closed")]
    Lost,
    /// The device sent what it may not.
    #[error("the device sent {0}")]
    Fault(#[from] Fault),
    /// Nothing came for one and a half keep-alives.
    #[error("the device was silent for too long")]
    Silent,
    /// The device reads nothing.
    #[error("the device does not read")]
    Stalled,
    /// A newer connection of the device took over.
    #[error("a newer connection of the device took over")]
    TakenOver,
    /// The device was deleted.
    #[error("the device was removed")]
    Removed,
    /// The server stops.
    #[error("the server stops")]
    Draining,
    /// The desk could not take a receipt.
    #[error("the server could not take a receipt")]
    Unavailable,
}

impl End {
    /// The reason the device is told; `None`: it left, or would not hear it.
    pub(super) fn reason(&self) -> Option<DisconnectReasonCode> {
        Some(match self {
            Self::Left | Self::Lost | Self::Stalled => return None,
            Self::Fault(fault) => fault.reason(),
            Self::Silent => DisconnectReasonCode::KeepAliveTimeout,
            Self::TakenOver => DisconnectReasonCode::SessionTakenOver,
            Self::Removed => DisconnectReasonCode::AdministrativeAction,
            Self::Draining => DisconnectReasonCode::ServerShuttingDown,
            Self::Unavailable => DisconnectReasonCode::ServerBusy,
        })
    }
}
