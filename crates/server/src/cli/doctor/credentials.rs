//! The credentials of apps with vendors: the key that is there opens them.

use pigeonloft_store::doctor::Doctor as Examiner;

use super::Trouble;
use super::report::Report;
use crate::chain::chain;
use crate::vault::{Error, Unopened, Vault};

const AREA: &str = "credentials";

/// Opens all of them, and shows none.
pub(super) fn examine(examiner: &Examiner, vault: &Vault, report: &mut Report) -> Result<(), Trouble> {
    report.looks_at("credentials with vendors");
    let Some(Unopened { count, first: (app, channel), error }) = vault.unopened(&examiner.credentials()?) else {
        return Ok(());
    };
    // What follows is a hint, which is said in other words here.
    let reason = chain(&error);
    let reason = reason.lines().next().unwrap_or_default();
    let what =
        format!("credentials with vendors that cannot be opened: {count}, such as {channel} of app {app}: {reason}");
    match error {
        // The server may be told of another key, by settings that are not looked at here.
        Error::Missing(_) => report.note(
            AREA,
            format_args!(
                "{what}. Where the server's settings name another key, give it by --credentials-key-file; else it is \
                 lost: bring it back, or remove the credentials and set them again"
            ),
        )?,
        _ => report.remains(
            AREA,
            what,
            "bring the key back that they were sealed with, or set them again: `pigeonloft app channel set`",
        )?,
    }
    Ok(())
}
