//! Outcome: what became of one recipient, and of a push as a whole; receipts, which a device sends by itself; and the
//! channels a message can take. Moving from one outcome to the next is the dispatcher's and the store's work.

use crate::app::Platform;
use crate::names::{named, numbered};

named! {
    /// What became of one recipient: one device of one push.
    Outcome {
        /// In the inbox of the device, not sent yet.
        Waiting = "waiting",
        /// Handed to a channel or published, not acknowledged; on the own channel still in the inbox.
        Sent = "sent",
        /// The device acknowledged it.
        Arrived = "arrived",
        /// It waited until the push expired.
        Expired = "expired",
        /// The push was for devices online only (`expire_time` 0), and this one was not.
        NotKept = "not_kept",
        /// No channel that the push allows leads to the device.
        NoChannel = "no_channel",
        /// The device was deleted while its message waited.
        Gone = "gone",
        /// The push was stopped, revoked or replaced while its message waited. If it was on its way then, and the device
        /// acknowledges it all the same, the outcome becomes [`Outcome::Arrived`].
        Stopped = "stopped",
        /// A vendor's channel took it, and answers for it from then on.
        Accepted = "accepted",
        /// It was on its way to a vendor when the connection broke off: the vendor may have taken it, or not. It is not
        /// sent again.
        Unknown = "unknown",
    }
}

numbered! {
    Outcome {
        Waiting = 0,
        Sent = 1,
        Arrived = 2,
        Expired = 3,
        NotKept = 4,
        NoChannel = 5,
        Gone = 6,
        Stopped = 7,
        Accepted = 8,
        Unknown = 9,
    }
}

impl Outcome {
    /// Whether nothing is to be sent any more. A device's acknowledgement that comes after [`Outcome::Expired`] changes
    /// nothing.
    #[must_use]
    pub const fn is_final(self) -> bool {
        !matches!(self, Self::Waiting | Self::Sent)
    }

    /// Whether a device's acknowledgement makes it [`Outcome::Arrived`].
    #[must_use]
    pub const fn may_arrive(self) -> bool {
        matches!(self, Self::Waiting | Self::Sent | Self::Stopped)
    }
}

named! {
    /// What a device tells of a message beyond its arrival. Counted once for each device and push.
    ReceiptEvent {
        /// The notification was shown.
        Shown = "shown",
        /// It was clicked.
        Clicked = "clicked",
        /// It was wiped away unread.
        Cleared = "cleared",
    }
}

impl ReceiptEvent {
    /// Its bit in the receipts of a recipient.
    #[must_use]
    pub const fn flag(self) -> u8 {
        match self {
            Self::Shown => 1,
            Self::Clicked => 2,
            Self::Cleared => 4,
        }
    }
}

named! {
    /// State of a push, by the names `get_push_record` answers.
    PushState {
        /// Taken, nothing done yet.
        Init = "PUSH_INIT",
        /// Waits for its time.
        Wait = "PUSH_WAIT",
        /// Being sent.
        Started = "PUSH_STARTED",
        /// Every recipient was tried; some may still have it waiting in the inbox.
        Finished = "PUSH_FINISHED",
        /// Could not be carried out, such as for a package that is gone.
        Failed = "PUSH_FAILED",
        /// Cancelled before its time.
        Canceled = "PUSH_CANCELED",
        /// Deleted.
        Deleted = "PUSH_DELETED",
        /// Taken back from devices, as far as it was not clicked.
        Revoked = "PUSH_REVOKED",
        /// A later push with its `collapse_id` took its place.
        Collapsed = "PUSH_COLLAPSED",
        /// Stopped: what was not delivered then never will be.
        Stopped = "PUSH_DELETED_PUSH_MSG",
    }
}

numbered! {
    PushState {
        Init = 0,
        Wait = 1,
        Started = 2,
        Finished = 3,
        Failed = 4,
        Canceled = 5,
        Deleted = 6,
        Revoked = 7,
        Collapsed = 8,
        Stopped = 9,
    }
}

named! {
    /// A way to a device, by the name `channel_rules` and the statistics use.
    Channel {
        /// The own channel.
        Xg = "xg",
        /// Apple.
        Apns = "apns",
        /// Google.
        Fcm = "fcm",
        /// Browsers.
        Webpush = "webpush",
        /// Huawei.
        Hw = "hw",
        /// Xiaomi.
        Xm = "xm",
        /// Meizu.
        Mz = "mz",
        /// vivo.
        Vivo = "vivo",
        /// OPPO.
        Oppo = "oppo",
        /// Honor.
        Honor = "honor",
    }
}

numbered! {
    Channel {
        Xg = 0,
        Apns = 1,
        Fcm = 2,
        Webpush = 3,
        Hw = 4,
        Xm = 5,
        Mz = 6,
        Vivo = 7,
        Oppo = 8,
        Honor = 9,
    }
}

impl Channel {
    /// Whether devices of a platform can have a token on it. A browser runs on all of them; the rest of Apple's and of the others'
    /// is apart: what went to Apple through FCM would have nothing of the `ios` object.
    #[must_use]
    pub const fn leads_to(self, platform: Platform) -> bool {
        match self {
            Self::Xg | Self::Webpush => true,
            Self::Apns => platform.is_apple(),
            Self::Fcm | Self::Hw | Self::Xm | Self::Mz | Self::Vivo | Self::Oppo | Self::Honor => !platform.is_apple(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_and_number_leads_back_to_its_value() {
        for &outcome in Outcome::ALL {
            assert_eq!(outcome.as_str().parse(), Ok(outcome));
            assert_eq!(Outcome::try_from(outcome.code()), Ok(outcome));
        }
        for &state in PushState::ALL {
            assert_eq!(state.as_str().parse(), Ok(state));
            assert_eq!(PushState::try_from(state.code()), Ok(state));
        }
        for &channel in Channel::ALL {
            assert_eq!(channel.as_str().parse(), Ok(channel));
            assert_eq!(Channel::try_from(channel.code()), Ok(channel));
        }
        assert!(Outcome::try_from(10).is_err());
        assert!("Arrived".parse::<Outcome>().is_err());
    }

    #[test]
    fn only_what_waits_or_is_under_way_can_still_change() {
        let open: Vec<_> = Outcome::ALL.iter().filter(|outcome| !outcome.is_final()).collect();
        assert_eq!(open, [&Outcome::Waiting, &Outcome::Sent]);
    }

    #[test]
    fn the_receipts_of_a_device_fit_in_one_byte_without_overlap() {
        let all = ReceiptEvent::ALL.iter().fold(0, |bits, event| bits + event.flag());
        assert_eq!(all, 0b111);
    }

    #[test]
    fn a_receipt_is_written_as_its_name() {
        assert_eq!(serde_json::to_string(&ReceiptEvent::Clicked).unwrap(), r#""clicked""#);
        assert_eq!(serde_json::from_str::<ReceiptEvent>(r#""cleared""#).unwrap(), ReceiptEvent::Cleared);
        assert!(serde_json::from_str::<ReceiptEvent>(r#""seen""#).is_err());
    }
}
