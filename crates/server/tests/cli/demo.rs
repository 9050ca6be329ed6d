//! `demo`.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::{Place, Running, pigeonloft};

fn demo(data: &str) -> [&str; 8] {
    ["demo", "--exit", "--data-dir", data, "--listen", "127.0.0.1:0", "--mqtt-listen", "127.0.0.1:0"]
}

#[test]
fn the_demo_ends_well_twice_in_the_same_folder() {
    let place = Place::new();
    let data = place.data();
    for _ in 0..2 {
        let said = pigeonloft(demo(&data)).ok();
        assert!(said.contains("every device got each of its messages exactly once: 2,700 messages"), "{said}");
        // Targets, sent and arrived of the three pushes.
        for (file, rows, no_device, targets) in
            [("accounts.csv", 1200, 0, 1200), ("tokens.txt", 1200, 0, 1200), ("accounts.zip", 310, 10, 300)]
        {
            let line = said.lines().find(|line| line.split_whitespace().nth(1) == Some(file)).unwrap();
            let figures: Vec<u64> = line.split_whitespace().skip(2).map(|figure| figure.parse().unwrap()).collect();
            assert_eq!(figures, [rows, no_device, targets, targets, targets, 0, 0, 0, 0, 0, 0], "{said}");
        }
    }
    let apps = pigeonloft(["app", "list", "--data-dir", &data]).ok();
    assert_eq!(apps.lines().count(), 2, "the second run used the first one's app: {apps}");
}

#[test]
fn every_line_the_demo_prints_to_try_next_works_as_it_stands() {
    let place = Place::new();
    let data = place.data();
    let mut demo = Running::start(["demo", "--data-dir", &data]);
    let mut lines = Vec::new();
    loop {
        let line = demo.line();
        let last = line.starts_with("mosquitto_sub ");
        lines.push(line);
        if last {
            break;
        }
        assert!(lines.len() < 100, "{lines:#?}");
    }
    let mut tried = 0;
    for line in lines.iter().filter(|line| line.starts_with("curl ") || line.starts_with("printf ")) {
        let answer = answer(line);
        let code = answer.get("retCode").or_else(|| answer.get("ret_code"));
        assert!(code.is_none_or(|code| code == 0), "{line}\n{answer}");
        assert!(answer.get("status").is_none_or(|status| !status.is_number()), "{line}\n{answer}");
        tried += 1;
    }
    assert_eq!(tried, 5, "{lines:#?}");
    hear(lines.last().unwrap(), lines.iter().find(|line| line.contains("/v3/push/app")).unwrap());
    demo.signal("INT");
    assert_eq!(demo.ended().code(), Some(0));
}

/// What a line answers. An app may push to a package once a second, so a line that comes too soon is tried again.
fn answer(line: &str) -> serde_json::Value {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let output = Command::new("sh").args(["-c", line]).output().unwrap();
        let answer: serde_json::Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{line}\n{error}: {}", String::from_utf8_lossy(&output.stderr)));
        if answer.get("ret_code").is_none_or(|code| code != 1_008_028) || Instant::now() > deadline {
            return answer;
        }
    }
}

/// Takes a device of the demo over and hears what is pushed next.
fn hear(subscribe: &str, push: &str) {
    let subscribe = subscribe.replace("mosquitto_sub ", "stdbuf -oL mosquitto_sub -d -C 1 -W 20 ");
    let mut listener = Command::new("sh").args(["-c", &subscribe]).stdout(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(listener.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert!(said.any(|line| line.starts_with("Subscribed")));
    assert_eq!(answer(push)["ret_code"], 0);
    let message = said.find(|line| line.starts_with('{')).unwrap();
    let message: serde_json::Value = serde_json::from_str(&message).unwrap();
    assert_eq!(message["title"], "Hello");
    assert!(listener.wait().unwrap().success());
}

#[test]
fn a_demo_without_a_place_says_how_to_give_it_one() {
    let place = Place::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let data = place.data();
    let failed = pigeonloft(["demo", "--exit", "--data-dir", &data, "--listen", &address]).failed();
    assert!(failed.starts_with("error: cannot serve: ") && failed.contains(&address), "{failed}");
    assert!(failed.contains("--listen 127.0.0.1:0 --mqtt-listen 127.0.0.1:0"), "{failed}");
}
