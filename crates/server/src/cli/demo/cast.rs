//! The cast: the app of the demo, its devices, and the audiences it pushes to.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use pigeonloft_model::{Networks, Platform, Token};
use pigeonloft_store::{AccountKey, App, BadRows, Import, ImportRow, Store};

use crate::cli::app::add_with_free_id;
use crate::cli::data_dir;
use crate::cli::failure::Failure;
use crate::cli::random;
use crate::password::{hex, password_hash};

/// Name of the demo's app: by it a second run finds the first one's.
const APP_NAME: &str = "Pigeonloft demo";

const DEVICES: &str = include_str!("../../../../../examples/devices.csv");

/// Devices that are online from the start; the others come later.
pub(super) const ONLINE: usize = 1_000;

/// One device of the demo.
#[derive(Debug, Clone)]
pub(super) struct DemoDevice {
    pub(super) token: Token,
    pub(super) account: String,
    pub(super) password: String,
}

/// A file to upload, and how it is pushed to.
#[derive(Debug, Clone, Copy)]
pub(super) struct AudienceFile {
    pub(super) name: &'static str,
    pub(super) bytes: &'static [u8],
    pub(super) audience_type: &'static str,
}

/// The files of the demo.
pub(super) const FILES: [AudienceFile; 3] = [
    AudienceFile {
        name: "accounts.csv",
        bytes: include_bytes!("../../../../../examples/accounts.csv"),
        audience_type: "package_account_push",
    },
    AudienceFile {
        name: "tokens.txt",
        bytes: include_bytes!("../../../../../examples/tokens.txt"),
        audience_type: "package_token_push",
    },
    AudienceFile {
        name: "accounts.zip",
        bytes: include_bytes!("../../../../../examples/accounts.zip"),
        audience_type: "package_account_push",
    },
];

/// The app and its devices.
pub(super) struct Cast {
    pub(super) app: App,
    pub(super) devices: Vec<DemoDevice>,
    pub(super) store: Store,
}

impl Cast {
    /// Finds or creates the app, and imports its devices.
    pub(super) async fn prepare(data_dir: &Path) -> Result<Self, Failure> {
        let store = data_dir::create(data_dir)?;
        let before = store.apps().await?.into_iter().find(|app| app.name == APP_NAME);
        let app = match before {
            Some(app) => app,
            None => create_app(&store).await?,
        };
        let devices = devices(&app)?;
        import(data_dir.to_owned(), &app, devices.clone()).await?;
        Ok(Self { app, devices, store })
    }

    /// The devices that each file is for, by their place among the devices.
    pub(super) fn audience(&self, file: &AudienceFile) -> Vec<usize> {
        match file.name {
            // What stands in the zip is known to its maker only; the test below holds this to it.
            "accounts.zip" => (0..self.devices.len()).step_by(4).collect(),
            _ => (0..self.devices.len()).collect(),
        }
    }
}

async fn create_app(store: &Store) -> Result<App, Failure> {
    let (secret_key, access_key) = (random::secret_key()?, random::access_key()?);
    let app = |access_id| App {
        access_id,
        secret_key: secret_key.clone(),
        access_key: access_key.clone(),
        platform: Platform::Android,
        name: APP_NAME.to_owned(),
        bad_rows: BadRows::Refuse,
        allowed: Networks::default(),
    };
    add_with_free_id(store, Platform::Android, app).await
}

/// The devices of `examples/devices.csv`. Their passwords follow from the app's secret, so that a later run knows them.
fn devices(app: &App) -> Result<Vec<DemoDevice>, Failure> {
    let broken = |error: &dyn std::error::Error| Failure::of("the demo's list of devices", error);
    csv::Reader::from_reader(DEVICES.as_bytes())
        .into_records()
        .map(|record| {
            let columns: HashMap<usize, String> =
                record.map_err(|error| broken(&error))?.iter().map(str::to_owned).enumerate().collect();
            let text = |place| columns.get(&place).cloned().unwrap_or_default();
            let token: Token = text(0).parse().map_err(|error| broken(&error))?;
            let password = hex(&password_hash(&format!("{}:{token}", app.secret_key))[..16]);
            Ok(DemoDevice { token, account: text(1), password })
        })
        .collect()
}

async fn import(data_dir: PathBuf, app: &App, devices: Vec<DemoDevice>) -> Result<(), Failure> {
    let access_id = app.access_id;
    let import = tokio::task::spawn_blocking(move || {
        let mut rows: Vec<ImportRow> = devices
            .into_iter()
            .map(|device| ImportRow {
                token: device.token,
                password_hash: Some(password_hash(&device.password)),
                account: Some(AccountKey { account_type: 0, name: device.account }),
                channel: None,
                environment: None,
                reported: Vec::new(),
                attributes: Vec::new(),
            })
            .collect();
        let mut import = Import::begin(&data_dir, access_id)?;
        import.chunk(&mut rows)?;
        import.finish()
    });
    Ok(import.await.map_err(|error| Failure::of("the import failed", &error))??)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use pigeonloft_model::AccessId;
    use pigeonloft_package::{FileName, Intake, Limits, Reader};

    use super::*;

    fn app() -> App {
        App {
            access_id: AccessId(1),
            secret_key: "s".into(),
            access_key: "k".into(),
            platform: Platform::Android,
            name: APP_NAME.into(),
            bad_rows: BadRows::Refuse,
            allowed: Networks::default(),
        }
    }

    fn rows(file: &AudienceFile) -> BTreeSet<String> {
        let dir = tempfile::tempdir().unwrap();
        let name = FileName::parse(file.name).unwrap();
        let refuse = pigeonloft_package::BadRows::Refuse;
        let mut intake = Intake::begin(dir.path(), name, Limits::default(), refuse).unwrap();
        intake.write(file.bytes).unwrap();
        let path = dir.path().join("package");
        intake.finish().unwrap().publish(&path).unwrap();
        let mut reader = Reader::open(&path).unwrap();
        let mut rows = BTreeSet::new();
        while let Some(batch) = reader.next_batch(1000).unwrap() {
            rows.extend(batch.iter().map(str::to_owned));
        }
        rows
    }

    #[test]
    fn the_example_files_are_for_the_devices_the_demo_expects() {
        let devices = devices(&app()).unwrap();
        assert_eq!(devices.len(), 1_200);
        let dir = tempfile::tempdir().unwrap();
        let cast = Cast { app: app(), devices, store: Store::open(dir.path()).unwrap() };
        for file in &FILES {
            let rows = rows(file);
            let named = cast
                .devices
                .iter()
                .enumerate()
                .filter(|(_, device)| rows.contains(&device.account) || rows.contains(device.token.as_str()));
            assert_eq!(named.map(|(place, _)| place).collect::<Vec<_>>(), cast.audience(file), "{}", file.name);
        }
        assert_eq!(rows(&FILES[2]).len(), 310, "every fourth account, and ten that no device has");
    }
}
