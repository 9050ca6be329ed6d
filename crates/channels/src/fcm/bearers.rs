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
use tokio::sync::OnceCell;
use tokio::time::Instant;

use super::credentials::{BadCredentials, Credentials, ServiceAccount};
use crate::http2::{Endpoint, ask};

/// How long before its end a token is replaced.
const RENEWED_BEFORE: Duration = Duration::from_secs(300);

/// How young a token is not replaced, even if it is refused: that is not the fault of its age.
const NOT_RENEWED_WITHIN: Duration = Duration::from_secs(60);

/// How long a token is believed to be good, whatever is said of it, seconds. Google's are for an hour.
const LIFETIME_S: RangeInclusive<u64> = 1..=86_400;

/// How long Google is left alone after it gave no token.
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
    /// The token in use, or the place for the next one, which one fetches and the others wait for.
    current: Arc<OnceCell<Bearer>>,
    /// The one before, which is good for a while.
    before: Option<Bearer>,
    /// Until when none is asked for, and why.
    failed: Option<(Instant, Verdict)>,
}

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

    /// The authorization of messages now.
    ///
    /// # Errors
    /// There is none, and this is what becomes of them.
    pub(super) async fn authorization(&self) -> Result<HeaderValue, Verdict> {
        let now = Instant::now();
        let (current, before) = {
            let mut state = self.state();
            if let Some(bearer) = state.current.get().filter(|bearer| bearer.renewed_at <= now).cloned() {
                state.before = Some(bearer);
                state.current = Arc::default();
            }
            (state.current.clone(), state.before.clone().filter(|bearer| now < bearer.until))
        };
        match current.get_or_try_init(|| self.fetch()).await {
            Ok(bearer) => Ok(bearer.authorization.clone()),
            Err(verdict) => before.map(|bearer| bearer.authorization).ok_or(verdict),
        }
    }

    /// This authorization was refused. The next one is another, or, where it is too young for that to help, this is what
    /// becomes of the messages.
    pub(super) fn refused(&self, authorization: &HeaderValue, code: Code) -> Result<(), Verdict> {
        let mut state = self.state();
        let refused = |bearer: &Bearer| bearer.authorization == *authorization;
        state.before.take_if(|before| refused(before));
        match state.current.get().filter(|current| refused(current)) {
            Some(bearer) if bearer.since.elapsed() < NOT_RENEWED_WITHIN => Err(Verdict::Configuration(code)),
            Some(_) => {
                state.current = Arc::default();
                Ok(())
            }
            None => Ok(()),
        }
    }

    async fn fetch(&self) -> Result<Bearer, Verdict> {
        let failed = self.state().failed.clone();
        if let Some((until, verdict)) = failed
            && Instant::now() < until
        {
            return Err(verdict);
        }
        let fetched = self.ask().await;
        let mut state = self.state();
        state.failed = fetched.as_ref().err().map(|verdict| {
            tracing::warn!(account = ?self.account, code = verdict.code().map(|code| &**code), "no access token for FCM");
            (Instant::now() + PAUSE, verdict.clone())
        });
        fetched
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
                _ => Verdict::Later { code: code(&word), after: Some(answer.after.unwrap_or(PAUSE)) },
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
