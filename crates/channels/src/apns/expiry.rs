//! Expiry: what the end of a certificate means for a push: a warning when it is near, and no message when it has come.

use std::sync::atomic::{AtomicI64, Ordering};

use pigeonloft_model::Verdict;

use super::certificate::{BadCertificate, Certificate, ENDS_SOON_S};

/// How often it is warned of, seconds.
const WARNED_EVERY_S: i64 = 86_400;

/// A certificate that is in use.
#[derive(Debug)]
pub(super) struct Expiry {
    certificate: Certificate,
    /// When it was warned of last, unix seconds.
    warned: AtomicI64,
}

impl Expiry {
    pub(super) fn new(certificate: Certificate) -> Self {
        Self { certificate, warned: AtomicI64::new(i64::MIN) }
    }

    /// Whether it can be shown now, unix seconds. Warns where it soon cannot.
    ///
    /// # Errors
    /// It cannot, which Apple would say of every message: by an alert of TLS, that says less.
    pub(super) fn look(&self, now: i64, topic: &str) -> Result<(), Verdict> {
        self.certificate.check(now).map_err(|bad| {
            Verdict::Configuration(match bad {
                BadCertificate::NotYet(_) => "certificate not yet valid".into(),
                _ => "certificate expired".into(),
            })
        })?;
        let left_s = self.certificate.ends() - now;
        let warned = self.warned.load(Ordering::Relaxed);
        if left_s < ENDS_SOON_S && now.saturating_sub(warned) >= WARNED_EVERY_S {
            self.warned.store(now, Ordering::Relaxed);
            tracing::warn!(
                topic,
                days = left_s / 86_400,
                "the certificate of an app for APNs ends soon: set a new one"
            );
        }
        Ok(())
    }
}
