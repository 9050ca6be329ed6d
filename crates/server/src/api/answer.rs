//! Answers in the two styles of the v3 API, and in the usual one of ours.

use axum::Json;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use pigeonloft_model::{Fault, RetCode};
use serde_json::{Map, Value, json};

/// Set where a call repeats an earlier one, and has its answer.
const REPLAYED: header::HeaderName = header::HeaderName::from_static("idempotent-replayed");

/// How an endpoint spells code and text. Each keeps its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// `retCode` and `errMsg`: upload, account query, attributes, statistics.
    Camel,
    /// `ret_code` and `err_msg`: push, cancelling one, account operations.
    Snake,
}

impl Style {
    /// The names of the code and of the text.
    pub(super) const fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::Camel => ("retCode", "errMsg"),
            Self::Snake => ("ret_code", "err_msg"),
        }
    }
}

/// What a v3 call answers: members beside code and text, and a code other than 0 where a batch failed in part.
#[derive(Debug, Default)]
pub struct Answer {
    code: Option<RetCode>,
    text: String,
    members: Map<String, Value>,
    replayed: bool,
}

impl Answer {
    /// Success, with these members.
    #[must_use]
    pub fn with(members: Value) -> Self {
        let members = match members {
            Value::Object(members) => members,
            _ => Map::new(),
        };
        Self { members, ..Self::default() }
    }

    /// The same as the answer to an earlier call, which this one repeats. A header says so.
    #[must_use]
    pub fn replayed(mut self) -> Self {
        self.replayed = true;
        self
    }

    /// The same members under another code: a batch that failed in part or wholly.
    #[must_use]
    pub fn under(mut self, code: RetCode, text: impl Into<String>) -> Self {
        self.code = Some(code);
        self.text = text.into();
        self
    }
}

/// The answer to a v3 call. Always status 200: published clients drop the body of any other.
pub fn v3(style: Style, result: Result<Answer, Fault>) -> Response {
    let answer = result.unwrap_or_else(|fault| Answer::default().under(fault.code, fault.text));
    let Answer { code: refusal, text, members, replayed } = answer;
    let code = refusal.map_or(0, RetCode::code);
    if refusal.is_some() {
        // The text quotes what was sent, rows of accounts included: it is for who asks for it.
        tracing::debug!(code, text, "call refused");
    }
    let (code_name, text_name) = style.names();
    let mut body = json!({ code_name: code, text_name: text });
    if let Some(body) = body.as_object_mut() {
        body.extend(members);
    }
    let mut response = Json(body).into_response();
    if replayed {
        response.headers_mut().insert(REPLAYED, header::HeaderValue::from_static("true"));
    }
    counted(response, refusal)
}

/// Leaves the code of a refusal with its answer, for the figures of `/metrics`.
fn counted(mut response: Response, refusal: Option<RetCode>) -> Response {
    if let Some(code) = refusal {
        response.extensions_mut().insert(code);
    }
    response
}

/// An error of our own API: problem+json (RFC 9457) with a status that says what kind it is.
pub fn problem(fault: &Fault) -> Response {
    let status = match fault.code {
        RetCode::Unauthenticated | RetCode::UnknownApp => StatusCode::UNAUTHORIZED,
        RetCode::NoSuchPush | RetCode::NotFound | RetCode::NoTarget => StatusCode::NOT_FOUND,
        RetCode::TooFast => StatusCode::TOO_MANY_REQUESTS,
        RetCode::RepeatedPush => StatusCode::CONFLICT,
        RetCode::Internal => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::BAD_REQUEST,
    };
    counted(problem_with(status, &fault.text), Some(fault.code))
}

/// An error of our own API with this status.
pub fn problem_with(status: StatusCode, detail: &str) -> Response {
    let title = status.canonical_reason().unwrap_or("Error");
    let body = json!({ "type": "about:blank", "title": title, "status": status.as_u16(), "detail": detail });
    let mut response = (status, [(header::CONTENT_TYPE, "application/problem+json")], body.to_string()).into_response();
    if status == StatusCode::UNAUTHORIZED {
        let scheme = header::HeaderValue::from_static("Basic realm=\"pigeonloft\"");
        response.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
    }
    response
}
