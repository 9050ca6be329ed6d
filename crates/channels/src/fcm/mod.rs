//! `fcm`, Google's channel (HTTP v1): a POST over HTTP/2 for each message, over a few connections that stay open.
//!
//! [`Credentials`] are what an app has of Google's; `bearers` fetches the access token that messages are sent with; `payload`
//! makes the bytes of a push; `quota` spreads messages as the project may send them; `projects` has
//! apps of the same project share that, and those of the same account its access token; `verdict` reads the answers. [`sim`] is
//! the other side, for whoever has no account with Google: tests, and developers.
//!
//! A message that is sent again replaces the first on the device, for both carry the push's `tag`.

mod bearers;
mod credentials;
mod payload;
mod projects;
mod quota;
pub mod sim;
mod verdict;

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Request};
use pigeonloft_model::attribute::Values;
use pigeonloft_model::{Code, Verdict};
use tokio::time::Instant;

pub use credentials::{BadCredentials, Credentials};
pub use projects::Projects;

pub use crate::http2::NotAnEndpoint;

use crate::http2::{Answer, Authorized, Client, Concerns, Speaks};
use crate::vendor::{Opened, Outgoing, Target, Vendor};
use bearers::Bearers;
use payload::Payload;
use quota::Share;

/// Messages a minute that Google gives a project at first.
const MESSAGES_PER_MINUTE: u32 = 600_000;

/// Google's channel of one app.
#[derive(Debug)]
pub struct Fcm {
    path: String,
    bearers: Arc<Bearers>,
    quota: Share,
    client: Client,
}

impl Fcm {
    /// With these credentials, and what others have of the same project and account. Connects to nobody yet.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn new(credentials: &Credentials, projects: &Projects) -> Result<Self, BadCredentials> {
        let bearers = projects.bearers(credentials)?;
        let quota = projects.quota(credentials, bearers.project_id())?;
        let per_minute = credentials.messages_per_minute.unwrap_or(MESSAGES_PER_MINUTE);
        Ok(Self {
            path: format!("/v1/projects/{}/messages:send", bearers.project_id()),
            bearers,
            quota: Share::new(quota, per_minute),
            client: Client::new(credentials.endpoint()?),
        })
    }
}

impl Vendor for Fcm {
    fn open(self: Arc<Self>, push: &Outgoing<'_>) -> Result<Box<dyn Opened>, Verdict> {
        let payload = Payload::new(push)?;
        Ok(Box::new(OpenedFcm { fcm: self, payload }))
    }
}

#[derive(Debug)]
struct OpenedFcm {
    fcm: Arc<Fcm>,
    payload: Payload,
}

impl Opened for OpenedFcm {
    fn send<'a>(&'a self, targets: &'a [Target], values: &'a Values) -> BoxFuture<'a, Vec<Verdict>> {
        let Self { fcm, payload } = self;
        Box::pin(async move {
            let verdicts = fcm.client.send(&Sending { fcm, payload, values }, targets).await;
            fcm.quota.note(targets, &verdicts, Instant::now());
            verdicts
        })
    }
}

/// A batch of a push.
struct Sending<'a> {
    fcm: &'a Fcm,
    payload: &'a Payload,
    values: &'a Values,
}

impl Speaks for Sending<'_> {
    async fn authorization(&self) -> Result<Option<HeaderValue>, Verdict> {
        match self.fcm.quota.held(Instant::now()) {
            Some(verdict) => Err(verdict),
            None => self.fcm.bearers.authorization().await.map(Some),
        }
    }

    fn refused(&self, authorization: &HeaderValue, code: Code) -> Result<(), Verdict> {
        self.fcm.bearers.refused(authorization, code)
    }

    fn request(&self, authorization: Option<&HeaderValue>, target: &Target) -> Result<(Request<()>, Bytes), Verdict> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs().cast_signed();
        let mut headers = HeaderMap::with_capacity(2);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.extend(authorization.map(|authorization| (AUTHORIZATION, authorization.clone())));
        let request = self.fcm.client.endpoint().post(&self.fcm.path, headers);
        let request = request.ok_or_else(|| Verdict::Configuration("project_id".into()))?;
        Ok((request, self.payload.body(target, self.values, now)?))
    }

    fn read(&self, answer: &Answer) -> Authorized {
        verdict::read(answer.status, &answer.body, answer.after)
    }

    fn concerns(&self, code: &str) -> Concerns {
        // A device's is written as the project's is.
        if verdict::is_quota(code) { Concerns::Pace } else { Concerns::Vendor }
    }

    fn pace(&self) -> Duration {
        self.fcm.quota.take(Instant::now())
    }
}
