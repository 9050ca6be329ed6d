//! Receipts: what a device says became of a message after it arrived.

use std::borrow::Cow;

use pigeonloft_model::{PushId, ReceiptEvent};
use serde::Deserialize;

#[derive(Deserialize)]
struct Wire<'a> {
    #[serde(borrow)]
    push_id: WireId<'a>,
    event: ReceiptEvent,
}

/// The API writes ids as strings; that a device sends the number back is forgiven.
#[derive(Deserialize)]
#[serde(untagged)]
enum WireId<'a> {
    Text(#[serde(borrow)] Cow<'a, str>),
    Number(i64),
}

/// Reads `{"push_id": "…", "event": "shown" | "clicked" | "cleared"}`; other members are ignored. `None` if it is
/// anything else.
pub(super) fn parse(payload: &[u8]) -> Option<(PushId, ReceiptEvent)> {
    let wire: Wire<'_> = serde_json::from_slice(payload).ok()?;
    let push = match wire.push_id {
        WireId::Text(text) => text.parse().ok()?,
        WireId::Number(number) => PushId(number),
    };
    (push.0 > 0).then_some((push, wire.event))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receipt_names_a_push_and_an_event() {
        let taken = [
            (r#"{"push_id":"7","event":"shown"}"#, ReceiptEvent::Shown),
            (r#"{"event":"clicked","push_id":7}"#, ReceiptEvent::Clicked),
            (r#" {"push_id":"\u0037","event":"cleared","at":[1]} "#, ReceiptEvent::Cleared),
        ];
        for (text, event) in taken {
            assert_eq!(parse(text.as_bytes()), Some((PushId(7), event)), "{text}");
        }
        let refused = [
            "",
            "{}",
            "7",
            r#"{"push_id":"7"}"#,
            r#"{"push_id":"7","event":"arrived"}"#,
            r#"{"push_id":"0","event":"shown"}"#,
            r#"{"push_id":"-7","event":"shown"}"#,
            r#"{"push_id":"9223372036854775808","event":"shown"}"#,
            r#"{"push_id":7.5,"event":"shown"}"#,
            r#"{"push_id":"7","event":"shown"}x"#,
            "{\"push_id\":\"7\",\"event\":\"shown\", \"a\":\"\u{fffd}",
        ];
        for text in refused {
            assert_eq!(parse(text.as_bytes()), None, "{text}");
        }
    }
}
