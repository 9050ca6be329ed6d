//! Lines of a report: first the devices of the push, a page of them at a time, then the rows that name no device.

use pigeonloft_model::{Channel, DeviceId, Outcome, Push as Request, PushId};
use pigeonloft_package::ReadError;
use pigeonloft_store::{Push, ReportLine, Reported, Store};
use tokio::task::spawn_blocking;

use crate::dispatch::rows::{By, Naming, Rows};

/// Recipients, or rows, read at a time: one short read of the database, and at most a few hundred kilobytes.
const PAGE: u32 = 4096;

/// The outcome of a row that names no device, beside those of the model: no recipient has it.
pub(in super::super) const NO_DEVICE: &str = "no_device";

/// Why a report breaks off.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// The database's.
    #[error(transparent)]
    Store(#[from] pigeonloft_store::Error),
    /// The package's.
    #[error("the package of the push cannot be read")]
    Package(#[from] ReadError),
    /// Recipients were forgotten while they were listed.
    #[error(
        "{read} of {targets} recipients were left to be listed: they were kept as long as push.recipients_days says"
    )]
    Forgotten {
        /// How many were listed.
        read: u64,
        /// How many there were at the beginning.
        targets: u64,
    },
    /// It could not be written.
    #[error("it could not be written: {0}")]
    Written(String),
    /// A thread broke off.
    #[error("the thread that made it broke off")]
    BrokenOff,
}

/// One line. Times are unix milliseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) token: Option<String>,
    pub(super) account_type: Option<u32>,
    pub(super) account: Option<String>,
    pub(super) channel: Option<&'static str>,
    pub(super) outcome: &'static str,
    pub(super) reason: &'static str,
    pub(super) code: Option<String>,
    pub(super) sent_at: Option<i64>,
    pub(super) arrived_at: Option<i64>,
    /// A bit for each [`ReceiptEvent`](pigeonloft_model::ReceiptEvent).
    pub(super) receipts: u8,
}

impl Line {
    fn of_device(line: ReportLine, account_type: u32) -> Self {
        let of = line.reported;
        Self {
            token: line.token.map(|token| token.to_string()),
            account_type: line.account.is_some().then_some(account_type),
            account: line.account,
            channel: channel(&of),
            outcome: of.outcome.as_str(),
            reason: reason(&of),
            code: of.code,
            sent_at: of.sent_at,
            arrived_at: of.arrived_at,
            receipts: of.receipts,
        }
    }

    fn of_row(row: &str, naming: &Naming) -> Self {
        let row = Some(row.to_owned());
        let (token, account_type, account) = match naming.by {
            By::Token => (row, None, None),
            By::Account(account_type, _) => (None, Some(account_type), row),
        };
        let reason = match (naming.by, naming.environment) {
            (By::Token, None) => "no device of the app has this token",
            (By::Token, Some(_)) => "no device of the app in the environment of the push has this token",
            (By::Account(..), None) => "the account is bound to no device",
            (By::Account(..), Some(_)) => "the account is bound to no device in the environment of the push",
        };
        Self {
            token,
            account_type,
            account,
            channel: None,
            outcome: NO_DEVICE,
            reason,
            code: None,
            sent_at: None,
            arrived_at: None,
            receipts: 0,
        }
    }
}

/// The channel that a message took or waits on; of a push that is kept off our own, that of the vendor that took it.
pub(in crate::api::v1) fn channel(of: &Reported) -> Option<&'static str> {
    let has_none = of.outcome == Outcome::NoChannel || (of.vendors_only && of.channel == Channel::Xg);
    (!has_none).then_some(of.channel.as_str())
}

/// What an outcome means, in words; empty where there is nothing to explain.
pub(in crate::api::v1) const fn reason(of: &Reported) -> &'static str {
    match of.outcome {
        Outcome::Waiting if of.vendors_only => "it waits for its vendor, which is given it again",
        Outcome::Expired if of.vendors_only => "the vendor did not take it before the push expired",
        Outcome::Waiting => "it waits in the inbox until the device comes online, or the hours of the push begin",
        Outcome::Sent => "handed to the device, which has not acknowledged it",
        Outcome::Arrived => "",
        Outcome::Expired => "the device did not take it before the push expired",
        Outcome::NotKept => {
            "the device was offline, or it was outside of the hours of the push, and the push keeps nothing"
        }
        Outcome::NoChannel => "the push may use no channel that leads to the device",
        Outcome::Gone => "the device was deleted while the message waited",
        Outcome::Accepted => "the vendor took it, and does not say whether it arrived",
        Outcome::Unknown => "the connection to the vendor broke off: it may have taken the message or not",
        Outcome::Stopped => "the push was stopped, revoked or replaced while the message waited",
    }
}

/// What is asked for.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    /// Devices with these outcomes.
    pub(super) outcomes: Vec<Outcome>,
    /// Rows that name no device.
    pub(super) no_device: bool,
}

/// The lines of one report. Between two pages it holds no connection to the database.
pub(super) struct Lines {
    store: Store,
    push_id: PushId,
    account_type: u32,
    naming: Naming,
    wanted: Wanted,
    /// The rows that are dealt with, and how many these are; those after them may yet name somebody.
    rows: Option<(Rows, u64)>,
    /// Recipients there were when it began.
    targets: u64,
    /// Recipients read.
    read: u64,
    at: At,
}

/// Where a report stands.
enum At {
    /// Before the devices after this one.
    Devices(Option<DeviceId>),
    /// Before the rows.
    Rows,
}

impl Lines {
    /// Of a push with so many recipients. `rows`: those of its audience that are dealt with, and how many these are.
    pub(super) fn new(
        store: Store,
        push: &Push,
        request: &Request,
        naming: Naming,
        rows: Option<(Rows, u64)>,
        wanted: Wanted,
    ) -> Self {
        let at = if wanted.outcomes.is_empty() { At::Rows } else { At::Devices(None) };
        Self {
            store,
            push_id: push.push_id,
            account_type: request.account_type.code(),
            naming,
            rows: rows.filter(|_| wanted.no_device),
            wanted,
            targets: push.counts.targets,
            read: 0,
            at,
        }
    }

    /// The next lines, which may be none; `None` after the last.
    ///
    /// # Errors
    /// The report breaks off.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<Line>>, Error> {
        match self.at {
            At::Devices(after) => self.devices(after).await.map(Some),
            At::Rows => self.unnamed().await,
        }
    }

    async fn devices(&mut self, after: Option<DeviceId>) -> Result<Vec<Line>, Error> {
        let outcomes = self.wanted.outcomes.clone();
        let page = self.store.report(self.push_id, self.account_type, outcomes, after, PAGE).await?;
        self.read += page.read;
        if page.last.is_none() && self.read < self.targets {
            // Rather no end than one that looks like one.
            return Err(Error::Forgotten { read: self.read, targets: self.targets });
        }
        self.at = page.last.map_or(At::Rows, |last| At::Devices(Some(last)));
        Ok(page.lines.into_iter().map(|line| Line::of_device(line, self.account_type)).collect())
    }

    /// The lines of the next rows that name no device, as devices are bound now.
    async fn unnamed(&mut self) -> Result<Option<Vec<Line>>, Error> {
        let Some((mut rows, left)) = self.rows.take().filter(|(_, left)| *left > 0) else { return Ok(None) };
        let (store, naming) = (self.store.clone(), self.naming);
        let found = spawn_blocking(move || {
            let want = usize::try_from(left).unwrap_or(usize::MAX).min(PAGE as usize);
            let taken = rows.take(want)?;
            let unnamed = naming.unnamed(&store.reader()?, &taken)?;
            let mut unnamed = unnamed.into_iter().peekable();
            let of_nobody = taken.iter().enumerate().filter(|(place, _)| unnamed.next_if_eq(place).is_some());
            let lines = of_nobody.map(|(_, row)| Line::of_row(row, &naming)).collect();
            // Fewer than are wanted are the last, whatever was counted.
            let left = if taken.len() < want { 0 } else { left - taken.len() as u64 };
            Ok::<_, Error>((lines, rows, left))
        });
        let (lines, rows, left) = found.await.map_err(|_| Error::BrokenOff)??;
        self.rows = Some((rows, left));
        Ok(Some(lines))
    }
}
