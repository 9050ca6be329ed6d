//! File name: what the client calls its file. Its extension decides the format; the name is kept for people to read.
//!
//! Decoding the name from a multipart header is left to the caller.

use serde::{Deserialize, Serialize};

use crate::Refusal;

/// The longest file name in characters, fixed by the contract ("file name: [1, 100] characters").
pub const NAME_CHARS_MAX: usize = 100;

/// The three formats the contract takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// An archive of exactly one txt or csv file.
    Zip,
    /// One row per line.
    Txt,
    /// One row per record, in one column.
    Csv,
}

impl Format {
    /// The format that a name's extension stands for, in any case of letters.
    pub(crate) fn of_extension(extension: &[u8]) -> Option<Self> {
        [(b"zip", Self::Zip), (b"txt", Self::Txt), (b"csv", Self::Csv)]
            .into_iter()
            .find_map(|(known, format)| extension.eq_ignore_ascii_case(known).then_some(format))
    }

    /// `zip`, `txt` or `csv`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Zip => "zip",
            Self::Txt => "txt",
            Self::Csv => "csv",
        }
    }
}

/// A file name that the contract takes: 1–100 characters, ending in `.zip`, `.txt` or `.csv`, or without any dot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileName {
    name: String,
    format: Option<Format>,
}

impl FileName {
    /// Takes the base name: what follows the last `/` or `\`, for clients send whole paths, and Windows' too.
    ///
    /// A name without a dot is taken although the contract lists three extensions, because the edition of 2019 prints
    /// `filename="File name"` in its sample; the content decides its format then.
    ///
    /// # Errors
    /// [`Refusal::NameEmpty`], [`Refusal::NameTooLong`], [`Refusal::Extension`].
    pub fn parse(raw: &str) -> Result<Self, Refusal> {
        let name = raw.rsplit(['/', '\\']).next().unwrap_or(raw);
        let chars = name.chars().count();
        if chars == 0 {
            return Err(Refusal::NameEmpty);
        }
        if chars > NAME_CHARS_MAX {
            return Err(Refusal::NameTooLong { chars });
        }
        let format = match name.rsplit_once('.') {
            None => None,
            Some((_, extension)) => Some(
                Format::of_extension(extension.as_bytes())
                    .ok_or_else(|| Refusal::Extension { name: name.to_owned() })?,
            ),
        };
        Ok(Self { name: name.to_owned(), format })
    }

    /// The base name.
    pub fn as_str(&self) -> &str {
        &self.name
    }

    /// The format by the extension; `None` while only the content can tell.
    pub fn format(&self) -> Option<Format> {
        self.format
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_base_name_counts_and_its_extension_decides() {
        for (raw, name, format) in [
            ("list.txt", "list.txt", Some(Format::Txt)),
            ("C:\\File upload with absolute path\\List.CSV", "List.CSV", Some(Format::Csv)),
            ("/home/me/a.b.Zip", "a.b.Zip", Some(Format::Zip)),
            ("File name", "File name", None),
            ("名单.txt", "名单.txt", Some(Format::Txt)),
            (".txt", ".txt", Some(Format::Txt)),
        ] {
            let parsed = FileName::parse(raw).unwrap();
            assert_eq!((parsed.as_str(), parsed.format()), (name, format));
        }
    }

    #[test]
    fn a_name_is_measured_in_characters_after_the_path_is_cut() {
        let longest = format!("{}.txt", "名".repeat(96));
        assert!(FileName::parse(&format!("C:\\{}\\{longest}", "x".repeat(200))).is_ok());
        assert!(matches!(FileName::parse(&format!("名{longest}")), Err(Refusal::NameTooLong { chars: 101 })));
    }

    #[test]
    fn a_name_that_is_empty_or_of_another_kind_is_refused() {
        for raw in ["", "folder/", "folder\\"] {
            assert!(matches!(FileName::parse(raw), Err(Refusal::NameEmpty)), "{raw}");
        }
        for raw in ["a.xlsx", "a.", "..", "a.txt.gz", "a.txt "] {
            assert!(matches!(FileName::parse(raw), Err(Refusal::Extension { .. })), "{raw}");
        }
    }
}
