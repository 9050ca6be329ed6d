//! `device import`.

use std::collections::HashSet;
use std::fmt::Write as _;

use pigeonloft_model::AccessId;
use pigeonloft_store::{AccountKey, Store};

use crate::support::{Place, Ran, pigeonloft};

const APP: &str = "1500001048";

fn place() -> Place {
    let place = Place::new();
    place.app(APP, "secret");
    place
}

fn import(place: &Place, file: &str, more: &[&str]) -> Ran {
    let data = place.data();
    pigeonloft(["device", "import", file, "--app", APP, "--data-dir", &data].iter().chain(more))
}

fn token(number: usize) -> String {
    format!("{number:036x}")
}

/// The tokens of an account of the app, and whether the first one's device has a password.
fn look(place: &Place, account_type: u32, name: &str) -> (Vec<String>, bool) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let store = Store::open(place.data().as_ref()).unwrap();
        let app = AccessId(APP.parse().unwrap());
        let key = AccountKey { account_type, name: name.to_owned() };
        let tokens = store.tokens_of_accounts(app, vec![key]).await.unwrap().remove(0).1;
        let device = match tokens.first() {
            Some(token) => store.device(app, token.parse().unwrap()).await.unwrap(),
            None => None,
        };
        (tokens, device.is_some_and(|device| device.password_hash.is_some()))
    })
}

#[test]
fn twenty_thousand_devices_are_imported_and_an_import_can_be_repeated() {
    let place = place();
    let mut csv = String::from("account,token,account_type\n");
    for number in 0..20_000 {
        writeln!(csv, "user{number},{},5", token(number)).unwrap();
    }
    let file = place.file("devices.csv", csv);
    assert_eq!(
        import(&place, &file, &[]).ok(),
        "20000 rows: 20000 new devices, 0 rows of devices known before, 20000 accounts bound, 0 bad rows skipped\n"
    );
    assert_eq!(
        import(&place, &file, &[]).ok(),
        "20000 rows: 0 new devices, 20000 rows of devices known before, 20000 accounts bound, 0 bad rows skipped\n"
    );
    assert_eq!(look(&place, 5, "user19999"), (vec![token(19_999)], false));
}

#[test]
fn issued_tokens_and_passwords_are_written_out_beside_the_rows() {
    let place = place();
    let rows: String = (0..20_000).map(|number| format!("user{number}\n")).collect();
    let file = place.file("accounts.csv", "account\n".to_owned() + &rows);
    let out = place.path("out.csv").display().to_string();
    let said = import(&place, &file, &["--out", &out]).ok();
    assert!(said.starts_with("20000 rows: 20000 new devices, "), "{said}");

    let mut written = csv::Reader::from_path(&out).unwrap();
    assert_eq!(written.headers().unwrap(), vec!["token", "password", "account"]);
    let rows: Vec<_> = written.records().map(Result::unwrap).collect();
    assert_eq!(rows.len(), 20_000);
    assert_eq!(&rows[7][2], "user7", "the rows stand in the order of the file");
    assert_eq!(rows.iter().map(|row| row[0].to_owned()).collect::<HashSet<_>>().len(), 20_000);
    assert!(rows.iter().all(|row| row[0].len() == 36 && row[1].len() == 32));
    assert_eq!(look(&place, 0, "user7"), (vec![rows[7][0].to_owned()], true));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(std::fs::metadata(&out).unwrap().permissions().mode() & 0o777, 0o600);
    }
    let again = import(&place, &file, &["--out", &out]).failed();
    assert!(again.contains("hint: it may hold the only copy of passwords"), "{again}");
}

#[test]
fn a_device_of_several_rows_is_one_device_with_one_password() {
    let place = place();
    let rows = format!("TOKEN,account,account_type\n{0},ann,0\n{0},+4912345,1002\n{1},bob,\n", token(1), token(2));
    let file = place.file("devices.csv", rows);
    let known = place.file("known.csv", format!("token\n{}\n", token(2)));
    import(&place, &known, &[]).ok();
    let out = place.path("out.csv").display().to_string();
    assert_eq!(
        import(&place, &file, &["--out", &out]).ok(),
        "3 rows: 1 new devices, 2 rows of devices known before, 3 accounts bound, 0 bad rows skipped\n"
    );
    let written = std::fs::read_to_string(&out).unwrap();
    let lines: Vec<_> = written.lines().collect();
    assert_eq!(lines[0], "token,password,account,account_type");
    assert!(lines[1].starts_with(&token(1)) && lines[1].ends_with(",ann,0") && lines[1].len() > 36 + 32);
    assert_eq!(lines[2], format!("{},,+4912345,1002", token(1)), "its password stands in its first row");
    assert_eq!(lines[3], format!("{},,bob,", token(2)), "a device known before keeps its password, or has none");
    assert_eq!(look(&place, 1002, "+4912345"), (vec![token(1)], true));
}

#[test]
fn bad_rows_are_named_before_anything_is_imported_or_skipped_when_asked() {
    let place = place();
    let mut rows = format!("token,account\n{},ann\nabc,bob\n{},x\n{}\n", token(1), token(2), token(3));
    rows.extend((0..20).map(|_| "zz,cid\n"));
    let file = place.file("devices.csv", rows);
    let failed = import(&place, &file, &[]).failed();
    assert!(
        failed.starts_with(
            "error: 23 bad rows, so nothing was imported:\n  line 3: a token has 36 characters, this has 3\n  \
             line 4: an account has 2 to 100 characters, this has 1\n  line 5: 1 values, the header has 2\n"
        ),
        "{failed}"
    );
    assert!(failed.ends_with("and 13 more\nhint: correct them, or leave them out with --skip-bad-rows\n"), "{failed}");
    assert_eq!(look(&place, 0, "ann").0, [""; 0]);
    assert_eq!(
        import(&place, &file, &["--skip-bad-rows"]).ok(),
        "1 rows: 1 new devices, 0 rows of devices known before, 1 accounts bound, 23 bad rows skipped\n"
    );
    assert_eq!(look(&place, 0, "ann").0, [token(1)]);
}

#[test]
fn a_file_that_cannot_be_meant_is_refused_with_a_hint() {
    let place = place();
    for (content, says) in [
        ("", "the file is empty"),
        ("token,e-mail\n", "a column \"e-mail\", which an import does not know"),
        ("account\nann\n", "no column \"token\", and without --out the issued ones would be lost"),
        ("token,token\n", "names the column \"token\" twice"),
        ("token,channel\n", "the column \"channel\" means nothing without a column \"channel_token\""),
    ] {
        let file = place.file("devices.csv", content);
        let failed = import(&place, &file, &[]).failed();
        assert!(failed.starts_with("error: ") && failed.contains(says), "{failed}");
    }
    let file = place.file("devices.csv", format!("token\n{}\n", token(1)));
    let data = place.data();
    let other = pigeonloft(["device", "import", &file, "--app", "7", "--data-dir", &data]);
    assert!(other.failed().starts_with("error: no app has AccessId 7\n"));
}

#[test]
fn attributes_that_the_app_has_declared_are_columns() {
    let place = place();
    let data = place.data();
    let held = |number: usize| {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let store = Store::open(data.as_ref()).unwrap();
        let token = token(number).parse().unwrap();
        runtime.block_on(store.attributes(AccessId(APP.parse().unwrap()), token)).unwrap().unwrap()
    };
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let file = place.file(
        "devices.csv",
        format!("attribute:city,token,Attribute: nickname\n无锡,{},\n,{},Li\n", token(2), token(1)),
    );
    let undeclared = import(&place, &file, &[]).failed();
    assert_eq!(
        undeclared,
        format!(
            "error: the first line names an attribute \"city\", which app {APP} has not\n\
             hint: declare it with `pigeonloft app attribute add --app {APP} NAME`\n"
        )
    );
    let add = ["app", "attribute", "add", "--app", APP, "--data-dir", &data, "city", "nickname"];
    let _ = pigeonloft(add).ok();
    let said = import(&place, &file, &[]).ok();
    assert!(said.starts_with("2 rows: 2 new devices"), "{said}");
    assert_eq!((held(1), held(2)), (vec![pair("nickname", "Li")], vec![pair("city", "无锡")]));
    // With --out, in the order of the file; an empty value changes nothing.
    let file = place.file("again.csv", format!("token,attribute:city,attribute:nickname\n{},,Ming\n", token(2)));
    let out = place.path("out.csv").display().to_string();
    let _ = import(&place, &file, &["--out", &out]).ok();
    assert_eq!(held(2), [pair("city", "无锡"), pair("nickname", "Ming")]);
    let file = place.file("long.csv", format!("token,attribute:city\n{},{}\n", token(3), "x".repeat(51)));
    let refused = import(&place, &file, &[]).failed();
    assert!(refused.contains("line 2: an attribute has at most 50 bytes"), "{refused}");
}

#[test]
fn a_token_of_a_channel_that_leads_to_no_device_of_the_app_is_a_bad_row() {
    let place = place();
    let rows = format!("token,channel,channel_token\n{},fcm,a:b\n{},apns,0a0b\n", token(1), token(2));
    let file = place.file("devices.csv", rows);
    assert_eq!(
        import(&place, &file, &[]).failed(),
        "error: 1 bad row, so nothing was imported:\n  line 3: apns leads to no device of an app on android\n\
         hint: correct them, or leave them out with --skip-bad-rows\n"
    );
    let out = place.path("out.csv").display().to_string();
    assert_eq!(
        import(&place, &file, &["--skip-bad-rows", "--out", &out]).ok(),
        "1 rows: 1 new devices, 0 rows of devices known before, 0 accounts bound, 1 bad rows skipped\n"
    );
}
