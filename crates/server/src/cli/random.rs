//! Random ids and keys of a new app.

use pigeonloft_model::{AccessId, Platform};

use super::failure::Failure;

/// Ids of one kind of platform: as many as the service's six digits allow.
const IDS: u32 = 1_000_000;

/// Characters of an access key after its `A`.
const ACCESS_KEY_CHARS: usize = 12;

fn fill(bytes: &mut [u8]) -> Result<(), Failure> {
    getrandom::fill(bytes).map_err(|error| Failure::of("the system has no random numbers to give", &error))
}

/// An id in the range the service issues for the platform: 1500… for Android (and the web), 1600… for Apple.
pub(super) fn access_id(platform: Platform) -> Result<AccessId, Failure> {
    let mut bytes = [0; 8];
    fill(&mut bytes)?;
    // Of 64 random bits, the remainder by a million favours no id that anybody could notice.
    let number = (u64::from_ne_bytes(bytes) % u64::from(IDS)) as u32;
    Ok(AccessId(if platform.is_apple() { 1_600_000_000 } else { 1_500_000_000 } + number))
}

/// 32 hexadecimal characters.
pub(super) fn secret_key() -> Result<String, Failure> {
    crate::password::random_hex::<16>().map_err(|error| Failure::of("the system has no random numbers to give", &error))
}

/// `A` and 12 capitals or digits, as the service's look.
pub(super) fn access_key() -> Result<String, Failure> {
    const CHARS: &[u8; 36] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";
    let mut key = String::from("A");
    while key.len() <= ACCESS_KEY_CHARS {
        let mut bytes = [0; ACCESS_KEY_CHARS];
        fill(&mut bytes)?;
        // 252 is the largest multiple of 36 in a byte: what is above would favour the first characters.
        let fair = bytes.iter().filter(|&&byte| byte < 252).map(|&byte| char::from(CHARS[usize::from(byte % 36)]));
        key.extend(fair.take(ACCESS_KEY_CHARS + 1 - key.len()));
    }
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn issued_credentials_look_like_the_services() {
        for _ in 0..100 {
            assert!((1_500_000_000..1_501_000_000).contains(&access_id(Platform::Android).unwrap().0));
            assert!((1_600_000_000..1_601_000_000).contains(&access_id(Platform::Macos).unwrap().0));
            let key = access_key().unwrap();
            assert_eq!(key.len(), 13);
            assert!(key.starts_with('A') && key.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit()));
        }
        assert_eq!(secret_key().unwrap().len(), 32);
        assert_ne!(secret_key().unwrap(), secret_key().unwrap());
    }
}
