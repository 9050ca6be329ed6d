//! Certificate: one for localhost that signs itself, as files a server and its clients can be given.

use std::fs;
use std::path::{Path, PathBuf};

/// A certificate and its key in a folder.
#[derive(Debug, Clone)]
pub struct Certificate {
    /// PEM file of the certificate.
    pub certificate: PathBuf,
    /// PEM file of the key.
    pub key: PathBuf,
}

impl Certificate {
    /// Makes one for `localhost` and `127.0.0.1`; files that are there are replaced, each at once.
    ///
    /// # Panics
    /// The files cannot be written.
    #[must_use]
    pub fn write(folder: &Path) -> Self {
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let made = rcgen::generate_simple_self_signed(names).expect("a certificate can be made");
        let replace = |name: &str, content: String| {
            let (path, new) = (folder.join(name), folder.join(format!("{name}.new")));
            fs::write(&new, content).expect("a file can be written");
            fs::rename(new, &path).expect("a file can be renamed");
            path
        };
        Self {
            key: replace("key.pem", made.signing_key.serialize_pem()),
            certificate: replace("certificate.pem", made.cert.pem()),
        }
    }
}
