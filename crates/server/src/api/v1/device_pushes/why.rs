//! Why: the words for what became of a push at a device, and for why the device is no recipient of it.
//!
//! Who is a recipient is on record. Who is none is judged by the audience as devices are bound now, in the order in which
//! dispatch leaves devices out: by the resolver that dispatch uses, and by the row of the package, which is searched for and
//! not walked to.

mod chosen;

use jiff::Timestamp;
use pigeonloft_model::{
    AcceptMinutes, Audience, Channel, Outcome, PackageKind, Platform, Push as Request, PushState, ReceiptEvent,
};
use pigeonloft_package::{ReadError, Reader as PackageReader};
use pigeonloft_store::{DeviceFacts, Push, Reader, Reported, Started, Within};

use crate::clock::unix_millis;
use crate::dispatch::rows::{By, Naming, Taken};
use crate::packages::PackageFolder;

const DAY_MS: i64 = 86_400_000;

/// Why nothing can be said.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// The database's.
    #[error(transparent)]
    Store(#[from] pigeonloft_store::Error),
    /// A package's.
    #[error("a package of the push cannot be read")]
    Package(#[from] ReadError),
}

/// Why a device is no recipient.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Because {
    NotInAudience,
    Environment,
    AnotherDevice,
    Excluded,
    SampledOut,
    Cancelled,
    Failed,
    Stopped,
    NotStarted,
    NotYet,
    Forgotten,
    NotThen,
    PackageGone,
}

impl Because {
    pub(in super::super) const ALL: [Self; 13] = [
        Self::NotInAudience,
        Self::Environment,
        Self::AnotherDevice,
        Self::Excluded,
        Self::SampledOut,
        Self::Cancelled,
        Self::Failed,
        Self::Stopped,
        Self::NotStarted,
        Self::NotYet,
        Self::Forgotten,
        Self::NotThen,
        Self::PackageGone,
    ];

    pub(in super::super) const fn as_str(self) -> &'static str {
        match self {
            Self::NotInAudience => "not_in_audience",
            Self::Environment => "environment",
            Self::AnotherDevice => "another_device",
            Self::Excluded => "excluded",
            Self::SampledOut => "sampled_out",
            Self::Cancelled => "cancelled",
            Self::Failed => "failed",
            Self::Stopped => "stopped",
            Self::NotStarted => "not_started",
            Self::NotYet => "not_yet",
            Self::Forgotten => "forgotten",
            Self::NotThen => "not_then",
            Self::PackageGone => "package_gone",
        }
    }
}

/// The words.
#[derive(Debug)]
pub(super) struct Why {
    /// `None`: the device is a recipient.
    pub(super) because: Option<Because>,
    pub(super) text: String,
}

impl Why {
    fn not(because: Because, text: impl Into<String>) -> Self {
        Self { because: Some(because), text: text.into() }
    }
}

/// A push and a device, as far as they explain each other.
pub(super) struct Case {
    pub(super) platform: Platform,
    pub(super) token: String,
    /// With the account of the push's type.
    pub(super) device: DeviceFacts,
    pub(super) is_online: bool,
    pub(super) started: Started,
    pub(super) request: Request,
    /// What is on record.
    pub(super) reported: Option<Reported>,
    /// The vendor's channel that is given the message again, if it waits.
    pub(super) parked_for: Option<Channel>,
    pub(super) recipients_days: u32,
    pub(super) target_days: u32,
    pub(super) minute_of_day: u16,
    pub(super) folder: PackageFolder,
}

/// Where a device stands in an audience.
enum Place {
    /// Its row has this number.
    Row(u64),
    /// It has none, for this reason.
    Nowhere(String),
    /// The package is deleted.
    Gone,
}

impl Case {
    /// The words for this case.
    ///
    /// # Errors
    /// The database or a package cannot be read.
    pub(super) fn why(&self, store: &Reader) -> Result<Why, Error> {
        if let Some(reported) = &self.reported {
            return Ok(Why { because: None, text: self.became(reported) });
        }
        let naming = Naming::of(&self.request, self.started.push.access_id, self.platform);
        let row = match self.place(&naming, store)? {
            Place::Row(row) => row,
            Place::Nowhere(text) => return Ok(Why::not(Because::NotInAudience, text)),
            Place::Gone => {
                let text = "the device is no recipient, and the package of the push was deleted, so that nobody can tell \
                            whether it was named there";
                return Ok(Why::not(Because::PackageGone, text));
            }
        };
        if let Some(why) = self.left_out(&naming, store)? {
            return Ok(why);
        }
        Ok(self.not_come_to(row))
    }

    /// What became of the push at a recipient.
    fn became(&self, reported: &Reported) -> String {
        // Before our own channel a vendor's was asked, and did not take it.
        let refused = reported.code.as_ref().filter(|_| reported.channel == Channel::Xg);
        let refused = refused.map(|code| format!(" (not taken by {code})")).unwrap_or_default();
        self.became_there(reported) + &refused
    }

    fn became_there(&self, reported: &Reported) -> String {
        let push = &self.started.push;
        let until = time(push.expire_at * 1000);
        match reported.outcome {
            Outcome::Waiting if reported.vendors_only => match self.parked_for {
                Some(vendor) => format!("it is given to {vendor} again, until {until}"),
                None => format!("nothing is given to its vendor any more: it expires at {until}"),
            },
            Outcome::Waiting => {
                let again = self.parked_for.map(|vendor| format!("; {vendor} is given it again, too"));
                let again = again.unwrap_or_default();
                let closed = AcceptMinutes::of(&self.request.message.accept_time)
                    .is_some_and(|accept| !accept.contains(self.minute_of_day));
                if closed {
                    return format!("it waits for the hours of its accept_time, and expires at {until}{again}");
                }
                match self.is_online {
                    true => format!("the device is online and is sent what waits for it, oldest first, until {until}{again}"),
                    false => {
                        format!(
                            "{}: it waits until the device comes online, at most until {until}{again}",
                            self.offline()
                        )
                    }
                }
            }
            Outcome::Sent => format!(
                "handed to the device{}, which has not acknowledged it; it is sent again when the device comes online, \
                 until {until}",
                at(reported.sent_at)
            ),
            Outcome::Arrived => {
                let said = |event: ReceiptEvent| {
                    if reported.receipts & event.flag() == 0 { String::new() } else { format!(", {}", event.as_str()) }
                };
                let said: String = ReceiptEvent::ALL.iter().copied().map(said).collect();
                format!("it arrived{}{said}", at(reported.arrived_at))
            }
            Outcome::Expired if reported.sent_at.is_some() => {
                format!("it was handed to the device{}, which did not acknowledge it by {until}", at(reported.sent_at))
            }
            Outcome::Expired if reported.vendors_only => format!("the vendor did not take it by {until}"),
            Outcome::Expired => format!("the device did not come for it by {until}; it was seen last{}", self.seen()),
            Outcome::NotKept => {
                "the device was offline, or it was outside of the accept_time, and the push keeps nothing (expire_time 0)"
                    .into()
            }
            Outcome::NoChannel => "the push may use no channel that leads to the device (channel_rules)".into(),
            Outcome::Gone => "the device was deleted while the message waited".into(),
            Outcome::Accepted => {
                let at = at(reported.sent_at);
                format!("{} took it{at}, and does not say whether it arrived", reported.channel)
            }
            Outcome::Unknown => {
                let code = reported.code.as_deref().unwrap_or_default();
                format!(
                    "the connection to {} broke off while it was sent ({code}): it may have arrived or not",
                    reported.channel
                )
            }
            Outcome::Stopped => {
                format!(
                    "it waited for the device when the push was stopped, revoked or replaced{}",
                    at(push.stopped_at)
                )
            }
        }
    }

    fn offline(&self) -> String {
        format!("the device is offline, last seen (connected or registered){}", self.seen())
    }

    fn seen(&self) -> String {
        at(Some(self.device.seen_at))
    }

    /// Where the device stands in the audience.
    fn place(&self, naming: &Naming, store: &Reader) -> Result<Place, Error> {
        if self.request.audience.is_chosen() {
            return self.place_among_all(store);
        }
        let (row, called) = match naming.by {
            By::Token => (self.token.as_str(), "token".to_owned()),
            By::Account(account_type, _) => match &self.device.account {
                Some(account) => (account.name.as_str(), format!("account {:?} of type {account_type}", account.name)),
                None => {
                    let text = format!(
                        "the push is for accounts of type {account_type}, and the device is bound to none of that type"
                    );
                    return Ok(Place::Nowhere(text));
                }
            },
        };
        let (found, of) = match self.request.audience.package() {
            Some(upload_id) => match &self.started.stored_as {
                Some(stored_as) => (self.find(stored_as, row)?, format!("package {upload_id}")),
                None => return Ok(Place::Gone),
            },
            None => {
                let list = match &self.request.audience {
                    Audience::Token(_) | Audience::TokenList(_) => self.request.audience.tokens(),
                    _ => self.request.audience.accounts(),
                };
                (list.iter().position(|text| text == row).map(|place| place as u64), "the list of the push".into())
            }
        };
        Ok(found.map_or_else(|| Place::Nowhere(format!("the device's {called} is not in {of}")), Place::Row))
    }

    fn find(&self, stored_as: &str, row: &str) -> Result<Option<u64>, ReadError> {
        PackageReader::open(&self.folder.file(stored_as))?.find(row)
    }

    /// Why a device whose row is in the audience is left out; `None`: it is not.
    fn left_out(&self, naming: &Naming, store: &Reader) -> Result<Option<Why>, Error> {
        if let Some(environment) = naming.environment.filter(|of| *of != self.device.environment) {
            let text =
                format!("the push is for the environment {environment}, the device is in {}", self.device.environment);
            return Ok(Some(Why::not(Because::Environment, text)));
        }
        if let (By::Account(..), Some(account)) = (naming.by, &self.device.account) {
            let named = naming.resolve(store, &Taken::List(vec![account.name.clone()]))?;
            if !named.devices.contains(&self.device.device) {
                let text = format!(
                    "the push is for the device that was bound to an account last, and another was bound to {:?} after this \
                     one{}; account_push_type 1 reaches all",
                    account.name,
                    at(Some(account.bound_at))
                );
                return Ok(Some(Why::not(Because::AnotherDevice, text)));
            }
        }
        if let (Some(exclude), Some(stored_as)) = (self.request.exclude, &self.started.exclude_stored_as) {
            let account = self.device.account.as_ref().map(|account| account.name.as_str());
            let (row, called) = match exclude.kind {
                PackageKind::Tokens => (Some(self.token.as_str()), "token"),
                PackageKind::Accounts => (account, "account"),
            };
            if let Some(row) = row
                && self.find(stored_as, row)?.is_some()
            {
                let text = format!("its {called} is in package {}, which the push excludes", exclude.upload_id);
                return Ok(Some(Why::not(Because::Excluded, text)));
            }
        }
        if let Some(sample) = self.request.sample.as_ref().filter(|sample| !sample.takes(self.device.device)) {
            let text = format!("it is not in the sample that the push is for (sample_seed {:?})", sample.seed);
            return Ok(Some(Why::not(Because::SampledOut, text)));
        }
        Ok(None)
    }

    /// Why a push whose audience has the device, at this row, has not come to it.
    fn not_come_to(&self, row: u64) -> Why {
        let push = &self.started.push;
        let Push { state, finished_at, stopped_at, failure, .. } = push;
        if *state == PushState::Canceled {
            return Why::not(Because::Cancelled, "the push was cancelled before it started");
        }
        if let Some(failure) = failure {
            return Why::not(Because::Failed, format!("the push failed before it came to the device: {failure}"));
        }
        if self.has_passed(row) {
            return self.not_then();
        }
        if stopped_at.is_some() {
            let text = format!("the push was stopped{} before it came to the device", at(*stopped_at));
            return Why::not(Because::Stopped, text);
        }
        if finished_at.is_none() {
            let (done, rows) = (push.counts.rows_done, push.counts.audience_rows);
            return match push.started_at {
                None => Why::not(Because::NotStarted, format!("the push starts{}", at(Some(push.start_at * 1000)))),
                Some(_) => {
                    let text = format!("the push has not come to the device yet: {done} of {rows} rows are dealt with");
                    Why::not(Because::NotYet, text)
                }
            };
        }
        self.not_then()
    }

    /// Whether the push has dealt with this row and this device of it.
    fn has_passed(&self, row: u64) -> bool {
        let cursor = &self.started.cursor;
        let within = |within: &Within| row < within.end && self.device.device <= within.device;
        row < cursor.row || cursor.within.as_ref().is_some_and(within)
    }

    /// It came to where the device stands now, and the device is no recipient.
    fn not_then(&self) -> Why {
        let push = &self.started.push;
        let days = self.recipients_days;
        let is_past = |ended: i64| ended < unix_millis() - i64::from(days) * DAY_MS;
        if days > 0 && push.counts.targets > 0 && push.counts.waiting == 0 && push.finished_at.is_some_and(is_past) {
            let text =
                format!("what became of single devices is forgotten {days} days after a push (push.recipients_days)");
            return Why::not(Because::Forgotten, text);
        }
        if self.request.audience.is_chosen() {
            let text = format!(
                "the push is for the device as it is now, and was not when it came to it: its tags, its environment or when it \
                 was seen last have changed since the push started{}",
                at(push.started_at)
            );
            return Why::not(Because::NotThen, text);
        }
        let since = match (&self.device.account, self.request.audience.tokens()) {
            (Some(account), []) => format!("it was bound to its account{}", at(Some(account.bound_at))),
            _ => format!("it was registered{}", at(Some(self.device.created_at))),
        };
        let text = format!(
            "the push names the device as it is bound now, and did not when it came to it: {since}, and the push started{}",
            at(push.started_at)
        );
        Why::not(Because::NotThen, text)
    }
}

/// A moment in words, with what goes before it; nothing for none.
fn at(ms: Option<i64>) -> String {
    ms.map(|ms| format!(" at {}", time(ms))).unwrap_or_default()
}

/// Unix milliseconds, in UTC as ISO 8601 writes them.
fn time(ms: i64) -> String {
    Timestamp::from_millisecond(ms / 1000 * 1000).map(|at| at.to_string()).unwrap_or_default()
}
