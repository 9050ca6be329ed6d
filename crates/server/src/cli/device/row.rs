//! Row: one line of an import, checked.

use csv::ByteRecord;
use pigeonloft_model::account::{NotAName, NotAnAccountType};
use pigeonloft_model::attribute::VALUE_BYTES_MAX;
use pigeonloft_model::ids::NotAToken;
use pigeonloft_model::tag::NotATag;
use pigeonloft_model::{Account, AccountType, Channel, Environment, Platform, Tag, TagType, Token};
use pigeonloft_store::{AccountKey, ChannelToken};

use super::columns::{Column, Columns, REPORTED};

/// Characters of a token on a vendor's channel at most; theirs have some hundred.
const CHANNEL_TOKEN_CHARS_MAX: usize = 4096;

/// What lines are held to, beside their columns.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules {
    /// That of the app.
    pub(super) platform: Platform,
    /// Whether a token can be issued to a line that has none.
    pub(super) issue: bool,
}

/// A line that is right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    /// `None`: one is to be issued.
    pub(super) token: Option<Token>,
    pub(super) account: Option<AccountKey>,
    pub(super) channel: Option<ChannelToken>,
    /// `None`: not said.
    pub(super) environment: Option<Environment>,
    /// What the device reports.
    pub(super) reported: Vec<(TagType, String)>,
    /// Its attributes, each by its place among those that have a column.
    pub(super) attributes: Vec<(usize, String)>,
}

/// Why a line cannot be imported.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum BadRow {
    #[error("{found} values, the header has {columns}")]
    Values { found: usize, columns: usize },
    #[error("{0}")]
    Token(#[from] NotAToken),
    #[error("no token, and without --out an issued one would be lost")]
    NoToken,
    #[error("{0}")]
    Account(#[from] NotAName),
    #[error("an account_type is a number: 0-16 or 991-1015")]
    AccountTypeNotANumber,
    #[error("{0}")]
    AccountType(#[from] NotAnAccountType),
    #[error("an account_type without an account")]
    TypeAlone,
    #[error("no such channel; those of vendors are apns, fcm, webpush, hw, xm, mz, vivo, oppo and honor")]
    Channel,
    #[error("{channel} leads to no device of an app on {platform}")]
    Elsewhere { channel: Channel, platform: Platform },
    #[error("a channel and its channel_token go together, and one is missing")]
    HalfAChannel,
    #[error("a channel_token has at most {CHANNEL_TOKEN_CHARS_MAX} characters, all of them visible ASCII")]
    ChannelToken,
    #[error("an environment is product or dev")]
    Environment,
    #[error("{column}: {error}")]
    Tag { column: &'static str, error: NotATag },
    #[error("an attribute has at most {VALUE_BYTES_MAX} bytes, and here no control characters")]
    Attribute,
    #[error("not UTF-8")]
    NotUtf8,
}

/// Reads a line.
pub(super) fn read(columns: &Columns, record: &ByteRecord, rules: Rules) -> Result<Row, BadRow> {
    if record.len() != columns.count {
        return Err(BadRow::Values { found: record.len(), columns: columns.count });
    }
    let text = |column| match columns.value(record, column) {
        None => Ok(None),
        Some(bytes) => std::str::from_utf8(bytes).map(Some).map_err(|_| BadRow::NotUtf8),
    };
    let token = text(Column::Token)?.map(str::parse::<Token>).transpose()?;
    if token.is_none() && !rules.issue {
        return Err(BadRow::NoToken);
    }
    Ok(Row {
        token,
        account: account(text(Column::Account)?, text(Column::AccountType)?)?,
        channel: channel(text(Column::Channel)?, text(Column::ChannelToken)?, rules.platform)?,
        environment: match text(Column::Environment)? {
            None => None,
            Some("product") => Some(Environment::Product),
            Some("dev") => Some(Environment::Dev),
            Some(_) => return Err(BadRow::Environment),
        },
        reported: reported(text)?,
        attributes: columns.attribute_values(record).map(attribute).collect::<Result<_, _>>()?,
    })
}

fn attribute((nth, value): (usize, &[u8])) -> Result<(usize, String), BadRow> {
    let value = std::str::from_utf8(value).map_err(|_| BadRow::NotUtf8)?;
    if value.len() > VALUE_BYTES_MAX || value.contains(char::is_control) {
        return Err(BadRow::Attribute);
    }
    Ok((nth, value.to_owned()))
}

fn reported<'a>(text: impl Fn(Column) -> Result<Option<&'a str>, BadRow>) -> Result<Vec<(TagType, String)>, BadRow> {
    let mut reported = Vec::new();
    for (column, kind) in REPORTED {
        let Some(text) = text(column)? else { continue };
        let name = Tag::name(text).map_err(|error| BadRow::Tag { column: column.name(), error })?;
        reported.push((kind, name.to_owned()));
    }
    Ok(reported)
}

fn account(name: Option<&str>, kind: Option<&str>) -> Result<Option<AccountKey>, BadRow> {
    let kind = match kind {
        None => AccountType::default(),
        Some(text) => AccountType::try_from(text.parse::<u32>().map_err(|_| BadRow::AccountTypeNotANumber)?)?,
    };
    match name {
        Some(name) => Ok(Some(AccountKey { account_type: kind.code(), name: Account::name(name)?.to_owned() })),
        // A column that says the same on every line may say it here, too.
        None if kind == AccountType::default() => Ok(None),
        None => Err(BadRow::TypeAlone),
    }
}

fn channel(name: Option<&str>, token: Option<&str>, platform: Platform) -> Result<Option<ChannelToken>, BadRow> {
    match (name, token) {
        (None, None) => Ok(None),
        (Some(name), Some(token)) => {
            // Every device has the own channel, and none a token on it beside its own.
            let channel: Channel =
                name.parse().ok().filter(|channel| *channel != Channel::Xg).ok_or(BadRow::Channel)?;
            if !channel.leads_to(platform) {
                return Err(BadRow::Elsewhere { channel, platform });
            }
            if token.len() > CHANNEL_TOKEN_CHARS_MAX || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
                return Err(BadRow::ChannelToken);
            }
            // Apple's are hexadecimal: two spellings are one token.
            let token = if channel == Channel::Apns { token.to_ascii_lowercase() } else { token.to_owned() };
            Ok(Some(ChannelToken { channel, token, detail: None }))
        }
        _ => Err(BadRow::HalfAChannel),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "0123456789abcdef0123456789abcdef0123";

    const ANDROID: Rules = Rules { platform: Platform::Android, issue: true };
    const IOS: Rules = Rules { platform: Platform::Ios, issue: true };

    fn row_of(rules: Rules, header: &[&str], values: &[&str]) -> Result<Row, BadRow> {
        let columns = Columns::parse(&ByteRecord::from(header.to_vec())).unwrap();
        read(&columns, &ByteRecord::from(values.to_vec()), rules)
    }

    fn row(header: &[&str], values: &[&str]) -> Result<Row, BadRow> {
        row_of(ANDROID, header, values)
    }

    #[test]
    fn a_full_line_is_read() {
        let header = ["token", "account", "account_type", "channel", "channel_token", "environment"];
        let row = row_of(IOS, &header, &[TOKEN, "张三", "1005", "apns", "abc", "dev"]).unwrap();
        assert_eq!(row.token.unwrap().as_str(), TOKEN);
        assert_eq!(row.account, Some(AccountKey { account_type: 1005, name: "张三".into() }));
        assert_eq!(row.channel, Some(ChannelToken { channel: Channel::Apns, token: "abc".into(), detail: None }));
        assert_eq!(row.environment, Some(Environment::Dev));
    }

    #[test]
    fn what_devices_report_is_read_by_its_column() {
        let read = row(&["country", "token", "model"], &["", TOKEN, " Mate 60 "]).unwrap();
        assert_eq!(read.reported, [(TagType::Model, "Mate 60".to_owned())]);
        let long = "x".repeat(51);
        let wrong = BadRow::Tag { column: "country", error: NotATag::Length(51) };
        assert_eq!(row(&["token", "country"], &[TOKEN, &long]), Err(wrong));
    }

    #[test]
    fn attributes_are_read_by_their_names_which_have_a_case() {
        let read =
            row(&["Attribute: city", "token", "attribute:City", "attribute:x"], &["", TOKEN, " 无锡 ", "a"]).unwrap();
        assert_eq!(read.attributes, [(1, "无锡".to_owned()), (2, "a".to_owned())]);
        for wrong in ["a\tb", &"信".repeat(17)] {
            assert_eq!(row(&["token", "attribute:x"], &[TOKEN, wrong]), Err(BadRow::Attribute));
        }
    }

    #[test]
    fn what_is_empty_is_not_there() {
        let row = row(&["token", "account", "environment"], &["", " ", ""]).unwrap();
        let (reported, attributes) = (Vec::new(), Vec::new());
        assert_eq!(row, Row { token: None, account: None, channel: None, environment: None, reported, attributes });
    }

    #[test]
    fn each_wrong_value_has_its_reason() {
        let pair = ["channel", "channel_token"];
        let typed = ["account", "account_type"];
        for (result, reason) in [
            (row(&["token"], &["abc"]), BadRow::Token(NotAToken::Length(3))),
            (row(&["token"], &[TOKEN, "x"]), BadRow::Values { found: 2, columns: 1 }),
            (row(&["account"], &["a"]), BadRow::Account(NotAName::Length(1))),
            (row(&typed, &["ann", "x"]), BadRow::AccountTypeNotANumber),
            (row(&typed, &["ann", "17"]), BadRow::AccountType(NotAnAccountType(17))),
            (row(&typed, &["", "5"]), BadRow::TypeAlone),
            (row(&pair, &["xg", "t"]), BadRow::Channel),
            (row(&pair, &["pigeon", "t"]), BadRow::Channel),
            (row(&pair, &["apns", "ab"]), BadRow::Elsewhere { channel: Channel::Apns, platform: Platform::Android }),
            (row_of(IOS, &pair, &["fcm", "t"]), BadRow::Elsewhere { channel: Channel::Fcm, platform: Platform::Ios }),
            (row(&pair, &["fcm", ""]), BadRow::HalfAChannel),
            (row(&pair, &["fcm", "a b"]), BadRow::ChannelToken),
            (row(&["environment"], &["test"]), BadRow::Environment),
        ] {
            assert_eq!(result, Err(reason));
        }
        let columns = Columns::parse(&ByteRecord::from(vec!["account"])).unwrap();
        let latin1 = ByteRecord::from(vec![&b"caf\xe9"[..]]);
        assert_eq!(read(&columns, &latin1, ANDROID), Err(BadRow::NotUtf8));
        let nameless = ByteRecord::from(vec!["ann"]);
        assert_eq!(read(&columns, &nameless, Rules { issue: false, ..ANDROID }), Err(BadRow::NoToken));
    }
}
