//! Rows that name no device: which they are, where a push only counts them.

use pigeonloft_model::{AccessId, Environment};

use super::{BY_ITSELF, Match, retain_environment};
use crate::Reader;
use crate::error::Result;

impl Reader {
    /// Places of the account names that name no device; see [`Reader::resolve_accounts`].
    ///
    /// # Errors
    /// The database's.
    pub fn unnamed_accounts<'a>(
        &self,
        access_id: AccessId,
        account_type: u32,
        names: impl Iterator<Item = &'a str>,
        environment: Option<Environment>,
    ) -> Result<Vec<usize>> {
        let (found, count) = self.matches_of_names(access_id, account_type, names, BY_ITSELF)?;
        self.unnamed(found, count, environment)
    }

    /// Places of the tokens that name no device; see [`Reader::resolve_tokens`].
    ///
    /// # Errors
    /// The database's.
    pub fn unnamed_tokens<'a>(
        &self,
        access_id: AccessId,
        tokens: impl Iterator<Item = &'a str>,
        environment: Option<Environment>,
    ) -> Result<Vec<usize>> {
        let (found, count) = self.matches_of_texts(access_id, tokens, BY_ITSELF)?;
        self.unnamed(found, count, environment)
    }

    fn unnamed(&self, mut found: Vec<Match>, rows: usize, environment: Option<Environment>) -> Result<Vec<usize>> {
        if let Some(environment) = environment {
            retain_environment(&self.connection, &mut found, environment)?;
        }
        let mut named = found.into_iter().map(|found| found.place).peekable();
        let mut is_unnamed = |place: &usize| {
            let mut unnamed = true;
            while named.next_if_eq(place).is_some() {
                unnamed = false;
            }
            unnamed
        };
        Ok((0..rows).filter(|place| is_unnamed(place)).collect())
    }
}
