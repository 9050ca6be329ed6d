//! A client of the v3 API, for the commands that go the way every other client goes.

use std::io::{Cursor, Read};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use pigeonloft_model::AccessId;
use serde_json::Value;
use ureq::http::Response;
use ureq::{Agent, Body, SendBody};

use super::failure::Failure;

/// Where uploads go.
pub(super) const UPLOAD_PATH: &str = "/v3/push/package/upload";

/// Bytes of an answer read at most.
const ANSWER_BYTES: u64 = 4 << 20;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long the server may take to answer: it reads, sorts and syncs a whole file first.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(600);

/// Calls of one app to one server.
#[derive(Debug, Clone)]
pub(super) struct Client {
    agent: Agent,
    url: String,
    authorization: String,
}

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// The server was not reached, or the connection broke.
    #[error("cannot reach {url}: {reason}")]
    Transport {
        /// The server.
        url: String,
        /// Why.
        reason: ureq::Error,
    },
    /// It refused, by a code of the published table.
    #[error("refused with {code}: {text}")]
    Refused {
        /// The code.
        code: i64,
        /// Its text.
        text: String,
    },
    /// It answered, but not as the API does.
    #[error("{url} answers with status {status}, not as the push API does: {excerpt}")]
    Strange {
        /// What was called.
        url: String,
        /// The status.
        status: u16,
        /// How the answer begins.
        excerpt: String,
    },
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let failure = Self::new(error.to_string());
        match error {
            Error::Transport { .. } => {
                failure.hint("is the server running there? `pigeonloft serve` says where it listens")
            }
            Error::Refused { .. } => failure,
            Error::Strange { .. } => failure.hint("--url is the address of the server, such as http://127.0.0.1:8080"),
        }
    }
}

impl Client {
    /// A client of the server at `url`; the path of the upload may stand in it, as it does in published programs.
    pub(super) fn new(url: &str, access_id: AccessId, secret_key: &str) -> Self {
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .timeout_recv_response(Some(ANSWER_TIMEOUT))
            .build()
            .into();
        let url = url.trim_end_matches('/');
        let url = url.strip_suffix(UPLOAD_PATH).unwrap_or(url).to_owned();
        let authorization = format!("Basic {}", BASE64.encode(format!("{access_id}:{secret_key}")));
        Self { agent, url, authorization }
    }

    /// Uploads a file of `size` bytes as a package. Answers its `uploadId`.
    pub(super) fn upload(&self, file_name: &str, size: u64, content: impl Read) -> Result<i64, Error> {
        let url = format!("{}{UPLOAD_PATH}", self.url);
        // The boundary only has to be absent from the file: a random one is.
        let boundary =
            crate::password::random_hex::<16>().map_err(|error| self.transport(std::io::Error::other(error).into()))?;
        let head = format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{}\"\r\n\
             Content-Type: application/octet-stream\r\n\r\n",
            escape(file_name)
        );
        let tail = format!("\r\n--{boundary}--\r\n");
        let length = head.len() as u64 + size + tail.len() as u64;
        // A file that grows meanwhile must not spoil the length announced.
        let mut body = Cursor::new(head).chain(content.take(size)).chain(Cursor::new(tail));
        let answer = self
            .agent
            .post(&url)
            .header("Authorization", &self.authorization)
            .header("Content-Type", format!("multipart/form-data; boundary={boundary}"))
            .header("Content-Length", length.to_string())
            .send(SendBody::from_reader(&mut body));
        let answer = self.read(url, answer)?;
        Ok(answer["uploadId"].as_i64().unwrap_or_default())
    }

    /// A call with a JSON body.
    pub(super) fn post(&self, path: &str, body: &Value) -> Result<Value, Error> {
        let url = format!("{}{path}", self.url);
        let answer = self
            .agent
            .post(&url)
            .header("Authorization", &self.authorization)
            .header("Content-Type", "application/json")
            .send(body.to_string());
        self.read(url, answer)
    }

    fn transport(&self, reason: ureq::Error) -> Error {
        Error::Transport { url: self.url.clone(), reason }
    }

    fn read(&self, url: String, answer: Result<Response<Body>, ureq::Error>) -> Result<Value, Error> {
        let mut answer = answer.map_err(|error| self.transport(error))?;
        let status = answer.status().as_u16();
        let text = answer.body_mut().with_config().limit(ANSWER_BYTES).read_to_string();
        let text = text.map_err(|error| self.transport(error))?;
        let strange = || Error::Strange { url: url.clone(), status, excerpt: text.chars().take(100).collect() };
        let value: Value = serde_json::from_str(&text).map_err(|_| strange())?;
        let code = value.get("retCode").or_else(|| value.get("ret_code")).and_then(Value::as_i64);
        match code {
            Some(0) => Ok(value),
            Some(code) => {
                let said = value.get("errMsg").or_else(|| value.get("err_msg")).and_then(Value::as_str);
                Err(Error::Refused { code, text: said.unwrap_or_default().to_owned() })
            }
            None => Err(strange()),
        }
    }
}

/// A file name within quotes, as browsers write it.
fn escape(file_name: &str) -> String {
    file_name.replace('"', "%22").replace('\r', "%0D").replace('\n', "%0A")
}
