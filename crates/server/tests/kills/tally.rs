//! Tally: what a run went through, for its last line and for docs/RELIABILITY.md.

use std::fmt;
use std::time::Duration;

use crate::moment::Moment;

/// Kills from which on a run must have met every stage by itself.
const LONG: u64 = 100;

/// What a run went through.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) kills: u64,
    /// Kills by the moment that was looked for.
    pub(crate) by_moment: [u64; Moment::ALL.len()],
    /// Kills before a starting server could be reached, of those while it started.
    pub(crate) before_listening: u64,
    pub(crate) uploads: Fates,
    pub(crate) pushes: Fates,
    /// Pushes that were stopped, and that were revoked and taken back.
    pub(crate) stopped: (u64, u64),
    pub(crate) registrations: u64,
    /// Kills that left files of uploads under way, and such files.
    pub(crate) broken_off: (u64, u64),
    /// Kills that left whole package files without a row, and such files.
    pub(crate) without_row: (u64, u64),
    /// Starts after a kill at which pushes went on, and such pushes.
    pub(crate) went_on: (u64, u64),
    /// Distinct rows of all packages kept.
    pub(crate) rows: u64,
    /// Messages that reached a device, repeats included.
    pub(crate) messages: u64,
    /// Devices of all pushes.
    pub(crate) recipients: u64,
    pub(crate) receipts: u64,
    /// Messages that came again though they had been acknowledged.
    pub(crate) repeats: Repeats,
}

/// What became of what was asked for.
#[derive(Debug, Default)]
pub(crate) struct Fates {
    pub(crate) answered: u64,
    /// Not answered, and found to be kept.
    pub(crate) unanswered_kept: u64,
    /// Not answered, and found not to be kept.
    pub(crate) unanswered_absent: u64,
}

/// Messages that came again though the device had acknowledged them.
#[derive(Debug, Default)]
pub(crate) struct Repeats {
    /// Of batches that were under way at a kill: the device was connected before the push came.
    pub(crate) of_batches: u64,
    /// The most of them for one push and kill.
    pub(crate) most_of_batches: u64,
    /// Of the same, or from inboxes: the device connected later, and its acknowledgement was not yet durable at the kill.
    pub(crate) of_inboxes: u64,
    /// The device itself had cut the connection.
    pub(crate) cut_by_device: u64,
    /// The longest time between an acknowledgement and the kill that lost it.
    pub(crate) oldest: Duration,
}

impl Tally {
    /// A run of many kills has met what is to be met.
    pub(crate) fn assert_spread(&self) {
        assert!(self.by_moment.iter().all(|kills| *kills > 0) || self.kills < LONG, "{self}");
        if self.kills < LONG {
            return;
        }
        for (met, what) in [
            (self.before_listening, "a server that could not be reached yet"),
            (self.broken_off.0, "an upload under way"),
            (self.without_row.0, "a package file without its row"),
            (self.went_on.0, "a push under way"),
            (self.uploads.unanswered_kept, "an upload that was kept and not answered"),
            (self.uploads.unanswered_absent, "an upload that was not kept"),
            (self.pushes.unanswered_kept, "a push that was kept and not answered"),
            (self.repeats.of_batches, "a batch that was sent and not recorded"),
        ] {
            assert!(met > 0, "no kill met {what}: {self}");
        }
    }
}

impl fmt::Display for Fates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { answered, unanswered_kept, unanswered_absent } = self;
        write!(f, "{answered} answered, all kept; not answered: {unanswered_kept} kept, {unanswered_absent} not")
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let by_moment = Moment::ALL.iter().zip(self.by_moment).filter(|(_, kills)| *kills > 0);
        let by_moment: Vec<String> = by_moment.map(|(moment, kills)| format!("{kills} {}", moment.name())).collect();
        writeln!(f, "kills          {}: {}", self.kills, by_moment.join(", "))?;
        writeln!(f, "  of a start   {} before the server could be reached", self.before_listening)?;
        let met = |(kills, things): (u64, u64)| format!("{things}, at {kills} kills");
        writeln!(f, "  met          uploads broken off: {}", met(self.broken_off))?;
        writeln!(f, "               package files without a row: {}", met(self.without_row))?;
        writeln!(f, "               pushes under way: {}", met(self.went_on))?;
        writeln!(f, "uploads        {}; {} rows", self.uploads, self.rows)?;
        writeln!(f, "pushes         {}; {} recipients", self.pushes, self.recipients)?;
        writeln!(f, "  of these     {} stopped, {} taken back", self.stopped.0, self.stopped.1)?;
        writeln!(f, "registrations  {} answered, all kept", self.registrations)?;
        writeln!(f, "messages       {}; receipts {}", self.messages, self.receipts)?;
        let Repeats { of_batches, most_of_batches, of_inboxes, cut_by_device, oldest } = &self.repeats;
        writeln!(f, "repeats        {of_batches} of batches under way, at most {most_of_batches} of a push at a kill")?;
        writeln!(
            f,
            "               {of_inboxes} of these or of inboxes, {cut_by_device} after the device cut its connection"
        )?;
        write!(f, "               the oldest was acknowledged {} ms before its kill", oldest.as_millis())
    }
}
