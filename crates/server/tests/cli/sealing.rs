//! `app channel`, `app webpush-keys`: what the credentials of apps are sealed with.

use crate::support::{Place, Ran, pigeonloft, pigeonloft_with};

const APPS: [&str; 2] = ["1500001048", "1500001049"];

/// Two apps, and the settings of a server that names its data folder and the file of its key.
fn with_settings() -> (Place, String) {
    let place = Place::new();
    APPS.iter().for_each(|app| place.app(app, "s"));
    let key_file = place.path("loft.key").display().to_string();
    let settings = format!("data_dir = {:?}\n[credentials]\nkey_file = {key_file:?}\n", place.data());
    let file = place.file("pigeonloft.toml", settings);
    (place, file)
}

/// Makes keys for Web Push, with the data folder named this way.
fn keys<'a>(app: &'a str, named: [&'a str; 2]) -> [&'a str; 8] {
    let [option, value] = named;
    ["app", "webpush-keys", option, value, "--app", app, "--subject", "mailto:push@example.com"]
}

#[test]
fn commands_use_the_key_of_the_servers_settings_and_make_no_second_one() {
    let (place, settings) = with_settings();
    let data = place.data();
    let of_settings = ["--config", &settings];
    let public_key = pigeonloft(keys(APPS[0], of_settings)).ok();
    assert!(place.path("loft.key").exists());
    let listed = pigeonloft(["app", "channel", "list", "--app", APPS[0], "--config", &settings]).ok();
    assert_eq!(listed, format!("webpush public key {}  subject mailto:push@example.com\n", public_key.trim()));

    // Who forgets the settings is not given a key that the server does not know.
    let says = |ran: Ran| place.plain(&ran.failed());
    assert_eq!(
        says(pigeonloft(keys(APPS[1], ["--data-dir", &data]))),
        "error: cannot seal the credentials: the key of the vendors' credentials, HERE/data/credentials.key, is missing\n\
         hint: credentials are sealed with a key already: name the settings that say where it is with --config FILE, as to \
         the server. If it is lost, remove what it sealed first: `pigeonloft app channel remove`\n"
    );
    assert!(!place.path("data/credentials.key").exists());
    // Nor is one used that opens nothing of what is there.
    let other = "ab".repeat(32);
    let ran = pigeonloft_with("PIGEONLOFT_CREDENTIALS__KEY", &other, keys(APPS[1], ["--data-dir", &data]));
    assert!(
        says(ran).starts_with("error: cannot seal the credentials: those that are there were sealed with another key")
    );
    let mut by_flag = keys(APPS[1], of_settings).to_vec();
    by_flag.extend(["--credentials-key", &other]);
    assert!(says(pigeonloft(by_flag)).contains("another key"), "a flag wins over the file");
    pigeonloft(keys(APPS[1], of_settings)).ok();
}

#[test]
fn where_the_key_is_lost_what_it_sealed_is_removed_first() {
    let (place, settings) = with_settings();
    let data = place.data();
    pigeonloft(keys(APPS[0], ["--config", &settings])).ok();
    std::fs::remove_file(place.path("loft.key")).unwrap();
    assert!(pigeonloft(keys(APPS[1], ["--config", &settings])).failed().contains("loft.key, is missing"));
    pigeonloft(["app", "channel", "remove", "--app", APPS[0], "webpush", "--data-dir", &data]).ok();
    pigeonloft(keys(APPS[1], ["--config", &settings])).ok();
    assert!(place.path("loft.key").exists());
}
