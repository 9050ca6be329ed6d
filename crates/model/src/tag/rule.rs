//! Rule: which devices a push by tags is for, as the caller writes it, and as one expression.
//!
//! A list is read as a formula is: its first operator says nothing, AND binds tighter than OR, and a NOT is of the element
//! it stands in.

use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::wire::tag;
use super::{Tag, TagType};
use crate::loose::{self, Members};
use crate::names::named;
use crate::ret::Fault;
use crate::schedule::days_to;

named! {
    /// How an element joins those before it.
    TagOperator {
        /// Both.
        And = "AND",
        /// Either.
        Or = "OR",
    }
}

/// `tag_rules` of a push, checked; `tag_list` is the same as one rule of one item. Stored, and shown, as it is spelled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TagRules(Vec<TagRule>);

/// One of the rules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TagRule {
    /// At least one.
    pub tag_items: Vec<TagItem>,
    /// How it joins the rules before it; of the first it says nothing.
    pub operator: TagOperator,
    /// Those that it does not match.
    pub is_not: bool,
}

/// Tags of one type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TagItem {
    /// At least one.
    pub tags: Vec<String>,
    /// How each joins the others.
    pub tags_operator: TagOperator,
    /// How the item joins those before it; of the first it says nothing.
    pub items_operator: TagOperator,
    /// Those that it does not match.
    pub is_not: bool,
    /// Of all of them.
    pub tag_type: TagType,
}

/// Which devices are meant, as one expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TagExpression {
    /// Those that have a tag.
    Tag(Tag),
    /// Those that were seen on a day, counted from 1970-01-01.
    Active(i64),
    /// The others.
    Not(Box<Self>),
    /// Those that all of these mean. At least one.
    All(Vec<Self>),
    /// Those that any of these means. At least one.
    Any(Vec<Self>),
}

impl TagRules {
    /// Tags of all rules together; not documented, our choice.
    pub const TAGS_MAX: usize = 512;
    /// Characters of the tags of `tag_list` together, as documented.
    pub const LIST_CHARACTERS_MAX: usize = 512;

    /// The rules as one expression.
    #[must_use]
    pub fn expression(&self) -> TagExpression {
        joined(self.0.iter().map(|rule| {
            let items = rule.tag_items.iter().map(|item| (item.items_operator, item.expression()));
            (rule.operator, negated(joined(items), rule.is_not))
        }))
    }

    /// The tags and how they are joined, if this is what `tag_list` can say.
    #[must_use]
    pub fn as_list(&self) -> Option<(&[String], TagOperator)> {
        let [TagRule { tag_items, is_not: false, .. }] = self.0.as_slice() else { return None };
        let [item] = tag_items.as_slice() else { return None };
        (!item.is_not && item.tag_type == TagType::Custom).then_some((&item.tags, item.tags_operator))
    }

    /// Reads `tag_rules`, or `tag_list` where those are not set.
    pub(crate) fn parse(given: &Members<'_>) -> Result<Self, Fault> {
        let remedy = "audience_type tag needs it, or the older tag_list";
        let rules = match Self::rules(given)? {
            rules if rules.is_empty() => vec![Self::list(given)?.ok_or_else(|| Fault::missing("tag_rules", remedy))?],
            rules => rules,
        };
        let tags: usize = rules.iter().flat_map(|rule| &rule.tag_items).map(|item| item.tags.len()).sum();
        if tags > Self::TAGS_MAX {
            let remedy = format!("they have {tags} tags together, give at most {}", Self::TAGS_MAX);
            return Err(Fault::invalid("tag_rules", remedy));
        }
        Ok(Self(rules))
    }

    fn rules(given: &Members<'_>) -> Result<Vec<TagRule>, Fault> {
        let mut rules = Vec::new();
        for rule in objects(given, "tag_rules")? {
            let mut tag_items = Vec::new();
            for item in objects(&rule, "tag_items")? {
                tag_items.push(TagItem::parse(&item, tag_items.len())?);
            }
            if tag_items.is_empty() {
                return Err(Fault::missing(rule.place("tag_items"), "a rule needs at least one in it"));
            }
            let operator = operator(&rule, "operator", !rules.is_empty())?;
            rules.push(TagRule { tag_items, operator, is_not: rule.switch("is_not")? });
        }
        Ok(rules)
    }

    fn list(given: &Members<'_>) -> Result<Option<TagRule>, Fault> {
        let Some(list) = given.object("tag_list")? else { return Ok(None) };
        let tags = tags(&list, TagType::Custom)?;
        let characters: usize = tags.iter().map(|tag| tag.chars().count()).sum();
        if characters > Self::LIST_CHARACTERS_MAX {
            let max = Self::LIST_CHARACTERS_MAX;
            let remedy = format!("they have {characters} characters together, give at most {max}, or use tag_rules");
            return Err(Fault::invalid(list.place("tags"), remedy));
        }
        let tags_operator = operator(&list, "op", tags.len() > 1)?;
        let item =
            TagItem { tags, tags_operator, items_operator: TagOperator::Or, is_not: false, tag_type: TagType::Custom };
        Ok(Some(TagRule { tag_items: vec![item], operator: TagOperator::Or, is_not: false }))
    }
}

impl TagItem {
    fn parse(given: &Members<'_>, place: usize) -> Result<Self, Fault> {
        let tag_type = given.name("tag_type")?.unwrap_or(TagType::Custom);
        let tags = tags(given, tag_type)?;
        Ok(Self {
            tags_operator: operator(given, "tags_operator", tags.len() > 1)?,
            items_operator: operator(given, "items_operator", place > 0)?,
            is_not: given.switch("is_not")?,
            tag_type,
            tags,
        })
    }

    fn expression(&self) -> TagExpression {
        let tags = self.tags.iter().map(|name| (self.tags_operator, leaf(self.tag_type, name)));
        negated(joined(tags), self.is_not)
    }
}

/// The objects of a list that say anything.
fn objects<'a>(given: &Members<'a>, member: &str) -> Result<Vec<Members<'a>>, Fault> {
    let mut objects = Vec::new();
    for (index, value) in given.list(member)?.iter().enumerate().filter(|(_, value)| !loose::is_unset(value)) {
        objects.extend(loose::object(value, || format!("{}[{index}]", given.place(member)))?);
    }
    Ok(objects)
}

fn tags(given: &Members<'_>, kind: TagType) -> Result<Vec<String>, Fault> {
    let mut tags = Vec::new();
    for (index, value) in given.list("tags")?.iter().enumerate().filter(|(_, value)| !is_nothing(value)) {
        let place = || format!("{}[{index}]", given.place("tags"));
        let name = tag(value, &place)?;
        if kind == TagType::Active && day(&name).is_none() {
            return Err(Fault::invalid(place(), format_args!("a day of {kind} is written as yyyymmdd")));
        }
        tags.push(name);
    }
    if tags.is_empty() {
        return Err(Fault::missing(given.place("tags"), "it needs at least one tag in it"));
    }
    Ok(tags)
}

fn is_nothing(value: &Value) -> bool {
    value.is_null() || value.as_str().is_some_and(|text| text.trim().is_empty())
}

/// An operator. Where it says nothing it may be anything; where it does, and is not there, we do not guess: one of the two
/// would reach devices that were not meant.
fn operator(given: &Members<'_>, member: &str, counts: bool) -> Result<TagOperator, Fault> {
    if !counts {
        return Ok(TagOperator::Or);
    }
    let text = given.text(member)?.ok_or_else(|| Fault::missing(given.place(member), "give AND or OR"))?;
    text.trim().to_ascii_uppercase().parse().map_err(|unknown| Fault::invalid(given.place(member), unknown))
}

/// The number of a day that is written as `yyyymmdd`.
fn day(text: &str) -> Option<i64> {
    if text.len() != 8 || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let part = |range: std::ops::Range<usize>| text.get(range)?.parse::<i16>().ok();
    let (month, day) = (i8::try_from(part(4..6)?).ok()?, i8::try_from(part(6..8)?).ok()?);
    Date::new(part(0..4)?, month, day).ok().map(days_to)
}

fn leaf(kind: TagType, name: &str) -> TagExpression {
    match (kind, day(name)) {
        (TagType::Active, Some(day)) => TagExpression::Active(day),
        _ => TagExpression::Tag(Tag { kind, name: name.to_owned() }),
    }
}

fn negated(expression: TagExpression, is_not: bool) -> TagExpression {
    if is_not { TagExpression::Not(Box::new(expression)) } else { expression }
}

/// Joins terms: those that are joined by AND first, then these by OR.
fn joined(terms: impl Iterator<Item = (TagOperator, TagExpression)>) -> TagExpression {
    let mut any: Vec<Vec<TagExpression>> = Vec::new();
    for (operator, term) in terms {
        match any.last_mut() {
            Some(all) if operator == TagOperator::And => all.push(term),
            _ => any.push(vec![term]),
        }
    }
    single(any.into_iter().map(|all| single(all, TagExpression::All)).collect(), TagExpression::Any)
}

fn single(mut terms: Vec<TagExpression>, many: fn(Vec<TagExpression>) -> TagExpression) -> TagExpression {
    if terms.len() == 1 { terms.swap_remove(0) } else { many(terms) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::TagExpression::{Active, All, Any};
    use super::*;

    fn rules(body: &Value) -> Result<TagRules, Fault> {
        TagRules::parse(&Members::top(body.as_object().unwrap()))
    }

    fn code(body: &Value) -> i32 {
        rules(body).err().map_or(0, |fault| fault.code.code())
    }

    fn custom(name: &str) -> TagExpression {
        TagExpression::Tag(Tag { kind: TagType::Custom, name: name.to_owned() })
    }

    fn not(expression: TagExpression) -> TagExpression {
        TagExpression::Not(Box::new(expression))
    }

    #[test]
    fn rules_items_and_tags_nest_and_each_may_be_negated() {
        let body = json!({"tag_rules": [
            {"operator": "AND", "is_not": true, "tag_items": [
                {"tags": ["a", "b"], "tags_operator": "OR", "items_operator": "nonsense", "tag_type": "xg_user_define"},
                {"tags": ["c", "d"], "tags_operator": "and", "items_operator": "AND", "is_not": "1"},
            ]},
            {"operator": "OR", "is_not": false, "tag_items": [
                {"tags": ["20231115"], "tag_type": "xg_auto_active"}, {"tags": ["1.2"], "items_operator": "OR", "tag_type": "xg_auto_version"},
            ]},
            null, {"tag_items": [], "operator": "", "is_not": false},
        ]});
        let first = not(All(vec![Any(vec![custom("a"), custom("b")]), not(All(vec![custom("c"), custom("d")]))]));
        let version = TagExpression::Tag(Tag { kind: TagType::AppVersion, name: "1.2".into() });
        let second = Any(vec![Active(19_676), version]);
        let found = rules(&body).unwrap();
        assert_eq!(found.expression(), Any(vec![first, second]));
        assert_eq!(found.as_list(), None);
        let stored = serde_json::to_string(&found).unwrap();
        assert_eq!(serde_json::from_str::<TagRules>(&stored).unwrap(), found);
    }

    #[test]
    fn and_binds_tighter_than_or() {
        let item = |tag: &str, operator: &str| json!({"tags": [tag], "items_operator": operator});
        let body = json!({"tag_rules": [{"tag_items": [
            item("a", "AND"), item("b", "OR"), item("c", "AND"), item("d", "AND"), item("e", "OR"),
        ]}]});
        let all = All(vec![custom("b"), custom("c"), custom("d")]);
        assert_eq!(rules(&body).unwrap().expression(), Any(vec![custom("a"), all, custom("e")]));
    }

    #[test]
    fn the_older_list_counts_where_there_are_no_rules() {
        let mut body = json!({"tag_list": {"tags": ["a", "b"], "op": "AND"}, "tag_rules": []});
        let list = rules(&body).unwrap();
        assert_eq!(list.expression(), All(vec![custom("a"), custom("b")]));
        assert_eq!(list.as_list(), Some((&["a".to_owned(), "b".to_owned()][..], TagOperator::And)));
        body["tag_rules"] = json!([{"tag_items": [{"tags": ["c"]}]}]);
        assert_eq!(rules(&body).unwrap().expression(), custom("c"));
    }

    #[test]
    fn what_would_have_to_be_guessed_is_refused() {
        let rule = |item: Value| json!({"tag_rules": [{"tag_items": [item]}]});
        let long = "a".repeat(50);
        // Ten tags of fifty characters and one more.
        let list = |more: usize| {
            let tags = [vec![long.clone(); 10], vec!["a".repeat(more)]].concat();
            json!({"tag_list": {"tags": tags, "op": "OR"}})
        };
        for (body, expected) in [
            (json!({}), 1_008_002),
            (json!({"tag_rules": [{"is_not": true}]}), 1_008_002),
            (rule(json!({"tags": ["a", "b"]})), 1_008_002),
            (rule(json!({"tags": ["a", "b"], "tags_operator": "XOR"})), 1_008_007),
            (rule(json!({"tags": [], "tags_operator": "OR"})), 1_008_002),
            (rule(json!({"tags": ["a"], "tag_type": "xg_auto_color"})), 1_008_007),
            (rule(json!({"tags": ["2023-11-15"], "tag_type": "xg_auto_active"})), 1_008_007),
            (rule(json!({"tags": ["20230229"], "tag_type": "xg_auto_active"})), 1_008_007),
            (rule(json!({"tags": [format!("{long}b")]})), 1_008_007),
            (json!({"tag_rules": [{"tag_items": [{"tags": ["a"]}]}, {"tag_items": [{"tags": ["b"]}]}]}), 1_008_002),
            (json!({"tag_rules": [{"tag_items": [{"tags": ["a"]}, {"tags": ["b"]}]}]}), 1_008_002),
            (rule(json!({"tags": vec!["a"; 512], "tags_operator": "OR"})), 0),
            (rule(json!({"tags": vec!["a"; 513], "tags_operator": "OR"})), 1_008_007),
            (json!({"tag_list": {"tags": ["a", "b"]}}), 1_008_002),
            (list(12), 0),
            (list(13), 1_008_007),
        ] {
            assert_eq!(code(&body), expected, "{body}");
        }
    }
}
