//! `app` and `config`.

use crate::support::{Place, pigeonloft, pigeonloft_reading};

#[test]
fn an_app_with_given_credentials_keeps_them() {
    let (place, data) = with_data();
    let args = ["--platform", "ios", "--name", " Shop ", "--access-id", "1600007893", "--secret-key", "s:e\"c"];
    let json = pigeonloft(create(&data).into_iter().chain(args).chain(["--access-key", "AKEY", "--json"])).ok();
    assert_eq!(
        json,
        "{\"access_id\":1600007893,\"secret_key\":\"s:e\\\"c\",\"access_key\":\"AKEY\",\"platform\":\"ios\",\
         \"name\":\"Shop\"}\n"
    );
    assert_eq!(pigeonloft(["app", "list", "--json", "--data-dir", &data]).ok(), json);
    drop(place);
}

fn with_data() -> (Place, String) {
    let place = Place::new();
    let data = place.data();
    (place, data)
}

fn create(data: &str) -> [&str; 4] {
    ["app", "create", "--data-dir", data]
}

#[test]
fn what_is_not_given_is_issued_in_the_services_style() {
    let (_place, data) = with_data();
    for (platform, range) in [("android", "1500"), ("web", "1500"), ("ios", "1600"), ("macos", "1600")] {
        let json = pigeonloft(create(&data).into_iter().chain(["--platform", platform, "--name", "a", "--json"])).ok();
        let app: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert!(app["access_id"].to_string().starts_with(range), "{json}");
        assert_eq!(app["secret_key"].as_str().unwrap().len(), 32);
        assert!(app["access_key"].as_str().unwrap().starts_with('A'));
        assert_eq!(app["platform"], platform);
    }
    let list = pigeonloft(["app", "list", "--data-dir", &data]).ok();
    assert_eq!(list.lines().count(), 5);
    assert!(!list.contains("secret"), "the table has no keys");
}

#[test]
fn a_secret_can_come_from_a_pipe() {
    let (_place, data) = with_data();
    let args = ["--platform", "web", "--name", "a", "--json", "--secret-key-file", "-"];
    let json = pigeonloft_reading("from a pipe\r\n", create(&data).into_iter().chain(args)).ok();
    assert!(json.contains("\"secret_key\":\"from a pipe\""), "{json}");
}

#[test]
fn an_app_is_created_and_changed_as_people_read_it() {
    let (place, data) = with_data();
    let given = ["--access-id", "1500001048", "--secret-key", "secret", "--access-key", "AK"];
    let said = pigeonloft(create(&data).into_iter().chain(["--platform", "android", "--name", "Shop"]).chain(given));
    assert_eq!(
        said.ok(),
        "access_id   1500001048\nsecret_key  secret\naccess_key  AK\nplatform    android\nname        Shop\n"
    );
    let set = ["app", "set", "--data-dir", &data, "--access-id", "1500001048", "--bad-rows", "skip"];
    assert_eq!(pigeonloft(set).ok(), "app 1500001048: bad_rows = skip\n");
    assert_eq!(
        pigeonloft(["app", "list", "--data-dir", &data]).ok(),
        "ACCESS_ID   PLATFORM  BAD_ROWS  NAME\n1500001048  android   skip      Shop\n"
    );
    drop(place);
}

#[test]
fn the_addresses_an_app_allows_are_a_list_that_grows_and_shrinks() {
    let (place, data) = with_data();
    place.app("7", "s");
    let allow = |args: &[&str]| {
        let command = ["app", "allow-ip", "--data-dir", &data, "--app", "7"];
        pigeonloft(command.into_iter().chain(args.iter().copied()))
    };
    assert_eq!(allow(&["list"]).ok(), "");
    assert_eq!(
        allow(&["add", "203.0.113.7", "10.1.2.3/8,2001:db8::/32"]).ok(),
        "app 7: calls may come from 203.0.113.7/32, 10.0.0.0/8, 2001:db8::/32\n"
    );
    assert_eq!(allow(&["list"]).ok(), "203.0.113.7/32\n10.0.0.0/8\n2001:db8::/32\n");
    let hint = "hint: `pigeonloft app allow-ip --app 7 list` shows the list; nothing was changed\n";
    assert_eq!(
        allow(&["remove", "10.0.0.0/8", "192.0.2.0/24"]).failed(),
        format!("error: app 7: 192.0.2.0/24 is not in the list\n{hint}")
    );
    let many: Vec<String> = (0..98).map(|n| format!("192.0.2.{n}")).collect();
    let many: Vec<&str> = ["add"].into_iter().chain(many.iter().map(String::as_str)).collect();
    assert!(allow(&many).failed().contains("there are 101 networks, give at most 100"));
    assert_eq!(allow(&["list"]).ok().lines().count(), 3);
    assert_eq!(
        allow(&["remove", "203.0.113.7", "10.0.0.0/8", "2001:db8::/32"]).ok(),
        "app 7: calls may come from everywhere\n"
    );
    for wrong in [vec!["add"], vec!["remove"], vec!["add", "10.0.0"], vec!["drop", "::1"]] {
        assert_eq!(allow(&wrong).code, Some(2), "{wrong:?}");
    }
}

#[test]
fn what_cannot_be_done_is_said_with_a_hint() {
    let (place, data) = with_data();
    assert_eq!(
        place.plain(&pigeonloft(["app", "list", "--data-dir", &data]).failed()),
        "error: there is no server's data in HERE/data: pigeonloft.db is missing\n\
         hint: name the server's data folder with --data-dir, or begin one with `pigeonloft app create`\n"
    );
    place.app("7", "s");
    let again = ["--platform", "web", "--name", "b", "--access-id", "7"];
    assert_eq!(
        pigeonloft(create(&data).into_iter().chain(again)).failed(),
        "error: an app with AccessId 7 exists already\nhint: `pigeonloft app list` shows every app\n"
    );
    let unknown = ["app", "set", "--data-dir", &data, "--access-id", "8", "--bad-rows", "skip"];
    assert_eq!(
        pigeonloft(unknown).failed(),
        "error: no app has AccessId 8\nhint: `pigeonloft app list` shows every app\n"
    );
}

#[test]
fn attributes_are_declared_by_name() {
    let (place, data) = with_data();
    place.app("7", "s");
    let attribute = |command: &'static str, names: &[&'static str]| {
        let args = ["app", "attribute", command, "--data-dir", &data, "--app", "7"];
        pigeonloft(args.into_iter().chain(names.iter().copied()))
    };
    assert_eq!(attribute("list", &[]).ok(), "");
    assert_eq!(
        attribute("add", &[" nickname ", "city"]).ok(),
        "app 7: has the attribute nickname\napp 7: has the attribute city\n"
    );
    assert_eq!(attribute("add", &["city"]).ok(), "app 7: has the attribute city\n", "it may be said twice");
    assert_eq!(attribute("list", &[]).ok(), "city\nnickname\n");
    for unfit in ["", "a|b", "{a", "a}", "a\nb", "012345678901234567890123456789012345678901234567890"] {
        let ran = attribute("add", &[unfit]);
        assert_eq!(ran.code, Some(2), "{unfit}: {}", ran.stderr);
    }
    let many: Vec<&'static str> = (0..49).map(|n| &*format!("attribute-{n}").leak()).collect();
    assert_eq!(
        attribute("add", &many).failed(),
        "error: the app would have 51 attributes, of at most 50: none is added\n\
         hint: take one back with `pigeonloft app attribute remove`\n"
    );
    let _ = attribute("add", &many[..48]).ok();
    assert_eq!(
        attribute("remove", &["city"]).ok(),
        "app 7: the attribute city is gone, and what devices had under it\n"
    );
    assert_eq!(
        attribute("remove", &["city"]).failed(),
        "error: app 7 has no attribute \"city\"\nhint: `pigeonloft app attribute list --app 7` shows those it has\n"
    );
    assert_eq!(attribute("list", &[]).ok().lines().count(), 49);
}

#[test]
fn wrong_usage_has_a_status_of_its_own() {
    let (_place, data) = with_data();
    for wrong in [
        vec!["--platform", "symbian", "--name", "a"],
        vec!["--platform", "web"],
        vec!["--platform", "web", "--name", ""],
        vec!["--platform", "web", "--name", "a", "--access-id", "0"],
        vec!["--platform", "web", "--name", "a", "--secret-key", ""],
        vec!["--platform", "web", "--name", "a", "--access-key", "with blank"],
    ] {
        let ran = pigeonloft(create(&data).into_iter().chain(wrong.clone()));
        assert_eq!(ran.code, Some(2), "{wrong:?}: {}", ran.stderr);
        assert!(ran.stderr.starts_with("error: "), "{}", ran.stderr);
    }
    assert_eq!(pigeonloft([] as [&str; 0]).code, Some(2));
}

#[test]
fn config_prints_the_reference_and_it_can_be_used() {
    assert_eq!(pigeonloft(["config"]).ok(), include_str!("../../src/config/default.toml"));
}

#[test]
fn every_command_explains_itself() {
    for command in [
        "",
        "serve",
        "app",
        "app create",
        "app list",
        "app set",
        "app allow-ip",
        "app attribute",
        "app attribute add",
        "app attribute remove",
        "app attribute list",
        "config",
        "package",
        "package check",
        "package upload",
        "device",
        "device import",
        "doctor",
        "demo",
    ] {
        let help = pigeonloft(command.split_whitespace().chain(["--help"])).ok();
        assert!(help.contains("Usage: pigeonloft"), "{command}: {help}");
    }
}
