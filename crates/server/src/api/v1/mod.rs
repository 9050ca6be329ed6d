//! Our own API, beside v3: packages and pushes for the app's servers, devices for the devices themselves.
//!
//! REST in the usual way: the method says what to do, the status what became of it, and an error is a problem+json
//! (RFC 9457) whose `detail` names the thing and the remedy. All times are unix seconds. Unknown members are ignored.

mod described;
mod device_pushes;
mod devices;
mod estimate;
mod packages;
mod pushes;
mod report;
mod webpush;

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use pigeonloft_model::Fault;
use pigeonloft_store::App;
use serde_json::{Map, Value};

use super::openapi::{Routes, get, patch, post, put};
use super::{answer, body};
use crate::auth;
use crate::loft::Loft;

pub(super) fn routes() -> Routes {
    Routes::default()
        .route("/v1/packages", get(packages::list, described::packages()))
        .route(
            "/v1/packages/{id}",
            get(packages::one, described::package()).delete(packages::remove, described::remove_package()),
        )
        .route("/v1/packages/{id}/rejected.csv", get(packages::rejected, described::rejected()))
        .route("/v1/packages/{id}/estimate", post(estimate::estimate, described::estimate()))
        .route("/v1/pushes/{id}", get(pushes::one, described::push()))
        .route("/v1/pushes/{id}/recipients.csv", get(report::as_csv, described::recipients_csv()))
        .route("/v1/pushes/{id}/recipients.parquet", get(report::as_parquet, described::recipients_parquet()))
        .route("/v1/devices", post(devices::register, described::register()))
        .route(
            "/v1/devices/{token}",
            patch(devices::change, described::change()).delete(devices::remove, described::remove_device()),
        )
        .route("/v1/devices/{token}/accounts", put(devices::set_accounts, described::set_accounts()))
        .route("/v1/webpush/key", get(webpush::key, described::webpush_key()))
        .route("/v1/devices/{token}/pushes", get(device_pushes::list, described::pushes_of_device()))
}

/// Why a call is refused.
#[derive(Debug)]
enum Problem {
    /// As the v3 API has it, too.
    Fault(Fault),
    /// With a status of its own.
    Status(StatusCode, String),
    /// Refused for now: 429, and when to come back.
    TooFast(Fault, Duration),
}

impl Problem {
    /// 400: this member cannot be taken.
    fn member(name: &str, remedy: impl std::fmt::Display) -> Self {
        Self::Status(StatusCode::BAD_REQUEST, format!("{name}: {remedy}"))
    }

    /// 404.
    fn not_found(what: impl Into<String>) -> Self {
        Self::Status(StatusCode::NOT_FOUND, what.into())
    }
}

impl From<Fault> for Problem {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<pigeonloft_store::Error> for Problem {
    fn from(error: pigeonloft_store::Error) -> Self {
        Self::Fault(auth::internal(&error))
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        match self {
            Self::Fault(fault) => answer::problem(&fault),
            Self::Status(status, detail) => answer::problem_with(status, &detail),
            Self::TooFast(fault, wait) => {
                let mut response = answer::problem(&fault);
                // Whole seconds, and never 0, which would be no wait at all.
                let seconds = wait.as_millis().div_ceil(1000).max(1).to_string();
                if let Ok(seconds) = seconds.parse() {
                    response.headers_mut().insert(header::RETRY_AFTER, seconds);
                }
                response
            }
        }
    }
}

/// The app that calls, by the credentials of the server API. The call has no body: a signature is over none.
async fn app(loft: &Loft, head: &Parts) -> Result<Arc<App>, Problem> {
    Ok(auth::caller(loft, head).await?.verify()?)
}

/// The body of a call whose head is judged: held for a caller that is known. That of one who is refused is read and
/// thrown away, so that it reads the answer instead of finding the connection reset.
async fn whole<'a, C>(
    loft: &'a Loft,
    caller: Result<C, impl Into<Problem>>,
    body: Body,
) -> Result<(C, body::Whole<'a>), Problem> {
    let idle = Duration::from_secs(loft.config.http.body_idle_timeout_s);
    let limit = loft.config.http.json_bytes;
    let caller = match caller {
        Ok(caller) => caller,
        Err(refused) => {
            body::discard(body, limit as u64, idle).await;
            return Err(refused.into());
        }
    };
    let body = body::whole(body, limit, idle, &loft.bodies).await.map_err(|error| {
        let status = match error {
            body::Error::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            body::Error::Idle(_) | body::Error::Slow(_) => StatusCode::REQUEST_TIMEOUT,
            body::Error::Busy => StatusCode::SERVICE_UNAVAILABLE,
            body::Error::Broken(_) => StatusCode::BAD_REQUEST,
        };
        Problem::Status(status, error.to_string())
    })?;
    Ok((caller, body))
}

/// The members of a JSON object, `null` being as good as not there.
#[derive(Debug)]
struct Members(Map<String, Value>);

impl Members {
    /// Of a body, which may be left out.
    fn of(body: &[u8]) -> Result<Self, Problem> {
        if body.is_empty() {
            return Ok(Self(Map::new()));
        }
        serde_json::from_slice(body).map(Self).map_err(|error| {
            Problem::Status(StatusCode::BAD_REQUEST, format!("the body is no JSON object in UTF-8: {error}"))
        })
    }

    fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    /// A text.
    fn text(&self, name: &str) -> Result<Option<&str>, Problem> {
        let read = |value| Value::as_str(value).ok_or_else(|| Problem::member(name, "give a text"));
        self.get(name).map(read).transpose()
    }

    /// A list, which has to be there.
    fn list(&self, name: &str) -> Result<&[Value], Problem> {
        let list = self.get(name).ok_or_else(|| Problem::member(name, "it is missing, give a list"))?;
        list.as_array().map(Vec::as_slice).ok_or_else(|| Problem::member(name, "give a list"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_that_is_left_out_has_no_members_and_any_other_is_an_object() {
        assert!(Members::of(b"").unwrap().0.is_empty());
        assert!(Members::of(b"{}").unwrap().0.is_empty());
        for body in ["[]", "7", "{", "\u{feff}{}", "null"] {
            assert!(matches!(Members::of(body.as_bytes()), Err(Problem::Status(StatusCode::BAD_REQUEST, _))), "{body}");
        }
    }

    #[test]
    fn a_member_of_another_type_is_named() {
        let given = Members::of(br#"{"token": 7, "accounts": {}, "channel": null}"#).unwrap();
        let detail = |problem: Problem| match problem {
            Problem::Status(_, detail) => detail,
            Problem::Fault(fault) | Problem::TooFast(fault, _) => fault.text,
        };
        assert_eq!(detail(given.text("token").unwrap_err()), "token: give a text");
        assert_eq!(detail(given.list("accounts").unwrap_err()), "accounts: give a list");
        assert_eq!(detail(given.list("missing").unwrap_err()), "missing: it is missing, give a list");
        assert_eq!(given.text("channel").unwrap(), None);
    }
}
