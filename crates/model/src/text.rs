//! Text: a title or content, with places where a device's attributes are filled in.
//!
//! `{{name|default}}` is such a place. It ends with the first `}}`; blanks around name and default do not count, a bar
//! in the default does not end it, and a device without the attribute gets the default, which is empty where there is no
//! bar. Without a name the default stands for every device: `{{|{{}}` writes `{{`. A `{{` without an end is text.

/// A piece of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece<'a> {
    /// The same for every device.
    Plain(&'a str),
    /// A device's attribute.
    Attribute {
        /// By this name, which may be any text without `}}` and `|`.
        name: &'a str,
        /// Or this, where the device has none.
        default: &'a str,
    },
}

/// The pieces of a text, in their order.
pub fn pieces(text: &str) -> impl Iterator<Item = Piece<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let Some(place) = rest.find("{{").and_then(|begin| Some((begin, begin + 2 + rest[begin + 2..].find("}}")?)))
        else {
            return Some(Piece::Plain(std::mem::take(&mut rest)));
        };
        match place {
            (0, end) => {
                let within = &rest[2..end];
                rest = &rest[end + 2..];
                Some(match within.split_once('|') {
                    Some((name, default)) if name.trim().is_empty() => Piece::Plain(default.trim()),
                    Some((name, default)) => Piece::Attribute { name: name.trim(), default: default.trim() },
                    None => Piece::Attribute { name: within.trim(), default: "" },
                })
            }
            (begin, _) => {
                let (plain, from) = rest.split_at(begin);
                rest = from;
                Some(Piece::Plain(plain))
            }
        }
    })
}

/// Whether a text has other pieces than itself.
#[must_use]
pub fn is_filled(text: &str) -> bool {
    pieces(text).any(|piece| piece != Piece::Plain(text))
}

/// A text for one device, whose attribute of a name is `value` of it.
pub fn filled<'a>(text: &str, value: impl Fn(&str) -> Option<&'a str>) -> String {
    let mut filled = String::with_capacity(text.len());
    for piece in pieces(text) {
        filled.push_str(match piece {
            Piece::Plain(text) => text,
            Piece::Attribute { name, default } => value(name).unwrap_or(default),
        });
    }
    filled
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn attribute<'a>(name: &'a str, default: &'a str) -> Piece<'a> {
        Piece::Attribute { name, default }
    }

    fn all(text: &str) -> Vec<Piece<'_>> {
        pieces(text).collect()
    }

    #[test]
    fn a_place_has_a_name_and_perhaps_a_default() {
        assert_eq!(
            all("Dear {{ name | friend }}, {{points}}!"),
            [
                Piece::Plain("Dear "),
                attribute("name", "friend"),
                Piece::Plain(", "),
                attribute("points", ""),
                Piece::Plain("!"),
            ]
        );
        assert_eq!(all("{{a|b|c}}{{d}}"), [attribute("a", "b|c"), attribute("d", "")]);
        assert_eq!(all("{{}}"), [attribute("", "")]);
    }

    #[test]
    fn braces_that_do_not_end_are_text() {
        for text in ["{", "{{", "a {{name", "{{name}", "}}", "a }} b {{", "{name}"] {
            assert_eq!(all(text), [Piece::Plain(text)]);
            assert!(!is_filled(text), "{text}");
        }
        assert_eq!(all("{{{a}}}"), [attribute("{a", ""), Piece::Plain("}")]);
    }

    #[test]
    fn two_braces_can_be_written() {
        assert_eq!(all("use {{|{{}}name}}"), [Piece::Plain("use "), Piece::Plain("{{"), Piece::Plain("name}}")]);
        assert!(is_filled("{{|{{}}"));
    }

    proptest! {
        #[test]
        fn any_text_has_pieces_and_one_without_places_is_its_own(text in "[{}| a信]{0,40}") {
            let all = all(&text);
            let is_plain = text.find("{{").is_none_or(|begin| !text[begin + 2..].contains("}}"));
            prop_assert_eq!(is_filled(&text), !is_plain);
            if is_plain && !text.is_empty() {
                prop_assert_eq!(&all, &[Piece::Plain(&text)]);
            }
            for piece in all {
                if let Piece::Attribute { name, default } = piece {
                    prop_assert!(!name.contains("}}") && !name.contains('|') && !default.contains("}}"));
                    prop_assert_eq!((name, default), (name.trim(), default.trim()));
                }
            }
        }

        #[test]
        fn what_is_written_as_a_place_is_read_as_one(
            before in "[^{}]{0,10}", name in "[a-z][a-z ]{0,8}[a-z]", default in "[a-z|][a-z{| ]{0,8}[a-z]",
        ) {
            let text = format!("{before}{{{{ {name} |{default} }}}}");
            let mut expected = vec![Piece::Plain(&before), attribute(&name, &default)];
            expected.retain(|piece| *piece != Piece::Plain(""));
            prop_assert_eq!(all(&text), expected);
        }
    }
}
