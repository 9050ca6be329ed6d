//! Credentials on the command line: those of an app that calls, and those of an app to be.

use std::io::Read;
use std::path::PathBuf;

use clap::Args;

use super::failure::Failure;

/// Characters of a key at most: far more than any issued, few enough for a header.
const KEY_CHARS_MAX: usize = 128;

/// A secret key, given or in a file.
#[derive(Debug, Args)]
pub(super) struct SecretKey {
    /// The app's SecretKey. Other users of the machine can see it in the list of processes: prefer --secret-key-file
    #[arg(long, value_name = "KEY", value_parser = key)]
    secret_key: Option<String>,
    /// A file that holds the app's SecretKey; "-" reads it from standard input
    #[arg(long, value_name = "FILE", conflicts_with = "secret_key")]
    secret_key_file: Option<PathBuf>,
}

impl SecretKey {
    /// The key, if one is given.
    pub(super) fn read(self) -> Result<Option<String>, Failure> {
        let Some(file) = self.secret_key_file else { return Ok(self.secret_key) };
        let mut text = String::new();
        let read = if file.as_os_str() == "-" {
            std::io::stdin().lock().take(4096).read_to_string(&mut text)
        } else {
            std::fs::File::open(&file).and_then(|file| file.take(4096).read_to_string(&mut text))
        };
        read.map_err(|error| Failure::of(format_args!("cannot read the SecretKey from {}", file.display()), &error))?;
        let key = key(text.trim_end_matches(['\r', '\n']))
            .map_err(|reason| Failure::new(format!("the SecretKey in {}: {reason}", file.display())))?;
        Ok(Some(key))
    }
}

/// Reads a key: any printable text, as long as it may travel in a header.
pub(super) fn key(text: &str) -> Result<String, String> {
    let chars = text.chars().count();
    if !(1..=KEY_CHARS_MAX).contains(&chars) {
        return Err(format!("a key has 1 to {KEY_CHARS_MAX} characters, this has {chars}"));
    }
    match text.chars().position(char::is_control) {
        Some(place) => Err(format!("a key has no control characters, character {} is one", place + 1)),
        None => Ok(text.to_owned()),
    }
}

/// Reads an access key, which travels in a header as it is: visible ASCII.
pub(super) fn access_key(text: &str) -> Result<String, String> {
    let text = key(text)?;
    match text.chars().position(|c| !c.is_ascii_graphic()) {
        Some(place) => Err(format!("an AccessKey is visible ASCII, character {} is not", place + 1)),
        None => Ok(text),
    }
}

/// Reads an AccessId: 0 means "not set" to published clients, so no app has it.
pub(super) fn access_id(text: &str) -> Result<pigeonloft_model::AccessId, String> {
    match text.parse::<u32>() {
        Ok(1..) => text.parse().map_err(|_| "not a number".to_owned()),
        _ => Err(format!("an AccessId is a whole number from 1 to {}", u32::MAX)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_may_hold_anything_that_prints() {
        assert_eq!(key("s:e c/信"), Ok("s:e c/信".to_owned()));
        assert!(key("").unwrap_err().contains("1 to 128"));
        assert!(key(&"k".repeat(129)).unwrap_err().contains("this has 129"));
        assert!(key("a\nb").unwrap_err().contains("character 2"));
        assert!(access_key("A 1").unwrap_err().contains("character 2"));
    }

    #[test]
    fn an_access_id_is_a_positive_uint32() {
        assert_eq!(access_id("4294967295"), Ok(pigeonloft_model::AccessId(u32::MAX)));
        for bad in ["0", "4294967296", "-1", "x", ""] {
            assert!(access_id(bad).is_err(), "{bad}");
        }
    }
}
