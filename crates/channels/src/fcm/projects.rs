//! Projects: what apps share that send through the same project of Google's, its quota, and those that have the same service account,
//! its access token.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::time::Instant;

use super::bearers::Bearers;
use super::credentials::{BadCredentials, Credentials};
use super::quota::Quota;

/// What is in use, by whom it is of.
#[derive(Default)]
pub struct Projects {
    /// By the address that messages go to, and the project.
    quotas: Shared<[String; 2], Quota>,
    /// By the account's file, and the certificate that is trusted where its tokens are fetched.
    bearers: Shared<(String, Option<String>), Bearers>,
}

impl Projects {
    pub(super) fn bearers(&self, credentials: &Credentials) -> Result<Arc<Bearers>, BadCredentials> {
        let key = (credentials.service_account.clone(), credentials.trusted.clone());
        self.bearers.of(key, || Bearers::new(credentials))
    }

    pub(super) fn quota(&self, credentials: &Credentials, project_id: &str) -> Result<Arc<Quota>, BadCredentials> {
        let key = [credentials.url.clone().unwrap_or_default(), project_id.to_owned()];
        self.quotas.of(key, || Ok(Quota::new(Instant::now())))
    }
}

/// Accounts have keys, which stay out of logs.
impl fmt::Debug for Projects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Projects").finish_non_exhaustive()
    }
}

/// Things that last as long as somebody has them.
struct Shared<K, T>(Mutex<HashMap<K, Weak<T>>>);

impl<K, T> Default for Shared<K, T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Eq + Hash, T> Shared<K, T> {
    fn of(&self, key: K, make: impl FnOnce() -> Result<T, BadCredentials>) -> Result<Arc<T>, BadCredentials> {
        let mut shared = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(one) = shared.get(&key).and_then(Weak::upgrade) {
            return Ok(one);
        }
        let one = Arc::new(make()?);
        shared.retain(|_, one| one.strong_count() > 0);
        shared.insert(key, Arc::downgrade(&one));
        Ok(one)
    }
}
