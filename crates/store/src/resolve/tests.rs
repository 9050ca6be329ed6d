//! Tests of resolving: each way answers what a plain search of the bindings answers.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::{AccountKey, App, BadRows, Import, ImportRow, Store};

const APP: AccessId = AccessId(1_500_000_001);

/// Scanning that never gives up, looking up that never tries to scan, and both by turns, again and again.
const MANNERS: [Manner; 4] = [
    Manner { credit: i64::MAX / 2, few: 0 },
    Manner { credit: 0, few: usize::MAX },
    Manner { credit: 2, few: 0 },
    BY_ITSELF,
];

fn app(access_id: AccessId) -> App {
    App {
        access_id,
        secret_key: "secret".into(),
        access_key: "key".into(),
        platform: pigeonloft_model::Platform::Ios,
        name: "test".into(),
        bad_rows: BadRows::Refuse,
        allowed: pigeonloft_model::Networks::default(),
    }
}

fn token(n: u16) -> Token {
    let mut bytes = [0; Token::BYTES];
    bytes[..2].copy_from_slice(&n.wrapping_mul(40_503).to_be_bytes());
    Token::from_bytes(bytes)
}

/// Names that begin alike, are each other's prefix, and hold more than ASCII.
fn name(n: u16) -> String {
    format!("{}{}", ["ann", "ann ", "张三", "+86138"][usize::from(n % 4)], n / 4)
}

fn row(n: u16, account: u16, environment: Environment) -> ImportRow {
    ImportRow {
        token: token(n),
        password_hash: None,
        account: Some(AccountKey { account_type: u32::from(account % 2) * 5, name: name(account) }),
        channel: None,
        environment: Some(environment),
        reported: Vec::new(),
        attributes: Vec::new(),
    }
}

/// A store of these devices, beside an app and an account type that have the same names and tokens.
fn store(accounts: &[(u16, bool)]) -> (tempfile::TempDir, Reader, Vec<(ImportRow, i64)>) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut imported = Vec::new();
    for access_id in [AccessId(APP.0 - 1), APP, AccessId(APP.0 + 1)] {
        runtime.block_on(store.add_app(app(access_id))).unwrap();
        let mut import = Import::begin(folder.path(), access_id).unwrap();
        let rows: Vec<_> = accounts
            .iter()
            .enumerate()
            .map(|(n, &(account, dev))| {
                row(n as u16, account, if dev { Environment::Dev } else { Environment::Product })
            })
            .collect();
        // Several chunks, so that some devices of an account are bound later than others.
        for chunk in rows.chunks(rows.len().div_ceil(3).max(1)) {
            import.chunk(&mut chunk.to_vec()).unwrap();
            let now = crate::now_ms();
            while crate::now_ms() == now {
                std::hint::spin_loop();
            }
        }
        imported = rows;
    }
    let reader = store.reader().unwrap();
    let bound_at = |row: &ImportRow| -> i64 {
        let device =
            reader.tokens_in_manner(APP, [row.token.as_str()].into_iter(), None, BY_ITSELF).unwrap().devices[0];
        device.0
    };
    let rows = imported.iter().map(|row| (row.clone(), bound_at(row))).collect();
    (folder, reader, rows)
}

/// What the rows name, by a plain search. Later chunks are bound later; within one the larger id counts as later.
fn expected(
    devices: &[(ImportRow, i64)],
    asked: &[String],
    of: impl Fn(&ImportRow, &str) -> bool,
    which: AccountPush,
    environment: Option<Environment>,
) -> Resolved {
    let chunk = devices.len().div_ceil(3).max(1);
    let mut resolved = Resolved::default();
    for asked in asked {
        let mut named: BTreeMap<i64, usize> = BTreeMap::new();
        for (place, (row, device)) in devices.iter().enumerate() {
            if of(row, asked) && environment.is_none_or(|environment| row.environment == Some(environment)) {
                named.insert(*device, place / chunk);
            }
        }
        match which {
            _ if named.is_empty() => resolved.no_device += 1,
            AccountPush::All => resolved.devices.extend(named.keys().copied().map(DeviceId)),
            AccountPush::Latest => {
                let latest = named.iter().max_by_key(|(device, chunk)| (**chunk, **device)).map(|(device, _)| *device);
                resolved.devices.extend(latest.map(DeviceId));
            }
        }
    }
    resolved
}

/// The order rows come in.
fn ordered(mut rows: Vec<String>, order: u8) -> Vec<String> {
    if order > 0 {
        rows.sort();
    }
    if order > 1 {
        rows.dedup();
    }
    rows
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_way_finds_the_same_devices(
        accounts in prop::collection::vec((0u16..60, any::<bool>()), 0..120),
        names in prop::collection::vec(0u16..80, 0..150),
        order in 0u8..3,
    ) {
        let (_folder, reader, devices) = store(&accounts);
        let names = ordered(names.into_iter().map(name).collect(), order);
        let tokens = ordered(
            names.iter().enumerate().map(|(n, name)| match n % 5 {
                0 => name.clone(),
                _ => token((n * 7 % 130) as u16).to_string(),
            }).collect(),
            order,
        );
        for environment in [None, Some(Environment::Product), Some(Environment::Dev)] {
            for which in [AccountPush::All, AccountPush::Latest] {
                let bound_to = |row: &ImportRow, asked: &str| {
                    row.account.as_ref().is_some_and(|account| account.account_type == 5 && account.name == asked)
                };
                let expected = expected(&devices, &names, bound_to, which, environment);
                for manner in MANNERS {
                    let names = names.iter().map(String::as_str);
                    let found = reader.accounts_in_manner(APP, 5, names, which, environment, manner).unwrap();
                    prop_assert_eq!(&found, &expected, "{:?}", manner);
                }
            }
            let of_names = expected(&devices, &names, |row: &ImportRow, asked: &str| {
                row.account.as_ref().is_some_and(|account| account.account_type == 5 && account.name == asked)
            }, AccountPush::All, environment).no_device;
            let unnamed = reader.unnamed_accounts(APP, 5, names.iter().map(String::as_str), environment).unwrap();
            prop_assert_eq!(unnamed.len() as u64, of_names);
            let expected = expected(&devices, &tokens, |row, asked| row.token.as_str() == asked, AccountPush::All, environment);
            for manner in MANNERS {
                let tokens = tokens.iter().map(String::as_str);
                let found = reader.tokens_in_manner(APP, tokens, environment, manner).unwrap();
                prop_assert_eq!(&found, &expected, "{:?}", manner);
            }
            for place in reader.unnamed_tokens(APP, tokens.iter().map(String::as_str), environment).unwrap() {
                let alone = reader.resolve_tokens(APP, [tokens[place].as_str()].into_iter(), environment).unwrap();
                prop_assert_eq!(alone, Resolved { devices: Vec::new(), no_device: 1 });
            }
        }
    }
}

#[tokio::test]
async fn both_ways_walk_the_index_and_no_table() {
    let folder = tempfile::tempdir().unwrap();
    let Reader { connection, .. } = Store::open(folder.path()).unwrap().reader().unwrap();
    let plan = |sql: &str| {
        let mut explained = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        // Unbound: a plan needs no values.
        explained.raw_query().mapped(|row| row.get::<_, String>(3)).collect::<rusqlite::Result<Vec<_>>>().unwrap()
    };
    let batch = "SCAN r VIRTUAL TABLE INDEX 1:";
    let range = "SEARCH account USING PRIMARY KEY (access_id=? AND account_type=? AND name>?)";
    assert_eq!(plan(BY_NAME.scan), [range]);
    let account = "SEARCH a USING PRIMARY KEY (access_id=? AND account_type=? AND name=?)";
    assert_eq!(plan(BY_NAME.look_up), [batch, account]);
    let range = "SEARCH device USING COVERING INDEX sqlite_autoindex_device_1 (access_id=? AND token>?)";
    assert_eq!(plan(BY_TOKEN.scan), [range]);
    let token = "SEARCH d USING COVERING INDEX sqlite_autoindex_device_1 (access_id=? AND token=?)";
    assert_eq!(plan(BY_TOKEN.look_up), [batch, token]);
    let device = "SEARCH d USING INTEGER PRIMARY KEY (rowid=?)";
    assert_eq!(plan(IN_ENVIRONMENT), [batch, device]);
}
