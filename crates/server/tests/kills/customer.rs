//! Customer: one app and its devices, and the program that uploads and pushes for it.

use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use fastrand::Rng;
use pigeonloft_testkit::{App, Device, Form, Phone, Server, raw};
use serde_json::{Value, json};

use crate::gate::Pass;
use crate::halts::{Halt, How};
use crate::ledger::{Fate, Kind, Ledger, Push, Registration, Upload};
use crate::rows;
use crate::world::Scene;

/// Devices of an app.
const PHONES: usize = 100;

/// A push that is stopped or revoked is one of so many latest ones.
const LATEST: usize = 4;

/// One of so many devices shares the account of the one before it.
const SHARED: usize = 16;

/// How many calls stand where, over all customers.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    /// Uploads of which a part was sent.
    pub(crate) in_body: AtomicUsize,
    /// Uploads that were sent whole and not answered yet.
    pub(crate) body_sent: AtomicUsize,
    /// Pushes that were sent and not answered yet.
    pub(crate) push_sent: AtomicUsize,
    /// Pushes that were answered, ever.
    pub(crate) pushed: AtomicUsize,
}

/// Counts a call for as long as it stands somewhere.
struct Stands<'a>(&'a AtomicUsize);

impl<'a> Stands<'a> {
    fn at(place: &'a AtomicUsize) -> Self {
        place.fetch_add(1, Ordering::SeqCst);
        Self(place)
    }
}

impl Drop for Stands<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// An app, its devices, and what was done for it.
#[derive(Debug)]
pub(crate) struct Customer {
    pub(crate) app: App,
    pub(crate) phones: Vec<Phone>,
    /// The account of each phone.
    pub(crate) accounts: Vec<String>,
    pub(crate) skips_bad_rows: bool,
    ledger: Mutex<Ledger>,
}

impl Customer {
    pub(crate) fn new(server: &Server, skips_bad_rows: bool) -> Self {
        let app = server.app("android");
        if skips_bad_rows {
            server.run(["app", "set", "--access-id", &app.access_id.to_string(), "--bad-rows", "skip"]);
        }
        let shared = |place: usize| place - usize::from(place % SHARED == 1);
        let accounts: Vec<String> = (0..PHONES).map(|place| format!("phone-{:04}", shared(place))).collect();
        let phones = app.import_devices(server, &accounts).into_iter().map(Phone::new).collect();
        Self { app, phones, accounts, skips_bad_rows, ledger: Mutex::default() }
    }

    pub(crate) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does one thing, or a few that follow from each other.
    pub(crate) fn act(&self, rng: &mut Rng, scene: &Scene, pass: &Pass<'_>) {
        match rng.u8(0..12) {
            0..6 => {
                if let Some(place) = self.upload(rng, scene, pass) {
                    self.push_package(place, &scene.calls, pass);
                }
            }
            6..9 => self.push_list(rng, &scene.calls, pass),
            9..11 => self.halt(rng, pass),
            _ => self.register(pass),
        }
    }

    /// Uploads a file. Answers its place in the ledger if it was kept.
    fn upload(&self, rng: &mut Rng, scene: &Scene, pass: &Pass<'_>) -> Option<usize> {
        let stem = self.ledger().name("upload");
        let (upload, bytes) = rows::file(rng, self, &stem);
        let form = Form::of_file(&upload.file_name, &bytes);
        let place = {
            let mut ledger = self.ledger();
            ledger.uploads.push(upload);
            ledger.uploads.len() - 1
        };
        let answer = self.send(rng, scene, &form);
        let fate = fate(answer, ("retCode", "uploadId"), pass);
        let is_kept = fate.id().is_some();
        assert_ne!(fate, Fate::Absent, "a good file is refused");
        self.ledger().uploads[place].fate = fate;
        is_kept.then_some(place)
    }

    fn send(&self, rng: &mut Rng, scene: &Scene, form: &Form) -> Option<Value> {
        let mut stream = raw::try_connect(scene.http).ok()?;
        let body = form.body();
        {
            let _stands = Stands::at(&scene.calls.in_body);
            stream.write_all(raw::upload_head(&self.app, form).as_bytes()).ok()?;
            // Some take their time, so that there is always one under way.
            let pause = Duration::from_millis([0, 0, 1, 10][rng.usize(0..4)]);
            for piece in body.chunks(rng.usize(1000..20_000)) {
                stream.write_all(piece).ok()?;
                std::thread::sleep(pause);
            }
        }
        let _stands = Stands::at(&scene.calls.body_sent);
        serde_json::from_str(&raw::answer(&mut stream)?.body).ok()
    }

    /// Pushes to the package at this place of the ledger, if it is the app's turn.
    pub(crate) fn push_package(&self, place: usize, calls: &Calls, pass: &Pass<'_>) {
        let (given, rows, no_device, phones) = {
            let ledger = self.ledger();
            let Upload { fate, kind, rows, no_device, phones, .. } = &ledger.uploads[place];
            let upload_id = fate.id().and_then(|id| id.parse::<i64>().ok()).expect("it was kept");
            let kind = if *kind == Kind::Accounts { "package_account_push" } else { "package_token_push" };
            (json!({ "audience_type": kind, "upload_id": upload_id }), *rows, *no_device, phones.clone())
        };
        if self.push(given, rows, no_device, phones, calls, pass) {
            self.ledger().uploads[place].pushed = true;
        }
    }

    fn push_list(&self, rng: &mut Rng, calls: &Calls, pass: &Pass<'_>) {
        let chosen = rows::some_phones(rng, self);
        if chosen.is_empty() {
            return;
        }
        if rng.bool() {
            let tokens: Vec<&str> = chosen.iter().map(|place| self.phones[*place].device().token.as_str()).collect();
            let given = json!({ "audience_type": "token_list", "token_list": tokens });
            self.push(given, tokens.len() as u64, 0, chosen, calls, pass);
            return;
        }
        let mut accounts: Vec<&str> = chosen.iter().map(|place| self.accounts[*place].as_str()).collect();
        accounts.dedup();
        let phones = (0..self.phones.len()).filter(|place| accounts.contains(&self.accounts[*place].as_str()));
        let phones = phones.collect();
        accounts.push("nobody");
        let given = json!({ "audience_type": "account_list", "account_list": accounts });
        self.push(given, accounts.len() as u64, 1, phones, calls, pass);
    }

    /// Pushes. Answers whether it was kept.
    fn push(
        &self,
        mut given: Value,
        rows: u64,
        no_device: u64,
        phones: Vec<usize>,
        calls: &Calls,
        pass: &Pass<'_>,
    ) -> bool {
        let (place, title) = {
            let mut ledger = self.ledger();
            let title = ledger.name("push");
            let (since, fate) = (Instant::now(), Fate::Unanswered);
            let push = Push { title: title.clone(), since, fate, rows, no_device, phones, rows_done: 0, halt: None };
            ledger.pushes.push(push);
            (ledger.pushes.len() - 1, title)
        };
        given["account_push_type"] = json!(1);
        given["message"] = json!({ "title": title });
        let answer = {
            let _stands = Stands::at(&calls.push_sent);
            self.app.try_push(given)
        };
        let fate = fate(answer, ("ret_code", "push_id"), pass);
        let is_kept = fate.id().is_some();
        self.ledger().pushes[place].fate = fate;
        if is_kept {
            calls.pushed.fetch_add(1, Ordering::SeqCst);
        }
        is_kept
    }

    /// Stops or revokes one of the latest pushes.
    fn halt(&self, rng: &mut Rng, pass: &Pass<'_>) {
        let how = if rng.bool() { How::Stop } else { How::Revoke };
        let (place, id) = {
            let mut ledger = self.ledger();
            let latest = ledger.pushes.iter_mut().enumerate().rev().take(LATEST);
            let mut found = latest.filter(|(_, push)| push.halt.is_none()).filter_map(|(place, push)| {
                let id = push.fate.id()?.to_owned();
                Some((place, id, &mut push.halt))
            });
            let Some((place, id, halt)) = found.next() else { return };
            *halt = Some(Halt { how, answered: false });
            (place, id)
        };
        let Some(answer) = self.app.try_call(how.path(), &json!({ "pushId": id })) else {
            return assert!(pass.server_was_killed(), "a server that lives answers");
        };
        assert_eq!(answer["ret_code"], 0, "{answer}");
        self.ledger().pushes[place].halt = Some(Halt { how, answered: true });
    }

    /// Whether one of the latest pushes has recorded some of its devices, and is not finished.
    pub(crate) fn a_push_is_under_way(&self) -> bool {
        let latest: Vec<String> = {
            let ledger = self.ledger();
            ledger.pushes.iter().rev().filter_map(|push| push.fate.id().map(str::to_owned)).take(3).collect()
        };
        let mut shown = latest.iter().map(|id| self.app.progress(id));
        shown.any(|shown| shown["state"] == "PUSH_STARTED" && shown["targets"] != 0)
    }

    /// Registers a device, and binds it to an account of its own.
    fn register(&self, pass: &Pass<'_>) {
        let account = self.ledger().name("late");
        let Some((status, answer)) = self.app.try_register(&json!({})) else {
            return assert!(pass.server_was_killed(), "a server that lives answers");
        };
        assert_eq!(status, 201, "{answer}");
        let token = answer["token"].as_str().expect("a token").to_owned();
        let device = Device { access_id: self.app.access_id, token, password: String::new() };
        if self.app.try_bind(&device, &account, 0) {
            self.ledger().registrations.push(Registration { token: device.token, account });
        } else {
            assert!(pass.server_was_killed(), "a server that lives answers");
        }
    }
}

/// What became of what was asked for, by the answer to the call.
fn fate(answer: Option<Value>, (code, id): (&str, &str), pass: &Pass<'_>) -> Fate {
    let Some(answer) = answer else {
        assert!(pass.server_was_killed(), "a server that lives answers");
        return Fate::Unanswered;
    };
    match answer[code].as_i64() {
        Some(0) => {
            let id = answer[id].as_str().map_or_else(|| answer[id].to_string(), str::to_owned);
            Fate::Answered(id)
        }
        // It was not yet the app's turn to push to a package.
        Some(1_008_028) => Fate::Absent,
        _ => panic!("refused: {answer}"),
    }
}
