//! Tag: a text that devices have in common. Custom ones are given to devices by the app's servers, automatic ones come
//! from what a device reports of itself. The calls that give and take tags, and the rules by which a push chooses devices
//! by them, are read here; doing it is the store's work.

mod rule;
mod wire;

use crate::account::Elements;
use crate::ids::Token;
use crate::names::{named, numbered};

pub use rule::{TagExpression, TagItem, TagOperator, TagRule, TagRules};
pub use wire::deleted_tags;

named! {
    /// What a tag says of a device.
    TagType {
        /// Whatever the app means by it.
        Custom = "xg_user_define",
        /// The version of the app.
        AppVersion = "xg_auto_version",
        /// The province it is in.
        Province = "xg_auto_province",
        /// A day on which it was seen, `yyyymmdd`. No device has it as a row: it is asked of the days kept beside it.
        Active = "xg_auto_active",
        /// The version of what connects it to this server.
        SdkVersion = "xg_auto_sdkversion",
        /// The language it is set to.
        Language = "xg_auto_systemlanguage",
        /// Who made it.
        Brand = "xg_auto_devicebrand",
        /// Which model of the brand it is.
        Model = "xg_auto_deviceversion",
        /// The country it is in.
        Country = "xg_auto_country",
    }
}

numbered!(TagType {
    Custom = 0,
    AppVersion = 1,
    Province = 2,
    Active = 3,
    SdkVersion = 4,
    Language = 5,
    Brand = 6,
    Model = 7,
    Country = 8,
});

impl TagType {
    /// What a device reports of itself, by the member or column it reports it in. It has one tag of each.
    pub const REPORTED: [(&'static str, Self); 7] = [
        ("app_version", Self::AppVersion),
        ("province", Self::Province),
        ("country", Self::Country),
        ("language", Self::Language),
        ("brand", Self::Brand),
        ("model", Self::Model),
        ("sdk_version", Self::SdkVersion),
    ];
}

/// A tag: a name of a type.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag {
    /// The type.
    pub kind: TagType,
    /// The name, as [`Tag::name`] reads it.
    pub name: String,
}

/// A text that cannot be the name of a tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotATag {
    /// Empty or too long.
    #[error("a tag has 1 to 50 characters, this has {0}")]
    Length(usize),
    /// It has a character nobody can type.
    #[error("a tag has no control characters, character {0} is one")]
    Control(usize),
}

impl Tag {
    /// Characters of the longest name, as documented.
    pub const NAME_MAX: usize = 50;
    /// Different custom tags that the devices of an app have at once, as documented.
    pub const APP_MAX: u64 = 10_000;
    /// Custom tags of a device, as documented.
    pub const DEVICE_MAX: u64 = 100;

    /// Reads a name: blanks around it are dropped; 1–50 characters, none of them a control character.
    ///
    /// # Errors
    /// Why it is no name.
    pub fn name(text: &str) -> Result<&str, NotATag> {
        let name = text.trim();
        let length = name.chars().count();
        if !(1..=Self::NAME_MAX).contains(&length) {
            return Err(NotATag::Length(length));
        }
        match name.chars().position(char::is_control) {
            Some(place) => Err(NotATag::Control(place + 1)),
            None => Ok(name),
        }
    }

    /// What stands before the first colon of a name, if it has one: which others a new one takes the place of.
    #[must_use]
    pub fn category(name: &str) -> Option<&str> {
        name.split_once(':').map(|(category, _)| category)
    }
}

/// A token and a custom tag of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenTag {
    /// The token.
    pub token: Token,
    /// The tag's name.
    pub tag: String,
}

/// A call of `POST /v3/device/tag`; one element of the answer's `result` for each of its own.
///
/// An element's fault is 1008006 for a token that is none, 1008007 for a tag that is none, 1008001 or 1008002 if it
/// cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TagOperation {
    /// 1 (a tag to a token), 3 (tags to a token), 7 (a tag to tokens), 9 (pairs).
    Add(Elements<TokenTag>),
    /// 2, 4, 8 and 10: the same, taken away.
    Remove(Elements<TokenTag>),
    /// 5: all custom tags of a token, which is the one element.
    RemoveAll(Elements<Token>),
    /// 6: tags of one token, in the place of those of their categories; if one has no category, of all.
    Replace(Elements<TokenTag>),
}

impl TagOperation {
    /// Elements of `tag_list` and `token_list`, as documented.
    pub const LIST_MAX: usize = 500;
    /// Elements of `tag_token_list`, as documented.
    pub const PAIRS_MAX: usize = 20;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_1_to_50_characters_whatever_their_bytes() {
        assert_eq!(Tag::name("  信鸽\u{3000}"), Ok("信鸽"));
        for (length, taken) in [(0, false), (1, true), (50, true), (51, false)] {
            assert_eq!(Tag::name(&"a".repeat(length)).is_ok(), taken, "{length}");
            assert_eq!(Tag::name(&"信".repeat(length)).is_ok(), taken, "{length}");
        }
        assert_eq!(Tag::name("a\u{0}b"), Err(NotATag::Control(2)));
    }

    #[test]
    fn a_category_is_what_stands_before_the_first_colon() {
        assert_eq!(Tag::category("level:2:b"), Some("level"));
        assert_eq!(Tag::category(":2"), Some(""));
        assert_eq!(Tag::category("level"), None);
    }
}
