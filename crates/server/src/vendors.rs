//! Vendors: the channels that apps have with vendors, made of their credentials and kept as long as these stay the same.

mod hygiene;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use pigeonloft_channels::apns::{self, Apns, Signers};
use pigeonloft_channels::fcm::{self, Fcm};
use pigeonloft_channels::vendor::Vendor;
use pigeonloft_channels::webpush::{self, Permits, WebPush};
use pigeonloft_model::{AccessId, Channel, Code};
use pigeonloft_store::{SealedCredentials, Store};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::chain::chain;
use crate::config;
use crate::lock::lock;
use crate::vault::Vault;
use hygiene::Hygiene;

/// How long credentials are used before the database is asked again: so soon a change by the command line is seen.
const REMEMBERED: Duration = Duration::from_secs(2);

/// Why an app's channel cannot be used: the word that its recipients are recorded with.
const UNUSABLE: &str = "credentials unusable";

/// The channels of one app.
pub(crate) type AppVendors = Vec<(Channel, Result<Arc<dyn Vendor>, Code>)>;

/// The channels of all apps that sent something lately.
#[derive(Debug)]
pub struct Vendors {
    vault: Vault,
    signers: Signers,
    permits: Permits,
    /// Certificates that browsers' push services may have beside those of the public authorities; none if it is empty.
    trusted: PathBuf,
    /// The connections to browsers' push services, once there is an app that uses them.
    browsers: OnceLock<Arc<webpush::Client>>,
    apps: Mutex<HashMap<AccessId, Known>>,
    hygiene: Mutex<HashMap<(AccessId, Channel), Hygiene>>,
}

#[derive(Debug)]
struct Known {
    asked: Instant,
    credentials: Vec<SealedCredentials>,
    vendors: Arc<AppVendors>,
}

impl Vendors {
    /// With none yet.
    #[must_use]
    pub fn new(vault: Vault, webpush: &config::Webpush) -> Self {
        let signers = Signers::default();
        let permits = Permits { plain_http: webpush.allow_http, private_addresses: webpush.allow_private_addresses };
        let trusted = webpush.trusted_certificate.clone();
        let (apps, hygiene) = (Mutex::default(), Mutex::default());
        Self { vault, signers, permits, trusted, browsers: OnceLock::new(), apps, hygiene }
    }

    /// What the endpoints of browsers may be.
    #[must_use]
    pub fn permits(&self) -> Permits {
        self.permits
    }

    /// The public key that browsers subscribe with to messages of an app. `None`: the app has no keys.
    ///
    /// # Errors
    /// The database's; or, inside, why the keys cannot be used.
    pub(crate) async fn webpush_key(
        &self,
        store: &Store,
        access_id: AccessId,
    ) -> Result<Option<Result<String, String>>, pigeonloft_store::Error> {
        let all = store.credentials(access_id).await?;
        let sealed = all.iter().find(|sealed| sealed.channel == Channel::Webpush);
        Ok(sealed.map(|sealed| {
            let text = self.vault.open(access_id, sealed.channel, &sealed.sealed).map_err(|error| chain(&error))?;
            let keys: webpush::Credentials = serde_json::from_str(&text).map_err(|error| error.to_string())?;
            Ok(keys.public_key)
        }))
    }

    fn browsers(&self) -> Result<Arc<webpush::Client>, String> {
        if let Some(client) = self.browsers.get() {
            return Ok(client.clone());
        }
        let mut trusted = Vec::new();
        if !self.trusted.as_os_str().is_empty() {
            let read = CertificateDer::pem_file_iter(&self.trusted).and_then(Iterator::collect::<Result<_, _>>);
            trusted =
                read.map_err(|error| format!("webpush.trusted_certificate: {}: {error}", self.trusted.display()))?;
        }
        let client = webpush::Client::new(self.permits, trusted).map_err(|error| error.to_string())?;
        let client = Arc::new(client);
        Ok(self.browsers.get_or_init(|| client).clone())
    }

    /// The channels of an app, in the order in which a device that has tokens on several is reached.
    ///
    /// # Errors
    /// The database's.
    pub(crate) async fn of(
        &self,
        store: &Store,
        access_id: AccessId,
    ) -> Result<Arc<AppVendors>, pigeonloft_store::Error> {
        if let Some(known) = lock(&self.apps).get(&access_id)
            && known.asked.elapsed() < REMEMBERED
        {
            return Ok(known.vendors.clone());
        }
        let credentials = store.credentials(access_id).await?;
        let mut apps = lock(&self.apps);
        if let Some(known) = apps.get_mut(&access_id)
            && known.credentials == credentials
        {
            known.asked = Instant::now();
            return Ok(known.vendors.clone());
        }
        let made = credentials.iter().map(|sealed| (sealed.channel, self.make(access_id, sealed)));
        let mut vendors: AppVendors = made.collect();
        vendors.sort_by_key(|(channel, _)| *channel);
        let vendors = Arc::new(vendors);
        apps.insert(access_id, Known { asked: Instant::now(), credentials, vendors: vendors.clone() });
        Ok(vendors)
    }

    /// Whether tokens are to be forgotten of which a vendor said that they are dead: so many, of so many that it answered
    /// for. Not while it says so of most.
    pub(crate) fn believes(&self, access_id: AccessId, channel: Channel, asked: usize, dead: usize) -> bool {
        let believed = lock(&self.hygiene).entry((access_id, channel)).or_default().believes(asked, dead);
        if !believed && dead > 0 {
            tracing::warn!(
                %access_id, %channel, asked, dead,
                "a vendor says of most tokens that they are dead: none is forgotten; look at the app's credentials and environment"
            );
        }
        believed
    }

    fn make(&self, access_id: AccessId, sealed: &SealedCredentials) -> Result<Arc<dyn Vendor>, Code> {
        let channel = sealed.channel;
        self.try_make(access_id, sealed).map_err(|reason| {
            tracing::error!(%access_id, %channel, reason, "a vendor's channel cannot be used");
            UNUSABLE.into()
        })
    }

    fn try_make(&self, access_id: AccessId, sealed: &SealedCredentials) -> Result<Arc<dyn Vendor>, String> {
        let text = self.vault.open(access_id, sealed.channel, &sealed.sealed).map_err(|error| chain(&error))?;
        match sealed.channel {
            Channel::Apns => {
                let credentials: apns::Credentials = serde_json::from_str(&text).map_err(|error| error.to_string())?;
                let apns = Apns::new(&credentials, &self.signers).map_err(|error| chain(&error))?;
                Ok(Arc::new(apns))
            }
            Channel::Webpush => {
                let credentials: webpush::Credentials =
                    serde_json::from_str(&text).map_err(|error| error.to_string())?;
                let webpush = WebPush::new(&credentials, &self.browsers()?).map_err(|error| chain(&error))?;
                Ok(Arc::new(webpush))
            }
            Channel::Fcm => {
                let credentials: fcm::Credentials = serde_json::from_str(&text).map_err(|error| error.to_string())?;
                let fcm = Fcm::new(&credentials).map_err(|error| chain(&error))?;
                Ok(Arc::new(fcm))
            }
            other => Err(format!("this program has no channel {other}")),
        }
    }
}
