//! `serve`.

use std::path::Path;
use std::process::Command;

use crate::support::{Place, Running, pigeonloft, pigeonloft_with};

/// A server.
pub(crate) struct Server {
    pub(crate) running: Running,
    pub(crate) http: String,
}

impl Server {
    pub(crate) fn start(place: &Place) -> Self {
        let mut running = Running::start(["serve", "--data-dir", &place.data()]);
        let line = running.line();
        assert!(line.starts_with("pigeonloft listens on http://127.0.0.1:"), "{line:?}");
        Self { http: Running::address(&line, "http"), running }
    }
}

fn curl(args: &[&str]) -> String {
    let output = Command::new("curl").args(["-sS", "--max-time", "20"]).args(args).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_server_serves_until_it_is_asked_to_stop() {
    for signal in ["TERM", "INT"] {
        let place = Place::new();
        let server = Server::start(&place);
        assert!(!curl(&[&format!("http://{}/healthz", server.http)]).is_empty());
        server.running.signal(signal);
        assert_eq!(server.running.ended().code(), Some(0));
    }
}

#[test]
fn an_app_created_beside_a_running_server_is_served_at_once() {
    let place = Place::new();
    let server = Server::start(&place);
    let url = format!("http://{}/v3/push/package/upload", server.http);
    let file = place.file("a.txt", "ann\n");
    let upload = || curl(&["-u", "1500001048:secret", "-F", &format!("file=@{file}"), &url]);
    assert!(upload().contains("1008035"));
    place.app("1500001048", "secret");
    let answer = upload();
    assert!(answer.contains("\"retCode\":0"), "{answer}");
}

#[test]
fn a_second_server_on_the_same_folder_is_refused() {
    let place = Place::new();
    let _first = Server::start(&place);
    let data = place.data();
    let args = ["serve", "--data-dir", &data, "--listen", "127.0.0.1:0", "--mqtt-listen", "127.0.0.1:0"];
    assert_eq!(
        place.plain(&pigeonloft(args).failed()),
        "error: cannot serve: another server runs on the data folder HERE/data\n\
         hint: stop it, or give this one its own --data-dir\n"
    );
}

#[test]
fn folders_among_the_packages_are_left_alone_and_files_of_no_package_removed() {
    let place = Place::new();
    let packages = Path::new(&place.data()).join("packages");
    // As who tidies up by hand leaves them.
    for folder in ["old.d", "2026-11-01.package", ".incoming-kept"] {
        std::fs::create_dir_all(packages.join(folder)).unwrap();
        std::fs::write(packages.join(folder).join("kept"), "kept").unwrap();
    }
    std::fs::write(packages.join("00ff.package"), "of an upload that never ended").unwrap();
    let server = Server::start(&place);
    assert!(!curl(&[&format!("http://{}/healthz", server.http)]).is_empty());
    let mut left: Vec<_> = std::fs::read_dir(&packages).unwrap().map(|entry| entry.unwrap().path()).collect();
    left.sort();
    assert_eq!(left, [".incoming-kept", "2026-11-01.package", "old.d"].map(|folder| packages.join(folder)));
    assert!(left.iter().all(|folder| folder.join("kept").exists()));
}

#[test]
fn a_taken_port_is_named() {
    let place = Place::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let data = place.data();
    for ports in
        [["--listen", &address, "--mqtt-listen", "127.0.0.1:0"], ["--listen", "127.0.0.1:0", "--mqtt-listen", &address]]
    {
        let failed = pigeonloft(["serve", "--data-dir", &data].into_iter().chain(ports)).failed();
        assert!(failed.starts_with("error: cannot serve: ") && failed.contains(&address), "{failed}");
    }
}

#[test]
fn wrong_settings_are_named_before_anything_is_touched() {
    let place = Place::new();
    let data = place.data();
    for (settings, says) in
        [("[http]\nlisten_on = 1\n", "listen_on"), ("[push]\nbatch_rows = 0\n", "push.batch_rows is 0")]
    {
        let file = place.file("pigeonloft.toml", settings);
        let failed = pigeonloft(["serve", "--data-dir", &data, "--config", &file]).failed();
        assert!(failed.starts_with("error: configuration: ") && failed.contains(says), "{failed}");
    }
    let level = pigeonloft_with("PIGEONLOFT_LOG__LEVEL", "info,=x=", ["serve", "--data-dir", &data]).failed();
    assert!(level.starts_with("error: configuration: log.level is \"info,=x=\": "), "{level}");
    assert!(level.contains("hint: error, warn, info, debug or trace"), "{level}");
    assert!(!place.path("data").exists());
}
