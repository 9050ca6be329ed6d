//! The data folder, for commands that work in it themselves, beside a server or without one.

use std::path::{Path, PathBuf};

use clap::Args;
use pigeonloft_store::{DATABASE_FILE, Store};

use super::failure::Failure;

/// The data folder where nobody names one, as the server's settings have it.
const DEFAULT: &str = "./pigeonloft-data";

/// Where the data are.
#[derive(Debug, Args)]
pub(super) struct DataDir {
    /// The data folder: the same as the server's. The server may be running [default: ./pigeonloft-data]
    #[arg(long, global = true, value_name = "DIR", env = "PIGEONLOFT_DATA_DIR")]
    data_dir: Option<PathBuf>,
}

impl DataDir {
    /// The folder.
    pub(super) fn path(&self) -> &Path {
        self.data_dir.as_deref().unwrap_or(Path::new(DEFAULT))
    }

    /// The folder, if one was named.
    pub(super) fn named(&self) -> Option<&Path> {
        self.data_dir.as_deref()
    }

    /// Opens its database, and creates both where they are missing.
    pub(super) fn create(&self) -> Result<Store, Failure> {
        create(self.path())
    }

    /// Opens its database, which must be there.
    pub(super) fn open(&self) -> Result<Store, Failure> {
        open(self.path())
    }
}

/// Opens the database of a data folder, which must be there.
pub(super) fn open(data_dir: &Path) -> Result<Store, Failure> {
    if !data_dir.join(DATABASE_FILE).exists() {
        return Err(Failure::new(format!(
            "there is no server's data in {}: {DATABASE_FILE} is missing",
            data_dir.display()
        ))
        .hint("name the server's data folder with --data-dir, or begin one with `pigeonloft app create`"));
    }
    Ok(Store::open(data_dir)?)
}

/// Opens the database of a data folder, and creates both where they are missing.
pub(super) fn create(data_dir: &Path) -> Result<Store, Failure> {
    crate::folder::create(data_dir)
        .map_err(|error| Failure::of(format_args!("cannot create the folder {}", data_dir.display()), &error))?;
    Ok(Store::open(data_dir)?)
}

/// Waits for a call of the store, where no server's runtime is there to do it.
pub(super) fn wait<T, E>(call: impl Future<Output = Result<T, E>>) -> Result<T, Failure>
where
    Failure: From<E>,
{
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::of("cannot start", &error))?;
    Ok(runtime.block_on(call)?)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::config::{Config, Overrides};

    #[derive(Parser)]
    struct Alone {
        #[command(flatten)]
        data: DataDir,
    }

    #[test]
    fn commands_and_server_look_for_the_data_in_the_same_folder() {
        let config = Config::load(None, &Overrides::default()).unwrap();
        assert_eq!(Alone::parse_from(["x"]).data.path(), config.data_dir);
    }
}
