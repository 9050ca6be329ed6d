//! Encryption: `aes128gcm` for one browser (RFC 8188, RFC 8291). A message is one record, with a key of its own.

use ring::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::agreement::{ECDH_P256, EphemeralPrivateKey, UnparsedPublicKey, agree_ephemeral};
use ring::error::Unspecified;
use ring::hkdf::{HKDF_SHA256, KeyType, Prk, Salt};
use ring::rand::{SecureRandom, SystemRandom};

use super::subscription::{PUBLIC_KEY_BYTES, Subscription};

/// Bytes of a body that every push service takes.
pub const BODY_MAX: usize = 4096;

const SALT_BYTES: usize = 16;
const TAG_BYTES: usize = 16;
/// Salt, size of a record, length of the key's name, and the name: our public key.
const HEADER_BYTES: usize = SALT_BYTES + 4 + 1 + PUBLIC_KEY_BYTES;

/// Bytes of plaintext of the largest body: one byte says that the record is the last.
pub const PLAINTEXT_MAX: usize = BODY_MAX - HEADER_BYTES - 1 - TAG_BYTES;

/// The subscription's public key is no point of the curve, or the system has no random numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the subscription's key is no point of P-256")]
pub(super) struct NotEncrypted;

impl From<Unspecified> for NotEncrypted {
    fn from(_: Unspecified) -> Self {
        Self
    }
}

struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

fn expand<const N: usize>(key: &Prk, info: &[&[u8]]) -> Result<[u8; N], Unspecified> {
    let mut bytes = [0; N];
    key.expand(info, Length(N))?.fill(&mut bytes)?;
    Ok(bytes)
}

/// Whether a public key is a point of the curve: only an agreement with it tells.
pub(super) fn is_point(public_key: &[u8; PUBLIC_KEY_BYTES]) -> bool {
    let own = EphemeralPrivateKey::generate(&ECDH_P256, &SystemRandom::new());
    own.and_then(|own| agree_ephemeral(own, &UnparsedPublicKey::new(&ECDH_P256, public_key), |_| ())).is_ok()
}

/// The body of a message for one browser, of at most [`PLAINTEXT_MAX`] bytes of plaintext.
///
/// # Errors
/// See [`NotEncrypted`].
pub(super) fn encrypt(plaintext: &[u8], to: &Subscription, random: &SystemRandom) -> Result<Vec<u8>, NotEncrypted> {
    let mut salt = [0; SALT_BYTES];
    random.fill(&mut salt)?;
    let own = EphemeralPrivateKey::generate(&ECDH_P256, random)?;
    let own_public = own.compute_public_key()?;
    let theirs = UnparsedPublicKey::new(&ECDH_P256, &to.public_key);
    let info: [&[u8]; 3] = [b"WebPush: info\0", &to.public_key, own_public.as_ref()];
    let shared: [u8; 32] =
        agree_ephemeral(own, &theirs, |secret| expand(&Salt::new(HKDF_SHA256, &to.auth).extract(secret), &info))??;
    let key = Salt::new(HKDF_SHA256, &salt).extract(&shared);
    let content_key: [u8; 16] = expand(&key, &[b"Content-Encoding: aes128gcm\0"])?;
    let nonce: [u8; 12] = expand(&key, &[b"Content-Encoding: nonce\0"])?;

    let mut body = Vec::with_capacity(HEADER_BYTES + plaintext.len() + 1 + TAG_BYTES);
    body.extend(salt);
    body.extend((BODY_MAX as u32).to_be_bytes());
    body.push(PUBLIC_KEY_BYTES as u8);
    body.extend(own_public.as_ref());
    body.extend(plaintext);
    // This record is the last.
    body.push(2);
    let content_key = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &content_key)?);
    let sealed = &mut body[HEADER_BYTES..];
    let tag = content_key.seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::empty(), sealed)?;
    body.extend(tag.as_ref());
    Ok(body)
}
