//! `pigeonloft app channel`: the credentials that an app has with vendors, sealed into the database.

mod explained;

use std::sync::Arc;

use clap::{Args, Subcommand};
use pigeonloft_channels::vendor::{Outgoing, Target};
use pigeonloft_channels::{apns as apple, fcm as google, webpush as browsers};
use pigeonloft_model::attribute::Values;
use pigeonloft_model::{AccessId, Channel, DeviceId, Environment, Push, PushId, Verdict, Zone};
use serde_json::json;

use self::explained::explained;
use super::sealing::{Of, Opened};
use super::{apns, fcm, webpush};
use crate::cli::data_dir::wait;
use crate::cli::failure::{Failure, say};
use crate::clock::unix_seconds;
use crate::vault::Vault;
use crate::vendors::Vendors;

/// How long a vendor keeps a test for a device that is not online, seconds.
const TEST_KEPT_S: i64 = 3_600;

/// Set, list and remove the credentials of an app with vendors; a running server follows within two seconds
///
/// A device that is offline, and has registered its token on a vendor's channel, gets messages through the vendor.
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum ChannelCommand {
    Set(Set),
    List(List),
    Remove(Remove),
    Test(Test),
}

impl ChannelCommand {
    pub(super) fn run(self) -> Result<(), Failure> {
        match self {
            Self::Set(set) => set.run(),
            Self::List(list) => list.run(),
            Self::Remove(remove) => remove.run(),
            Self::Test(test) => test.run(),
        }
    }
}

/// Set the credentials of an app with a vendor, in place of those it had
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  \
        pigeonloft app channel set --app 1600007893 apns --key AuthKey_ABC123DEFG.p8 --key-id ABC123DEFG \\\n    \
        --team-id DEF123GHIJ --topic com.example.shop\n  \
        pigeonloft app channel set --app 1600007893 apns --certificate shop.p12 --password-file shop.password\n  \
        pigeonloft app channel set --app 1500001048 fcm --service-account shop-firebase-adminsdk.json")]
pub(in crate::cli) struct Set {
    #[command(flatten)]
    of: Of,
    #[command(subcommand)]
    vendor: VendorCredentials,
}

#[derive(Debug, Subcommand)]
enum VendorCredentials {
    Apns(apns::Set),
    Fcm(fcm::Set),
    Webpush(webpush::Set),
}

/// List an app's channels with vendors, without secrets
#[derive(Debug, Args)]
pub(in crate::cli) struct List {
    #[command(flatten)]
    of: Of,
}

/// Remove the credentials of an app with a vendor: the channel is not used any more
#[derive(Debug, Args)]
pub(in crate::cli) struct Remove {
    #[command(flatten)]
    of: Of,
    /// The channel, such as apns
    #[arg(value_name = "CHANNEL")]
    channel: Channel,
}

/// Send one message to one token, and say what the vendor answered
#[derive(Debug, Args)]
pub(in crate::cli) struct Test {
    #[command(flatten)]
    of: Of,
    /// The vendor's token of a device; for webpush the whole subscription as JSON, or its endpoint
    #[arg(long, value_name = "TOKEN")]
    token: String,
    /// What the channel needs beside it, as it is kept: for apns another topic, for webpush the keys of an endpoint
    #[arg(long, value_name = "TEXT")]
    detail: Option<String>,
    /// What is shown
    #[arg(long, value_name = "TEXT", default_value = "A test of the channel")]
    title: String,
    /// The environment of the token: product or dev
    #[arg(long, value_name = "NAME", default_value = "product")]
    environment: Environment,
    /// The channel, such as apns
    #[arg(value_name = "CHANNEL")]
    channel: Channel,
}

impl Set {
    fn run(self) -> Result<(), Failure> {
        let opened = self.of.open()?;
        let (channel, text) = match &self.vendor {
            VendorCredentials::Apns(apns) => (Channel::Apns, serde_json::to_string(&apns.credentials()?)),
            VendorCredentials::Fcm(fcm) => (Channel::Fcm, serde_json::to_string(&fcm.credentials()?)),
            VendorCredentials::Webpush(webpush) => (Channel::Webpush, serde_json::to_string(&webpush.credentials()?)),
        };
        let text = text.map_err(|error| Failure::of("cannot write JSON", &error))?;
        opened.keep(channel, &text)?;
        say(format_args!("app {}: channel {channel} is set", opened.app.access_id))
    }
}

impl List {
    fn run(self) -> Result<(), Failure> {
        let opened = self.of.open()?;
        let (vault, app) = (opened.vault(), opened.app.access_id);
        for sealed in wait(opened.store.credentials(app))? {
            let channel = sealed.channel;
            let opened = vault.open(app, channel, &sealed.sealed).map_err(|error| crate::chain::chain(&error));
            let shown = opened.and_then(|text| shown(channel, &text));
            say(format_args!("{channel:<8}{}", shown.unwrap_or_else(|trouble| format!("cannot be used: {trouble}"))))?;
        }
        Ok(())
    }
}

/// What of credentials is no secret.
fn shown(channel: Channel, text: &str) -> Result<String, String> {
    match channel {
        Channel::Apns => {
            let of: apple::Credentials = serde_json::from_str(text).map_err(|error| error.to_string())?;
            let who = match of.identity {
                apple::Identity::Key(key) => format!("key-id {}  team-id {}", key.key_id, key.team_id),
                apple::Identity::Certificate { certificate } => apns::until(&certificate, unix_seconds()),
            };
            let url = of.url.map(|url| format!("  url {url}")).unwrap_or_default();
            let sandbox = of.sandbox_url.map(|url| format!("  sandbox url {url}")).unwrap_or_default();
            let port = of.port.map(|port| format!("  port {port}")).unwrap_or_default();
            Ok(format!("{who}  topic {}{url}{sandbox}{port}", of.topic))
        }
        Channel::Fcm => {
            let of: google::Credentials = serde_json::from_str(text).map_err(|error| error.to_string())?;
            let (project_id, client_email) = of.names().map_err(|error| crate::chain::chain(&error))?;
            let url = of.url.map(|url| format!("  url {url}")).unwrap_or_default();
            Ok(format!("project {project_id}  account {client_email}{url}"))
        }
        Channel::Webpush => {
            let of: browsers::Credentials = serde_json::from_str(text).map_err(|error| error.to_string())?;
            Ok(format!("public key {}  subject {}", of.public_key, of.subject))
        }
        other => Err(format!("this program has no channel {other}")),
    }
}

impl Test {
    fn run(self) -> Result<(), Failure> {
        let Opened { app, store, config } = self.of.open()?;
        let call = json!({
            "audience_type": "token", "token_list": ["test"], "message_type": "notify",
            "environment": self.environment, "message": { "title": self.title },
        });
        let push = Push::parse(call.to_string().as_bytes(), app.platform, unix_seconds(), Zone::CHINA);
        let push = push.map_err(|fault| Failure::new(format!("the message cannot be sent: {}", fault.text)))?;
        let verdict = wait(async {
            let vendors = Vendors::new(Vault::of(&config), &config, Arc::default()).of(&store, app.access_id).await?;
            let found = vendors.iter().find(|(channel, _)| *channel == self.channel);
            let vendor = match found {
                Some((_, Ok(vendor))) => vendor.clone(),
                Some((_, Err(code))) => return Ok(Verdict::Configuration(code.clone())),
                None => return Err(no_credentials(app.access_id, self.channel)),
            };
            // No push of the server's has this id: nothing is replaced but an earlier test.
            let expire_at = unix_seconds() + TEST_KEPT_S;
            match vendor.open(&Outgoing { push_id: PushId(0), push: &push, expire_at }) {
                Err(verdict) => Ok(verdict),
                Ok(opened) => {
                    let target = Target { device: DeviceId(0), token: self.token.clone(), detail: self.detail.clone() };
                    let mut verdicts = opened.send(&[target], &Values::default()).await;
                    verdicts.pop().ok_or_else(|| Failure::new("the channel gave no answer"))
                }
            }
        })?;
        match &verdict {
            Verdict::Accepted => {
                say(format_args!("{} took the message: credentials and token are in order", self.channel))
            }
            other => Err(explained(self.channel, other)),
        }
    }
}

fn no_credentials(access_id: AccessId, channel: Channel) -> Failure {
    Failure::new(format!("app {access_id} has no credentials for {channel}"))
        .hint("`pigeonloft app channel list` shows those it has")
}

impl Remove {
    fn run(self) -> Result<(), Failure> {
        let Opened { app, store, .. } = self.of.open()?;
        let app = app.access_id;
        if !wait(store.set_credentials(app, self.channel, None))? {
            return Err(no_credentials(app, self.channel));
        }
        say(format_args!("app {app}: channel {} is removed", self.channel))
    }
}
