//! Report: what an examination found, told as it is found.

use std::fmt::Display;

use indicatif::{HumanBytes, HumanCount, ProgressBar};
use serde::Serialize;

use crate::cli::failure::{Failure, say};
use crate::cli::progress;

/// What is said on the way, and counted for the end.
pub(super) struct Report {
    json: bool,
    mend: bool,
    bar: ProgressBar,
    repaired: u64,
    remain: u64,
    /// How much was looked at.
    pub(super) examined: Examined,
}

/// How much was looked at. The members and their order are a promise to scripts.
#[derive(Debug, Default, Clone, Copy, Serialize)]
pub(super) struct Examined {
    /// Bytes of the database.
    pub(super) database_bytes: u64,
    /// Packages by the database.
    pub(super) packages: u64,
    /// Their rows.
    pub(super) package_rows: u64,
    /// Pushes.
    pub(super) pushes: u64,
    /// Recipients that were ever counted for them.
    pub(super) recipients: u64,
    /// Messages in inboxes.
    pub(super) inbox: u64,
}

/// One finding as `--json` prints it. The members and their order are a promise to scripts.
#[derive(Serialize)]
struct Finding<'a> {
    status: &'static str,
    area: &'a str,
    what: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    did: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    to_do: Option<String>,
}

#[derive(Serialize)]
struct Done {
    status: &'static str,
    repaired: u64,
    remain: u64,
    examined: Examined,
}

impl Report {
    /// `mend`: what can be repaired is.
    pub(super) fn begin(json: bool, mend: bool) -> Self {
        Self { json, mend, bar: progress::line(), repaired: 0, remain: 0, examined: Examined::default() }
    }

    /// Whether what can be repaired is to be.
    pub(super) fn mends(&self) -> bool {
        self.mend
    }

    /// Shows what is being looked at.
    pub(super) fn looks_at(&self, what: impl Display) {
        self.bar.set_message(what.to_string());
    }

    /// Something was wrong, and is repaired as `did` says; or can be, where only looking was asked for.
    pub(super) fn repaired(&mut self, area: &str, what: impl Display, did: impl Display) -> Result<(), Failure> {
        if self.mend {
            self.repaired += 1;
            self.tell("repaired", area, what, Some(did.to_string()), None)
        } else {
            self.remain += 1;
            self.tell("repairable", area, what, None, Some("run `pigeonloft doctor` without --check-only".into()))
        }
    }

    /// Repairs with `repair`, where that is asked for. What cannot be repaired remains, with `to_do`.
    pub(super) fn repair(
        &mut self,
        area: &str,
        what: impl Display,
        did: impl Display,
        to_do: impl Display,
        repair: impl FnOnce() -> std::io::Result<()>,
    ) -> Result<(), Failure> {
        match if self.mend { repair() } else { Ok(()) } {
            Ok(()) => self.repaired(area, what, did),
            Err(error) => self.remains(area, format_args!("{what}, and cannot be repaired: {error}"), to_do),
        }
    }

    /// Something is wrong that only the operator can help.
    pub(super) fn remains(&mut self, area: &str, what: impl Display, to_do: impl Display) -> Result<(), Failure> {
        self.remain += 1;
        self.tell("remains", area, what, None, Some(to_do.to_string()))
    }

    /// Something is worth knowing.
    pub(super) fn note(&mut self, area: &str, what: impl Display) -> Result<(), Failure> {
        self.tell("note", area, what, None, None)
    }

    fn tell(
        &self,
        status: &'static str,
        area: &str,
        what: impl Display,
        did: Option<String>,
        to_do: Option<String>,
    ) -> Result<(), Failure> {
        let finding = Finding { status, area, what: what.to_string(), did, to_do };
        self.bar.suspend(|| {
            if self.json {
                return say(json(&finding)?);
            }
            let Finding { what, did, to_do, .. } = finding;
            let did = did.map(|did| format!(": {did}")).unwrap_or_default();
            say(format_args!("{status:<10}  {area}: {what}{did}"))?;
            to_do.map_or(Ok(()), |to_do| say(format_args!("            to do: {to_do}")))
        })
    }

    /// Says how it ends.
    pub(super) fn end(self) -> Result<(), Failure> {
        self.bar.finish_and_clear();
        let Self { repaired, remain, examined, .. } = self;
        if self.json {
            say(json(&Done { status: "done", repaired, remain, examined })?)?;
        } else {
            let Examined { database_bytes, packages, package_rows, pushes, recipients, inbox } = examined;
            say(format_args!(
                "examined    database of {}, packages: {} with {} rows, pushes: {}, recipients: {}, in inboxes: {}",
                HumanBytes(database_bytes),
                HumanCount(packages),
                HumanCount(package_rows),
                HumanCount(pushes),
                HumanCount(recipients),
                HumanCount(inbox)
            ))?;
            say(match (repaired, remain) {
                (0, 0) => "nothing is wrong".to_owned(),
                (repaired, 0) => format!("{repaired} repaired, nothing remains"),
                (repaired, remain) => format!("{repaired} repaired, {remain} to do"),
            })?;
        }
        if remain == 0 { Ok(()) } else { Err(Failure::Said) }
    }
}

fn json(line: &impl Serialize) -> Result<String, Failure> {
    serde_json::to_string(line).map_err(|error| Failure::of("cannot write JSON", &error))
}
