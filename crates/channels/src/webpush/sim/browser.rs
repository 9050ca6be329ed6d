//! Browser: the keys of a subscription, and what was decrypted with them. By another library than the one that encrypts: what
//! both have wrong, they would have to have wrong in the same way.

use std::sync::Arc;

use aes_gcm::aead::{Aead, KeyInit};
use aes_gcm::{Aes128Gcm, Key, Nonce};
use base64::Engine;
use hkdf::Hkdf;
use p256::ecdh::diffie_hellman;
use p256::elliptic_curve::sec1::ToSec1Point;
use p256::{PublicKey, SecretKey};
use ring::rand::{SecureRandom, SystemRandom};
use sha2::Sha256;

use super::Got;
use crate::webpush::encryption::BODY_MAX;
use crate::webpush::subscription::{AUTH_BYTES, BASE64, Keys, PUBLIC_KEY_BYTES};

/// Salt, size of a record, length of the sender's key.
const BEFORE_KEY: usize = 16 + 4 + 1;

/// A browser with a subscription.
pub(super) struct Browser {
    pub(super) secrets: Arc<Secrets>,
    pub(super) got: Vec<Got>,
    pub(super) is_here: bool,
}

/// What a browser decrypts with.
pub(super) struct Secrets {
    key: SecretKey,
    auth: [u8; AUTH_BYTES],
}

impl Browser {
    pub(super) fn new() -> Result<Self, String> {
        let (mut key, mut auth) = ([0; 32], [0; AUTH_BYTES]);
        let random = SystemRandom::new();
        random.fill(&mut key).and_then(|()| random.fill(&mut auth)).map_err(|_| "no random numbers")?;
        let key = SecretKey::from_slice(&key).map_err(|_| "an unlucky number: try again")?;
        Ok(Self { secrets: Arc::new(Secrets { key, auth }), got: Vec::new(), is_here: true })
    }

    pub(super) fn keys(&self) -> Keys {
        let Secrets { auth, .. } = &*self.secrets;
        Keys { p256dh: BASE64.encode(self.secrets.public_key()), auth: BASE64.encode(auth) }
    }
}

impl Secrets {
    fn public_key(&self) -> Vec<u8> {
        self.key.public_key().to_sec1_point(false).as_bytes().to_vec()
    }

    /// The plaintext of a body of one record.
    pub(super) fn decrypt(&self, body: &[u8]) -> Result<Vec<u8>, &'static str> {
        if body.len() > BODY_MAX {
            return Err("the body has more than 4,096 bytes");
        }
        let (before, rest) = body.split_at_checked(BEFORE_KEY).ok_or("the body ends before its header does")?;
        let (salt, record_size) = (&before[..16], u32::from_be_bytes([before[16], before[17], before[18], before[19]]));
        if usize::from(before[20]) != PUBLIC_KEY_BYTES {
            return Err("the key of the header is not one of P-256");
        }
        let (key, sealed) = rest.split_at_checked(PUBLIC_KEY_BYTES).ok_or("the body ends before its header does")?;
        if sealed.len() > record_size as usize || record_size < 18 {
            return Err("the body is not one record");
        }
        let sender = PublicKey::from_sec1_bytes(key).map_err(|_| "the sender's key is no point")?;
        let shared = diffie_hellman(self.key.to_nonzero_scalar(), sender.as_affine());
        let too_long = |_| "a key of an impossible length";
        let mut ikm = [0; 32];
        let info = [b"WebPush: info\0", &*self.public_key(), key].concat();
        Hkdf::<Sha256>::new(Some(&self.auth), shared.raw_secret_bytes()).expand(&info, &mut ikm).map_err(too_long)?;
        let from = Hkdf::<Sha256>::new(Some(salt), &ikm);
        let (mut content_key, mut nonce) = ([0; 16], [0; 12]);
        from.expand(b"Content-Encoding: aes128gcm\0", &mut content_key).map_err(too_long)?;
        from.expand(b"Content-Encoding: nonce\0", &mut nonce).map_err(too_long)?;
        let cipher = Aes128Gcm::new(&Key::<Aes128Gcm>::from(content_key));
        let mut plaintext =
            cipher.decrypt(&Nonce::from(nonce), sealed).map_err(|_| "the body cannot be decrypted with the keys")?;
        while plaintext.last() == Some(&0) {
            plaintext.pop();
        }
        match plaintext.pop() {
            Some(2) => Ok(plaintext),
            _ => Err("the record is not marked as the last"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_rfc_8291_is_read() {
        let bytes = |text: &str| BASE64.decode(text).unwrap();
        let secrets = Secrets {
            key: SecretKey::from_slice(&bytes("q1dXpw3UpT5VOmu_cf_v6ih07Aems3njxI-JWgLcM94")).unwrap(),
            auth: bytes("BTBZMqHH6r4Tts7J_aSIgg").try_into().unwrap(),
        };
        let browser = Browser { secrets: Arc::new(secrets), got: Vec::new(), is_here: true };
        let p256dh = "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4";
        assert_eq!(browser.keys().p256dh, p256dh);
        let body = bytes(
            "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6\
             PBru3jl7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN",
        );
        assert_eq!(browser.secrets.decrypt(&body).unwrap(), b"When I grow up, I want to be a watermelon");
        for (place, why) in
            [(20, "the key of the header"), (30, "the sender's key"), (100, "the body cannot be decrypted")]
        {
            let mut damaged = body.clone();
            damaged[place] ^= 1;
            assert!(browser.secrets.decrypt(&damaged).unwrap_err().starts_with(why), "{place}");
        }
        assert!(browser.secrets.decrypt(&body[..80]).is_err());
    }
}
