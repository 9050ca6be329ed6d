//! Details: what a device says of itself, when it registers or later.

use pigeonloft_channels::webpush::Permits;
use pigeonloft_model::{Channel, Environment, Platform, Tag, TagType};
use pigeonloft_store::{ChannelToken, DeviceReport, Reports};

use super::channels::{Channels, environment};
use crate::api::v1::{Members, Problem};

/// What a device says of itself; `None` for what it does not say.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Details {
    pub(super) environment: Option<Environment>,
    pub(super) channels: Vec<ChannelToken>,
    /// On which it has no token any more.
    pub(super) left: Vec<Channel>,
    pub(super) reported: Reports,
}

impl From<Details> for DeviceReport {
    fn from(Details { environment, channels, left, reported }: Details) -> Self {
        Self { environment, channels, left, reported }
    }
}

impl Details {
    /// Of a body; `permits`: which subscriptions of browsers are taken.
    pub(super) fn of(given: &Members, platform: Platform, permits: Permits) -> Result<Self, Problem> {
        let Channels { environment: of_channel, channels, left } = Channels::of(given, platform, permits)?;
        let environment = environment(given.text("environment")?, "environment")?
            .or(of_channel)
            // Two environments are Apple's; a device elsewhere that names the other would be in no push.
            .filter(|_| platform.is_apple());
        Ok(Self { environment, channels, left, reported: reported(given)? })
    }
}

/// What a device reports, each as the tag it becomes; an empty text takes the tag away.
fn reported(given: &Members) -> Result<Reports, Problem> {
    let mut reported = Vec::new();
    for (member, kind) in TagType::REPORTED {
        let Some(text) = given.text(member)? else { continue };
        let name = match text.trim() {
            "" => None,
            text => Some(Tag::name(text).map_err(|error| Problem::member(member, error))?.to_owned()),
        };
        reported.push((kind, name));
    }
    Ok(reported)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::tests::{detail, given};
    use super::*;

    #[test]
    fn the_environment_counts_on_apples_platforms_alone() {
        let said = given(&json!({"environment": "dev", "unknown": [1]}));
        let none = Details::default();
        assert_eq!(Details::of(&said, Platform::Android, Permits::default()).unwrap(), none);
        let dev = Details { environment: Some(Environment::Dev), ..Details::default() };
        assert_eq!(Details::of(&said, Platform::Ios, Permits::default()).unwrap(), dev);
        assert!(
            detail(Details::of(&given(&json!({"environment": "test"})), Platform::Ios, Permits::default()))
                .starts_with("environment: ")
        );
    }

    #[test]
    fn what_a_device_reports_is_a_tag_of_its_type() {
        let of = |body: Value| reported(&given(&body));
        let said = of(json!({"app_version": " 1.2 ", "brand": "", "model": null, "country": "信".repeat(50)})).unwrap();
        let country = (TagType::Country, Some("信".repeat(50)));
        assert_eq!(said, [(TagType::AppVersion, Some("1.2".into())), country, (TagType::Brand, None)]);
        assert!(detail(of(json!({"language": "a".repeat(51)}))).starts_with("language: a tag has 1 to 50 characters"));
        assert!(detail(of(json!({"sdk_version": 7}))).starts_with("sdk_version: give a text"));
    }
}
