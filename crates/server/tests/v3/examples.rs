//! The examples of docs/API.md, run as they are printed, one after the other: none fails, and where the page shows an
//! answer, this is what comes.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use pigeonloft_testkit::{pigeonloft, program};
use tempfile::TempDir;

/// Stands before what a command printed; no answer has it.
const MARK: char = '\u{1e}';

/// What `mosquitto_sub -W` ends with when its time is up: it was let in.
const TIME_IS_UP: &str = "27";

/// A command of the page, and the answer it shows, if any.
#[derive(Debug, Default)]
struct Example {
    command: String,
    answer: String,
}

/// The commands of the page in their order; those of the blocks that are for the reader to fill in, or download a
/// generator of clients, left out.
fn examples(page: &str) -> Vec<Example> {
    let blocks = page.split("```sh\n").skip(1).map(|rest| rest.split("```").next().expect("a block ends"));
    let mut examples: Vec<Example> = Vec::new();
    for block in blocks.filter(|block| !block.contains("SECRET=…") && !block.starts_with("openapi-python-client")) {
        let mut begins = true;
        for line in block.lines() {
            if let Some(shown) = line.strip_prefix('#').filter(|_| begins) {
                if let Some(example) = examples.last_mut() {
                    example.answer += shown;
                }
                continue;
            }
            if begins {
                examples.push(Example::default());
            }
            let command = &mut examples.last_mut().expect("there is one").command;
            let _ = writeln!(command, "{line}");
            // A body goes over several lines.
            begins = command.matches('\'').count().is_multiple_of(2);
        }
    }
    examples
}

/// A script that runs them, and prints of each how it ended and what it printed.
fn script(examples: &[Example], mqtt_port: u16) -> String {
    let mut script = String::new();
    for Example { command, .. } in examples {
        let command = command.replace("-p 1883", &format!("-p {mqtt_port}"));
        let run = |command: &str| format!("OUT=$({command})\nSTATUS=$?\n");
        let step = if command.starts_with("TOKEN=…") {
            // What the reader takes from the answer before.
            ["token", "password"]
                .map(|name| {
                    format!("{}=$(sed -E 's/.*\"{name}\":\"([^\"]+)\".*/\\1/' <<<\"$OUT\")\n", name.to_uppercase())
                })
                .concat()
                + "OUT= STATUS=0\n"
        } else if command.starts_with(|first: char| first.is_ascii_uppercase()) {
            format!("{command}OUT= STATUS=$?\n")
        } else if command.starts_with("mosquitto_sub") {
            run(&format!("{} -W 1\n", command.trim_end()))
        } else {
            // One push to many is taken in a second; a reader is slower than that.
            format!("{}while [[ $OUT == *1008028* ]]; do sleep 0.1; {}done\n", run(&command), run(&command))
        };
        let _ = writeln!(script, "{step}printf '{MARK}%s\\n%s' \"$STATUS\" \"$OUT\"");
    }
    script
}

/// The code of an answer, and the names in it.
fn code_and_names(answer: &str) -> (&str, Vec<&str>) {
    let code = ["\"ret_code\":", "\"retCode\":"].iter().find_map(|name| answer.split_once(name));
    let code = code.map_or("0", |(_, rest)| rest.split(|c: char| !c.is_ascii_digit()).next().unwrap_or(rest));
    // What stands before `":` is a name.
    let names = answer.split("\":").map(|before| before.rsplit('"').next().unwrap_or(before));
    let mut names: Vec<&str> = names.collect();
    names.pop();
    (code, names)
}

#[test]
fn every_example_runs_as_printed_and_answers_what_is_shown() {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let page = fs::read_to_string(sources.join("docs/API.md")).expect("the page is here");
    let examples = examples(&page);
    let mut server = pigeonloft!().start();
    let app = server.app("android");
    let access_id = app.access_id.to_string();
    // As the page tells, a running server follows some time later, and one that starts at once.
    let _ = server.run(["app", "set", "--access-id", &access_id, "--bad-rows", "skip"]);
    server.terminate();
    server.restart();

    let folder = TempDir::new().expect("a folder");
    symlink(sources.join("examples"), folder.path().join("examples")).expect("a link");
    symlink(env!("CARGO_BIN_EXE_pigeonloft"), folder.path().join("pigeonloft")).expect("a link");
    fs::write(folder.path().join(".curlrc"), "silent\nshow-error\nfail-with-body\n").expect("a file");
    let path = std::env::var("PATH").expect("a path");
    for needed in ["curl", "openssl", "mosquitto_sub", "mosquitto_pub"] {
        let _ = program::require(needed);
    }
    let output = program::require("bash")
        .arg("-c")
        .arg(script(&examples, server.mqtt().port()))
        .current_dir(folder.path())
        .env("CURL_HOME", folder.path())
        .env("PATH", format!("{}:{path}", folder.path().display()))
        .env("PIGEONLOFT_DATA_DIR", server.data_dir())
        .envs([("U", server.url("")), ("ID", access_id), ("SECRET", app.secret_key), ("KEY", app.access_key)])
        .output()
        .expect("bash runs");
    let printed = String::from_utf8(output.stdout).expect("answers are UTF-8");
    let complaints = String::from_utf8_lossy(&output.stderr);
    let ran: Vec<&str> = printed.split(MARK).skip(1).collect();
    assert_eq!(ran.len(), examples.len(), "{complaints}");
    for (Example { command, answer }, ran) in examples.iter().zip(ran) {
        let (status, printed) = ran.split_once('\n').expect("how it ended, and what it printed");
        let is_well = status == "0" || (command.starts_with("mosquitto_sub") && status == TIME_IS_UP);
        assert!(is_well, "{command}ended with {status}: {printed}\n{complaints}");
        let (shown, came) = (code_and_names(answer), code_and_names(printed));
        assert_eq!(came.0, shown.0, "{command}answers {printed}");
        for name in shown.1 {
            assert!(came.1.contains(&name), "{command}answers {printed}, where the page shows {name:?}");
        }
    }
}
