//! Check: what is looked at after every start, before the customers go on.

use std::collections::HashMap;

use serde_json::{Value, json};

use crate::customer::Customer;
use crate::ledger::{Fate, Upload};
use crate::tally::Fates;
use crate::world::World;

/// Looks at all that customers were answered, and at what became of what they were not answered.
pub(crate) fn after_a_start(world: &mut World) {
    let (mut packages, mut lists) = (0, 0);
    for customer in &world.scene.customers {
        let found = packages_of(customer);
        packages += found.len();
        lists += found.values().filter(|package| package["bad_rows"] != 0).count();
        check_uploads(customer, found, &mut world.tally.uploads);
        check_pushes(customer, &mut world.tally.pushes);
        check_registrations(customer);
    }
    let files = world.server.package_files();
    let of = |ending: &str| files.iter().filter(|name| name.ends_with(ending)).count();
    assert_eq!((of(".package"), of(".rejected.csv")), (packages, lists), "each file has its row: {files:?}");
    assert_eq!(files.len(), packages + lists, "and there are no others: {files:?}");
}

/// The packages the app has, by the names of their files.
fn packages_of(customer: &Customer) -> HashMap<String, Value> {
    let (status, page) = customer.app.own("GET", "/v1/packages?limit=1000");
    assert_eq!((status, &page["next"]), (200, &Value::Null), "{page}");
    let listed = page["packages"].as_array().expect("a page");
    let name = |package: &Value| package["file_name"].as_str().expect("a name").to_owned();
    let packages: HashMap<String, Value> = listed.iter().map(|package| (name(package), package.clone())).collect();
    assert_eq!(packages.len(), listed.len(), "each once");
    packages
}

fn check_uploads(customer: &Customer, mut found: HashMap<String, Value>, fates: &mut Fates) {
    for upload in &mut customer.ledger().uploads {
        let package = found.remove(&upload.file_name);
        let id = package.as_ref().map(|package| package["upload_id"].to_string());
        if let Some(package) = &package {
            assert_whole(package, upload);
        }
        decide(&mut upload.fate, id, fates, &upload.file_name);
    }
    assert_eq!(found, HashMap::new(), "packages nobody uploaded");
}

fn assert_whole(package: &Value, upload: &Upload) {
    let Upload { rows, duplicates, blanks, bad_rows, bytes, .. } = upload;
    let members = ["rows", "duplicates", "blanks", "bad_rows", "bytes"].map(|name| package[name].as_u64());
    assert_eq!(members, [rows, duplicates, blanks, bad_rows, bytes].map(|count| Some(*count)), "{package}");
}

/// What was answered is there, what was refused is not, and what was not answered is decided now.
fn decide(fate: &mut Fate, id: Option<String>, fates: &mut Fates, name: &str) {
    match fate {
        Fate::Answered(known) | Fate::Found(known) => assert_eq!(Some(&*known), id.as_ref(), "{name} was kept"),
        Fate::Absent => assert_eq!(None, id, "{name} was not kept"),
        Fate::Unanswered => {
            let count = if id.is_some() { &mut fates.unanswered_kept } else { &mut fates.unanswered_absent };
            *count += 1;
            *fate = id.map_or(Fate::Absent, Fate::Found);
        }
    }
}

/// So many days from today.
fn day(days: i64) -> String {
    let today = jiff::Zoned::now().with_time_zone(jiff::tz::TimeZone::fixed(jiff::tz::offset(8)));
    today.checked_add(jiff::Span::new().days(days)).expect("it is near").strftime("%F").to_string()
}

/// The ids of the app's latest pushes by their titles, at least of those that `are_wanted`.
fn pushes_of(customer: &Customer, are_wanted: usize) -> HashMap<String, String> {
    let mut found = HashMap::new();
    for offset in (0..).step_by(200) {
        let days = json!({ "startDate": day(-7), "endDate": day(7), "offset": offset, "limit": 200 });
        let page = customer.app.call("/v3/statistics/get_push_record", &days);
        let records = page["pushRecordData"].as_array().expect("a page");
        let text = |record: &Value, name: &str| record[name].as_str().expect("a text").to_owned();
        for record in records {
            let earlier = found.insert(text(record, "title"), text(record, "pushId"));
            assert_eq!(earlier, None, "each once: {record}");
        }
        if records.len() < 200 || found.len() > are_wanted {
            return found;
        }
    }
    found
}

fn check_pushes(customer: &Customer, fates: &mut Fates) {
    let mut ledger = customer.ledger();
    let found = pushes_of(customer, ledger.pushes.len());
    for push in &mut ledger.pushes {
        decide(&mut push.fate, found.get(&push.title).cloned(), fates, &push.title);
        let Some(id) = push.fate.id() else { continue };
        // It looks itself whether the outcomes add up to the targets.
        let shown = customer.app.progress(id);
        assert_eq!(shown["audience_rows"], push.rows, "{shown}");
        let rows_done = shown["rows_done"].as_u64().expect("a number");
        assert!(rows_done >= push.rows_done, "what was done stays done: {} {shown}", push.rows_done);
        assert!(shown["targets"].as_u64() <= Some(push.phones.len() as u64), "{shown}");
        push.rows_done = rows_done;
        if let Some(halt) = push.halt {
            let _ = halt.is_kept(&shown);
        }
    }
}

fn check_registrations(customer: &Customer) {
    let ledger = customer.ledger();
    for some in ledger.registrations.chunks(500) {
        let accounts: Vec<Value> =
            some.iter().map(|late| json!({ "account": late.account, "account_type": 0 })).collect();
        let query = json!({ "operator_type": 1, "account_list": accounts });
        let answer = customer.app.call("/v3/device/account/query", &query);
        let found = answer["account_tokens"].as_array().expect("a list");
        let tokens: HashMap<&str, &Value> =
            found.iter().filter_map(|one| Some((one["account"].as_str()?, &one["token_list"]))).collect();
        for late in some {
            assert_eq!(tokens.get(&*late.account), Some(&&json!([late.token])), "{answer}");
        }
    }
}
