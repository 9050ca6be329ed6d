//! App: calls the server's API as a customer's program does, with the app's credentials.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};
use ureq::Agent;

use crate::fleet::Phone;
use crate::form::Form;
use crate::server::Server;
use crate::wait::until;

/// A device's identity: what it needs to connect.
#[derive(Debug, Clone)]
pub struct Device {
    /// AccessId of its app.
    pub access_id: u32,
    /// Its token.
    pub token: String,
    /// Its password.
    pub password: String,
}

/// An app of a server under test. It goes on being valid when the server is started again.
#[derive(Debug, Clone)]
pub struct App {
    /// AccessId.
    pub access_id: u32,
    /// SecretKey.
    pub secret_key: String,
    /// AccessKey.
    pub access_key: String,
    base: String,
    agent: Agent,
}

impl App {
    pub(crate) fn new(server: &Server, printed: &Value) -> Self {
        let text = |name: &str| printed[name].as_str().expect("app create prints it").to_owned();
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(120)))
            .build()
            .into();
        Self {
            access_id: printed["access_id"].as_u64().and_then(|id| id.try_into().ok()).expect("an AccessId"),
            secret_key: text("secret_key"),
            access_key: text("access_key"),
            base: server.url(""),
            agent,
        }
    }

    /// The value of the `Authorization` header.
    #[must_use]
    pub fn basic(&self) -> String {
        basic(&self.access_id.to_string(), &self.secret_key)
    }

    /// A v3 call. Answers its JSON.
    ///
    /// # Panics
    /// The server does not answer, or with another status than 200.
    #[must_use]
    pub fn call(&self, path: &str, body: &Value) -> Value {
        self.try_call(path, body).expect("the server answers")
    }

    /// As [`App::call`], of a server that may be killed meanwhile. `None`: no whole answer came.
    ///
    /// # Panics
    /// It answers with another status than 200.
    #[must_use]
    pub fn try_call(&self, path: &str, body: &Value) -> Option<Value> {
        let request = self.agent.post(format!("{}{path}", self.base)).header("Authorization", self.basic());
        // Not `send_json`: it indents, and sizes are counted as sent.
        let mut answer = request.header("Content-Type", "application/json").send(body.to_string()).ok()?;
        assert_eq!(answer.status(), 200, "v3 answers always have status 200");
        answer.body_mut().read_json().ok()
    }

    /// A call of our own API with this method, as the app: status and JSON (null where there is none).
    ///
    /// # Panics
    /// The server does not answer.
    #[must_use]
    pub fn own(&self, method: &str, path: &str) -> (u16, Value) {
        self.send(method, path, &[("Authorization", &self.basic())], "")
    }

    /// A POST to our own API with this body, as the app: status and JSON (null where there is none).
    ///
    /// # Panics
    /// The server does not answer.
    #[must_use]
    pub fn own_post(&self, path: &str, body: &Value) -> (u16, Value) {
        self.send("POST", path, &[("Authorization", &self.basic())], &body.to_string())
    }

    /// The text that our own API answers to a GET as the app.
    ///
    /// # Panics
    /// The server does not answer, or with another status than 200.
    #[must_use]
    pub fn own_text(&self, path: &str) -> String {
        let request = self.agent.get(format!("{}{path}", self.base)).header("Authorization", self.basic());
        let mut answer = request.call().expect("the server answers");
        assert_eq!(answer.status(), 200, "{path}");
        answer.body_mut().read_to_string().expect("it is text")
    }

    fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> (u16, Value) {
        self.try_send(method, path, headers, body).expect("the server answers")
    }

    /// A call with these headers beside the credentials of the app's servers: the answer, its body being JSON (null where
    /// there is none).
    ///
    /// # Panics
    /// The server does not answer.
    #[must_use]
    pub fn request(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Vec<u8>>,
    ) -> ureq::http::Response<Value> {
        self.try_request(method, path, headers, body).expect("the server answers")
    }

    /// As [`App::request`], of a server that may be killed meanwhile. `None`: no whole answer came.
    #[must_use]
    pub fn try_request(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Vec<u8>>,
    ) -> Option<ureq::http::Response<Value>> {
        let mut request = ureq::http::Request::builder().method(method).uri(format!("{}{path}", self.base));
        request = request.header("Authorization", self.basic());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut answer = self.agent.run(request.body(body.into()).expect("a request")).ok()?;
        let text = answer.body_mut().read_to_string().ok()?;
        Some(answer.map(|_| serde_json::from_str(&text).unwrap_or_default()))
    }

    fn try_send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Option<(u16, Value)> {
        let mut request = ureq::http::Request::builder().method(method).uri(format!("{}{path}", self.base));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(body.to_owned()).expect("a request");
        let mut answer = self.agent.run(request).ok()?;
        let text = answer.body_mut().read_to_string().ok()?;
        Some((answer.status().as_u16(), serde_json::from_str(&text).unwrap_or_default()))
    }

    /// Sends a form to the upload. Answers its JSON.
    ///
    /// # Panics
    /// The server does not answer.
    #[must_use]
    pub fn upload_form(&self, form: &Form) -> Value {
        let request = self.agent.post(format!("{}/v3/push/package/upload", self.base));
        let request = request.header("Authorization", self.basic()).header("Content-Type", form.content_type());
        let mut answer = request.send(form.body()).expect("the server answers");
        answer.body_mut().read_json().expect("it answers JSON")
    }

    /// Uploads a file of this name. Answers the JSON of the call.
    ///
    /// # Panics
    /// The server does not answer.
    #[must_use]
    pub fn upload(&self, name: &str, content: impl AsRef<[u8]>) -> Value {
        self.upload_form(&Form::of_file(name, content.as_ref()))
    }

    /// Uploads rows as a txt file. Answers the uploadId.
    ///
    /// # Panics
    /// They are refused.
    #[must_use]
    pub fn uploaded<S: AsRef<str>>(&self, rows: impl IntoIterator<Item = S>) -> i64 {
        let content: String = rows.into_iter().flat_map(|row| [row.as_ref().to_owned(), "\n".into()]).collect();
        upload_id(&self.upload("rows.txt", content))
    }

    /// Pushes; members beyond those of the message are given. Answers the JSON of the call.
    #[must_use]
    pub fn push(&self, given: Value) -> Value {
        self.try_push(given).expect("the server answers")
    }

    /// As [`App::push`], to a server that may be killed meanwhile. `None`: no whole answer came.
    #[must_use]
    pub fn try_push(&self, given: Value) -> Option<Value> {
        let mut body = json!({ "message_type": "notify", "message": { "title": "a title", "content": "a content" } });
        merge(&mut body, given);
        self.try_call("/v3/push/app", &body)
    }

    /// As [`App::push`], answers the push_id.
    ///
    /// # Panics
    /// The push is refused.
    #[must_use]
    pub fn pushed(&self, given: Value) -> String {
        let answer = self.push(given);
        assert_eq!(answer["ret_code"], 0, "{answer}");
        answer["push_id"].as_str().expect("a push_id").to_owned()
    }

    /// As [`App::pushed`], for pushes to packages: one a second is taken, so this may wait for its turn.
    ///
    /// # Panics
    /// The push is refused for another reason.
    #[must_use]
    pub fn pushed_in_turn(&self, given: &Value) -> String {
        until("it is the app's turn to push to a package", || {
            let answer = self.push(given.clone());
            if answer["ret_code"] == 1_008_028 {
                return None;
            }
            assert_eq!(answer["ret_code"], 0, "{answer}");
            answer["push_id"].as_str().map(str::to_owned)
        })
    }

    /// Waits until every target of the push has it; answers which of the phones do.
    ///
    /// # Panics
    /// A target does not get it.
    #[must_use]
    pub fn receivers(&self, phones: &[Phone], push_id: &str) -> Vec<usize> {
        let targets = self.finished(push_id)["targets"].clone();
        until("every target has it", || (self.progress(push_id)["outcomes"]["arrived"] == targets).then_some(()));
        let has = |place: &usize| phones[*place].of_push(push_id).1 > 0;
        (0..phones.len()).filter(has).collect()
    }

    /// The push as `GET /v1/pushes/{id}` shows it.
    ///
    /// # Panics
    /// There is none, or its outcomes do not add up to its targets, which they must at every moment.
    #[must_use]
    pub fn progress(&self, push_id: &str) -> Value {
        let (status, shown) = self.own("GET", &format!("/v1/pushes/{push_id}"));
        assert_eq!(status, 200, "{shown}");
        let outcomes = shown["outcomes"].as_object().expect("it shows outcomes");
        let sum: u64 = outcomes.values().filter_map(Value::as_u64).sum();
        assert_eq!(Some(sum), shown["targets"].as_u64(), "the outcomes add up: {shown}");
        shown
    }

    /// Waits until the push is finished; answers it.
    ///
    /// # Panics
    /// It is not, or fails.
    #[must_use]
    pub fn finished(&self, push_id: &str) -> Value {
        until("the push is finished", || {
            let shown = self.progress(push_id);
            assert_ne!(shown["state"], "PUSH_FAILED", "{shown}");
            (shown["state"] == "PUSH_FINISHED").then_some(shown)
        })
    }

    /// The sums of the push over all channels, as the statistics answer them.
    ///
    /// # Panics
    /// There is no such push.
    #[must_use]
    pub fn stat(&self, push_id: &str) -> Value {
        let answer = self.call("/v3/statistics/get_push_task_stat_channel", &json!({ "pushId": push_id }));
        assert_eq!(answer["retCode"], 0, "{answer}");
        let channels = answer["pushStatDataAll"].as_array().expect("a list");
        let all = channels.iter().find(|entry| entry["channel"] == "all");
        all.expect("an entry for all channels")["pushState"].clone()
    }

    /// Registers a device, bound to this account of type 0 if one is given.
    ///
    /// # Panics
    /// It is refused.
    #[must_use]
    pub fn register_device(&self, account: Option<&str>) -> Device {
        let (status, answer) = self.register(&json!({}));
        assert_eq!(status, 201, "{answer}");
        let text = |name: &str| answer[name].as_str().expect("a text").to_owned();
        let device = Device { access_id: self.access_id, token: text("token"), password: text("password") };
        if let Some(account) = account {
            let accounts = json!({ "accounts": [{ "account": account, "account_type": 0 }] });
            let (status, answer) = self.as_device(&device, "PUT", "/accounts", &accounts);
            assert_eq!(status, 200, "{answer}");
        }
        device
    }

    /// Binds a device to an account of this type, as the app's server does.
    ///
    /// # Panics
    /// It is refused.
    pub fn bind(&self, device: &Device, account: &str, account_type: u32) {
        assert!(self.try_bind(device, account, account_type), "the server answers");
    }

    /// As [`App::bind`], to a server that may be killed meanwhile. `false`: no whole answer came.
    ///
    /// # Panics
    /// It is refused.
    #[must_use]
    pub fn try_bind(&self, device: &Device, account: &str, account_type: u32) -> bool {
        let accounts = json!([{ "account": account, "account_type": account_type }]);
        let element = json!({ "token": device.token, "account_list": accounts });
        let body = json!({ "operator_type": 2, "token_accounts": [element] });
        let Some(answer) = self.try_call("/v3/device/account/batchoperate", &body) else { return false };
        assert_eq!((&answer["ret_code"], &answer["result"]), (&json!(0), &json!(["0"])), "{answer}");
        true
    }

    /// `POST /v1/devices` with this body: status and answer.
    #[must_use]
    pub fn register(&self, body: &Value) -> (u16, Value) {
        self.try_register(body).expect("the server answers")
    }

    /// A GET by a program on a device with this AccessKey: status and answer.
    #[must_use]
    pub fn as_program(&self, path: &str, access_key: &str) -> (u16, Value) {
        self.send("GET", path, &[("AccessId", &self.access_id.to_string()), ("AccessKey", access_key)], "")
    }

    /// As [`App::register`], of a server that may be killed meanwhile. `None`: no whole answer came.
    #[must_use]
    pub fn try_register(&self, body: &Value) -> Option<(u16, Value)> {
        let id = self.access_id.to_string();
        self.try_send("POST", "/v1/devices", &[("AccessId", &id), ("AccessKey", &self.access_key)], &body.to_string())
    }

    /// A call of the device itself on a path below its own: status and answer.
    #[must_use]
    pub fn as_device(&self, device: &Device, method: &str, below: &str, body: &Value) -> (u16, Value) {
        let authorization = basic(&device.token, &device.password);
        let path = format!("/v1/devices/{}{below}", device.token);
        self.send(method, &path, &[("Authorization", &authorization)], &body.to_string())
    }

    /// Brings devices along with `pigeonloft device import`, one for each of these accounts of type 0.
    ///
    /// # Panics
    /// The import fails.
    #[must_use]
    pub fn import_devices<S: AsRef<str>>(&self, server: &Server, accounts: impl IntoIterator<Item = S>) -> Vec<Device> {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let (file, out) = (folder.path().join("devices.csv"), folder.path().join("out.csv"));
        let rows: String = accounts.into_iter().map(|account| format!("{}\n", account.as_ref())).collect();
        std::fs::write(&file, format!("account\n{rows}")).expect("a file can be written");
        let (file, out) = (file.display().to_string(), out.display().to_string());
        let app = self.access_id.to_string();
        server.run(["device", "import", &file, "--app", &app, "--out", &out]);
        let written = std::fs::read_to_string(out).expect("the import writes a file");
        let mut lines = written.lines();
        assert!(lines.next().is_some_and(|header| header.starts_with("token,password")), "{written}");
        let device = |line: &str| {
            let mut values = line.split(',').map(str::to_owned);
            let mut next = || values.next().expect("token and password");
            Device { access_id: self.access_id, token: next(), password: next() }
        };
        lines.map(device).collect()
    }
}

/// The uploadId of an answer.
///
/// # Panics
/// The upload was refused.
pub(crate) fn upload_id(answer: &Value) -> i64 {
    assert_eq!(answer["retCode"], 0, "{answer}");
    answer["uploadId"].as_i64().filter(|id| *id > 0).expect("a positive uploadId")
}

/// The answer refuses the call with this code, in either style, and its text says this.
///
/// # Panics
/// It does not.
pub fn assert_refused(answer: &Value, code: i64, says: &str) {
    let either = |snake: &str, camel: &str| answer.get(snake).or_else(|| answer.get(camel)).cloned();
    assert_eq!(either("ret_code", "retCode"), Some(json!(code)), "{answer}");
    let text = either("err_msg", "errMsg").and_then(|text| text.as_str().map(str::to_owned)).unwrap_or_default();
    assert!(!text.is_empty() && text.contains(says), "not \"{says}\": {answer}");
    for made in ["push_id", "uploadId"] {
        assert!(answer.get(made).is_none_or(|id| *id == 0), "what is refused has no id: {answer}");
    }
}

/// The value of an `Authorization` header.
pub(crate) fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", BASE64.encode(format!("{user}:{password}")))
}

/// Puts the members of `given` into `body`, objects into objects.
fn merge(body: &mut Value, given: Value) {
    match (body, given) {
        (Value::Object(body), Value::Object(given)) => {
            for (name, value) in given {
                merge(body.entry(name).or_insert(Value::Null), value);
            }
        }
        (body, given) => *body = given,
    }
}
