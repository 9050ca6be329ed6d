//! The schema: a file of an older version becomes what a new one is, and keeps what it holds.

use pigeonloft_model::{AccountPush, Day, DayFormat, Days, Platform, Push, PushId, Zone};
use pigeonloft_store::doctor::{Doctor, Integrity, Schema};
use pigeonloft_store::{AccountKey, DeviceDay, Store};
use rusqlite::Connection;
use tempfile::TempDir;

use crate::support::{APP, Loft, token};

/// The tables as version 1 had them.
const VERSION_1: &str = include_str!("../data/schema-1.sql");

/// Everything of the tables that a statement can depend on, whatever words they were created in.
fn tables(connection: &Connection) -> Vec<String> {
    let lists = [
        "SELECT t.name || '.' || c.name || ' ' || c.type || ' ' || c.\"notnull\" || ' ' || coalesce(c.dflt_value, '-')
                || ' ' || c.pk || ' ' || t.wr || t.strict
         FROM pragma_table_list t, pragma_table_xinfo(t.name) c WHERE t.schema = 'main'",
        "SELECT t.name || ' has ' || i.name || ' ' || i.\"unique\" || i.partial || ' ' ||
                (SELECT group_concat(coalesce(c.name, '-')) FROM pragma_index_xinfo(i.name) c) || coalesce(s.sql, '')
         FROM pragma_table_list t, pragma_index_list(t.name) i
         LEFT JOIN sqlite_schema s ON s.name = i.name WHERE t.schema = 'main'",
        "SELECT t.name || '.' || f.\"from\" || ' refers to ' || f.\"table\" || ' ' || f.on_delete
         FROM pragma_table_list t, pragma_foreign_key_list(t.name) f WHERE t.schema = 'main'",
        "SELECT name || sql FROM sqlite_schema WHERE type IN ('trigger', 'view')",
    ];
    let mut found: Vec<String> = Vec::new();
    for list in lists {
        let mut statement = connection.prepare(list).unwrap();
        found.extend(statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap));
    }
    found.sort();
    found
}

/// A folder with a file of version 1 and these rows.
fn version_1(rows: &str) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let connection = Connection::open(dir.path().join(pigeonloft_store::DATABASE_FILE)).unwrap();
    connection.execute_batch(VERSION_1).unwrap();
    connection.execute_batch(rows).unwrap();
    connection.pragma_update(None, "user_version", 1).unwrap();
    dir
}

#[tokio::test]
async fn an_older_file_ends_in_the_tables_of_a_new_one() {
    let new = Loft::open().await;
    let old = version_1("");
    let migrated = Store::open(old.path()).unwrap();
    let migrated = Connection::open(migrated.path()).unwrap();
    let (expected, found) = (tables(&new.behind_its_back()), tables(&migrated));
    assert!(expected.iter().any(|line| line.starts_with("account.name TEXT 1")), "{expected:#?}");
    assert_eq!(found, expected);
    let version = |of: &Connection| of.query_row("PRAGMA user_version", [], |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!(version(&migrated), version(&new.behind_its_back()));
}

#[tokio::test]
async fn an_unfinished_push_of_an_older_file_is_known_to_be_kept_off_our_own_channel() {
    let request = |rules: &str| {
        let body = format!(
            r#"{{"audience_type":"all","message_type":"notify","message":{{"title":"t"}},"channel_rules":{rules}}}"#
        );
        Push::parse(body.as_bytes(), Platform::Ios, 1, Zone::CHINA).unwrap().to_stored()
    };
    let requests = [
        request(r#"[{"channel":"xg","disable":true}]"#),
        request(r#"[{"channel":"apns","disable":true},{"channel":"xg","disable":false}]"#),
        request("[]"),
    ];
    let rows = requests.map(|request| {
        format!(
            "INSERT INTO push (access_id, state, request, template, created_at, start_at_s, expire_at_s, audience_rows)
             VALUES (1, 1, '{request}', 't', 1, 1, 4000000000, 10);"
        )
    });
    let dir = version_1(&format!("INSERT INTO app VALUES (1, 's', 'k', 'ios', 'old', 'refuse', 1); {}", rows.concat()));
    let migrated = Store::open(dir.path()).unwrap();
    let connection = Connection::open(migrated.path()).unwrap();
    let mut marks = connection.prepare("SELECT vendors_only FROM push ORDER BY push_id").unwrap();
    let marks: Vec<bool> = marks.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    assert_eq!(marks, [true, false, false]);
}

#[tokio::test]
async fn an_older_file_keeps_its_devices_accounts_and_pushes() {
    let rows = format!(
        "INSERT INTO app VALUES ({app}, 's', 'k', 'android', 'old', 'refuse', 1);
         INSERT INTO device VALUES (7, {app}, '{ann}', x'{password}', 'dev', 1, 2), (9, {app}, '{bob}', NULL, 'product', 1, 2);
         INSERT INTO device_channel VALUES (7, 'apns', 'abc');
         INSERT INTO account VALUES ({app}, 0, 'ann', 7, 3), ({app}, 5, 'ann', 7, 3), ({app}, 0, 'bob', 9, 3);
         INSERT INTO push (access_id, state, request, template, created_at, start_at_s, expire_at_s, audience_rows, rows_done)
         VALUES ({app}, 1, '{{}}', 't', 1, 1, 4000000000, 10, 4);
         INSERT INTO recipient VALUES (1, 7, 1, 0, 1, 2);",
        app = APP.0,
        ann = token(1),
        bob = token(2),
        password = "01".repeat(32),
    );
    let dir = version_1(&rows);
    let store = Store::open(dir.path()).unwrap();
    let ann = store.device(APP, token(1)).await.unwrap().unwrap();
    assert_eq!((ann.device.0, ann.password_hash), (7, Some([1; 32])));
    assert_eq!(store.device(APP, token(2)).await.unwrap().unwrap().password_hash, None);
    let key = |account_type, name: &str| AccountKey { account_type, name: name.into() };
    let tokens = vec![token(1).to_string(), token(2).to_string()];
    let accounts: Vec<_> = store.accounts_of_tokens(APP, tokens).await.unwrap().into_iter().map(|of| of.1).collect();
    assert_eq!(accounts, [Some(vec![key(0, "ann"), key(5, "ann")]), Some(vec![key(0, "bob")])]);
    let reader = store.reader().unwrap();
    let found = reader.resolve_accounts(APP, 0, ["ann", "bob"].into_iter(), AccountPush::Latest, None).unwrap();
    assert_eq!(found.devices.iter().map(|device| device.0).collect::<Vec<_>>(), [7, 9]);
    assert_eq!(store.push(APP, PushId(1)).await.unwrap().unwrap().counts.rows_done, 4);
    let first = Day(0);
    let days = Days { first, last: first, format: DayFormat::Compact };
    let of_days = store.device_days(APP, days, first).await.unwrap();
    assert_eq!(of_days, [DeviceDay { day: first, devices: 2, added: 2, active: 0 }]);
    store.delete_device(ann.device).await.unwrap();
    assert_eq!(
        reader.resolve_accounts(APP, 0, ["ann"].into_iter(), AccountPush::All, None).unwrap().devices,
        [],
        "what a device had still goes with it"
    );
    let connection = Connection::open(store.path()).unwrap();
    let channels: u64 = connection.query_row("SELECT count(*) FROM device_channel", [], |row| row.get(0)).unwrap();
    assert_eq!(channels, 0);
}

#[test]
fn a_doctor_brings_an_older_file_up_to_date_and_one_that_only_looks_leaves_it() {
    let old = version_1("");
    for (mend, found) in [(false, Schema::Older(1)), (true, Schema::Migrated(1))] {
        let mut doctor = Doctor::open(old.path(), mend).unwrap();
        assert_eq!(doctor.integrity().unwrap(), Integrity::Whole);
        assert_eq!(doctor.schema().unwrap(), found);
    }
    let mut doctor = Doctor::open(old.path(), true).unwrap();
    assert!(matches!(doctor.schema().unwrap(), Schema::Current(version) if version > 1));
    assert_eq!(doctor.dangling().unwrap(), []);
}
