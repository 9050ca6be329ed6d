//! The keys of an app for Web Push: `pigeonloft app webpush-keys`, and those that an app has already.

use std::path::PathBuf;

use clap::Args;
use pigeonloft_channels::webpush;
use pigeonloft_model::Channel;
use serde::Deserialize;

use super::sealing::Of;
use crate::cli::data_dir::wait;
use crate::cli::failure::{Failure, say};
use crate::cli::files::text_of;

/// Browsers: a key pair (VAPID) that you have already; `pigeonloft app webpush-keys` makes a new one
#[derive(Debug, Args)]
pub(super) struct Set {
    /// JSON with publicKey and privateKey, as `web-push generate-vapid-keys --json` prints it
    #[arg(long, value_name = "FILE")]
    keys: PathBuf,
    /// Where push services can write to you, mailto:… or https://…
    #[arg(long, value_name = "URL")]
    subject: String,
}

/// The keys of `web-push`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct KeysFile {
    public_key: String,
    private_key: String,
}

impl Set {
    /// The credentials that it names.
    pub(super) fn credentials(&self) -> Result<webpush::Credentials, Failure> {
        let keys: KeysFile = serde_json::from_str(&text_of(&self.keys)?)
            .map_err(|error| Failure::of(format_args!("{} cannot be used", self.keys.display()), &error))?;
        let KeysFile { public_key, private_key } = keys;
        let credentials = webpush::Credentials { private_key, public_key, subject: self.subject.clone() };
        credentials.check().map_err(|error| Failure::of("the keys cannot be used", &error))?;
        Ok(credentials)
    }
}

/// Print the public key with which browsers subscribe to an app's messages; make the keys where there are none
///
/// Every subscription is bound to the key it was made with. Keys that are there are therefore never replaced: to do so, remove
/// them first with `pigeonloft app channel remove`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  pigeonloft app webpush-keys --app 1600007893 --subject mailto:push@example.com")]
pub(in crate::cli) struct WebpushKeys {
    #[command(flatten)]
    of: Of,
    /// Where push services can write to you, mailto:… or https://…; needed to make the keys
    #[arg(long, value_name = "URL")]
    subject: Option<String>,
}

impl WebpushKeys {
    pub(super) fn run(self) -> Result<(), Failure> {
        let opened = self.of.open()?;
        let app = opened.app.access_id;
        let all = wait(opened.store.credentials(app))?;
        if let Some(sealed) = all.iter().find(|sealed| sealed.channel == Channel::Webpush) {
            let text = opened.vault().open(app, Channel::Webpush, &sealed.sealed);
            let text = text.map_err(|error| Failure::of("cannot open the keys", &error))?;
            let keys: webpush::Credentials =
                serde_json::from_str(&text).map_err(|error| Failure::of("the keys are damaged", &error))?;
            return say(keys.public_key);
        }
        let subject = self.subject.as_deref().ok_or_else(|| {
            Failure::new(format!("app {app} has no keys yet"))
                .hint("to make them, say where push services can write to you: --subject mailto:push@example.com")
        })?;
        let trouble = |error| Failure::of("cannot make keys", &error);
        let keys = webpush::Credentials::generate(subject).map_err(trouble)?;
        keys.check().map_err(trouble)?;
        let text = serde_json::to_string(&keys).map_err(|error| Failure::of("cannot write JSON", &error))?;
        opened.keep(Channel::Webpush, &text)?;
        say(keys.public_key)
    }
}
