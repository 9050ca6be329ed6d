//! Vault: seals the credentials of apps with vendors, so that the database alone, or a copy of it, does not give them away.
//!
//! The key is 32 bytes, written as 64 hexadecimal characters: in the environment, or in a file, which is made in the data
//! folder where nobody names another. Keep it apart from copies of the database, and keep it: nothing opens without it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use pigeonloft_model::{AccessId, Channel};
use pigeonloft_store::SealedCredentials;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

use crate::config::Config;

/// Name of the file in the data folder.
pub const KEY_FILE: &str = "credentials.key";

/// Bytes of the key.
const KEY_BYTES: usize = 32;

/// How a sealed text begins: a later way to seal will begin with another.
const FORMAT: u8 = 1;

/// Why something cannot be sealed or opened.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no file.
    #[error(
        "the key of the vendors' credentials, {0}, is missing\nhint: bring it back, or remove the credentials and set them again"
    )]
    Missing(PathBuf),
    /// The file cannot be read or written.
    #[error("the key of the vendors' credentials, {path}, cannot be used")]
    File {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// It is no key.
    #[error("the key of the vendors' credentials is not {} hexadecimal characters", KEY_BYTES * 2)]
    NotAKey,
    /// It is another key, or what was sealed is damaged.
    #[error(
        "the credentials were sealed with another key, or are damaged\nhint: use the key that they were sealed with, or remove them and set them again"
    )]
    NotOurs,
    /// The system has no random numbers.
    #[error("the system has no random numbers to give")]
    Random,
}

/// Credentials that cannot be opened.
#[derive(Debug)]
pub struct Unopened {
    /// How many.
    pub count: usize,
    /// Whose the first of them are.
    pub first: (AccessId, Channel),
    /// Why that one cannot be opened.
    pub error: Error,
}

/// Where the key is.
#[derive(Clone)]
pub struct Vault {
    key: Option<String>,
    file: PathBuf,
}

/// The key stays out of logs.
impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Vault").field("file", &self.file).finish_non_exhaustive()
    }
}

impl Vault {
    /// With this key if it is not empty, else the one in this file, or in that of the data folder if it is empty.
    #[must_use]
    pub fn new(key: &str, file: &Path, data_dir: &Path) -> Self {
        let file = if file.as_os_str().is_empty() { data_dir.join(KEY_FILE) } else { file.to_owned() };
        Self { key: Some(key.to_owned()).filter(|key| !key.is_empty()), file }
    }

    /// That of a server.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        Self::new(&config.credentials.key, &config.credentials.key_file, &config.data_dir)
    }

    /// Makes a key where there is none. That is for who knows that nothing was sealed yet: elsewhere the one that is missing
    /// lies where other settings say.
    ///
    /// # Errors
    /// The key cannot be used, or not be made.
    pub fn make_key(&self) -> Result<(), Error> {
        match self.key() {
            Err(Error::Missing(_)) => self.write_key(),
            found => found.map(drop),
        }
    }

    /// Seals a text for an app's channel: for another it does not open.
    ///
    /// # Errors
    /// The key cannot be used.
    pub fn seal(&self, access_id: AccessId, channel: Channel, text: &str) -> Result<Vec<u8>, Error> {
        let key = self.key()?;
        let mut nonce = [0; NONCE_LEN];
        getrandom::fill(&mut nonce).map_err(|_| Error::Random)?;
        let mut sealed = text.as_bytes().to_vec();
        key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), aad(access_id, channel), &mut sealed)
            .map_err(|_| Error::NotAKey)?;
        Ok([&[FORMAT], nonce.as_slice(), &sealed].concat())
    }

    /// Opens what was sealed for an app's channel.
    ///
    /// # Errors
    /// The key cannot be used, or is another.
    pub fn open(&self, access_id: AccessId, channel: Channel, sealed: &[u8]) -> Result<String, Error> {
        let key = self.key()?;
        let sealed = sealed.strip_prefix(&[FORMAT]).ok_or(Error::NotOurs)?;
        let (nonce, text) = sealed.split_first_chunk::<NONCE_LEN>().ok_or(Error::NotOurs)?;
        let mut text = text.to_vec();
        let opened = key
            .open_in_place(Nonce::assume_unique_for_key(*nonce), aad(access_id, channel), &mut text)
            .map_err(|_| Error::NotOurs)?;
        String::from_utf8(opened.to_vec()).map_err(|_| Error::NotOurs)
    }

    /// Those of these credentials that cannot be opened, if there are any.
    #[must_use]
    pub fn unopened(&self, all: &[(AccessId, SealedCredentials)]) -> Option<Unopened> {
        let mut unopened: Option<Unopened> = None;
        for (access_id, SealedCredentials { channel, sealed }) in all {
            let Err(error) = self.open(*access_id, *channel, sealed) else { continue };
            match &mut unopened {
                Some(unopened) => unopened.count += 1,
                None => unopened = Some(Unopened { count: 1, first: (*access_id, *channel), error }),
            }
        }
        unopened
    }

    fn key(&self) -> Result<LessSafeKey, Error> {
        if let Some(key) = &self.key {
            return parse(key);
        }
        match std::fs::read_to_string(&self.file) {
            Ok(text) => parse(&text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Error::Missing(self.file.clone())),
            Err(source) => Err(Error::File { path: self.file.clone(), source }),
        }
    }

    /// Writes a new key, which nobody but the owner may read, and which never takes the place of one that is there. The file is
    /// whole as soon as it has its name, whenever the machine is cut off.
    fn write_key(&self) -> Result<(), Error> {
        let [text, suffix] = [crate::password::random_hex::<KEY_BYTES>(), crate::password::random_hex::<8>()]
            .map(|made| made.map_err(|_| Error::Random));
        let (text, new) = (text?, self.file.with_added_extension(suffix?));
        let linked = write_new(&new, &text).and_then(|()| match fs::hard_link(&new, &self.file) {
            // Another command was faster: its key is the key.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            linked => linked,
        });
        let folder = self.file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        // What was written is removed, whatever came of it: the first failure is the one to tell.
        let removed = fs::remove_file(&new);
        linked
            .and(removed)
            .and_then(|()| File::open(folder)?.sync_all())
            .map_err(|source| Error::File { path: self.file.clone(), source })
    }
}

/// Whether a text is a key.
#[must_use]
pub fn is_key(text: &str) -> bool {
    parse(text).is_ok()
}

fn write_new(file: &Path, text: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(file)?;
    writeln!(file, "{text}")?;
    file.sync_all()
}

fn aad(access_id: AccessId, channel: Channel) -> Aad<String> {
    Aad::from(format!("{access_id} {channel}"))
}

fn parse(text: &str) -> Result<LessSafeKey, Error> {
    let text = text.trim();
    if text.len() != KEY_BYTES * 2 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(Error::NotAKey);
    }
    let mut key = [0; KEY_BYTES];
    for (place, byte) in key.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * place..2 * place + 2], 16).map_err(|_| Error::NotAKey)?;
    }
    UnboundKey::new(&CHACHA20_POLY1305, &key).map(LessSafeKey::new).map_err(|_| Error::NotAKey)
}

#[cfg(test)]
mod tests {
    use super::*;

    const APP: AccessId = AccessId(1_500_000_001);

    #[test]
    fn what_is_sealed_opens_for_the_same_app_and_channel_alone() {
        let dir = tempfile::tempdir().unwrap();
        let vault = Vault::new("", Path::new(""), dir.path());
        assert!(matches!(vault.seal(APP, Channel::Apns, "secret"), Err(Error::Missing(_))));
        vault.make_key().unwrap();
        let sealed = vault.seal(APP, Channel::Apns, "secret").unwrap();
        assert!(!sealed.windows(6).any(|part| part == b"secret"));
        assert_eq!(vault.open(APP, Channel::Apns, &sealed).unwrap(), "secret");
        assert_ne!(vault.seal(APP, Channel::Apns, "secret").unwrap(), sealed);
        assert!(matches!(vault.open(AccessId(2), Channel::Apns, &sealed), Err(Error::NotOurs)));
        assert!(matches!(vault.open(APP, Channel::Fcm, &sealed), Err(Error::NotOurs)));
        let other = Vault::new(&"ab".repeat(32), Path::new(""), dir.path());
        assert!(matches!(other.open(APP, Channel::Apns, &sealed), Err(Error::NotOurs)));
        assert!(matches!(Vault::new("ab", Path::new(""), dir.path()).key(), Err(Error::NotAKey)));
    }

    #[test]
    fn a_key_is_made_once_whole_and_for_its_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let vault = Vault::new("", &dir.path().join("k"), dir.path());
        vault.make_key().unwrap();
        let sealed = vault.seal(APP, Channel::Apns, "secret").unwrap();
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = dir.path().join("k").metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        // Two commands at once: the second finds that the name is taken.
        vault.write_key().unwrap();
        assert_eq!(vault.open(APP, Channel::Apns, &sealed).unwrap(), "secret");
        assert_eq!(dir.path().read_dir().unwrap().count(), 1, "nothing else is left");
        // One that is lost is not replaced when something is to be opened.
        std::fs::remove_file(dir.path().join("k")).unwrap();
        assert!(matches!(vault.open(APP, Channel::Apns, &sealed), Err(Error::Missing(_))));
    }
}
