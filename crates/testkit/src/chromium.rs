//! Chromium: a browser as a process, told what to do by its DevTools protocol. It finds this machine and nothing else,
//! wherever the tests run.

use std::io::{BufRead, BufReader, Read};
use std::net::TcpStream;
use std::process::{Child, Stdio};
use std::sync::mpsc;

use serde_json::{Value, json};
use tempfile::TempDir;
use tungstenite::{Message, WebSocket};

use crate::program::require;
use crate::wait::{LONG, until};

const FLAGS: &[&str] = &[
    "--headless",
    // Tests may run as root, whom its sandbox does not take.
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--remote-debugging-port=0",
];

/// What it says on standard error before the address of its DevTools.
const LISTENING: &str = "DevTools listening on ws://";

/// A browser with one page. Dropping it closes it.
#[derive(Debug)]
pub struct Chromium {
    child: Child,
    socket: WebSocket<TcpStream>,
    /// The session of the page.
    page: String,
    asked: u64,
    events: Vec<Value>,
    _folder: TempDir,
}

impl Chromium {
    /// Starts it, with an empty page.
    ///
    /// # Panics
    /// It is not here, or does not start.
    #[must_use]
    pub fn start() -> Self {
        let folder = TempDir::new().expect("a temporary folder can be made");
        let mut command = require("chromium");
        command.args(FLAGS).arg(format!("--user-data-dir={}", folder.path().display())).arg("about:blank");
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
        let mut child = child.expect("chromium can be run");
        let at = listening(child.stderr.take().expect("it is piped"));
        let host = at.split_once('/').expect("an address and a path").0;
        let stream = TcpStream::connect(host).expect("it listens");
        stream.set_read_timeout(Some(LONG)).expect("a deadline can be set");
        let (socket, _) = tungstenite::client(format!("ws://{at}"), stream).expect("it speaks WebSocket");
        let mut chromium = Self { child, socket, page: String::new(), asked: 0, events: Vec::new(), _folder: folder };
        let made = chromium.tell("", "Target.createTarget", json!({ "url": "about:blank" }));
        chromium.page = chromium.attach(&made["targetId"]);
        for domain in ["Page", "Runtime", "Log", "ServiceWorker"] {
            let _ = chromium.tell_page(&format!("{domain}.enable"), json!({}));
        }
        chromium
    }

    fn attach(&mut self, target: &Value) -> String {
        let attached = self.tell("", "Target.attachToTarget", json!({ "targetId": target, "flatten": true }));
        attached["sessionId"].as_str().expect("a session").to_owned()
    }

    /// Gives a command to a session, or to the browser if it is empty; answers the result.
    fn tell(&mut self, session: &str, method: &str, parameters: Value) -> Value {
        self.asked += 1;
        let mut command = json!({ "id": self.asked, "method": method, "params": parameters });
        if !session.is_empty() {
            command["sessionId"] = session.into();
        }
        self.socket.send(Message::text(command.to_string())).expect("it reads");
        loop {
            let said = self.socket.read().expect("it answers");
            let Ok(text) = said.to_text() else { continue };
            let mut said: Value = serde_json::from_str(text).expect("JSON");
            if said["id"] != self.asked {
                self.events.push(said);
                continue;
            }
            assert!(said.get("error").is_none(), "{method}: {said}");
            return said["result"].take();
        }
    }

    fn tell_page(&mut self, method: &str, parameters: Value) -> Value {
        let page = self.page.clone();
        self.tell(&page, method, parameters)
    }

    /// What an event of this name said last that has `found` in it.
    fn last<T>(&self, event: &str, found: impl FnMut(&Value) -> Option<T>) -> Option<T> {
        self.events.iter().rev().filter(|said| said["method"] == event).map(|said| &said["params"]).find_map(found)
    }

    /// Runs a script in each page that is opened from now on, before the page's own.
    pub fn before_each_page(&mut self, script: &str) {
        let _ = self.tell_page("Page.addScriptToEvaluateOnNewDocument", json!({ "source": script }));
    }

    /// Whether pages of this origin may show notifications, as its user would answer: "granted", "denied" or "prompt".
    pub fn notifications_are(&mut self, setting: &str, origin: &str) {
        let permission = json!({ "name": "notifications" });
        let setting = json!({ "permission": permission, "setting": setting, "origin": origin });
        let _ = self.tell("", "Browser.setPermission", setting);
    }

    /// Opens a page, and waits until it is there with all its scripts.
    pub fn open(&mut self, url: &str) {
        let opened = self.tell_page("Page.navigate", json!({ "url": url }));
        assert!(opened.get("errorText").is_none(), "{url}: {opened}");
        let is_there = format!("location.href === {} && document.readyState === 'complete'", json!(url));
        until("the page is there", || self.evaluate(&is_there).as_bool().filter(|is_there| *is_there));
    }

    /// The value of an expression on the page, or what its promise comes to, as JSON.
    pub fn evaluate(&mut self, expression: &str) -> Value {
        let page = self.page.clone();
        self.evaluate_in(&page, expression)
    }

    /// As [`Chromium::evaluate`], in the active service worker of this scope.
    pub fn evaluate_in_worker(&mut self, scope: &str, expression: &str) -> Value {
        let version = self.active(scope);
        let worker = self.attach(&version["targetId"]);
        self.evaluate_in(&worker, expression)
    }

    fn evaluate_in(&mut self, session: &str, expression: &str) -> Value {
        let asked =
            json!({ "expression": expression, "awaitPromise": true, "returnByValue": true, "userGesture": true });
        let mut came = self.tell(session, "Runtime.evaluate", asked);
        assert!(came.get("exceptionDetails").is_none(), "{expression}: {came}");
        came["result"]["value"].take()
    }

    /// Waits until the service worker of this scope is active, which a page may see before it is wholly true; answers its
    /// version.
    fn active(&mut self, scope: &str) -> Value {
        let find = |said: &Value, list: &str, is_it: &dyn Fn(&Value) -> bool| {
            said[list].as_array()?.iter().find(|one| is_it(one)).cloned()
        };
        until("the service worker is active", || {
            // Events come with the answer.
            let _ = self.evaluate("null");
            let registration = self.last("ServiceWorker.workerRegistrationUpdated", |said| {
                find(said, "registrations", &|one| one["scopeURL"] == scope)
            })?;
            self.last("ServiceWorker.workerVersionUpdated", |said| {
                find(said, "versions", &|one| one["registrationId"] == registration["registrationId"])
            })
            .filter(|version| version["status"] == "activated")
        })
    }

    /// Gives the service worker of this scope a push message, as the browser does that got one and decrypted it.
    pub fn deliver(&mut self, scope: &str, plaintext: &str) {
        let registration = self.active(scope)["registrationId"].take();
        let origin = scope.splitn(4, '/').take(3).collect::<Vec<_>>().join("/");
        let message = json!({ "origin": origin, "registrationId": registration, "data": plaintext });
        let _ = self.tell_page("ServiceWorker.deliverPushMessage", message);
    }

    /// What its console shows as errors and warnings: of scripts, of the policy of a page, of requests.
    #[must_use]
    pub fn complaints(&self) -> Vec<&Value> {
        let complains = |said: &&Value| match said["method"].as_str() {
            Some("Log.entryAdded") => {
                said["params"]["entry"]["level"] != "verbose" && said["params"]["entry"]["level"] != "info"
            }
            Some("Runtime.consoleAPICalled") => {
                ["error", "warning", "assert"].iter().any(|kind| said["params"]["type"] == *kind)
            }
            Some("Runtime.exceptionThrown" | "ServiceWorker.workerErrorReported") => true,
            _ => false,
        };
        self.events.iter().filter(complains).collect()
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        // Killed, it would leave its helpers to find that out by themselves.
        let close = json!({ "id": 0, "method": "Browser.close" }).to_string();
        let closes = self.socket.send(Message::text(close)).is_ok() && !std::thread::panicking();
        if closes {
            until("chromium ends", || self.child.try_wait().ok().flatten());
        } else {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// Waits until it says where its DevTools are: host, port and path.
fn listening(stderr: impl Read + Send + 'static) -> String {
    let (says, heard) = mpsc::channel();
    std::thread::spawn(move || {
        // Read to its end: it would wait for who does not read.
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            let _ = says.send(line);
        }
    });
    let mut said = String::new();
    while let Ok(line) = heard.recv_timeout(LONG) {
        if let Some(at) = line.strip_prefix(LISTENING) {
            return at.to_owned();
        }
        said += &line;
        said += "\n";
    }
    panic!("chromium does not start:\n{said}");
}
