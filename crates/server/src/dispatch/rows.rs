//! Rows: an audience that is named row by row, in a package or in the call itself, and which devices its rows name.
//! Whoever asks what a push would reach, or whom it did not, asks here as dispatch does.

use std::collections::VecDeque;
use std::path::Path;

use pigeonloft_model::{AccessId, AccountPush, Audience, Environment, Platform, Push};
use pigeonloft_package::{Batch, ReadError, Reader as PackageReader};
use pigeonloft_store::{Reader, Resolved};

/// The rows of an audience, from one of them on.
pub(crate) enum Rows {
    /// Of the call itself.
    List(VecDeque<String>),
    /// Of a package.
    Package(PackageReader),
}

/// Rows that were taken together.
pub(crate) enum Taken {
    /// Of the call itself.
    List(Vec<String>),
    /// Of a package.
    Package(Batch),
}

impl Rows {
    /// The rows of a push's audience from row number `row` on; `package` is the file of its package, if it has one.
    ///
    /// # Errors
    /// The package cannot be read.
    pub(crate) fn of(push: &Push, package: Option<&Path>, row: u64) -> Result<Self, ReadError> {
        if let Some(path) = package {
            let mut reader = PackageReader::open(path)?;
            reader.seek(row)?;
            return Ok(Self::Package(reader));
        }
        let list = match push.audience.tokens() {
            [] => push.audience.accounts(),
            tokens => tokens,
        };
        let done = usize::try_from(row).map_or(list.len(), |row| row.min(list.len()));
        Ok(Self::List(list[done..].iter().cloned().collect()))
    }

    /// Whether all of them are taken.
    pub(crate) fn is_empty(&self) -> bool {
        match self {
            Self::List(list) => list.is_empty(),
            Self::Package(reader) => reader.position() == reader.rows(),
        }
    }

    /// Takes the next rows, at most `want`; none after the last.
    ///
    /// # Errors
    /// The package cannot be read.
    pub(crate) fn take(&mut self, want: usize) -> Result<Taken, ReadError> {
        Ok(match self {
            Self::List(list) => Taken::List(list.drain(..want.min(list.len())).collect()),
            Self::Package(reader) => match reader.next_batch(want)? {
                Some(batch) => Taken::Package(batch),
                None => Taken::List(Vec::new()),
            },
        })
    }
}

impl Taken {
    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::List(list) => list.len(),
            Self::Package(batch) => batch.rows(),
        }
    }

    /// In their order.
    pub(crate) fn iter(&self) -> Box<dyn Iterator<Item = &str> + '_> {
        match self {
            Self::List(list) => Box::new(list.iter().map(String::as_str)),
            Self::Package(batch) => Box::new(batch.iter()),
        }
    }
}

/// How rows name devices.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Naming {
    /// Devices of this app.
    pub(crate) access_id: AccessId,
    /// Only of this environment; `None` takes both.
    pub(crate) environment: Option<Environment>,
    /// What a row is.
    pub(crate) by: By,
}

/// What a row is.
#[derive(Debug, Clone, Copy)]
pub(crate) enum By {
    /// A token.
    Token,
    /// An account of this type, for these of its devices.
    Account(u32, AccountPush),
}

impl Naming {
    /// As the rows of this push do.
    pub(crate) fn of(push: &Push, access_id: AccessId, platform: Platform) -> Self {
        let by = match &push.audience {
            Audience::Token(_) | Audience::TokenList(_) | Audience::TokenPackage(_) => By::Token,
            // Without rows there is nothing that could name a device.
            Audience::All {} | Audience::Tag(_) => By::Token,
            Audience::Account(_) | Audience::AccountList(_) | Audience::AccountPackage(_) => {
                By::Account(push.account_type.code(), push.account_push)
            }
        };
        Self { access_id, environment: platform.is_apple().then_some(push.environment), by }
    }

    /// The devices that these rows name.
    ///
    /// # Errors
    /// The database's.
    pub(crate) fn resolve(&self, store: &Reader, rows: &Taken) -> Result<Resolved, pigeonloft_store::Error> {
        let Self { access_id, environment, by } = *self;
        match by {
            By::Token => store.resolve_tokens(access_id, rows.iter(), environment),
            By::Account(account_type, which) => {
                store.resolve_accounts(access_id, account_type, rows.iter(), which, environment)
            }
        }
    }

    /// The places of those rows that name none.
    ///
    /// # Errors
    /// The database's.
    pub(crate) fn unnamed(&self, store: &Reader, rows: &Taken) -> Result<Vec<usize>, pigeonloft_store::Error> {
        let Self { access_id, environment, by } = *self;
        match by {
            By::Token => store.unnamed_tokens(access_id, rows.iter(), environment),
            By::Account(account_type, _) => store.unnamed_accounts(access_id, account_type, rows.iter(), environment),
        }
    }
}
