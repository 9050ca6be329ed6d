//! Failure: why a command ends with status 1, as the person at the terminal reads it: what failed and why, and a hint
//! where there is something to do about it.

use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;

use crate::chain::chain;

/// What parts a hint from the text of an error that brings one along.
const HINT: &str = "\nhint: ";

/// Why a command did not do what it was asked for.
#[derive(Debug)]
pub(super) enum Failure {
    /// To be told on standard error.
    Told {
        /// What failed, and why.
        text: String,
        /// What to do about it.
        hint: Option<String>,
    },
    /// The answer itself, already printed, is the bad news.
    Said,
    /// Whoever read our output has gone, such as `head`: nobody is left to tell.
    OutputClosed,
}

impl Failure {
    /// A failure with this text. Errors of the server bring their hint along, as a last line.
    pub(super) fn new(text: impl Into<String>) -> Self {
        let text = text.into();
        match text.split_once(HINT) {
            Some((text, hint)) => Self::Told { text: text.to_owned(), hint: Some(hint.to_owned()) },
            None => Self::Told { text, hint: None },
        }
    }

    /// `doing` failed, because of `error` and what is behind it. A cause that the text before it tells already is not
    /// told again.
    pub(super) fn of(doing: impl Display, error: &dyn std::error::Error) -> Self {
        let (mut text, mut hint) = (doing.to_string(), None);
        let mut cause = Some(error);
        while let Some(error) = cause {
            let told = error.to_string();
            let (told, own_hint) =
                told.split_once(HINT).map_or((told.as_str(), None), |(told, hint)| (told, Some(hint)));
            if !text.contains(told) {
                text = format!("{text}: {told}");
            }
            hint = hint.or(own_hint.map(ToOwned::to_owned));
            cause = error.source();
        }
        Self::Told { text, hint }
    }

    /// With a hint.
    pub(super) fn hint(self, hint: impl Into<String>) -> Self {
        match self {
            Self::Told { text, .. } => Self::Told { text, hint: Some(hint.into()) },
            other => other,
        }
    }

    /// Tells it, and answers the status to exit with.
    pub(super) fn exit(self) -> ExitCode {
        match self {
            Self::Told { text, hint } => {
                // Where standard error is closed, the status says it all.
                let mut stderr = io::stderr().lock();
                let _ = writeln!(stderr, "error: {text}");
                if let Some(hint) = hint {
                    let _ = writeln!(stderr, "hint: {hint}");
                }
                ExitCode::FAILURE
            }
            Self::Said => ExitCode::FAILURE,
            Self::OutputClosed => ExitCode::SUCCESS,
        }
    }
}

/// Prints a line of a command's answer.
pub(super) fn say(line: impl Display) -> Result<(), Failure> {
    writeln!(io::stdout().lock(), "{line}").map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => Failure::OutputClosed,
        _ => Failure::of("cannot write to standard output", &error),
    })
}

impl From<crate::config::Error> for Failure {
    fn from(error: crate::config::Error) -> Self {
        // Its text tells its source already.
        Self::new(error.to_string())
    }
}

impl From<pigeonloft_store::Error> for Failure {
    fn from(error: pigeonloft_store::Error) -> Self {
        let failure = Self::new(chain(&error));
        match error {
            pigeonloft_store::Error::AppExists(_) => failure.hint("`pigeonloft app list` shows every app"),
            pigeonloft_store::Error::Full => failure.hint("make room and run the command again"),
            _ => failure,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot listen: taken\nhint: take another")]
    struct Listen(#[source] Taken);

    #[derive(Debug, thiserror::Error)]
    #[error("taken")]
    struct Taken;

    #[test]
    fn a_cause_is_told_once_and_a_hint_stands_apart() {
        let failure = Failure::of("cannot serve", &Listen(Taken));
        let Failure::Told { text, hint } = failure else { panic!("{failure:?}") };
        assert_eq!(text, "cannot serve: cannot listen: taken");
        assert_eq!(hint.as_deref(), Some("take another"));
    }
}
