//! Sealing: what all commands about credentials with vendors have in common: whose they are, what they are sealed with, and
//! the files that they come from.

use std::io::Read;
use std::path::{Path, PathBuf};

use clap::Args;
use pigeonloft_model::{AccessId, Channel};
use pigeonloft_store::Store;

use super::unknown;
use crate::cli::credentials;
use crate::cli::data_dir::{DataDir, wait};
use crate::cli::failure::Failure;
use crate::vault::Vault;

/// Bytes of a key or certificate file at most: they have a few thousand.
const FILE_BYTES: u64 = 1 << 16;

/// The app, and what its credentials are sealed with.
#[derive(Debug, Args)]
pub(super) struct Of {
    #[command(flatten)]
    pub(super) data: DataDir,
    /// The app
    #[arg(long, value_name = "N", value_parser = credentials::access_id)]
    pub(super) app: AccessId,
    /// The key they are sealed with, as the server's credentials.key [default: that of the key file]
    #[arg(long, value_name = "HEX", env = "PIGEONLOFT_CREDENTIALS__KEY", hide_env_values = true)]
    credentials_key: Option<String>,
    /// The file of that key, as the server's credentials.key_file [default: credentials.key in the data folder]
    #[arg(long, value_name = "FILE", env = "PIGEONLOFT_CREDENTIALS__KEY_FILE")]
    credentials_key_file: Option<PathBuf>,
}

impl Of {
    pub(super) fn vault(&self) -> Vault {
        let key = self.credentials_key.as_deref().unwrap_or_default();
        Vault::new(key, self.credentials_key_file.as_deref().unwrap_or(Path::new("")), self.data.path())
    }

    /// Seals credentials, and keeps them in place of those the app had.
    pub(super) fn keep(&self, store: &Store, channel: Channel, text: &str) -> Result<(), Failure> {
        let sealed = self.vault().seal(self.app, channel, text);
        let sealed = sealed.map_err(|error| Failure::of("cannot seal the credentials", &error))?;
        if wait(store.set_credentials(self.app, channel, Some(sealed)))? { Ok(()) } else { Err(unknown(self.app)) }
    }
}

/// A small file.
pub(super) fn bytes_of(file: &Path) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    std::fs::File::open(file)
        .and_then(|file| file.take(FILE_BYTES).read_to_end(&mut bytes))
        .map_err(|error| cannot_read(file, &error))?;
    Ok(bytes)
}

/// A small file of text.
pub(super) fn text_of(file: &Path) -> Result<String, Failure> {
    String::from_utf8(bytes_of(file)?).map_err(|error| cannot_read(file, &error))
}

fn cannot_read(file: &Path, error: &dyn std::error::Error) -> Failure {
    Failure::of(format_args!("cannot read {}", file.display()), error)
}
