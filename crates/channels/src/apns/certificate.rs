//! Certificate: what an app can show to Apple instead of a key of its team, with the key that belongs to it. It is made of the
//! file that Keychain Access or OpenSSL writes, and kept as PEM.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use p12_keystore::Pkcs12Archive;
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use serde::{Deserialize, Serialize};
use x509_parser::certificate::X509Certificate;
use x509_parser::oid_registry::OID_USERID;
use x509_parser::prelude::FromDer;
use x509_parser::time::ASN1Time;

/// How long before its end a certificate is spoken of, seconds: time enough to have Apple issue another.
pub const ENDS_SOON_S: i64 = 30 * 86_400;

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BadCertificate {
    /// The password of a .p12 file.
    #[error("the password of the file is wrong or missing")]
    Password,
    /// It is not a .p12 file, or one of a kind that is not read.
    #[error(
        "the file is neither PEM nor a PKCS #12 file that can be read\nhint: `openssl pkcs12 -in FILE -nodes -out FILE.pem`, \
         with -legacy if it asks for that, makes a PEM file that can"
    )]
    NotPkcs12(#[source] p12_keystore::error::Error),
    /// It has no certificate, or one that is none.
    #[error("there is no certificate in it")]
    NoCertificate,
    /// There is no key.
    #[error(
        "there is a certificate and no key\nhint: export the certificate together with its key, which Keychain Access shows below it"
    )]
    NoKey,
    /// The key has a password.
    #[error("the key has a password\nhint: `openssl pkey -in FILE -out KEY.pem` takes it off")]
    Locked,
    /// The key is of a kind that TLS does not take.
    #[error(
        "the key is of a kind that cannot be used: it has to be RSA with 2,048 bits or more, P-256, P-384 or Ed25519"
    )]
    Kind,
    /// No certificate is of the key.
    #[error("the key is not that of the certificate")]
    NotItsKey,
    /// It is not valid any more.
    #[error(
        "the certificate expired on {0}\nhint: have Apple issue a new one, or use a key of the team, which does not expire"
    )]
    Expired(String),
    /// It is not valid yet.
    #[error("the certificate is not valid before {0}: is the clock of this machine right?")]
    NotYet(String),
}

/// A certificate with its chain and key. Serialized, it is one text, PEM.
#[derive(Clone, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Certificate {
    shown: Arc<CertifiedKey>,
    pem: String,
    topic: Option<String>,
    begins: ASN1Time,
    ends: ASN1Time,
}

/// The key stays out of logs and error texts.
impl std::fmt::Debug for Certificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Certificate")
            .field("topic", &self.topic)
            .field("ends", &date(self.ends))
            .finish_non_exhaustive()
    }
}

impl PartialEq for Certificate {
    fn eq(&self, other: &Self) -> bool {
        self.pem == other.pem
    }
}

impl Eq for Certificate {}

impl From<Certificate> for String {
    fn from(certificate: Certificate) -> Self {
        certificate.pem
    }
}

impl TryFrom<String> for Certificate {
    type Error = BadCertificate;

    fn try_from(pem: String) -> Result<Self, BadCertificate> {
        Self::from_pem(&pem)
    }
}

impl Certificate {
    /// Of whichever file there is: PEM, PKCS #12, or a certificate alone (DER), as Apple's site hands it out. `key`: the key,
    /// PEM, where it is not in the file. `password`: that of a PKCS #12 file.
    ///
    /// # Errors
    /// As those of [`Self::from_pem`] and [`Self::from_pkcs12`].
    pub fn from_file(file: &[u8], key: Option<&str>, password: &str) -> Result<Self, BadCertificate> {
        let key = key.unwrap_or_default();
        match std::str::from_utf8(file) {
            Ok(pem) if pem.contains("-----BEGIN ") => Self::from_pem(&format!("{pem}\n{key}")),
            _ if X509Certificate::from_der(file).is_ok() => {
                Self::from_pem(&format!("{}\n{key}", section("CERTIFICATE", file)))
            }
            _ => Self::from_pkcs12(file, password),
        }
    }

    /// Of PEM: a certificate, its key (PKCS #8, PKCS #1 or SEC 1), and whatever else of its chain is there, in any order.
    ///
    /// # Errors
    /// What is missing or does not fit.
    pub fn from_pem(pem: &str) -> Result<Self, BadCertificate> {
        let certificates = CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<Vec<_>, _>>();
        let certificates = certificates.map_err(|_| BadCertificate::NoCertificate)?;
        let keys = PrivateKeyDer::pem_slice_iter(pem.as_bytes()).collect::<Result<Vec<_>, _>>();
        match keys {
            Ok(keys) if !keys.is_empty() => Self::of(&certificates, &keys),
            _ if certificates.is_empty() => Err(BadCertificate::NoCertificate),
            _ if pem.contains("ENCRYPTED") => Err(BadCertificate::Locked),
            _ => Err(BadCertificate::NoKey),
        }
    }

    /// Of a PKCS #12 file (.p12, .pfx), as Keychain Access exports it.
    ///
    /// # Errors
    /// The password is another, it is no such file, or something is missing in it or does not fit.
    pub fn from_pkcs12(file: &[u8], password: &str) -> Result<Self, BadCertificate> {
        let archive = Pkcs12Archive::from_pkcs12(file, password).map_err(|error| match error {
            // What is decrypted with a wrong password where the file has no checksum is noise.
            p12_keystore::error::Error::MacError(_)
            | p12_keystore::error::Error::UnpadError
            | p12_keystore::error::Error::Pkcs5Error(_)
            | p12_keystore::error::Error::InvalidPrivateKey => BadCertificate::Password,
            error => BadCertificate::NotPkcs12(error),
        })?;
        let certificates: Vec<_> =
            archive.certs.iter().map(|bag| CertificateDer::from(bag.cert.as_der().to_vec())).collect();
        let keys = archive.keys.iter().map(|bag| PrivateKeyDer::try_from(bag.key.as_der().to_vec()));
        let keys = keys.collect::<Result<Vec<_>, _>>().map_err(|_| BadCertificate::Kind)?;
        Self::of(&certificates, &keys)
    }

    /// The first of the keys that has a certificate, with it and those above it.
    fn of(certificates: &[CertificateDer<'static>], keys: &[PrivateKeyDer<'static>]) -> Result<Self, BadCertificate> {
        let read = certificates.iter().map(|der| X509Certificate::from_der(der).map(|(_, read)| (der, read)));
        let read = read.collect::<Result<Vec<_>, _>>().map_err(|_| BadCertificate::NoCertificate)?;
        if read.is_empty() {
            return Err(BadCertificate::NoCertificate);
        }
        let mut trouble = BadCertificate::NoKey;
        for der in keys {
            let Ok(key) = any_supported_type(der) else {
                trouble = BadCertificate::Kind;
                continue;
            };
            let public = key.public_key();
            let own = |(_, read): &&(_, X509Certificate<'_>)| public.as_deref() == Some(read.public_key().raw);
            let Some((leaf, of_leaf)) = read.iter().find(own) else {
                trouble = BadCertificate::NotItsKey;
                continue;
            };
            let mut chain = vec![(*leaf).clone()];
            let mut last = of_leaf;
            // A root is not shown: whoever trusts it has it.
            while let Some((der, above)) = read.iter().find(|(_, above)| {
                above.subject() == last.issuer() && above.issuer() != above.subject() && chain.len() < read.len()
            }) {
                chain.push((*der).clone());
                last = above;
            }
            return Ok(Self {
                pem: pem(&chain, der),
                topic: topic(of_leaf),
                begins: of_leaf.validity().not_before,
                ends: of_leaf.validity().not_after,
                shown: Arc::new(CertifiedKey::new(chain, key)),
            });
        }
        Err(trouble)
    }

    /// Whether it is valid. `now`: unix seconds.
    ///
    /// # Errors
    /// It is not.
    pub fn check(&self, now: i64) -> Result<(), BadCertificate> {
        if now > self.ends() {
            return Err(BadCertificate::Expired(date(self.ends)));
        }
        if now < self.begins.timestamp() {
            return Err(BadCertificate::NotYet(date(self.begins)));
        }
        Ok(())
    }

    /// The bundle id that it is for, where its subject says one.
    #[must_use]
    pub fn topic(&self) -> Option<&str> {
        self.topic.as_deref()
    }

    /// The day on which it ends, `2027-11-21`, UTC.
    #[must_use]
    pub fn ends_on(&self) -> String {
        date(self.ends)
    }

    /// The last second of its validity, unix seconds.
    #[must_use]
    pub fn ends(&self) -> i64 {
        self.ends.timestamp()
    }

    /// As TLS shows it.
    pub(super) fn shown(&self) -> Arc<CertifiedKey> {
        self.shown.clone()
    }
}

/// The bundle id, which Apple writes into the subject as a user's id.
fn topic(certificate: &X509Certificate<'_>) -> Option<String> {
    let id = certificate.subject().iter_by_oid(&OID_USERID).next()?;
    id.as_str().ok().map(ToOwned::to_owned)
}

/// The day, `2027-11-21`, UTC.
fn date(time: ASN1Time) -> String {
    time.to_datetime().date().to_string()
}

fn section(label: &str, der: &[u8]) -> String {
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", BASE64.encode(der))
}

fn pem(chain: &[CertificateDer<'_>], key: &PrivateKeyDer<'_>) -> String {
    let label = match key {
        PrivateKeyDer::Pkcs1(_) => "RSA PRIVATE KEY",
        PrivateKeyDer::Sec1(_) => "EC PRIVATE KEY",
        // Of the three kinds there are.
        _ => "PRIVATE KEY",
    };
    let chain: String = chain.iter().map(|der| section("CERTIFICATE", der)).collect();
    chain + &section(label, key.secret_der())
}

#[cfg(test)]
mod tests;
