//! Bearers: the access token that authorizes messages, fetched for an assertion of the service account, shared by all that is
//! sent, and replaced before it is too old.

use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue};
use pigeonloft_model::verdict::code;
use pigeonloft_model::{Code, Verdict};
use serde::Deserialize;
use tokio::sync::watch;
use tokio::time::Instant;

use super::credentials::{BadCredentials, Credentials, ServiceAccount};
use crate::http2::{Endpoint, ask};

/// How long before its end a token is replaced.
const RENEWED_BEFORE: Duration = Duration::from_secs(300);

/// How young a token is not replaced, even if it is refused: that is not the fault of its age.
const NOT_RENEWED_WITHIN: Duration = Duration::from_secs(60);

/// How long a token is believed to be good, whatever is said of it, seconds. Google's are for an hour.
const LIFETIME_S: RangeInclusive<u64> = 1..=86_400;

/// How long Google is left alone after it gave no token, at least.
const PAUSE: Duration = Duration::from_secs(10);

/// Where tokens come from, and the one in use.
#[derive(Debug)]
pub(super) struct Bearers {
    account: ServiceAccount,
    endpoint: Endpoint,
    path: String,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    current: Option<Bearer>,
    /// What becomes of the next one, while it is fetched.
    fetching: Option<Fetching>,
    /// Until when none is asked for, and why.
    failed: Option<(Instant, Verdict)>,
}

/// A token that is fetched, as soon as it is there, or why there is none.
type Fetching = watch::Receiver<Option<Result<HeaderValue, Verdict>>>;

#[derive(Debug, Clone)]
struct Bearer {
    authorization: HeaderValue,
    since: Instant,
    renewed_at: Instant,
    until: Instant,
}

/// What Google answers.
#[derive(Deserialize)]
struct Granted {
    access_token: String,
    expires_in: u64,
}

/// What it answers instead.
#[derive(Default, Deserialize)]
#[serde(default)]
struct NotGranted {
    error: String,
}

impl Bearers {
    pub(super) fn new(credentials: &Credentials) -> Result<Self, BadCredentials> {
        let account = credentials.account()?;
        let (endpoint, path) = credentials.token_endpoint(&account)?;
        Ok(Self { account, endpoint, path: path.to_string(), state: Mutex::default() })
    }

    pub(super) fn project_id(&self) -> &str {
        &self.account.project_id
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The authorization of messages now. While one is good, nobody waits for the next.
    ///
    /// # Errors
    /// There is none, and this is what becomes of them.
    pub(super) async fn authorization(self: &Arc<Self>) -> Result<HeaderValue, Verdict> {
        let mut fetching = {
            let (mut state, now) = (self.state(), Instant::now());
            let current = state.current.as_ref().filter(|bearer| now < bearer.until);
            let good = current.map(|bearer| bearer.authorization.clone());
            if current.is_none_or(|bearer| bearer.renewed_at <= now) {
                match (&state.fetching, &state.failed) {
                    // Unless its task broke off.
                    (Some(fetching), _) if fetching.has_changed().is_ok() => {}
                    (_, Some((until, verdict))) if now < *until => return good.ok_or_else(|| verdict.clone()),
                    _ => state.fetching = Some(self.fetch()),
                }
            }
            match (good, &state.fetching) {
                (Some(good), _) => return Ok(good),
                (None, Some(fetching)) => fetching.clone(),
                (None, None) => return Err(ends()),
            }
        };
        let fetched = fetching.wait_for(Option::is_some).await;
        fetched.ok().and_then(|fetched| fetched.clone()).unwrap_or_else(|| Err(ends()))
    }

    /// This authorization was refused. The next one is another, or, where it is too young for that to help, this is what
    /// becomes of the messages.
    pub(super) fn refused(&self, authorization: &HeaderValue, code: Code) -> Result<(), Verdict> {
        let mut state = self.state();
        match state.current.take_if(|current| current.authorization == *authorization) {
            Some(bearer) if bearer.since.elapsed() < NOT_RENEWED_WITHIN => {
                state.current = Some(bearer);
                Err(Verdict::Configuration(code))
            }
            _ => Ok(()),
        }
    }

    /// Fetches a token, whoever waits for it.
    fn fetch(self: &Arc<Self>) -> Fetching {
        let (tell, fetching) = watch::channel(None);
        let bearers = self.clone();
        tokio::spawn(async move {
            let fetched = bearers.ask().await;
            let mut state = bearers.state();
            state.fetching = None;
            tell.send_replace(Some(match fetched {
                Ok(bearer) => {
                    state.failed = None;
                    Ok(state.current.insert(bearer).authorization.clone())
                }
                Err(verdict) => {
                    let code = verdict.code().map(|code| &**code);
                    tracing::warn!(account = ?bearers.account, code, "no access token for FCM");
                    state.failed = Some((Instant::now() + pause(&verdict, fastrand::f64()), verdict.clone()));
                    Err(verdict)
                }
            }));
        });
        fetching
    }

    async fn ask(&self) -> Result<Bearer, Verdict> {
        let later = |code: Code| Verdict::Later { code, after: Some(PAUSE) };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs().cast_signed();
        let assertion = self.account.assertion(now).ok_or_else(|| later("no random numbers".into()))?;
        // An assertion has no letter that a form would have to write otherwise.
        let form = format!("grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion={assertion}");
        let kind = HeaderValue::from_static("application/x-www-form-urlencoded");
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, kind)]);
        let request = self.endpoint.post(&self.path, headers);
        let request = request.ok_or_else(|| Verdict::Configuration("token_uri".into()))?;
        let since = Instant::now();
        let answer = ask(&self.endpoint, request, Bytes::from(form)).await.map_err(|error| {
            tracing::debug!(endpoint = ?self.endpoint, %error, "no access token was fetched");
            later("no connection for a token".into())
        })?;
        if answer.status != 200 {
            let NotGranted { error } = serde_json::from_slice(&answer.body).unwrap_or_default();
            let word = if error.is_empty() { format!("status {} for a token", answer.status) } else { error };
            // What is wrong with the account or the clock stays so; the rest is Google's.
            return Err(match answer.status {
                400..=404 => Verdict::Configuration(code(&word)),
                _ => Verdict::Later { code: code(&word), after: Some(answer.after.unwrap_or_default().max(PAUSE)) },
            });
        }
        let wrong = || later("no token in the answer".into());
        let Granted { access_token, expires_in } = serde_json::from_slice(&answer.body).map_err(|_| wrong())?;
        let mut authorization = HeaderValue::try_from(format!("Bearer {access_token}")).map_err(|_| wrong())?;
        authorization.set_sensitive(true);
        let lifetime = Duration::from_secs(expires_in.clamp(*LIFETIME_S.start(), *LIFETIME_S.end()));
        let renewed_after = lifetime.saturating_sub(RENEWED_BEFORE).max(lifetime / 2);
        Ok(Bearer { authorization, since, renewed_at: since + renewed_after, until: since + lifetime })
    }
}

/// How long Google is left alone after this: as long as it asks, and up to a fifth more. `dice`: from 0 to 1.
fn pause(verdict: &Verdict, dice: f64) -> Duration {
    let asked = match verdict {
        Verdict::Later { after: Some(after), .. } => *after,
        _ => PAUSE,
    };
    asked.max(PAUSE).mul_f64(dice.mul_add(0.2, 1.0))
}

/// What becomes of messages whose token nobody fetches any more.
fn ends() -> Verdict {
    Verdict::Later { code: "no token in time".into(), after: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn google_is_left_alone_as_long_as_it_asks_and_not_shorter_than_is_usual() {
        let of = |after| Verdict::Later { code: "status 503".into(), after };
        let seconds = |verdict, dice| pause(&verdict, dice).as_secs_f64();
        assert_eq!(seconds(of(Some(Duration::from_secs(120))), 0.0), 120.0);
        assert_eq!(seconds(of(Some(Duration::from_secs(120))), 1.0), 144.0);
        assert_eq!(seconds(of(Some(Duration::ZERO)), 0.0), 10.0);
        assert_eq!(seconds(Verdict::Configuration("invalid_grant".into()), 0.5), 11.0);
    }
}
