//! Vendors: the channels that apps have with vendors, made of their credentials and kept as long as these stay the same, and the
//! circuits that say whether they are asked.

pub(crate) mod circuit;
mod circuits;
mod hygiene;
mod known;

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use pigeonloft_channels::apns::Signers;
use pigeonloft_channels::fcm::Projects;
use pigeonloft_channels::vendor::Vendor;
use pigeonloft_channels::webpush::{self, Permits};
use pigeonloft_model::{AccessId, Channel, Code, MessageType, Platform, Push};
use pigeonloft_store::{SealedCredentials, Store};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::chain::chain;
use crate::config::Config;
use crate::lock::lock;
use crate::metrics::Metrics;
use crate::vault::Vault;
use circuit::{Change, Circuit, Heard, Pass, Pause, State, Turn};
use circuits::Circuits;
use known::{Known, Unusable};

/// How long credentials are used before the database is asked again: so soon a change by the command line is seen.
const REMEMBERED: Duration = Duration::from_secs(2);

/// How long the channels are kept of an app that sends nothing, with their access tokens.
const KEPT: Duration = Duration::from_secs(86_400);

/// Why an app's channel cannot be used: the word that its recipients are recorded with.
pub(crate) const UNUSABLE: &str = "credentials unusable";

/// The channels of one app.
pub(crate) type AppVendors = Vec<(Channel, Result<Arc<dyn Vendor>, Code>)>;

/// The channels of all apps that sent something lately.
#[derive(Debug)]
pub struct Vendors {
    vault: Vault,
    signers: Signers,
    projects: Projects,
    permits: Permits,
    /// Certificates that browsers' push services may have beside those of the public authorities; none if it is empty.
    trusted: PathBuf,
    /// The connections to browsers' push services, once there is an app that uses them.
    browsers: OnceLock<Arc<webpush::Client>>,
    apps: Mutex<HashMap<AccessId, Known>>,
    /// In memory alone: after a restart each channel is asked again.
    circuits: Mutex<HashMap<(AccessId, Channel), Circuits>>,
    /// Share of dead tokens that is still normal.
    normal_share: f64,
    metrics: Arc<Metrics>,
}

/// Whether a vendor's channel may carry a push: what is handed to an app and not shown goes through our own alone; Apple has a
/// way for it, to its own devices.
pub(crate) fn may_carry(push: &Push, platform: Platform, channel: Channel) -> bool {
    push.message_type != MessageType::Message || (platform.is_apple() && channel == Channel::Apns)
}

/// A pause of an app's channel.
#[derive(Debug)]
pub(crate) struct Paused {
    pub(crate) channel: Channel,
    /// Of the service with this origin alone; empty: of all that the channel carries.
    pub(crate) origin: String,
    pub(crate) pause: Pause,
}

/// What follows from a report.
#[derive(Debug)]
pub(crate) struct Judged {
    /// Whether tokens are to be forgotten that it says are dead.
    pub(crate) believed: bool,
    /// The channel is paused now, with this word.
    pub(crate) paused: Option<Code>,
}

impl Vendors {
    /// With none yet.
    #[must_use]
    pub fn new(vault: Vault, config: &Config, metrics: Arc<Metrics>) -> Self {
        let webpush = &config.webpush;
        let (signers, projects) = (Signers::default(), Projects::default());
        let permits = Permits { plain_http: webpush.allow_http, private_addresses: webpush.allow_private_addresses };
        let trusted = webpush.trusted_certificate.clone();
        let (browsers, apps, circuits) = (OnceLock::new(), Mutex::default(), Mutex::default());
        let normal_share = f64::from(config.push.dead_tokens_percent) / 100.0;
        Self { vault, signers, projects, permits, trusted, browsers, apps, circuits, normal_share, metrics }
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

    /// Lets the channels go of apps that sent nothing for a day.
    pub(crate) fn forget_unused(&self) {
        lock(&self.apps).retain(|_, known| known.asked.elapsed() < KEPT);
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
        let before = apps.remove(&access_id);
        let of_before = before.as_ref().map_or(&*credentials, |known| &known.credentials);
        self.credentials_changed(access_id, of_before, &credentials);
        let known = self.known(access_id, before, credentials);
        let vendors = known.vendors.clone();
        apps.insert(access_id, known);
        Ok(vendors)
    }

    /// What of so many messages may be given to a service of an app's channel now. What is let through is to be
    /// [reported](Self::report). `origin`: as [`Opened::origin`](pigeonloft_channels::vendor::Opened::origin) says it.
    pub(crate) fn pass(&self, access_id: AccessId, channel: Channel, origin: &str, messages: usize) -> Pass {
        let now = Instant::now();
        self.circuit(access_id, channel, origin, messages, now, |circuit| circuit.pass(now))
    }

    /// What became of messages that were let through.
    pub(crate) fn report(
        &self,
        access_id: AccessId,
        channel: Channel,
        origin: &str,
        turn: Turn,
        heard: &Heard,
    ) -> Judged {
        let now = Instant::now();
        let (believed_before, believed, change, paused) = self.circuit(access_id, channel, origin, 0, now, |circuit| {
            let before = circuit.believes_dead();
            let (believed, change) = circuit.report(turn, heard, now, fastrand::f64());
            (before, believed, change, circuit.pause().map(Pause::word))
        });
        // Of most channels it says nothing.
        let origin = (!origin.is_empty()).then_some(origin);
        match change {
            Some(Change::Opened(Pause { reason, code, next_try, .. })) => {
                self.metrics.channel_paused(channel.as_str(), reason.as_str());
                let (reason, code) = (reason.as_str(), &*code);
                let next_try_s = next_try.saturating_duration_since(now).as_secs();
                tracing::warn!(
                    %access_id, %channel, origin, reason, code, next_try_s,
                    "a vendor's channel is paused: messages for it are parked until it takes one again"
                );
            }
            Some(Change::Closed) => tracing::info!(%access_id, %channel, origin, "a vendor's channel is used again"),
            None if believed_before && !believed => {
                tracing::warn!(
                    %access_id, %channel, origin,
                    "most tokens are said to be dead: none is forgotten until fewer are"
                );
            }
            None => {}
        }
        Judged { believed, paused }
    }

    /// What is paused now of an app's channels.
    pub(crate) fn paused(&self, access_id: AccessId) -> Vec<Paused> {
        let apps = lock(&self.apps);
        let circuits = lock(&self.circuits);
        let mut paused = Vec::new();
        let known = apps.get(&access_id);
        for Unusable { channel, since, .. } in known.iter().flat_map(|known| &known.unusable) {
            let pause = Pause::unusable(UNUSABLE.into(), *since, Instant::now());
            paused.push(Paused { channel: *channel, origin: String::new(), pause });
        }
        let is_usable = |channel| known.is_none_or(|known| known.unusable(channel).is_none());
        for ((_, channel), circuits) in
            circuits.iter().filter(|((of, channel), _)| *of == access_id && is_usable(*channel))
        {
            paused.extend(circuits.all().filter_map(|(origin, circuit)| {
                Some(Paused { channel: *channel, origin: origin.to_owned(), pause: circuit.pause()?.clone() })
            }));
        }
        paused.sort_by(|a, b| (a.channel, &a.origin).cmp(&(b.channel, &b.origin)));
        paused
    }

    /// How many services of apps' channels are in which state.
    pub(crate) fn states(&self) -> BTreeMap<(Channel, &'static str), u64> {
        let now = Instant::now();
        let mut states = BTreeMap::new();
        let mut count = |channel, is: State| {
            // Each of them, so that a series does not end where its last app leaves it.
            for state in State::ALL {
                *states.entry((channel, state.as_str())).or_default() += u64::from(is == state);
            }
        };
        let apps = lock(&self.apps);
        apps.values().flat_map(|known| &known.unusable).for_each(|unusable| count(unusable.channel, State::Open));
        let is_usable = |of, channel| apps.get(of).is_none_or(|known: &Known| known.unusable(channel).is_none());
        for ((of, channel), circuits) in lock(&self.circuits).iter() {
            let circuits = circuits.all().filter(|_| is_usable(of, *channel));
            circuits.for_each(|(_, circuit)| count(*channel, circuit.state(now)));
        }
        states
    }

    /// Looks at the circuit of a service for which there are so many messages.
    fn circuit<T>(
        &self,
        access_id: AccessId,
        channel: Channel,
        origin: &str,
        messages: usize,
        now: Instant,
        look: impl FnOnce(&mut Circuit) -> T,
    ) -> T {
        let mut circuits = lock(&self.circuits);
        let new = || Circuits::new(channel, self.normal_share);
        look(circuits.entry((access_id, channel)).or_insert_with(new).of(origin, messages, now))
    }

    /// A channel whose credentials are others now is tried at once, and one that has none any more is forgotten.
    fn credentials_changed(&self, access_id: AccessId, before: &[SealedCredentials], now: &[SealedCredentials]) {
        if before == now {
            return;
        }
        let of_channel =
            |all: &[SealedCredentials], channel| all.iter().find(|sealed| sealed.channel == channel).cloned();
        lock(&self.circuits).retain(|(of, channel), circuits| {
            if *of != access_id {
                return true;
            }
            let is = of_channel(now, *channel);
            if is != of_channel(before, *channel) {
                circuits.try_now(Instant::now());
            }
            is.is_some()
        });
    }
}
