//! Tags of devices, and the rules by which a push chooses devices.

use pigeonloft_model::tag::TagOperator;
use pigeonloft_model::{Tag, TagOperation, TagRules, TagType};
use serde_json::{Value, json};

use super::devices::{TAG, TOKEN, result};
use crate::api::openapi::Operation;
use crate::api::openapi::schema::{asked, choice, list, list_of, name_of, switch, token, whole};

fn name() -> Value {
    name_of(1..=Tag::NAME_MAX, "a tag, without control characters")
}

fn names(description: &str) -> Value {
    list_of(TagOperation::LIST_MAX, name(), description)
}

/// `POST /v3/device/tag`
pub(in super::super) fn operate_tags() -> Operation {
    let pair = asked("TokenTag", &["tag", "token"], [("tag", name()), ("token", token())]);
    let request = asked(
        "TagOperation",
        &["operator_type"],
        [
            (
                "operator_type",
                whole(
                    1..=10,
                    "1, 2: give the first token the first tag, take it away; 3, 4: many tags, the first token; 5: take all off \
                     the first token; 6: give the first token these in the place of those of their categories, or of all if \
                     one has no `:`; 7, 8: the first tag, many tokens; 9, 10: pairs",
                ),
            ),
            ("tag_list", names("tags")),
            ("token_list", list_of(TagOperation::LIST_MAX, token(), "tokens")),
            ("tag_token_list", list_of(TagOperation::PAIRS_MAX, pair, "tags, each with a token")),
        ],
    );
    let example = json!({ "operator_type": 3, "tag_list": ["vip", "level:3"], "token_list": [TOKEN] });
    let says = format!(
        "A device has at most {} custom tags, an app {}. It is done when it is answered; one bad element does not touch the \
         others.",
        Tag::DEVICE_MAX,
        Tag::APP_MAX
    );
    Operation::v3(TAG, "operateTags", "Gives tags to devices, or takes them away", &request, &example)
        .says(&says)
        .members("TagsOperated", [result()])
}

/// `POST /v3/device/tag/delete_all_device`
pub(in super::super) fn delete_tags() -> Operation {
    let request = asked("TagsToDelete", &["tag_list"], [("tag_list", names("custom tags"))]);
    Operation::v3(TAG, "deleteTags", "Takes tags off all devices", &request, &json!({ "tag_list": ["sale 2025"] }))
        .members("TagsDeleted", [result()])
}

fn operator(description: &str) -> Value {
    choice(TagOperator::ALL.iter().map(|name| name.as_str()), description)
}

/// `tag_rules` of a push.
pub(super) fn tag_rules() -> Value {
    let item = asked(
        "TagItem",
        &["tags"],
        [
            ("tags", list(name(), "names, or of `xg_auto_active` days, `yyyymmdd`")),
            ("tags_operator", operator("how the tags are joined")),
            ("items_operator", operator("how the item joins those before it; AND first, then OR")),
            ("is_not", switch("the devices that it does not match")),
            ("tag_type", choice(TagType::ALL.iter().map(|name| name.as_str()), "`xg_user_define` where none is given")),
        ],
    );
    let rule = asked(
        "TagRule",
        &["tag_items"],
        [
            ("tag_items", list(item, "tags of one type each")),
            ("operator", operator("how the rule joins those before it; AND first, then OR")),
            ("is_not", switch("the devices that it does not match")),
        ],
    );
    let says = format!("the devices, of `tag`; at most {} tags in all", TagRules::TAGS_MAX);
    list(rule, &says)
}

/// `tag_list` of a push.
pub(super) fn tag_list() -> Value {
    let says = format!("custom tags, at most {} characters in all", TagRules::LIST_CHARACTERS_MAX);
    let mut schema =
        asked("TagList", &["tags"], [("tags", list(name(), &says)), ("op", operator("how the tags are joined"))]);
    schema["description"] = "the older form of `tag_rules`, which count where both are given".into();
    schema
}
