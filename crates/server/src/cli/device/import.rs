//! `pigeonloft device import`: a CSV file into the devices of an app.
//!
//! First every line is checked, so that a bad one is known before anything is written. Then the rows go in, beside a
//! running server if there is one: sorted, or with `--out` in the order of the file, which is read again.

use std::fs::File;
use std::path::{Path, PathBuf};

use clap::Args;
use csv::{ByteRecord, Reader, ReaderBuilder};
use indicatif::ProgressBarIter;
use pigeonloft_model::AccessId;

use super::columns::{Column, Columns};
use super::intake::{Intake, Out, Sums};
use super::row::{self, BadRow, Row, Rules};
use super::sorted::Sorted;
use crate::cli::data_dir::{DataDir, wait};
use crate::cli::failure::{Failure, say};
use crate::cli::{app, credentials, progress};

/// Bad rows named one by one.
const BAD_ROWS_NAMED: usize = 10;

/// Import devices from a CSV file
///
/// The first line is a header, with any of the columns token, account, account_type, channel, channel_token,
/// environment, attribute:NAME (of an attribute that the app has declared), app_version, sdk_version, country, province,
/// language, brand and model, of which the last seven become automatic tags. Each further line is a device; a device with
/// several accounts (of different types) has several lines. A line without a token gets one issued, and --out keeps it.
///
/// With --out, each new device is issued a password, and the file lists it; without, a new device has none, and the
/// first POST /v1/devices that names its token claims it.
///
/// The file is checked as a whole before anything is written. Devices that are there already are brought up to date,
/// so an import of tokens can be repeated.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
        pigeonloft device import devices.csv --app 1500001048\n  \
        pigeonloft device import accounts.csv --app 1500001048 --out registered.csv")]
pub(in crate::cli) struct Import {
    /// The CSV file, UTF-8
    file: PathBuf,
    #[command(flatten)]
    data: DataDir,
    /// The app the devices belong to
    #[arg(long, value_name = "ID", value_parser = credentials::access_id)]
    app: AccessId,
    /// Write a CSV file with the columns token and password, and those of FILE. It must not exist yet
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Leave bad rows out, instead of refusing the file for them
    #[arg(long)]
    skip_bad_rows: bool,
}

/// A file under import, and the bar that shows how far it is read.
pub(super) type Input = Reader<ProgressBarIter<File>>;

impl Import {
    pub(super) fn run(self) -> Result<(), Failure> {
        let store = self.data.open()?;
        let platform = wait(store.app(self.app))?.ok_or_else(|| app::unknown(self.app))?.platform;
        let declared = wait(store.declared_attributes(self.app))?;
        drop(store);
        let rules = Rules { platform, issue: self.out.is_some() };
        let sums = match &self.out {
            None => self.sorted(&declared, rules)?,
            Some(out) => self.in_file_order(&declared, rules, out)?,
        };
        say(format_args!(
            "{} rows: {} new devices, {} rows of devices known before, {} accounts bound, {} bad rows skipped",
            sums.new + sums.known,
            sums.new,
            sums.known,
            sums.bound,
            sums.skipped
        ))
    }

    fn sorted(&self, declared: &[String], rules: Rules) -> Result<Sums, Failure> {
        let mut sorted = Sorted::new(self.data.path());
        let (columns, skipped) = self.check(declared, rules, |row| sorted.push(row))?;
        Ok(Sums { skipped, ..sorted.load(self.data.path(), self.app, &columns)? })
    }

    /// What is written out stands in the order of the file, beside the lines of the file.
    fn in_file_order(&self, declared: &[String], rules: Rules, out: &Path) -> Result<Sums, Failure> {
        let (columns, _) = self.check(declared, rules, |_| Ok(()))?;
        let (mut input, bar) = self.open("importing")?;
        let out = Out::create(out, &columns, &mut input)?;
        let mut intake = Intake::begin(self.data.path(), self.app, columns, rules, out)?;
        let done = intake.all(&mut input).and_then(|()| intake.finish());
        bar.finish_and_clear();
        done
    }

    fn open(&self, what: &'static str) -> Result<(Input, indicatif::ProgressBar), Failure> {
        let cannot_read = |error| Failure::of(format_args!("cannot read {}", self.file.display()), &error);
        let file = File::open(&self.file).map_err(cannot_read)?;
        let bar = progress::of_bytes(file.metadata().map_err(cannot_read)?.len(), what);
        // Lines of another length are for us to report, each with its number.
        let input = ReaderBuilder::new().flexible(true).buffer_capacity(1 << 18).from_reader(bar.wrap_read(file));
        Ok((input, bar))
    }

    /// Reads the whole file and refuses it for what is wrong in it. Hands over the rows that are right, until there are
    /// others that it is refused for; answers how many of those are to be skipped.
    fn check(
        &self,
        declared: &[String],
        rules: Rules,
        mut each: impl FnMut(&Row) -> Result<(), Failure>,
    ) -> Result<(Columns, u64), Failure> {
        let (mut input, bar) = self.open("checking")?;
        let columns = Columns::parse(input.byte_headers().map_err(|error| unreadable(&error))?)?;
        columns.check_attributes(self.app, declared)?;
        if !columns.has(Column::Token) && !rules.issue {
            return Err(Failure::new(
                "the file has no column \"token\", and without --out the issued ones would be lost",
            )
            .hint("name a file for tokens and passwords with --out FILE"));
        }
        let mut record = ByteRecord::new();
        let (mut bad, mut named) = (0u64, Vec::new());
        while input.read_byte_record(&mut record).map_err(|error| unreadable(&error))? {
            match row::read(&columns, &record, rules) {
                Ok(row) if bad == 0 || self.skip_bad_rows => each(&row)?,
                Ok(_) => {}
                Err(reason) => {
                    bad += 1;
                    if named.len() < BAD_ROWS_NAMED {
                        named.push(name(&record, &reason));
                    }
                }
            }
        }
        bar.finish_and_clear();
        if bad == 0 || self.skip_bad_rows {
            return Ok((columns, bad));
        }
        let more = bad - named.len() as u64;
        if more > 0 {
            named.push(format!("and {more} more"));
        }
        let rows = if bad == 1 { "row" } else { "rows" };
        Err(Failure::new(format!("{bad} bad {rows}, so nothing was imported:\n  {}", named.join("\n  ")))
            .hint("correct them, or leave them out with --skip-bad-rows"))
    }
}

fn name(record: &ByteRecord, reason: &BadRow) -> String {
    match record.position() {
        Some(position) => format!("line {}: {reason}", position.line()),
        None => reason.to_string(),
    }
}

/// The file cannot be read on.
pub(super) fn unreadable(error: &csv::Error) -> Failure {
    Failure::of("cannot read the file", error)
}
