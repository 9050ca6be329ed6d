//! The credentials of an app for FCM.

use std::path::PathBuf;

use clap::Args;
use pigeonloft_channels::fcm;

use crate::cli::failure::Failure;
use crate::cli::files::text_of;

/// Google: a service account of the Firebase project
#[derive(Debug, Args)]
pub(super) struct Set {
    /// Its file, JSON, as the Firebase console hands it out
    #[arg(long, value_name = "FILE")]
    service_account: PathBuf,
    /// Messages that the project may send in a minute [default: 600000, what Google gives at first]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    messages_per_minute: Option<u32>,
    /// Where to send instead of to Google; where access tokens are fetched, the file says
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// The certificate to trust there, PEM
    #[arg(long, value_name = "FILE", requires = "url")]
    trust: Option<PathBuf>,
}

impl Set {
    /// The credentials that it names.
    pub(super) fn credentials(&self) -> Result<fcm::Credentials, Failure> {
        let credentials = fcm::Credentials {
            service_account: text_of(&self.service_account)?,
            url: self.url.clone(),
            trusted: self.trust.as_deref().map(text_of).transpose()?,
            messages_per_minute: self.messages_per_minute,
        };
        credentials.check().map_err(|error| Failure::of("the credentials cannot be used", &error))?;
        Ok(credentials)
    }
}
