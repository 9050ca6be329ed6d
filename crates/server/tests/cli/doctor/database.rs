//! The database: its pages, and what its rows say of each other.

use std::fs;

use rusqlite::Connection;
use serde_json::Value;

use super::story::Folder;

#[test]
fn a_folder_without_a_database_is_no_data_folder() {
    let folder = Folder::copy();
    fs::remove_file(folder.database()).unwrap();
    let failed = folder.doctor(&[]).failed();
    assert!(failed.starts_with("error: there is no server's data in "), "{failed}");
    assert!(failed.contains("if pigeonloft.db was lost, restore the backup"), "{failed}");
    assert!(!folder.database().exists());
}

#[test]
fn sums_that_recipients_do_not_come_to_are_counted_again() {
    for wrong in ["arrived = arrived + 5", "targets = 1", "waiting = 0, gone = 2", "sent = 0", "shown = 1"] {
        let folder = Folder::copy();
        folder.sql(&format!("UPDATE push SET {wrong} WHERE push_id = 1"));
        folder.repaired(&["push 1 has sums that its recipients do not come to"]);
        let connection = Connection::open(folder.database()).unwrap();
        let sql = "SELECT targets, waiting, arrived, gone, sent, shown FROM push WHERE push_id = 1";
        let sums: [i64; 6] = connection
            .query_row(sql, [], |row| {
                Ok([row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?])
            })
            .unwrap();
        assert_eq!(sums, [6, 2, 4, 0, 4, 0], "{wrong}");
    }
}

#[test]
fn what_is_counted_by_day_is_counted_again_where_it_is_wrong() {
    let sums = "days of an app, a plan or a group with sums that their pushes do not come to: ";
    for (wrong, says) in [
        ("UPDATE push_day SET arrived = 40", &[&*format!("{sums}1")][..]),
        ("DELETE FROM push_day", &[&format!("{sums}1")]),
        (
            "INSERT INTO push_day SELECT access_id, 'pspring', push_id, 0, 1, 1, 1, 0, 0, 0 FROM push",
            &[&format!("{sums}2")],
        ),
        ("DELETE FROM push_count", &["days with a number of pushes that is not theirs: "]),
        ("DELETE FROM device_day", &["apps with more or fewer devices than their days say: 1"]),
        ("UPDATE device_day SET devices = 9", &["the last day of each makes up for it"]),
    ] {
        let folder = Folder::copy();
        folder.sql(wrong);
        folder.repaired(says);
        let connection = Connection::open(folder.database()).unwrap();
        let ask = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
        assert_eq!(ask("SELECT sum(targets) * 10 + sum(arrived) FROM push_day"), 64, "{wrong}");
        assert_eq!(ask("SELECT sum(pushes) FROM push_count"), 2, "{wrong}");
        assert_eq!(ask("SELECT sum(devices) FROM device_day"), 6, "{wrong}");
    }
}

#[test]
fn what_of_the_sums_is_of_a_vendors_channel_is_counted_again_where_it_is_wrong() {
    // Two who are on record as arrived were reached by fcm, and saw it.
    let by_fcm = "UPDATE recipient SET channel = 2, outcome = 8, arrived_at = NULL, receipts = 1
        WHERE device_id IN (SELECT device_id FROM recipient WHERE outcome = 2 LIMIT 2);
        UPDATE push SET arrived = 2, accepted = 2, shown = 2 WHERE push_id = 1;
        INSERT INTO push_channel VALUES (1, 2, 0, 0, 0, 0, 0);
        UPDATE push_channel SET targets = 2, sent = 2, shown = 2";
    let of_push = "push 1 has sums of vendors' channels that its recipients do not come to";
    let of_days = "days of an app, a plan or a group with sums that their pushes do not come to: 1";
    for (wrong, says) in [
        ("UPDATE push_channel SET sent = 1", &[of_push][..]),
        ("UPDATE push_channel SET channel = 1", &[of_push]),
        ("DELETE FROM push_channel", &[of_push, of_days]),
        ("INSERT INTO push_channel VALUES (1, 1, 1, 1, 0, 0, 0)", &[of_push, of_days]),
        ("INSERT INTO push_channel VALUES (77, 2, 1, 1, 0, 0, 0)", &["push 77 is not there, and has sums of vendors'"]),
        ("UPDATE push_day SET channel = 1 WHERE channel = 2", &[of_days]),
        ("UPDATE push_day SET shown = 1 WHERE channel = 2", &[of_days]),
        ("DELETE FROM push_day WHERE channel = 2", &[of_days]),
    ] {
        let folder = Folder::copy();
        folder.sql(by_fcm);
        assert_eq!(folder.findings(&[]).0, Vec::<Value>::new());
        folder.sql(wrong);
        folder.repaired(says);
        let connection = Connection::open(folder.database()).unwrap();
        let ask = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, String>(0)).unwrap();
        let sums = "group_concat(channel || ': ' || targets || ' ' || sent || ' ' || shown, ', ' ORDER BY channel)";
        assert_eq!(ask(&format!("SELECT {sums} FROM push_channel WHERE targets > 0")), "2: 2 2 2", "{wrong}");
        let of_days = ask(&format!("SELECT {sums} FROM push_day WHERE targets > 0"));
        assert_eq!(of_days, "0: 4 2 0, 2: 2 2 2", "{wrong}");
    }
    // Of one whose recipients are forgotten, the sums alone know.
    let folder = Folder::copy();
    folder.sql(by_fcm);
    folder.sql(
        "DELETE FROM inbox; DELETE FROM recipient WHERE channel = 2;
         UPDATE recipient SET outcome = 2, sent_at = 1; UPDATE push SET waiting = 0, arrived = 4, sent = 6 WHERE push_id = 1",
    );
    assert_eq!(folder.findings(&[]).0, Vec::<Value>::new());
}

#[test]
fn sums_whose_recipients_are_forgotten_stay() {
    let folder = Folder::copy();
    folder.sql(
        "DELETE FROM inbox; UPDATE recipient SET outcome = 2, sent_at = 1; DELETE FROM recipient WHERE device_id < 4;
         UPDATE push SET waiting = 0, arrived = 6, sent = 6 WHERE push_id = 1",
    );
    assert_eq!(folder.findings(&[]).0, Vec::<Value>::new());
    // Sums that contradict each other are wrong all the same.
    folder.sql("UPDATE push SET arrived = 5 WHERE push_id = 1");
    folder.repaired(&["push 1 has sums"]);
}

#[test]
fn inboxes_and_recipients_that_disagree_are_brought_together() {
    for (wrong, says) in [
        ("DELETE FROM inbox", &["push 1 waits for devices in whose inboxes it is not: 2"][..]),
        ("DELETE FROM recipient WHERE outcome = 0", &["messages for devices that are no recipients of their push: 2"]),
        (
            "UPDATE recipient SET outcome = 2, sent_at = 1 WHERE outcome = 0",
            &["push 1 has sums", "messages that have ended for their device: 2"],
        ),
        ("INSERT INTO inbox VALUES (1, 77)", &["messages of pushes that are not there: 1"]),
        ("INSERT INTO inbox VALUES (77, 1)", &["messages for devices that are not there: 1"]),
        (
            "DELETE FROM device WHERE device_id IN (SELECT device_id FROM recipient WHERE outcome = 0)",
            &[
                "rows of the table account_of_device that name a missing device: 2",
                "rows of the table account that name a missing account_of_device: 2",
                "push 1 waits for devices that are not there: 2",
                "messages for devices that are not there: 2",
                "apps with more or fewer devices than their days say: 1",
            ],
        ),
        (
            "DELETE FROM account_of_device WHERE device_id = 1",
            &["rows of the table account that name a missing account_of_device: 1"],
        ),
        (
            "DELETE FROM push WHERE push_id = 1",
            &[
                "push 1 is not there, and has recipients: 6",
                "messages of pushes that are not there: 2",
                "days of an app, a plan or a group with sums that their pushes do not come to: 1",
                "days with a number of pushes that is not theirs: 1",
            ],
        ),
    ] {
        let folder = Folder::copy();
        folder.sql(wrong);
        folder.repaired(says);
    }
}

#[test]
fn tags_are_what_the_devices_have() {
    let tags = "INSERT INTO tag SELECT 1, access_id, 0, 'vip' FROM app LIMIT 1;
        INSERT INTO tag_of_device VALUES (1, 0, 1), (2, 0, 1); INSERT INTO device_of_tag VALUES (1, 1), (1, 2);";
    for (wrong, says, left) in [
        ("DELETE FROM device_of_tag WHERE device_id = 1", "pushes by tags would not find", "1:1 1:2 vip"),
        ("DELETE FROM tag_of_device WHERE device_id = 1", "at devices that do not have them: 1", "1:2 vip"),
        ("DELETE FROM tag", "tags without a name that devices have: 1", "1:1 1:2 "),
        ("DELETE FROM tag_of_device; DELETE FROM device_of_tag", "tags that no device has: 1", " "),
    ] {
        let folder = Folder::copy();
        folder.sql(tags);
        assert_eq!(folder.findings(&[]).0, Vec::<Value>::new());
        folder.sql(wrong);
        folder.repaired(&[says]);
        let connection = Connection::open(folder.database()).unwrap();
        let sql =
            "SELECT coalesce((SELECT group_concat(tag_id || ':' || device_id, ' ') FROM device_of_tag), '') || ' '
            || coalesce((SELECT name FROM tag), '')";
        assert_eq!(connection.query_row(sql, [], |row| row.get::<_, String>(0)).unwrap(), left, "{wrong}");
    }
}

#[test]
fn early_receipts_that_nothing_will_count_are_deleted_and_no_others() {
    let folder = Folder::copy();
    let early = |push: i64, device: i64| format!("INSERT INTO early_receipt VALUES ({push}, {device}, 1);");
    // Push 1 has finished, push 2 begins tomorrow.
    folder.sql(&early(2, 1));
    assert_eq!(folder.findings(&[]).0, Vec::<Value>::new());
    for (left_over, says) in [
        (early(77, 1), "receipts kept for the next batches of pushes that are not there: 1"),
        (early(1, 1) + &early(1, 2), "receipts kept for the next batches of pushes that have finished: 2"),
        (early(2, 77), "rows of the table early_receipt that name a missing device: 1"),
    ] {
        folder.sql(&left_over);
        folder.repaired(&[says]);
    }
    let connection = Connection::open(folder.database()).unwrap();
    let sql = "SELECT push_id, device_id FROM early_receipt";
    let left = connection.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    assert_eq!(left, (2, 1), "one row, of the push to come");
}

#[test]
fn attributes_of_nobody_and_under_no_name_are_deleted_and_no_others() {
    let folder = Folder::copy();
    folder.sql(
        "INSERT INTO attribute_name SELECT 1, access_id, 'city' FROM app LIMIT 1;
         INSERT INTO attribute VALUES (1, 1, 'Wuxi'), (2, 1, 'Wuxi')",
    );
    assert_eq!(folder.findings(&[]).0, Vec::<Value>::new());
    for (left_over, says) in [
        ("(1, 7, 'x'), (2, 7, 'x')", "rows of the table attribute that name a missing attribute_name: 2"),
        ("(77, 1, 'x')", "rows of the table attribute that name a missing device: 1"),
    ] {
        folder.sql(&format!("INSERT INTO attribute VALUES {left_over}"));
        folder.repaired(&[says]);
    }
    let connection = Connection::open(folder.database()).unwrap();
    let left: u64 = connection.query_row("SELECT count(*) FROM attribute", [], |row| row.get(0)).unwrap();
    assert_eq!(left, 2);
}

#[test]
fn a_cursor_out_of_range_and_an_end_that_is_none_are_set_right() {
    for (wrong, says) in [
        ("rows_done = 8 WHERE push_id = 1", &["push 1 ended at row 8 of 7", "it counts 7 rows now"][..]),
        ("rows_done = 3 WHERE push_id = 1", &["push 1 is marked as finished at row 3 of 7", "PUSH_FAILED"]),
        ("finished_at = NULL WHERE push_id = 1", &["push 1 has ended by its state, and would be sent on"]),
        ("state = 2 WHERE push_id = 1", &["push 1 has ended by its times, and not by its state"]),
        ("rows_done = 1000 WHERE push_id = 2", &["push 2 is at row 1000 of 7", "it begins again at the first row"]),
        ("window_row = 5 WHERE push_id = 2", &["push 2 is at no place", "it begins again at the first row"]),
        ("window_device = 5 WHERE push_id = 2", &["push 2 is at no place", "it begins again at the first row"]),
    ] {
        let folder = Folder::copy();
        folder.sql(&format!("UPDATE push SET {wrong}"));
        folder.repaired(says);
    }
}

#[test]
fn a_push_whose_package_is_gone_is_named() {
    let folder = Folder::copy();
    folder.sql("DELETE FROM package");
    folder.remains_among(&["push 2 is not finished, and its package 1 is gone", "it ends PUSH_FAILED by itself"]);
}

#[test]
fn an_index_that_is_not_what_its_table_says_is_made_anew() {
    let folder = Folder::copy();
    // Behind the index's back: as far as the database knows, it is not there while the row changes.
    let schema = |change: &str| {
        let connection = Connection::open(folder.database()).unwrap();
        connection.execute_batch(&format!("PRAGMA writable_schema = ON; {change}")).unwrap();
    };
    let index = "FROM sqlite_schema WHERE name = 'package_by_use'";
    schema(&format!("CREATE TABLE aside AS SELECT * {index}; DELETE {index}"));
    folder.sql("UPDATE package SET last_used_at = last_used_at + 1");
    schema("INSERT INTO sqlite_schema SELECT * FROM aside; DROP TABLE aside");
    folder.repaired(&["indexes are damaged, their tables are whole", "package_by_use", "they were made anew"]);
}

#[test]
fn a_database_that_cannot_be_trusted_is_left_alone_with_all_that_depends_on_it() {
    let pages = |folder: &Folder| {
        let mut bytes = fs::read(folder.database()).unwrap();
        // Far enough from the front that it can still be opened.
        let from = bytes.len() / 2;
        bytes[from..].fill(0xa5);
        bytes
    };
    for (broken, says) in [
        (&pages as &dyn Fn(&Folder) -> Vec<u8>, &["the database is damaged", "restore the backup"][..]),
        (&|_: &Folder| b"not what it was\n".repeat(512), &["file is not a database", "restore the backup"]),
        (&|_: &Folder| Vec::new(), &["the database is empty", "restore the backup"]),
    ] {
        let folder = Folder::copy();
        fs::write(folder.packages().join("0123.package"), "belongs to no package").unwrap();
        let content = broken(&folder);
        fs::write(folder.database(), content).unwrap();
        folder.remains(says);
    }
}

#[test]
fn a_database_of_a_newer_program_is_not_touched() {
    let folder = Folder::copy();
    folder.sql("PRAGMA user_version = 1000");
    let failed = folder.doctor(&[]);
    assert_eq!(failed.code, Some(1));
    assert!(failed.stderr.contains("schema version 1000"), "{}", failed.stderr);
    assert!(failed.stderr.contains("run the newer program"), "{}", failed.stderr);
}
