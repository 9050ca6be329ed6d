//! Wire: the bodies of the tag calls, read element by element.

use serde_json::Value;

use super::{Tag, TagOperation, TokenTag};
use crate::account::Elements;
use crate::account::wire::{elements, operator, token};
use crate::ids::Token;
use crate::loose::{self, Members};
use crate::ret::{Fault, excerpt};

impl TagOperation {
    /// Reads a call of `POST /v3/device/tag`. Of a list that is to have one element, the first counts.
    ///
    /// # Errors
    /// The call as a whole is wrong: not JSON (1008001), no `operator_type` or none of the lists it needs (1008002),
    /// another `operator_type` or more elements than allowed (1008007).
    pub fn parse(body: &[u8]) -> Result<Self, Fault> {
        let whole = loose::body(body)?;
        let given = Members::top(&whole);
        let operator = operator(&given, 1..=10)?;
        if operator == 5 {
            return Ok(Self::RemoveAll(vec![first(tokens(&given)?)]));
        }
        let pairs = match operator {
            1 | 2 => of_one_token(first(tokens(&given)?), vec![first(tags(&given)?)]),
            3 | 4 | 6 => of_one_token(first(tokens(&given)?), tags(&given)?),
            7 | 8 => {
                let tag = first(tags(&given)?);
                tokens(&given)?.into_iter().map(|token| pair(token, tag.clone())).collect()
            }
            _ => elements(&given, "tag_token_list", Self::PAIRS_MAX, token_tag)?,
        };
        Ok(match operator {
            6 => Self::Replace(pairs),
            1 | 3 | 7 | 9 => Self::Add(pairs),
            _ => Self::Remove(pairs),
        })
    }
}

/// Reads a call of `POST /v3/device/tag/delete_all_device`: the names of the tags that no device is to have any more.
///
/// # Errors
/// As [`TagOperation::parse`].
pub fn deleted_tags(body: &[u8]) -> Result<Elements<String>, Fault> {
    let whole = loose::body(body)?;
    tags(&Members::top(&whole))
}

fn tokens(given: &Members<'_>) -> Result<Elements<Token>, Fault> {
    elements(given, "token_list", TagOperation::LIST_MAX, token)
}

fn tags(given: &Members<'_>) -> Result<Elements<String>, Fault> {
    elements(given, "tag_list", TagOperation::LIST_MAX, tag)
}

/// A list that was read has an element at least.
fn first<T>(mut elements: Elements<T>) -> Result<T, Fault> {
    elements.swap_remove(0)
}

fn of_one_token(token: Result<Token, Fault>, tags: Elements<String>) -> Elements<TokenTag> {
    tags.into_iter().map(|tag| pair(token.clone(), tag)).collect()
}

fn pair(token: Result<Token, Fault>, tag: Result<String, Fault>) -> Result<TokenTag, Fault> {
    Ok(TokenTag { token: token?, tag: tag? })
}

/// The name of a tag.
pub(super) fn tag(value: &Value, place: &dyn Fn() -> String) -> Result<String, Fault> {
    let text = loose::text(value, place)?.unwrap_or_default();
    let name =
        Tag::name(&text).map_err(|error| Fault::invalid(place(), format_args!("{}: {error}", excerpt(&text))))?;
    Ok(name.to_owned())
}

/// A pair as an object or, as older clients write it, as a list of the tag and the token.
fn token_tag(value: &Value, place: &dyn Fn() -> String) -> Result<TokenTag, Fault> {
    if let Value::Array(both) = value
        && let [the_tag, the_token] = both.as_slice()
    {
        return pair(token(the_token, place), tag(the_tag, place));
    }
    let remedy = "give {\"tag\": …, \"token\": …}";
    let members = loose::object(value, place)?.ok_or_else(|| Fault::missing(place(), remedy))?;
    let member = |name: &str| members.text(name).map(|text| Value::from(text.unwrap_or_default()));
    let the_token = token(&member("token")?, &|| members.place("token"));
    pair(the_token, tag(&member("tag")?, &|| members.place("tag")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ONE: &str = "0123456789abcdef0123456789abcdef0123";
    const TWO: &str = "f123456789abcdef0123456789abcdef0123";

    fn operation(body: &Value) -> Result<TagOperation, Fault> {
        TagOperation::parse(body.to_string().as_bytes())
    }

    fn code<T>(result: Result<T, Fault>) -> i32 {
        result.err().map_or(0, |fault| fault.code.code())
    }

    fn of(token: &str, tag: &str) -> Result<TokenTag, Fault> {
        Ok(TokenTag { token: token.parse().unwrap(), tag: tag.to_owned() })
    }

    #[test]
    fn an_operator_of_one_takes_the_first_and_one_of_many_takes_all() {
        let call = |operator: i64| {
            operation(&json!({"operator_type": operator, "tag_list": ["a", "b"], "token_list": [ONE, TWO],
                "tag_token_list": [{"tag": "a", "token": TWO}, ["b", ONE]]}))
            .unwrap()
        };
        let single = vec![of(ONE, "a")];
        let tags = vec![of(ONE, "a"), of(ONE, "b")];
        let tokens = vec![of(ONE, "a"), of(TWO, "a")];
        let pairs = vec![of(TWO, "a"), of(ONE, "b")];
        for (add, elements) in [(1, single), (3, tags.clone()), (7, tokens), (9, pairs)] {
            assert_eq!(call(add), TagOperation::Add(elements.clone()), "{add}");
            assert_eq!(call(add + 1), TagOperation::Remove(elements), "{}", add + 1);
            if add == 3 {
                assert_eq!(call(5), TagOperation::RemoveAll(vec![Ok(ONE.parse().unwrap())]));
                assert_eq!(call(6), TagOperation::Replace(tags.clone()));
            }
        }
    }

    #[test]
    fn a_bad_element_does_not_fail_its_neighbours() {
        let long = "a".repeat(51);
        let body = json!({"operator_type": "9", "tag_token_list": [
            {"tag": "a", "token": ONE}, {"tag": "a", "token": "x"}, {"tag": long, "token": ONE}, {"token": ONE},
            {"tag": ["a"], "token": ONE}, "text", null, {"tag": 7, "token": ONE},
        ]});
        let Ok(TagOperation::Add(pairs)) = operation(&body) else { panic!("not pairs") };
        let codes: Vec<_> = pairs.into_iter().map(code).collect();
        assert_eq!(codes, [0, 1_008_006, 1_008_007, 1_008_007, 1_008_001, 1_008_001, 1_008_002, 0]);
        let body = json!({"operator_type": 3, "token_list": ["x"], "tag_list": ["a", "b"]});
        let Ok(TagOperation::Add(pairs)) = operation(&body) else { panic!("not pairs") };
        assert_eq!(pairs.into_iter().map(code).collect::<Vec<_>>(), [1_008_006, 1_008_006]);
    }

    #[test]
    fn a_call_has_so_many_elements_and_not_one_more() {
        let tags = |count| json!({"operator_type": 3, "token_list": [ONE], "tag_list": vec!["a"; count]});
        let tokens = |count| json!({"operator_type": 7, "token_list": vec![ONE; count], "tag_list": ["a"]});
        let pairs = |count| json!({"operator_type": 10, "tag_token_list": vec![["a", ONE]; count]});
        for (taken, refused) in [(tags(500), tags(501)), (tokens(500), tokens(501)), (pairs(20), pairs(21))] {
            assert_eq!(code(operation(&taken)), 0);
            assert_eq!(code(operation(&refused)), 1_008_007);
        }
    }

    #[test]
    fn a_call_without_its_operator_or_its_lists_is_refused() {
        for (body, expected) in [
            (json!({}), 1_008_002),
            (json!({"operator_type": 11, "tag_list": ["a"]}), 1_008_007),
            (json!({"operator_type": 1, "tag_list": ["a"]}), 1_008_002),
            (json!({"operator_type": 1, "token_list": [ONE], "tag_list": []}), 1_008_002),
            (json!({"operator_type": 5, "tag_list": ["a"]}), 1_008_002),
            (json!({"operator_type": 9, "token_list": [ONE], "tag_list": ["a"]}), 1_008_002),
            (json!({"operator_type": 7, "token_list": ONE, "tag_list": ["a"]}), 1_008_001),
        ] {
            assert_eq!(code(operation(&body)), expected, "{body}");
        }
        assert_eq!(code(deleted_tags(b"{}")), 1_008_002);
        let names = deleted_tags(br#"{"tag_list": [" a ", ""]}"#).unwrap();
        assert_eq!(names[0], Ok("a".to_owned()));
        assert_eq!(code(names[1].clone()), 1_008_007);
    }
}
