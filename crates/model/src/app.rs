//! App: what a push belongs to. One app has one AccessId and one platform, which decides what part of a message its
//! devices get. Its secrets are the store's.

use crate::names::named;

named! {
    /// What the devices of an app run on.
    Platform {
        /// Android: the `android` object of a message.
        Android = "android",
        /// iOS and iPadOS: the `ios` object of a message.
        Ios = "ios",
        /// macOS: the `ios` object of a message, too; the published API has one object for both.
        Macos = "macos",
        /// Browsers: the `android` object of a message; the published API has none of their own.
        Web = "web",
    }
}

impl Platform {
    /// Whether the `ios` object of a message is meant for it, and the environment counts.
    #[must_use]
    pub const fn is_apple(self) -> bool {
        matches!(self, Self::Ios | Self::Macos)
    }

    /// The member of a message that is meant for it: `android` or `ios`.
    #[must_use]
    pub const fn object(self) -> &'static str {
        if self.is_apple() { "ios" } else { "android" }
    }
}
