//! Apple's channel with a certificate in place of a key: from the file that Keychain Access or OpenSSL writes to a message
//! that Apple's side takes without a token, and what is said of a file that cannot be used.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use pigeonloft_testkit::{App, Apple, Certificate, Server, pigeonloft, program, until};
use serde_json::json;
use tempfile::TempDir;

use super::apns::{apns_token, device, to_ann};
use super::{Running, outcomes};

const TOPIC: &str = "com.example.shop";

/// The object identifier of a user's id in a subject, where Apple writes the bundle id.
const UID: [u64; 7] = [0, 9, 2342, 19_200_300, 100, 1, 1];

/// A folder with what an authority issued: `certificate.pem` for [`TOPIC`], `key.pem`, and its own as `authority.pem`.
struct Issued(TempDir);

impl Issued {
    /// Valid until the first day of this year.
    fn until(year: i32) -> Self {
        let mut of_authority = rcgen::CertificateParams::default();
        of_authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let key = || rcgen::KeyPair::generate().expect("a key can be made");
        let authority_key = key();
        let authority = of_authority.self_signed(&authority_key).expect("a certificate can be made");
        let (mut params, own_key) = (rcgen::CertificateParams::default(), key());
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(rcgen::DnType::CustomDnType(UID.to_vec()), TOPIC);
        params.not_after = rcgen::date_time_ymd(year, 1, 1);
        let own = params.signed_by(&own_key, &rcgen::Issuer::new(of_authority, authority_key));
        let issued = Self(tempfile::tempdir().expect("a temporary folder can be made"));
        for (name, text) in [
            ("authority.pem", authority.pem()),
            ("certificate.pem", own.expect("a certificate can be made").pem()),
            ("key.pem", own_key.serialize_pem()),
            ("password", "correct horse\n".to_owned()),
            ("wrong", "battery staple".to_owned()),
        ] {
            fs::write(issued.path(name), text).expect("a file can be written");
        }
        issued
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).expect("a file can be read")
    }

    /// A .p12 file of it, with the password "correct horse".
    fn p12(&self, name: &str, how: &[&str]) -> String {
        let (certificate, key, made) = (self.path("certificate.pem"), self.path("key.pem"), self.path(name));
        let export = ["pkcs12", "-export", "-in", &certificate, "-inkey", &key, "-out", &made, "-passout"];
        program::run(program::require("openssl").args(export).arg("pass:correct horse").args(how));
        made
    }
}

fn listed(server: &Server, app: &App) -> String {
    server.run(["app", "channel", "list", "--app", &app.access_id.to_string()])
}

#[test]
fn a_message_goes_out_over_a_connection_that_a_certificate_authorizes() {
    let issued = Issued::until(2100);
    let (server, apple) = (pigeonloft!().start(), Apple::that_demands(&issued.text("authority.pem")));
    let app = server.app("ios");
    let _phone = device(&app, 0);
    let password = ["--password-file", &issued.path("password")];
    let [new, old] = [("new.p12", &[][..]), ("old.p12", &["-legacy"])].map(|(name, how)| issued.p12(name, how));
    fs::write(issued.path("both.pem"), issued.text("key.pem") + &issued.text("certificate.pem")).expect("written");
    let (both, certificate, key) = (issued.path("both.pem"), issued.path("certificate.pem"), issued.path("key.pem"));
    let ways: [&[&str]; 4] = [
        &["--certificate", &new, password[0], password[1]],
        &["--certificate", &old, password[0], password[1]],
        &["--certificate", &both],
        &["--certificate", &certificate, "--certificate-key", &key, "--topic", "com.example.other"],
    ];
    for (n, way) in ways.iter().enumerate() {
        apple.knows(&server, &app, way).expect("the certificate is taken");
        until("the running server follows", || {
            let push_id = app.pushed(to_ann(json!({})));
            let accepted = outcomes(&app, &push_id) == json!({ "accepted": 1 });
            let taken = apple.sim.taken(&apns_token(0))?;
            assert!(!taken.headers.contains_key("authorization"), "{taken:?}");
            let topic = if n == 3 { "com.example.other" } else { TOPIC };
            (accepted && taken.headers["apns-topic"] == topic).then_some(())
        });
        let list = listed(&server, &app);
        assert!(list.contains("certificate valid until 2100-01-01  topic com.example."), "{list}");
        assert!(!list.contains("PRIVATE") && !list.contains("correct horse"), "{list}");
    }
}

#[test]
fn a_certificate_that_cannot_be_used_is_refused_in_words() {
    let issued = Issued::until(2100);
    let (server, apple) = (pigeonloft!().start(), Apple::start());
    let app = server.app("ios");
    let p12 = issued.p12("shop.p12", &[]);
    let refused = |credentials: &[&str]| apple.knows(&server, &app, credentials).expect_err("it is refused");
    let says = |credentials: &[&str], words: &[&str]| {
        let said = refused(credentials);
        assert!(words.iter().all(|word| said.contains(word)), "{said}");
    };
    let wrong = ["the password of the file is wrong or missing", "hint: give it with --password-file"];
    says(&["--certificate", &p12, "--password-file", &issued.path("wrong")], &wrong);
    says(&["--certificate", &p12], &wrong);
    let expired = Issued::until(2024);
    let old = expired.p12("old.p12", &[]);
    says(&["--certificate", &old, "--password-file", &expired.path("password")], &["expired on 2024-01-01", "hint: "]);
    says(&["--certificate", &issued.path("certificate.pem")], &["a certificate and no key", "hint: "]);
    let (certificate, key) = (issued.path("certificate.pem"), expired.path("key.pem"));
    says(&["--certificate", &certificate, "--certificate-key", &key], &["the key is not that of the certificate"]);
    says(&["--certificate", &issued.path("password")], &["neither PEM nor a PKCS #12 file", "hint: "]);
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let own = Certificate::write(folder.path());
    let [nameless, its_key] = [&own.certificate, &own.key].map(|path| path.display().to_string());
    let nameless = ["--certificate", &nameless, "--certificate-key", &its_key];
    says(&nameless, &["names no bundle id", "hint: name it: --topic"]);
    let key = apple.key.display().to_string();
    let by_key = ["--key", &key, "--key-id", "ABC123DEFG", "--team-id", "DEF123GHIJ", "--topic", TOPIC];
    says(
        &[&by_key[..], &["--certificate", &p12]].concat(),
        &["'--key <FILE>' cannot be used with '--certificate <FILE>'"],
    );
    says(&["--topic", TOPIC], &["<--key <FILE>|--certificate <FILE>>"]);
    assert_eq!(listed(&server, &app), "", "nothing is kept");
}

#[test]
fn a_certificate_that_apple_does_not_take_pauses_the_channel_and_says_why() {
    let (issued, other) = (Issued::until(2100), Issued::until(2100));
    let (server, apple) = (pigeonloft!().start(), Apple::that_demands(&other.text("certificate.pem")));
    let app = server.app("ios");
    let _phone = device(&app, 0);
    let (p12, password) = (issued.p12("shop.p12", &[]), issued.path("password"));
    apple.knows(&server, &app, &["--certificate", &p12, "--password-file", &password]).expect("it is taken");
    let push_id = app.pushed(to_ann(json!({})));
    assert_eq!(outcomes(&app, &push_id), json!({ "waiting": 1 }));
    let paused = app.finished(&push_id)["paused_channels"][0].clone();
    assert_eq!(paused["reason"], "configuration");
    assert!(paused["code"].as_str().is_some_and(|code| code.starts_with("TLS: received fatal alert")), "{paused}");
    let test = ["app", "channel", "test", "--app", &app.access_id.to_string(), "apns", "--token", &apns_token(0)];
    let said = server.try_run(test).expect_err("it fails");
    assert!(said.contains("TLS: received fatal alert") && said.contains("certificate"), "{said}");
    assert_eq!(apple.sim.counts()[0], 0, "no message went out");
}

#[test]
fn the_sim_of_the_command_line_demands_a_certificate_and_misbehaves_on_command() {
    let issued = Issued::until(2100);
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let own = Certificate::write(folder.path());
    let [own, own_key] = [&own.certificate, &own.key].map(|path| path.display().to_string());
    let behaves = |habits: serde_json::Value| {
        fs::write(issued.path("new"), habits.to_string()).expect("a file can be written");
        fs::rename(issued.path("new"), issued.path("behaviour")).expect("a file can be renamed");
    };
    behaves(json!({ "first_streams": 1 }));
    let mut sim = Command::new(env!("CARGO_BIN_EXE_pigeonloft"));
    sim.args(["sim", "apns", "--listen", "127.0.0.1:0", "--certificate", &own, "--tls-key", &own_key]);
    sim.args(["--client-certificate", &issued.path("authority.pem"), "--behaviour", &issued.path("behaviour")]);
    let mut sim = Running(sim.stdout(Stdio::piped()).spawn().expect("the binary can be run"));
    let mut says = BufReader::new(sim.0.stdout.take().expect("it is piped")).lines();
    let said = says.next().expect("it says where it is").expect("a line");
    let url = said.strip_prefix("the sim of APNs is at ").expect("a URL");
    let server = pigeonloft!().start();
    let app = server.app("ios");
    let _phone = device(&app, 0);
    let (id, p12, password) = (app.access_id.to_string(), issued.p12("shop.p12", &[]), issued.path("password"));
    let set = ["app", "channel", "set", "--app", &id, "apns", "--url", url, "--trust", &own];
    server.run(set.iter().chain(&["--certificate", &p12, "--password-file", &password]).copied());
    let becomes = |outcome: &str, word: &str| {
        until(word, || {
            let push_id = app.pushed(to_ann(json!({})));
            let became = outcomes(&app, &push_id);
            let report = app.own_text(&format!("/v1/pushes/{push_id}/recipients.csv"));
            (became == json!({ outcome: 1 }) && report.contains(word)).then_some(())
        });
    };
    becomes("accepted", "apns,accepted");
    let reply = json!({ "status": 429, "reason": "TooManyRequests", "retry_after": 3600 });
    behaves(json!({ "by_token": { apns_token(0): reply } }));
    becomes("waiting", "apns: TooManyRequests");
    behaves(json!({ "resets": 1_000 }));
    becomes("unknown", "apns: reset INTERNAL_ERROR");
    behaves(json!({ "next": [1_000, { "status": 410, "reason": "Unregistered", "timestamp": 1 }] }));
    becomes("waiting", "apns: Unregistered");
    behaves(json!({}));
    becomes("accepted", "apns,accepted");
}
