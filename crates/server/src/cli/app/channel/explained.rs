//! Explained: what a vendor's word about a test means, and what to do about it.

use pigeonloft_model::{Channel, Verdict};

use crate::cli::failure::Failure;
use crate::vendors::UNUSABLE;

/// Why a vendor did not take a test, and what to do about it.
pub(super) fn explained(channel: Channel, verdict: &Verdict) -> Failure {
    let code = verdict.code().map(ToString::to_string).unwrap_or_default();
    let (says, hint) = in_general(verdict);
    match word(channel, &code) {
        Some((means, hint)) => Failure::new(format!("{channel} {says}: {code}: {means}")).hint(hint),
        None => Failure::new(format!("{channel} {says}: {code}")).hint(hint),
    }
}

fn in_general(verdict: &Verdict) -> (&'static str, &'static str) {
    match verdict {
        Verdict::Accepted => ("took it", "nothing is wrong"),
        Verdict::Dead { .. } => {
            ("says that the token leads to no device any more", "take the token of a device that has the app")
        }
        Verdict::Refused(_) => (
            "does not take this message for this token",
            "is the token whole, of this app, and of this environment (--environment)?",
        ),
        Verdict::Configuration(_) => (
            "does not take the credentials",
            "`pigeonloft app channel list` shows whose they are; if they are another app's, set those of this one",
        ),
        Verdict::Later { .. } => ("does not take it now", "try again later; can this machine reach the vendor?"),
        Verdict::Unknown(_) => ("did not answer", "it may have taken the message or not: try again"),
    }
}

/// What a word means on a channel, and what to do about it.
fn word(channel: Channel, code: &str) -> Option<(&'static str, &'static str)> {
    if code == UNUSABLE {
        return Some((
            "what is kept of them cannot be opened, or not be read",
            "is the key the one they were sealed with (--config names the server's settings)? Else set them again",
        ));
    }
    if code.starts_with("TLS: ") {
        return Some((
            "one side does not take the other's certificate",
            "with a certificate of our own: is it this app's, and not revoked? Else something between here and the vendor breaks \
             TLS open, or --trust is not the certificate of --url",
        ));
    }
    match channel {
        Channel::Apns => of_apple(code),
        Channel::Fcm => of_google(code),
        Channel::Webpush => of_push_services(code),
        _ => None,
    }
}

/// <https://developer.apple.com/documentation/usernotifications/handling-notification-responses-from-apns>
fn of_apple(code: &str) -> Option<(&'static str, &'static str)> {
    Some(match code {
        "Unregistered" | "ExpiredToken" => {
            ("the app is not on that device any more", "take the token of a device that has the app")
        }
        "BadDeviceToken" => (
            "it is no token of this environment",
            "take the token whole; one of an app that Xcode installed is of the other environment: --environment dev",
        ),
        "DeviceTokenNotForTopic" => (
            "the token is of an app with another bundle id",
            "set the channel with the bundle id of this app as --topic, or name the token's own with --detail",
        ),
        "InvalidProviderToken" => (
            "Apple does not know the key, or not as this team's",
            "key, --key-id and --team-id have to be of one key, which Apple's developer site still lists",
        ),
        "ExpiredProviderToken" => {
            ("what was signed a moment ago is too old to Apple", "does the clock of this machine go right?")
        }
        "TopicDisallowed" | "BadTopic" | "MissingTopic" => (
            "the credentials are not for this bundle id",
            "set the channel with the bundle id of the app as --topic, and credentials of the team it belongs to",
        ),
        "BadCertificate" | "BadCertificateEnvironment" | "Forbidden" => (
            "the certificate is not one for this app and environment",
            "set a certificate of this bundle id that has not run out, or a key, which is good for both environments",
        ),
        "certificate expired" => {
            ("it has run out", "set a new one that Apple issued, or a key, which does not run out")
        }
        "BadEnvironmentKeyInToken" | "BadEnvironmentKeyIdInToken" => {
            ("the key is for one of Apple's environments, the token of the other", "set a key that is for both")
        }
        "TooManyProviderTokenUpdates" => (
            "too many new signatures of this team in the last twenty minutes",
            "does another program send with the same key? Try again in twenty minutes",
        ),
        "TooManyRequests" => ("this device got too many messages in a short time", "try another device, or later"),
        "PayloadTooLarge" => ("the message is longer than Apple takes", "a shorter --title"),
        _ => return None,
    })
}

/// <https://firebase.google.com/docs/cloud-messaging/error-codes>, and those of Google's access tokens.
fn of_google(code: &str) -> Option<(&'static str, &'static str)> {
    Some(match code {
        "UNREGISTERED" => (
            "the app was removed from that device, or got a new token",
            "take the token that the app on the device has now",
        ),
        "INVALID_ARGUMENT" => ("it is no token of FCM, or has been cut", "take the token whole, as the app got it"),
        "SENDER_ID_MISMATCH" => (
            "the token is of another Firebase project than the service account",
            "set the service account of the project in the app's google-services.json; `pigeonloft app channel list` shows the \
             one that is set",
        ),
        "THIRD_PARTY_AUTH_ERROR" => (
            "the token is of an iPhone or a browser, for which the Firebase project has no credentials of its own",
            "put Apple's key, or the Web Push certificate, into the settings of the Firebase project",
        ),
        "PERMISSION_DENIED" | "status 403" => (
            "the service account may not send for this project",
            "is the Firebase Cloud Messaging API (V1) enabled, and has the account the role Firebase Cloud Messaging API Admin?",
        ),
        "NOT_FOUND" | "status 404" => {
            ("there is no such project", "set a service account of a project that has not been deleted")
        }
        "invalid_grant" => (
            "Google gives no access token for this service account",
            "was its key deleted? And does the clock of this machine go right?",
        ),
        "UNAUTHENTICATED" | "invalid_client" | "unauthorized_client" | "deleted_client" => (
            "Google gives this service account no access",
            "make a new key for it in the Google Cloud console, and set the channel with that file",
        ),
        "QUOTA_EXCEEDED" | "RESOURCE_EXHAUSTED" | "status 429" => (
            "a quota of the project, or of this device, is used up",
            "try again in a minute; the Google Cloud console shows the project's quotas",
        ),
        "UNAVAILABLE" | "INTERNAL" => ("FCM is overloaded, or fails", "try again in a minute"),
        "no connection for a token" => (
            "no access token was to be had, for nobody answered there",
            "can this machine reach oauth2.googleapis.com and fcm.googleapis.com by https?",
        ),
        "MessageTooBig" => ("the message is longer than FCM takes", "a shorter --title"),
        _ => return None,
    })
}

/// The statuses of RFC 8030 and 8292, with Mozilla's `errno` behind them if there is one; and words of our own for what was not
/// sent.
fn of_push_services(code: &str) -> Option<(&'static str, &'static str)> {
    let status = code.split(' ').next().filter(|status| status.len() == 3).unwrap_or(code);
    Some(match status {
        "404" | "410" => (
            "the browser unsubscribed, or got another subscription",
            "let the browser subscribe again, and take its new subscription",
        ),
        "401" | "403" => (
            "the subscription was made with another key than the app's, or the clock of this machine is wrong",
            "let the browser subscribe again with the key that `pigeonloft app webpush-keys` prints",
        ),
        "400" => (
            "the push service cannot read what it was sent",
            "are the keys of the subscription (--detail) those that the browser gave?",
        ),
        "413" | "payload too large" => ("the message is longer than the push service takes", "a shorter --title"),
        "429" => ("too many messages in a short time", "try again later"),
        "301" | "302" | "303" | "307" | "308" => {
            ("the push service leads elsewhere, and nobody follows", "take the endpoint as the browser gave it")
        }
        "address is not public" => (
            "the endpoint leads into this machine's own network",
            "if that is meant, webpush.allow_private_addresses permits it; --config names the settings that say so",
        ),
        "subscription cannot be used" => (
            "endpoint or keys are not what a browser gives",
            "--token takes the whole subscription as JSON; or the endpoint, with the member `keys` of the subscription as \
             --detail. Only https is used, unless webpush.allow_http permits more",
        ),
        "key is no point of P-256" => {
            ("the key p256dh of the subscription is damaged", "take the subscription whole, as the browser gave it")
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_that_is_known_is_explained_and_another_in_general() {
        let text = |channel, verdict| match explained(channel, &verdict) {
            Failure::Told { text, hint: Some(hint) } => format!("{text}\n{hint}"),
            other => panic!("{other:?}"),
        };
        let gone = Verdict::Dead { code: "410 errno 106".into(), since: None };
        let says = text(Channel::Webpush, gone);
        assert!(says.contains("410 errno 106: the browser unsubscribed") && says.contains("subscribe again"), "{says}");
        let later = Verdict::Later { code: "503".into(), after: None };
        assert!(text(Channel::Webpush, later).starts_with("webpush does not take it now: 503\ntry again later"));
        for (channel, codes) in [
            (Channel::Apns, "Unregistered BadDeviceToken DeviceTokenNotForTopic InvalidProviderToken TopicDisallowed"),
            (Channel::Fcm, "UNREGISTERED INVALID_ARGUMENT SENDER_ID_MISMATCH THIRD_PARTY_AUTH_ERROR invalid_grant"),
            (Channel::Webpush, "400 401 403 404 410 413"),
        ] {
            assert!(codes.split(' ').all(|code| word(channel, code).is_some()), "{channel}");
            assert!(word(channel, UNUSABLE).is_some());
            assert_eq!(word(channel, "something new"), None);
        }
    }
}
