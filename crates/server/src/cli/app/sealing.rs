//! Sealing: what all commands about credentials with vendors have in common: whose they are, and what they are sealed with.

use std::path::PathBuf;

use clap::Args;
use pigeonloft_model::{AccessId, Channel};
use pigeonloft_store::{App, SealedCredentials, Store};

use super::unknown;
use crate::cli::credentials;
use crate::cli::data_dir::{self, DataDir, wait};
use crate::cli::failure::Failure;
use crate::config::{Config, Overrides};
use crate::vault::{self, Vault};

/// The app, and what its credentials are sealed with.
#[derive(Debug, Args)]
pub(super) struct Of {
    #[command(flatten)]
    data: DataDir,
    /// The app
    #[arg(long, value_name = "N", value_parser = credentials::access_id)]
    app: AccessId,
    /// The server's configuration file: where its data are, what credentials are sealed with, what Web Push may reach
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The key they are sealed with [default: the server's credentials.key, else that of the key file]
    #[arg(long, value_name = "HEX")]
    credentials_key: Option<String>,
    /// The file of that key [default: the server's credentials.key_file, else credentials.key in the data folder]
    #[arg(long, value_name = "FILE")]
    credentials_key_file: Option<PathBuf>,
}

/// An app whose credentials are looked at or changed, and the settings of the server that it is of.
pub(super) struct Opened {
    pub(super) app: App,
    pub(super) store: Store,
    /// As the server has them: from the file, the environment and the command line.
    pub(super) config: Config,
}

impl Of {
    /// Opens the database, which must be there and have the app.
    pub(super) fn open(&self) -> Result<Opened, Failure> {
        let overrides = Overrides { data_dir: self.data.named().map(ToOwned::to_owned), ..Overrides::default() };
        let mut config = Config::load(self.config.clone(), &overrides)?;
        let sealed_with = &mut config.credentials;
        if let Some(file) = &self.credentials_key_file {
            sealed_with.key.clear();
            sealed_with.key_file.clone_from(file);
        }
        if let Some(key) = &self.credentials_key {
            sealed_with.key.clone_from(key);
        }
        let store = data_dir::open(&config.data_dir)?;
        let app = wait(store.app(self.app))?.ok_or_else(|| unknown(self.app))?;
        Ok(Opened { app, store, config })
    }
}

impl Opened {
    pub(super) fn vault(&self) -> Vault {
        Vault::of(&self.config)
    }

    /// Seals credentials, and keeps them in place of those the app had.
    pub(super) fn keep(&self, channel: Channel, text: &str) -> Result<(), Failure> {
        let Self { app: App { access_id, platform, .. }, store, .. } = self;
        if !channel.leads_to(*platform) {
            return Err(Failure::new(format!("{channel} leads to no device of an app on {platform}")));
        }
        let sealed = self.right_vault()?.seal(*access_id, channel, text).map_err(|error| cannot_seal(&error))?;
        match wait(store.set_credentials(*access_id, channel, Some(sealed)))? {
            true => Ok(()),
            false => Err(unknown(*access_id)),
        }
    }

    /// The vault that the server opens: of a key that opens something of what is sealed already, for two keys would not do. One
    /// is made where nothing is.
    fn right_vault(&self) -> Result<Vault, Failure> {
        let (vault, sealed) = (self.vault(), wait(self.store.credentials_of_all_apps())?);
        if sealed.is_empty() {
            vault.make_key().map_err(|error| cannot_seal(&error))?;
            return Ok(vault);
        }
        let mut failure = None;
        for (app, SealedCredentials { channel, sealed }) in &sealed {
            match vault.open(*app, *channel, sealed) {
                Ok(_) => return Ok(vault),
                Err(error) => failure = Some(error),
            }
        }
        let hint = "credentials are sealed with a key already: name the settings that say where it is with --config FILE, as to the \
                    server. If it is lost, remove what it sealed first: `pigeonloft app channel remove`";
        Err(match failure {
            None | Some(vault::Error::NotOurs) => {
                Failure::new("cannot seal the credentials: those that are there were sealed with another key")
                    .hint(hint)
            }
            Some(error @ vault::Error::Missing(_)) => cannot_seal(&error).hint(hint),
            Some(error) => cannot_seal(&error),
        })
    }
}

fn cannot_seal(error: &vault::Error) -> Failure {
    Failure::of("cannot seal the credentials", error)
}
