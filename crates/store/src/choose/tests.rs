//! Tests of choosing: in small random worlds, each expression means whom a plain search of the devices finds.

use std::collections::BTreeSet;

use pigeonloft_model::{Networks, Platform, Tag, TagType, Token, TokenTag};
use proptest::prelude::*;

use super::*;
use crate::{App, BadRows, NewDevice, Registered};

const APP: AccessId = AccessId(1_500_000_001);
const OTHER: AccessId = AccessId(1_500_000_002);

/// Days after 1970 on which the devices of a world were seen last.
const TODAY: i64 = 20_000;
const NAMES: [&str; 4] = ["a", "b", "level:1", "level:2"];

/// A device as a world has it.
#[derive(Debug, Clone)]
struct Known {
    other_app: bool,
    dev: bool,
    tags: BTreeSet<usize>,
    version: Option<u8>,
    seen_days_ago: i64,
    active_days: i64,
    deleted: bool,
}

fn known() -> impl Strategy<Value = Known> {
    let tags = proptest::collection::btree_set(0..NAMES.len(), 0..4);
    let flags = (proptest::bool::weighted(0.2), any::<bool>(), proptest::bool::weighted(0.1));
    (flags, tags, proptest::option::of(0_u8..3), prop_oneof![0_i64..4, 88_i64..92], 0_i64..256).prop_map(
        |((other_app, dev, deleted), tags, version, seen_days_ago, days)| Known {
            other_app,
            dev,
            tags,
            version,
            seen_days_ago,
            active_days: days | 1,
            deleted,
        },
    )
}

fn expression() -> impl Strategy<Value = TagExpression> {
    let tag = |kind, name: String| TagExpression::Tag(Tag { kind, name });
    let leaf = prop_oneof![
        3 => (0..NAMES.len()).prop_map(move |name| tag(TagType::Custom, NAMES[name].into())),
        1 => Just(tag(TagType::Custom, "nobody's".into())),
        1 => (0_u8..3).prop_map(move |version| tag(TagType::AppVersion, version.to_string())),
        1 => (TODAY - 70..=TODAY + 1).prop_map(TagExpression::Active),
    ];
    leaf.prop_recursive(4, 24, 4, |term| {
        let terms = || proptest::collection::vec(term.clone(), 1..4);
        prop_oneof![
            term.clone().prop_map(|term| TagExpression::Not(Box::new(term))),
            terms().prop_map(TagExpression::All),
            terms().prop_map(TagExpression::Any),
        ]
    })
}

/// The naive evaluator: asks each device.
fn means(expression: &TagExpression, device: &Known) -> bool {
    match expression {
        TagExpression::Tag(Tag { kind: TagType::Custom, name }) => device.tags.iter().any(|tag| NAMES[*tag] == name),
        TagExpression::Tag(tag) => device.version.is_some_and(|version| version.to_string() == tag.name),
        TagExpression::Active(day) => {
            let before = TODAY - device.seen_days_ago - day;
            (0..63).contains(&before) && device.active_days >> before & 1 == 1
        }
        TagExpression::Not(term) => !means(term, device),
        TagExpression::All(terms) => terms.iter().all(|term| means(term, device)),
        TagExpression::Any(terms) => terms.iter().any(|term| means(term, device)),
    }
}

fn token(n: usize) -> Token {
    Token::from_bytes([n as u8; Token::BYTES])
}

fn app(access_id: AccessId) -> App {
    let (secret_key, access_key, name) = ("secret".into(), "key".into(), "test".into());
    App {
        access_id,
        secret_key,
        access_key,
        platform: Platform::Ios,
        name,
        bad_rows: BadRows::Refuse,
        allowed: Networks::default(),
    }
}

/// A store of these devices, and their ids.
async fn world(folder: &std::path::Path, devices: &[Known]) -> (Store, Vec<DeviceId>) {
    let store = Store::open(folder).unwrap();
    for access_id in [APP, OTHER] {
        store.add_app(app(access_id)).await.unwrap();
    }
    let mut ids = Vec::new();
    for (n, device) in devices.iter().enumerate() {
        let access_id = if device.other_app { OTHER } else { APP };
        let environment = Some(if device.dev { Environment::Dev } else { Environment::Product });
        let reported = device.version.map(|version| (TagType::AppVersion, Some(version.to_string())));
        let new = NewDevice {
            access_id,
            token: token(n),
            password_hash: [0; 32],
            environment,
            channels: Vec::new(),
            reported: reported.into_iter().collect(),
        };
        let Registered::New(id) = store.register_device(new).await.unwrap() else { panic!("{n} is new") };
        let pairs = device.tags.iter().map(|tag| TokenTag { token: token(n), tag: NAMES[*tag].into() }).collect();
        store.add_tags(access_id, pairs).await.unwrap();
        let (seen_at, days) = (((TODAY - device.seen_days_ago) * 24 - 8) * 3_600_000, device.active_days);
        let seen = move |tx: crate::Tx<'_>| {
            let sql = "UPDATE device SET seen_at = ?2, active_days = ?3 WHERE device_id = ?1";
            Ok(tx.execute(sql, params![id.0, seen_at, days])?)
        };
        store.write(seen).await.unwrap();
        if device.deleted {
            store.delete_device(id).await.unwrap();
        }
        ids.push(id);
    }
    (store, ids)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn an_expression_means_the_devices_that_a_plain_search_finds(
        devices in proptest::collection::vec(known(), 0..24),
        expressions in proptest::collection::vec(proptest::option::weighted(0.95, expression()), 24),
        environment in proptest::option::of(prop_oneof![Just(Environment::Dev), Just(Environment::Product)]),
        step in 1_i64..40,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (store, ids) = runtime.block_on(world(folder.path(), &devices));
        let reader = store.reader().unwrap();
        let since = ((TODAY - 90) * 24 - 8) * 3_600_000;
        for expression in &expressions {
            let choice = reader.choice(APP, expression.as_ref(), environment, since).unwrap();
            let mut found = Vec::new();
            for first in (0..=25_i64).step_by(step as usize) {
                found.extend(reader.choose(&choice, first..first + step).unwrap());
            }
            let expected: Vec<DeviceId> = devices.iter().zip(&ids).filter(|(device, _)| {
                let there = !device.deleted && !device.other_app && device.seen_days_ago <= 90;
                let in_it = environment.is_none_or(|environment| device.dev == (environment == Environment::Dev));
                there && in_it && expression.as_ref().is_none_or(|expression| means(expression, device))
            }).map(|(_, id)| *id).collect();
            prop_assert_eq!(found, expected, "{:?}", expression);
        }
    }
}
