//! Left out: devices that a push names and leaves alone, because another package names them, too, or because it is for
//! a sample. TPNS has neither: members of our own of the push call.

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use crate::audience::{Audience, AudienceKind};
use crate::ids::{DeviceId, UploadId};
use crate::loose::{self, Members};
use crate::names::named;
use crate::ret::Fault;

named! {
    /// What the rows of a package are, by the `audience_type` that such a package is pushed with.
    PackageKind {
        /// Accounts.
        Accounts = "package_account_push",
        /// Tokens.
        Tokens = "package_token_push",
    }
}

/// A package whose devices are left out: all that its tokens name, or that are bound to its accounts (of the push's
/// `account_type`), in whatever environment they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exclude {
    /// The package.
    pub upload_id: UploadId,
    /// What its rows are.
    pub kind: PackageKind,
}

/// A part of the devices that a push names: the same ones for the same seed, and with a smaller share some of those of
/// a larger one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// How large a part, in billionths; 1 to [`Sample::WHOLE`].
    pub billionths: u64,
    /// What decides which devices; at most [`Sample::SEED_MAX`] characters.
    pub seed: String,
}

impl Sample {
    /// The share of everybody.
    pub const WHOLE: u64 = 1_000_000_000;
    /// Characters of a `sample_seed`; our choice.
    pub const SEED_MAX: usize = 64;

    /// Whether a device is in it. A device is for as long as it exists; the choice is never changed by a version of the
    /// program.
    #[must_use]
    pub fn takes(&self, device: DeviceId) -> bool {
        let place = xxh3_64_with_seed(&device.0.to_le_bytes(), xxh3_64(self.seed.as_bytes()));
        // The hash as a share of the whole.
        let place = (u128::from(place) * u128::from(Self::WHOLE)) >> 64;
        place < u128::from(self.billionths)
    }
}

/// Reads `exclude_upload_id` and `exclude_audience_type`. Zero is refused and not "not set": who sends it has lost
/// the id, and would push to those he wanted to leave out.
pub(super) fn exclude(given: &Members<'_>, audience: &Audience) -> Result<Option<Exclude>, Fault> {
    let member = "exclude_upload_id";
    let kind: Option<PackageKind> = given.name("exclude_audience_type")?;
    let Some(number) = given.number(member)? else { return Ok(None) };
    let upload_id = UploadId(loose::within(number, 1..=i64::from(i32::MAX), || given.place(member))?);
    let same = match audience.kind() {
        AudienceKind::Token | AudienceKind::TokenList | AudienceKind::TokenPackage => PackageKind::Tokens,
        _ => PackageKind::Accounts,
    };
    let kind = kind.unwrap_or(same);
    if audience.package() == Some(upload_id) && kind == same {
        return Err(Fault::invalid(given.place(member), "it is the package that is pushed to: nobody would be left"));
    }
    Ok(Some(Exclude { upload_id, kind }))
}

/// Reads `sample` and `sample_seed`, which is the package's id where it is not given.
pub(super) fn sample(given: &Members<'_>, audience: &Audience) -> Result<Option<Sample>, Fault> {
    let member = "sample";
    let Some(share) = given.real(member)? else { return Ok(None) };
    // A share below half a billionth would be nobody.
    let billionths = (share * Sample::WHOLE as f64).round();
    if !(billionths >= 1.0 && share <= 1.0) {
        let remedy =
            format!("it is {share}, give a share over 0 and up to 1, such as 0.01 for one device in a hundred");
        return Err(Fault::invalid(given.place(member), remedy));
    }
    let seed = given.text("sample_seed")?;
    if seed.as_ref().is_some_and(|seed| seed.chars().nth(Sample::SEED_MAX).is_some()) {
        let remedy = format!("a seed has at most {} characters", Sample::SEED_MAX);
        return Err(Fault::invalid(given.place("sample_seed"), remedy));
    }
    let seed = seed.or_else(|| audience.package().map(|id| id.to_string())).unwrap_or_default();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "1 to a billion, see above")]
    Ok(Some(Sample { billionths: billionths as u64, seed }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(billionths: u64, seed: &str) -> Sample {
        Sample { billionths, seed: seed.into() }
    }

    fn taken(sample: &Sample) -> Vec<i64> {
        (1..=100_000).filter(|id| sample.takes(DeviceId(*id))).collect()
    }

    #[test]
    fn a_sample_is_about_its_share_and_part_of_every_larger_one_of_its_seed() {
        let (small, large) = (taken(&sample(10_000_000, "7")), taken(&sample(100_000_000, "7")));
        assert!((900..1_100).contains(&small.len()), "{}", small.len());
        assert!((9_700..10_300).contains(&large.len()), "{}", large.len());
        assert!(small.iter().all(|id| large.contains(id)));
        let other = taken(&sample(10_000_000, "8"));
        let both = small.iter().filter(|id| other.contains(id)).count();
        assert!(both < 40, "two seeds choose apart: {both}");
        assert_eq!(taken(&sample(Sample::WHOLE, "7")).len(), 100_000);
    }

    #[test]
    fn a_sample_is_the_same_in_every_version_of_the_program() {
        let taken = taken(&sample(50_000, "spring"));
        assert_eq!(taken, [24_170, 41_106, 53_261, 62_463, 72_347, 92_091, 93_201, 96_234, 97_268]);
    }
}
