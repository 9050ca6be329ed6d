//! Passwords of devices, and the random text they and other secrets are made of.

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// SHA-256 of a device's password. One round is enough: the passwords are ours, 128 random bits each.
#[must_use]
pub fn password_hash(password: &str) -> [u8; 32] {
    Sha256::digest(password.as_bytes()).into()
}

/// Whether the password is the one of this hash, in constant time.
#[must_use]
pub fn password_fits(password: &str, hash: Option<&[u8; 32]>) -> bool {
    hash.is_some_and(|hash| bool::from(password_hash(password).ct_eq(hash)))
}

/// `N` random bytes as hexadecimal text.
///
/// # Errors
/// The system has no random numbers to give.
pub fn random_hex<const N: usize>() -> Result<String, getrandom::Error> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)?;
    Ok(hex(&bytes))
}

/// Bytes as lowercase hexadecimal text.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_fits_its_own_hash_only() {
        let hash = password_hash("right");
        assert!(password_fits("right", Some(&hash)));
        assert!(!password_fits("wrong", Some(&hash)));
        assert!(!password_fits("", None), "an unclaimed device has no password");
    }
}
