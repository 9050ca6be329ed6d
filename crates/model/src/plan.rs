//! Plans: names under which pushes are counted together.

use crate::loose::{self, Members};
use crate::ret::Fault;

/// A plan to be made: a call of `POST /v3/push/plan/add_plan_push`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewPlan {
    /// 1–[`NewPlan::NAME_MAX`] characters.
    pub name: String,
    /// At most [`NewPlan::DESCRIPTION_MAX`] characters; may be empty.
    pub description: String,
}

impl NewPlan {
    /// Characters of a name, as documented.
    pub const NAME_MAX: usize = 60;
    /// Characters of a description, as documented.
    pub const DESCRIPTION_MAX: usize = 300;

    /// Reads a call.
    ///
    /// # Errors
    /// Not JSON (1008001), no name (1008002), a text that is too long (1008007).
    pub fn parse(body: &[u8]) -> Result<Self, Fault> {
        let whole = loose::body(body)?;
        let given = Members::top(&whole);
        let name = text(&given, "planName", Self::NAME_MAX)?.filter(|name| !name.trim().is_empty());
        let name = name.ok_or_else(|| Fault::missing("planName", "give the plan a name"))?;
        let description = text(&given, "planDescribe", Self::DESCRIPTION_MAX)?.unwrap_or_default();
        Ok(Self { name, description })
    }
}

fn text(given: &Members<'_>, member: &str, max: usize) -> Result<Option<String>, Fault> {
    let text = given.text(member)?;
    let characters = text.as_deref().map_or(0, |text| text.chars().count());
    if characters > max {
        let remedy = format!("it has {characters} characters, shorten it to at most {max}");
        return Err(Fault::invalid(member, remedy));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn code(body: &Value) -> i32 {
        NewPlan::parse(body.to_string().as_bytes()).err().map_or(0, |fault| fault.code.code())
    }

    #[test]
    fn a_plan_has_a_name_and_may_be_described() {
        let plan = NewPlan::parse(r#"{"planName": "春", "planDescribe": ""}"#.as_bytes());
        assert_eq!(plan, Ok(NewPlan { name: "春".into(), description: String::new() }));
        assert_eq!(code(&json!({"planName": "信".repeat(60), "planDescribe": "鸽".repeat(300)})), 0);
        assert_eq!(code(&json!({"planName": "a".repeat(61)})), 1_008_007);
        assert_eq!(code(&json!({"planName": "a", "planDescribe": "b".repeat(301)})), 1_008_007);
        for name in [json!(null), json!(""), json!("  ")] {
            assert_eq!(code(&json!({"planName": name})), 1_008_002, "{name}");
        }
        assert_eq!(code(&json!({"planName": ["a"]})), 1_008_001);
    }
}
