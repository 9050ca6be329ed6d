//! Wire: the body of `POST /v3/push/app`, read into a [`Push`].

use std::collections::HashSet;
use std::str::FromStr;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::left_out::{exclude, sample};
use super::{AccountPush, ChannelRule, Environment, Push};
use crate::account::{AccountType, account_type};
use crate::app::Platform;
use crate::audience::{Audience, AudienceKind};
use crate::ids::{PushId, UploadId};
use crate::loose::{self, Members};
use crate::message::{self, Message};
use crate::names::Unknown;
use crate::outcome::Channel;
use crate::ret::Fault;
use crate::schedule::{self, Zone};
use crate::tag::TagRules;

impl Push {
    /// The `seq` of a call, to be echoed also where the call is refused; none where the body cannot be read.
    #[must_use]
    pub fn seq_of(body: &[u8]) -> Option<Value> {
        loose::body(body).ok().and_then(|whole| seq(&whole))
    }

    /// Reads and checks a call of `POST /v3/push/app` for an app on `platform`, at `now` (unix seconds); its
    /// `send_time` and `loop_param` are meant in `zone`.
    ///
    /// Members that say nothing (zero, empty, null) have their default, unknown ones are ignored, and so are those
    /// that do not apply: `environment` off Apple's platforms; `push_speed`, `collapse_id` for anything but packages.
    ///
    /// # Errors
    /// The first thing that is wrong, with the code the published table gives it: 1008001 not JSON or a member of
    /// another type, 1008002 missing, 1008007 out of range, 10010012 `send_time` or
    /// `loop_param`.
    pub fn parse(body: &[u8], platform: Platform, now: i64, zone: Zone) -> Result<Self, Fault> {
        let whole = loose::body(body)?;
        let given = Members::top(&whole);
        let kind = needed::<AudienceKind>(&given, "audience_type")?;
        let audience = audience(&given, kind)?;
        let message_type = needed(&given, "message_type")?;
        let message = message(&given, body)?;
        let message = message::wire::message(&message, message_type, platform)?;
        let is_bulk = kind.is_bulk();
        let occurrences = schedule::occurrences(&given, is_bulk, now, zone)?;
        // A loop says all of when; a `send_time` beside it is what a loose client sends of a member it does not use.
        let send_at = match occurrences {
            Some(_) => None,
            None => schedule::send_at(&given, is_bulk, now, zone)?,
        };
        Ok(Self {
            exclude: exclude(&given, &audience)?,
            sample: sample(&given, &audience)?,
            audience,
            message_type,
            environment: environment(&given, platform)?,
            message,
            expire: schedule::expire(&given)?,
            send_at,
            occurrences,
            account_type: account_type(&given, AccountType::default())?,
            account_push: if given.switch("account_push_type")? { AccountPush::All } else { AccountPush::Latest },
            ignore_invalid_token: given.switch("ignore_invalid_token")?,
            seq: seq(&whole),
            collapse_id: given.positive("collapse_id", 1..=i64::MAX)?.map(PushId).filter(|_| is_bulk),
            force_collapse: given.switch("force_collapse")?,
            push_speed: push_speed(&given)?.filter(|_| is_bulk),
            channel_rules: channel_rules(&given)?,
            skip_own_channel_online: given.switch("tpns_online_push_type")?,
            multi_pkg: given.switch("multi_pkg")?,
            plan_id: counted_in(&given, "plan_id", Self::PLAN_ID_MAX)?,
            group_id: counted_in(&given, "group_id", Self::GROUP_ID_MAX)?,
        })
    }
}

fn needed<N: FromStr<Err = Unknown>>(given: &Members<'_>, member: &str) -> Result<N, Fault> {
    let remedy = "every push has to say it, see POST /v3/push/app";
    given.name(member)?.ok_or_else(|| Fault::missing(given.place(member), remedy))
}

/// The `message` member, once its size as it came is known to be allowed.
fn message<'a>(given: &Members<'a>, body: &[u8]) -> Result<Members<'a>, Fault> {
    /// The member's text as it came.
    #[derive(Deserialize)]
    struct Raw<'a> {
        #[serde(borrow)]
        message: Option<&'a RawValue>,
    }
    let missing = || Fault::missing("message", "give what is sent, an object with title and content");
    let raw: Raw<'_> = serde_json::from_slice(body)
        .map_err(|error| Fault::unparsable("message", format_args!("{error}; give it once, as an object")))?;
    let bytes = raw.message.ok_or_else(missing)?.get().len();
    if bytes > Message::MAX_BYTES {
        let remedy = format!("it has {bytes} bytes, shorten it to at most {}", Message::MAX_BYTES);
        return Err(Fault::invalid("message", remedy));
    }
    given.object("message")?.ok_or_else(missing)
}

fn audience(given: &Members<'_>, kind: AudienceKind) -> Result<Audience, Fault> {
    let first = |member| Ok::<_, Fault>(texts(given, member, 1)?.swap_remove(0));
    Ok(match kind {
        AudienceKind::Token => Audience::Token(first("token_list")?),
        AudienceKind::TokenList => Audience::TokenList(list(given, "token_list")?),
        AudienceKind::Account => Audience::Account(first("account_list")?),
        AudienceKind::AccountList => Audience::AccountList(list(given, "account_list")?),
        AudienceKind::AccountPackage => Audience::AccountPackage(upload_id(given)?),
        AudienceKind::TokenPackage => Audience::TokenPackage(upload_id(given)?),
        AudienceKind::All => Audience::All {},
        AudienceKind::Tag => Audience::Tag(TagRules::parse(given)?),
    })
}

fn list(given: &Members<'_>, member: &str) -> Result<Vec<String>, Fault> {
    let count = given.list(member)?.len();
    if count > Audience::LIST_MAX {
        let max = Audience::LIST_MAX;
        let remedy = format!("it has {count} elements, give at most {max}, or upload them as a package");
        return Err(Fault::invalid(given.place(member), remedy));
    }
    texts(given, member, count)
}

/// The different texts among the first `count` of a list, in their order, without blanks around them, as the rows of
/// a package are read; empty ones are "not set".
fn texts(given: &Members<'_>, member: &str, count: usize) -> Result<Vec<String>, Fault> {
    let mut seen = HashSet::new();
    let mut kept = Vec::new();
    for (index, value) in given.list(member)?.iter().take(count).enumerate() {
        let place = || format!("{}[{index}]", given.place(member));
        let text = loose::text(value, &place)?.unwrap_or_default();
        let text = text.trim();
        if !text.is_empty() && seen.insert(text.to_owned()) {
            kept.push(text.to_owned());
        }
    }
    if kept.is_empty() {
        return Err(Fault::missing(given.place(member), "this audience_type needs at least one in it"));
    }
    Ok(kept)
}

fn upload_id(given: &Members<'_>) -> Result<UploadId, Fault> {
    let remedy = "give the uploadId that the upload of the package answered";
    given
        .positive("upload_id", 1..=i64::from(i32::MAX))?
        .map(UploadId)
        .ok_or_else(|| Fault::missing("upload_id", remedy))
}

fn environment(given: &Members<'_>, platform: Platform) -> Result<Environment, Fault> {
    if !platform.is_apple() {
        return Ok(Environment::Product);
    }
    Ok(given.name("environment")?.unwrap_or(Environment::Product))
}

/// A number or a short text can be echoed; anything else is as good as not there.
fn seq(whole: &Map<String, Value>) -> Option<Value> {
    let is_echoed = |seq: &&Value| match seq {
        Value::Number(_) => true,
        Value::String(text) => !text.is_empty() && text.chars().nth(Push::SEQ_MAX).is_none(),
        _ => false,
    };
    whole.get("seq").filter(is_echoed).cloned()
}

fn push_speed(given: &Members<'_>) -> Result<Option<u32>, Fault> {
    given.positive("push_speed", i64::from(Push::SPEED_MIN)..=i64::from(Push::SPEED_MAX))
}

/// The rule that counts for each channel, the last one: however long the list is, as many are kept as there are channels.
fn channel_rules(given: &Members<'_>) -> Result<Vec<ChannelRule>, Fault> {
    let mut rules: Vec<ChannelRule> = Vec::new();
    for (index, value) in given.list("channel_rules")?.iter().enumerate() {
        let Some(rule) = loose::object(value, || format!("channel_rules[{index}]"))? else { continue };
        // A rule of zeros is one nobody filled in.
        let Some(channel) = rule.name::<Channel>("channel")? else { continue };
        rules.retain(|earlier| earlier.channel != channel);
        rules.push(ChannelRule { channel, disable: rule.switch("disable")? });
    }
    Ok(rules)
}

/// The id of what the push is to be counted in beside its app.
fn counted_in(given: &Members<'_>, member: &str, max: usize) -> Result<Option<String>, Fault> {
    let Some(id) = given.text(member)?.filter(|id| id != "0") else { return Ok(None) };
    if id.chars().nth(max).is_some() {
        return Err(Fault::invalid(member, format_args!("it has more than {max} characters")));
    }
    Ok(Some(id))
}
