//! Heard: what the verdicts of a batch say of the channel, beside what they say of each message.

use std::time::Duration;

use pigeonloft_model::{Channel, Code, DeviceId, Verdict};

use super::Reason;

/// Messages that fail in a row until the channel is paused: more than one device's trouble, less than a batch.
pub(super) const FAILURES_IN_A_ROW: usize = 20;

/// Words of a configuration that is wrong for some devices of an app and right for others, which say of themselves what they are: a
/// bundle id of their own; the environment that a key of Apple's is not for; iOS devices of a project that knows only Android.
const OF_SOME_DEVICES: [&str; 8] = [
    "DeviceTokenNotForTopic",
    "BadTopic",
    "MissingTopic",
    "TopicDisallowed",
    "BadEnvironmentKeyInToken",
    "BadEnvironmentKeyIdInToken",
    "BadCertificateEnvironment",
    "THIRD_PARTY_AUTH_ERROR",
];

/// Apple's word for too many messages to one device.
pub(super) const OF_ONE_DEVICE: &str = "TooManyRequests";

/// What is heard of a batch.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Heard {
    pub(super) asked: usize,
    accepted: usize,
    pub(super) dead: usize,
    /// Devices whose messages the vendor did not take because of itself, or did not answer: the first of them, as many as it
    /// takes for a pause.
    pub(super) failed: Vec<DeviceId>,
    /// What one of them failed for.
    failure: Option<(Reason, Code)>,
    pub(super) dead_code: Option<Code>,
    configuration: Option<Code>,
    /// How long the vendor asks to wait.
    pub(super) after: Option<Duration>,
}

impl Heard {
    /// What the verdicts of these devices say of the channel.
    pub(crate) fn of<'a>(channel: Channel, verdicts: impl Iterator<Item = (DeviceId, &'a Verdict)>) -> Self {
        let mut heard = Self::default();
        for (device, verdict) in verdicts {
            heard.asked += 1;
            match verdict {
                Verdict::Accepted => heard.accepted += 1,
                Verdict::Dead { code, .. } => {
                    heard.dead += 1;
                    heard.dead_code.get_or_insert_with(|| code.clone());
                }
                // Of the message, its token, or some devices: nothing of the channel.
                Verdict::Refused(_) => {}
                Verdict::Later { code, .. } if code == OF_ONE_DEVICE => {}
                Verdict::Configuration(code) if OF_SOME_DEVICES.contains(&&**code) => {}
                // A browser may have subscribed with the key of another server.
                Verdict::Configuration(code) if channel == Channel::Webpush => {
                    heard.failed(device, Reason::Configuration, code);
                }
                Verdict::Configuration(code) => _ = heard.configuration.get_or_insert_with(|| code.clone()),
                Verdict::Later { code, after } => {
                    heard.failed(device, Reason::Failing, code);
                    heard.after = heard.after.max(*after);
                }
                Verdict::Unknown(code) => heard.failed(device, Reason::Failing, code),
            }
        }
        heard
    }

    fn failed(&mut self, device: DeviceId, reason: Reason, code: &Code) {
        if self.failed.len() < FAILURES_IN_A_ROW {
            self.failed.push(device);
        }
        self.failure.get_or_insert_with(|| (reason, code.clone()));
    }

    /// Whether the vendor looked at a message, so that neither it nor the credentials are at fault.
    pub(super) fn is_well(&self) -> bool {
        self.accepted + self.dead > 0
    }

    /// Why to pause, if this says so, where with it so many have failed in a row.
    pub(super) fn why_to_pause(&self, failed: usize) -> Option<(Reason, Code)> {
        if self.is_well() {
            return None;
        }
        if let Some(code) = &self.configuration {
            return Some((Reason::Configuration, code.clone()));
        }
        self.failure.clone().filter(|_| failed >= FAILURES_IN_A_ROW)
    }
}
