//! `pigeonloft package check`: the verdict of an upload, without a server.

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc;

use clap::Args;
use pigeonloft_package::{BadRow, Checked, IntakeError, Limits, Note, Summary, Trace};

use crate::cli::failure::{Failure, say};
use crate::config::{Config, Overrides};

/// Bad rows found and not yet printed; the reader of the file waits beyond it.
const BAD_ROWS_AHEAD: usize = 1024;

/// Say what an upload of these files would meet, without a server
///
/// Prints every bad row with its line and reason, then rows, duplicates, blanks and bad rows, and notes: rows that would be
/// taken, but look as if a spreadsheet had spoilt them. Exit status 1 if one of the files would be refused.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  pigeonloft package check audience.csv && pigeonloft package upload audience.csv …")]
pub(in crate::cli) struct Check {
    /// The files
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The server's configuration file, where it has other limits than the default
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Check {
    pub(super) fn run(self) -> Result<(), Failure> {
        let package = Config::load(self.config, &Overrides::default())?.package;
        let limits = Limits {
            file_bytes: package.file_bytes,
            expanded_bytes: package.expanded_bytes,
            sort_memory: package.sort_memory_bytes,
            ..Limits::default()
        };
        let mut all_fine = true;
        for file in &self.files {
            all_fine &= verdict(file, limits)?;
        }
        if all_fine { Ok(()) } else { Err(Failure::Said) }
    }
}

/// Prints the verdict on one file. Answers whether an upload would be taken.
fn verdict(file: &Path, limits: Limits) -> Result<bool, Failure> {
    let shown = file.display();
    match checked(file, limits)? {
        Err(IntakeError::Refused(refusal)) => {
            say(format_args!("{shown}: would be refused: {refusal}"))?;
            Ok(false)
        }
        Err(error) => Err(Failure::of(format_args!("cannot check {shown}"), &error)),
        Ok(Checked { summary, refusal, notes }) => {
            match &refusal {
                None => say(format_args!("{shown}: would be taken"))?,
                Some(_) => say(format_args!(
                    "{shown}: would be refused for its bad rows; an app with bad_rows = skip keeps the others"
                ))?,
            }
            figures(&summary)?;
            notes.iter().try_for_each(note)?;
            Ok(refusal.is_none())
        }
    }
}

fn figures(summary: &Summary) -> Result<(), Failure> {
    let Summary { rows, duplicates, blanks, bad_rows, .. } = summary;
    say(format_args!("  rows        {rows} ({}, {} bytes)", summary.format.as_str(), summary.file_bytes))?;
    say(format_args!("  duplicates  {duplicates}"))?;
    say(format_args!("  blanks      {blanks}"))?;
    say(format_args!("  bad rows    {bad_rows}"))?;
    match &summary.first_not_token {
        None => say("  push to     tokens or accounts"),
        Some(first) => say(format_args!(
            "  push to     accounts only: {} of the rows cannot be tokens, first line {} with {} characters, not 36 [{}]",
            summary.not_tokens, first.line, first.chars, first.excerpt
        )),
    }
}

/// Tells what a spreadsheet may have done, and what helps.
fn note(note: &Note) -> Result<(), Failure> {
    let Note { trace, rows, line, excerpt } = note;
    let (what, remedy) = match trace {
        Trace::Header => ("name of a column as the first row", "remove it"),
        Trace::Scientific => ("numbers whose last digits a spreadsheet has dropped", "save the column as text, anew"),
        Trace::Separator => ("rows with ; or | inside", "each is one account: part them if they are several"),
        Trace::Apostrophe => ("rows that begin with an apostrophe", "remove it, if it only marks them as text"),
    };
    say(format_args!("  note        {what}: {rows}, first line {line} [{excerpt}]; {remedy}"))
}

/// Checks the file on a thread of its own and prints its bad rows as they are found.
fn checked(file: &Path, limits: Limits) -> Result<Result<Checked, IntakeError>, Failure> {
    let (found, bad_rows) = mpsc::sync_channel::<BadRow>(BAD_ROWS_AHEAD);
    std::thread::scope(|scope| {
        // Where printing has ended, the rest is found for nobody.
        let check = scope.spawn(move || {
            pigeonloft_package::check(file, limits, move |row| {
                let _ = found.send(row.clone());
            })
        });
        let printed = print(file, bad_rows);
        let checked = check.join().map_err(|_| Failure::new("the check ended in a panic"))?;
        printed.map(|()| checked)
    })
}

fn print(file: &Path, bad_rows: mpsc::Receiver<BadRow>) -> Result<(), Failure> {
    let mut out = BufWriter::new(io::stdout().lock());
    let written = bad_rows
        .into_iter()
        .try_for_each(|BadRow { line, reason, excerpt }| {
            writeln!(out, "{}:{line}: {reason} [{excerpt}]", file.display())
        })
        .and_then(|()| out.flush());
    written.map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => Failure::OutputClosed,
        _ => Failure::of("cannot write to standard output", &error),
    })
}
