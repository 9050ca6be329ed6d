//! Apps: who may call, and the settings kept with them.

use pigeonloft_model::{AccessId, Networks, Platform};
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::error::{Error, Result};
use crate::{Store, now_ms};

/// What a bad row does to the package it stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BadRows {
    /// The upload is refused, and the answer names the rows.
    #[default]
    Refuse,
    /// The good rows are kept, and the bad ones can be fetched.
    Skip,
}

impl BadRows {
    /// `refuse` or `skip`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Refuse => "refuse",
            Self::Skip => "skip",
        }
    }

    /// From `refuse` or `skip`.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Refuse, Self::Skip].into_iter().find(|policy| policy.as_str() == name)
    }
}

/// One app: its credentials, its platform and its settings.
#[derive(Clone, PartialEq, Eq)]
pub struct App {
    /// Its id, and the user name of Basic authentication.
    pub access_id: AccessId,
    /// What the app's servers authenticate with.
    pub secret_key: String,
    /// What the app's programs on devices register with.
    pub access_key: String,
    /// Of all its devices.
    pub platform: Platform,
    /// For people.
    pub name: String,
    /// What a bad row does to an upload.
    pub bad_rows: BadRows,
    /// Where its servers may call from; none: from everywhere.
    pub allowed: Networks,
}

/// The keys stay out of logs and error texts.
impl std::fmt::Debug for App {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("App")
            .field("access_id", &self.access_id)
            .field("platform", &self.platform)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

const COLUMNS: &str = "access_id, secret_key, access_key, platform, name, bad_rows, allowed";

fn from_row(row: &Row<'_>) -> rusqlite::Result<Result<App>> {
    let platform: String = row.get(3)?;
    let bad_rows: String = row.get(5)?;
    let allowed: String = row.get(6)?;
    let Ok(platform) = platform.parse() else {
        return Ok(Err(Error::Corrupt { what: "platform", value: platform }));
    };
    let Some(bad_rows) = BadRows::from_name(&bad_rows) else {
        return Ok(Err(Error::Corrupt { what: "bad_rows setting", value: bad_rows }));
    };
    let Ok(allowed) = allowed.parse() else {
        return Ok(Err(Error::Corrupt { what: "list of allowed addresses", value: allowed }));
    };
    Ok(Ok(App {
        access_id: AccessId(row.get(0)?),
        secret_key: row.get(1)?,
        access_key: row.get(2)?,
        platform,
        name: row.get(4)?,
        bad_rows,
        allowed,
    }))
}

fn find(connection: &Connection, access_id: AccessId) -> Result<Option<App>> {
    connection
        .prepare_cached(&format!("SELECT {COLUMNS} FROM app WHERE access_id = ?1"))?
        .query_row([access_id.0], from_row)
        .optional()?
        .transpose()
}

impl Store {
    /// Adds an app.
    ///
    /// # Errors
    /// [`Error::AppExists`], or the database's.
    pub async fn add_app(&self, app: App) -> Result<()> {
        self.write(move |tx| {
            let added = tx.execute(
                "INSERT INTO app (access_id, secret_key, access_key, platform, name, bad_rows, allowed, created_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT DO NOTHING",
                params![
                    app.access_id.0,
                    app.secret_key,
                    app.access_key,
                    app.platform.as_str(),
                    app.name,
                    app.bad_rows.as_str(),
                    app.allowed.to_string(),
                    now_ms()
                ],
            )?;
            if added == 0 { Err(Error::AppExists(app.access_id)) } else { Ok(()) }
        })
        .await
    }

    /// Changes what a bad row does to an app's uploads. Answers whether the app exists.
    ///
    /// # Errors
    /// The database's.
    pub async fn set_bad_rows(&self, access_id: AccessId, policy: BadRows) -> Result<bool> {
        self.write(move |tx| {
            let changed =
                tx.execute("UPDATE app SET bad_rows = ?2 WHERE access_id = ?1", params![access_id.0, policy.as_str()])?;
            Ok(changed == 1)
        })
        .await
    }

    /// Changes where an app's servers may call from, and answers the networks as they are then; `None`: there is no such app.
    ///
    /// # Errors
    /// The database's. What `change` refuses is the inner error; nothing is changed then.
    pub async fn change_allowed<E: Send + 'static>(
        &self,
        access_id: AccessId,
        change: impl FnOnce(&mut Networks) -> std::result::Result<(), E> + Send + 'static,
    ) -> Result<Option<std::result::Result<Networks, E>>> {
        self.write(move |tx| {
            let Some(mut allowed) = find(tx, access_id)?.map(|app| app.allowed) else { return Ok(None) };
            if let Err(refused) = change(&mut allowed) {
                return Ok(Some(Err(refused)));
            }
            tx.execute("UPDATE app SET allowed = ?2 WHERE access_id = ?1", params![access_id.0, allowed.to_string()])?;
            Ok(Some(Ok(allowed)))
        })
        .await
    }

    /// The app of this id.
    ///
    /// # Errors
    /// The database's.
    pub async fn app(&self, access_id: AccessId) -> Result<Option<App>> {
        self.read(move |connection| find(connection, access_id)).await
    }

    /// Every app, by id.
    ///
    /// # Errors
    /// The database's.
    pub async fn apps(&self) -> Result<Vec<App>> {
        self.read(|connection| {
            let mut statement = connection.prepare(&format!("SELECT {COLUMNS} FROM app ORDER BY access_id"))?;
            statement.query_map([], from_row)?.collect::<rusqlite::Result<Result<Vec<_>>>>()?
        })
        .await
    }
}
