//! A report as csv: RFC 4180 in UTF-8, a header line first, times in UTC as ISO 8601 writes them.

use std::borrow::Cow;

use jiff::Timestamp;
use pigeonloft_model::ReceiptEvent;

use super::lines::{Error, Line};

/// The columns, of both formats.
pub(super) const COLUMNS: [&str; 12] = [
    "token",
    "account_type",
    "account",
    "channel",
    "outcome",
    "reason",
    "code",
    "sent_at",
    "arrived_at",
    "shown",
    "clicked",
    "cleared",
];

/// What a spreadsheet takes for the begin of a formula.
const FORMULA: [char; 6] = ['=', '+', '-', '@', '\t', '\r'];

/// How texts that the app's users chose are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Text {
    /// With an apostrophe before what a spreadsheet would run as a formula.
    Safe,
    /// As they are.
    Verbatim,
}

/// The header line.
pub(super) fn header() -> Result<Vec<u8>, Error> {
    let mut writer = writer();
    writer.write_record(COLUMNS).map_err(failed)?;
    written(writer)
}

/// These lines.
pub(super) fn page(lines: &[Line], text: Text) -> Result<Vec<u8>, Error> {
    let mut writer = writer();
    for line in lines {
        let receipt = |event: ReceiptEvent| if line.receipts & event.flag() == 0 { "0" } else { "1" };
        writer
            .write_record([
                &*shown(line.token.as_deref(), text),
                &*line.account_type.map(|code| code.to_string()).unwrap_or_default(),
                &*shown(line.account.as_deref(), text),
                line.channel.unwrap_or_default(),
                line.outcome,
                line.reason,
                line.code.as_deref().unwrap_or_default(),
                &*time(line.sent_at),
                &*time(line.arrived_at),
                receipt(ReceiptEvent::Shown),
                receipt(ReceiptEvent::Clicked),
                receipt(ReceiptEvent::Cleared),
            ])
            .map_err(failed)?;
    }
    written(writer)
}

fn writer() -> csv::Writer<Vec<u8>> {
    csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(Vec::new())
}

fn written(writer: csv::Writer<Vec<u8>>) -> Result<Vec<u8>, Error> {
    writer.into_inner().map_err(|error| Error::Written(error.to_string()))
}

fn failed(error: csv::Error) -> Error {
    Error::Written(error.to_string())
}

/// A row of a package may be anything, and so may what a device calls its user.
fn shown(text: Option<&str>, how: Text) -> Cow<'_, str> {
    let text = text.unwrap_or_default();
    if how == Text::Safe && text.starts_with(FORMULA) { format!("'{text}").into() } else { text.into() }
}

fn time(ms: Option<i64>) -> String {
    let at = ms.and_then(|ms| Timestamp::from_millisecond(ms).ok());
    at.map(|at| at.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(account: &str) -> Line {
        Line {
            token: None,
            account_type: Some(5),
            account: Some(account.into()),
            channel: Some("xg"),
            outcome: "arrived",
            reason: "",
            code: None,
            sent_at: Some(1_795_222_087_004),
            arrived_at: None,
            receipts: 0b101,
        }
    }

    fn text(account: &str, text: Text) -> String {
        String::from_utf8(page(&[line(account)], text).unwrap()).unwrap()
    }

    #[test]
    fn what_a_spreadsheet_would_run_is_made_a_text_unless_it_is_asked_for_as_it_is() {
        let rest = ",xg,arrived,,,2026-11-21T00:48:07.004Z,,1,0,1\r\n";
        assert_eq!(text("ann", Text::Safe), format!(",5,ann{rest}"));
        for account in ["+8613800000000", "@ann", "-1", "=1+1"] {
            assert_eq!(text(account, Text::Safe), format!(",5,'{account}{rest}"));
            assert_eq!(text(account, Text::Verbatim), format!(",5,{account}{rest}"));
        }
        assert_eq!(text("=HYPERLINK(\"x\",1)", Text::Safe), format!(",5,\"'=HYPERLINK(\"\"x\"\",1)\"{rest}"));
    }
}
