//! Columns: which of the known ones a file has, and where, by its header. Those of attributes are named by the app.

use csv::ByteRecord;
use pigeonloft_model::{AccessId, TagType};

use crate::cli::failure::Failure;

/// A column an import knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Column {
    Token,
    Account,
    AccountType,
    Channel,
    ChannelToken,
    Environment,
    AppVersion,
    Province,
    Country,
    Language,
    Brand,
    Model,
    SdkVersion,
}

/// Every known column with its name in a header.
const KNOWN: [(&str, Column); 13] = [
    ("token", Column::Token),
    ("account", Column::Account),
    ("account_type", Column::AccountType),
    ("channel", Column::Channel),
    ("channel_token", Column::ChannelToken),
    ("environment", Column::Environment),
    ("app_version", Column::AppVersion),
    ("province", Column::Province),
    ("country", Column::Country),
    ("language", Column::Language),
    ("brand", Column::Brand),
    ("model", Column::Model),
    ("sdk_version", Column::SdkVersion),
];

/// The columns of what devices report, with the types of the tags that this becomes.
pub(super) const REPORTED: [(Column, TagType); TagType::REPORTED.len()] = [
    (Column::AppVersion, TagType::AppVersion),
    (Column::Province, TagType::Province),
    (Column::Country, TagType::Country),
    (Column::Language, TagType::Language),
    (Column::Brand, TagType::Brand),
    (Column::Model, TagType::Model),
    (Column::SdkVersion, TagType::SdkVersion),
];

impl Column {
    /// As a header calls it.
    pub(super) fn name(self) -> &'static str {
        KNOWN[self as usize].0
    }
}

/// What the name of an attribute's column begins with.
const ATTRIBUTE: &str = "attribute:";

/// Where each column stands.
#[derive(Debug, Clone)]
pub(super) struct Columns {
    places: [Option<usize>; KNOWN.len()],
    /// Of attributes: where, and of which one.
    attributes: Vec<(usize, String)>,
    /// Of the header.
    pub(super) count: usize,
}

impl Columns {
    /// Reads a header. Case and blanks around a name do not matter.
    pub(super) fn parse(header: &ByteRecord) -> Result<Self, Failure> {
        let known = || format!("{}, attribute:NAME", KNOWN.map(|(name, _)| name).join(", "));
        let twice =
            |name: &str| Failure::new(format!("the first line names the column \"{}\" twice", name.escape_debug()));
        let mut columns = Self { places: [None; KNOWN.len()], attributes: Vec::new(), count: header.len() };
        for (place, name) in header.iter().enumerate() {
            let name = String::from_utf8_lossy(name);
            let name = name.trim();
            if let Some(attribute) = attribute(name) {
                if columns.attributes().any(|known| known == attribute) {
                    return Err(twice(name));
                }
                columns.attributes.push((place, attribute.to_owned()));
                continue;
            }
            let name = name.to_ascii_lowercase();
            let Some((_, column)) = KNOWN.into_iter().find(|(known, _)| *known == name) else {
                let excerpt: String = name.chars().take(40).flat_map(char::escape_debug).collect();
                return Err(Failure::new(format!(
                    "the first line names a column \"{excerpt}\", which an import does not know"
                ))
                .hint(format!("the first line is a header, with any of: {}; separated by commas", known())));
            };
            if columns.places[column as usize].replace(place).is_some() {
                return Err(twice(&name));
            }
        }
        if columns.count == 0 {
            return Err(
                Failure::new("the file is empty").hint(format!("its first line is a header, with any of: {}", known()))
            );
        }
        for (needed, by) in [
            (Column::Account, Column::AccountType),
            (Column::Channel, Column::ChannelToken),
            (Column::ChannelToken, Column::Channel),
        ] {
            if columns.has(by) && !columns.has(needed) {
                let (by, needed) = (by.name(), needed.name());
                return Err(Failure::new(format!("the column \"{by}\" means nothing without a column \"{needed}\"")));
            }
        }
        Ok(columns)
    }

    /// Whether the file has this column.
    pub(super) fn has(&self, column: Column) -> bool {
        self.place(column).is_some()
    }

    /// Where this column stands.
    pub(super) fn place(&self, column: Column) -> Option<usize> {
        self.places[column as usize]
    }

    /// What stands in this column, without the blanks around it; `None` where that is nothing.
    pub(super) fn value<'a>(&self, record: &'a ByteRecord, column: Column) -> Option<&'a [u8]> {
        value_at(record, self.place(column)?)
    }

    /// The attributes that have a column.
    pub(super) fn attributes(&self) -> impl Iterator<Item = &str> {
        self.attributes.iter().map(|(_, name)| name.as_str())
    }

    /// What stands in the columns of attributes, as [`Columns::value`]; each with its place among these.
    pub(super) fn attribute_values<'a>(&self, record: &'a ByteRecord) -> impl Iterator<Item = (usize, &'a [u8])> {
        let values = self.attributes.iter().map(|(place, _)| value_at(record, *place));
        values.enumerate().filter_map(|(nth, value)| Some((nth, value?)))
    }

    /// Whether all attributes that have a column are among those the app has declared.
    pub(super) fn check_attributes(&self, app: AccessId, declared: &[String]) -> Result<(), Failure> {
        match self.attributes().find(|name| !declared.iter().any(|known| known == name)) {
            None => Ok(()),
            Some(name) => {
                let text =
                    format!("the first line names an attribute \"{}\", which app {app} has not", name.escape_debug());
                Err(Failure::new(text).hint(format!("declare it with `pigeonloft app attribute add --app {app} NAME`")))
            }
        }
    }
}

/// Of which attribute a column of this name is, if it is one's.
fn attribute(name: &str) -> Option<&str> {
    let (prefix, name) = name.split_at_checked(ATTRIBUTE.len())?;
    prefix.eq_ignore_ascii_case(ATTRIBUTE).then(|| name.trim())
}

fn value_at(record: &ByteRecord, place: usize) -> Option<&[u8]> {
    record.get(place).map(<[u8]>::trim_ascii).filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn says(header: &[&str]) -> String {
        match Columns::parse(&ByteRecord::from(header.to_vec())) {
            Err(Failure::Told { text, hint }) => format!("{text} | {}", hint.unwrap_or_default()),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn each_column_is_found_by_its_number_in_the_list() {
        for (number, (_, column)) in KNOWN.into_iter().enumerate() {
            assert_eq!(column as usize, number);
        }
    }

    #[test]
    fn what_devices_report_is_called_as_they_call_it() {
        let columns = REPORTED.map(|(column, kind)| (KNOWN[column as usize].0, kind));
        assert_eq!(columns, TagType::REPORTED);
    }

    #[test]
    fn columns_stand_in_any_order_and_case() {
        let columns = Columns::parse(&ByteRecord::from(vec![" Account ", "TOKEN"])).unwrap();
        assert_eq!(columns.place(Column::Token), Some(1));
        let record = ByteRecord::from(vec![" a b ", "  "]);
        assert_eq!(columns.value(&record, Column::Account), Some(&b"a b"[..]));
        assert_eq!(columns.value(&record, Column::Token), None);
        assert_eq!(columns.value(&record, Column::Channel), None);
    }

    #[test]
    fn a_header_that_cannot_be_meant_is_named() {
        assert!(says(&["token", "e-mail"]).contains("\"e-mail\""));
        assert!(says(&["token;account"]).contains("separated by commas"));
        assert!(says(&["token", "token"]).contains("twice"));
        assert!(says(&["attribute:a", "ATTRIBUTE: a"]).contains("twice"));
        assert!(says(&[]).contains("empty"));
        assert!(says(&["token", "account_type"]).contains("without a column \"account\""));
        assert!(says(&["channel"]).contains("without a column \"channel_token\""));
    }
}
