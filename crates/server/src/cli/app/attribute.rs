//! `pigeonloft app attribute`: the names under which devices of an app may have attributes.

use clap::{Args, Subcommand};
use pigeonloft_model::AccessId;
use pigeonloft_model::attribute::{self, NAMES_MAX};
use pigeonloft_store::{Declared, Store};

use super::unknown;
use crate::cli::credentials;
use crate::cli::data_dir::{DataDir, wait};
use crate::cli::failure::{Failure, say};

/// Declare the attributes that devices of an app may have; a running server follows at once
///
/// An attribute is a text that your servers set for a device, such as its user's nickname, with
/// POST /v3/device/set_custom_attribute. Names that are not declared here are refused there.
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum AttributeCommand {
    Add(Add),
    Remove(Remove),
    List(List),
}

impl AttributeCommand {
    pub(super) fn run(self) -> Result<(), Failure> {
        match self {
            Self::Add(add) => add.run(),
            Self::Remove(remove) => remove.run(),
            Self::List(list) => list.run(),
        }
    }
}

/// Which app.
#[derive(Debug, Args)]
struct Of {
    #[command(flatten)]
    data: DataDir,
    /// The app
    #[arg(long, value_name = "ID", value_parser = credentials::access_id)]
    app: AccessId,
}

impl Of {
    fn open(&self) -> Result<Store, Failure> {
        let store = self.data.open()?;
        if wait(store.app(self.app))?.is_none() {
            return Err(unknown(self.app));
        }
        Ok(store)
    }
}

/// Declare names: all of those given, or none
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  pigeonloft app attribute add --app 1500001048 nickname city")]
pub(in crate::cli) struct Add {
    #[command(flatten)]
    of: Of,
    /// Up to 50 bytes each, in UTF-8, without { } | and control characters; an app has at most 50
    #[arg(required = true, value_name = "NAME", value_parser = name)]
    names: Vec<String>,
}

/// Take names back, with what all devices have under them
#[derive(Debug, Args)]
pub(in crate::cli) struct Remove {
    #[command(flatten)]
    of: Of,
    /// Names that were declared
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,
}

/// List the names, one a line
#[derive(Debug, Args)]
pub(in crate::cli) struct List {
    #[command(flatten)]
    of: Of,
}

fn name(text: &str) -> Result<String, attribute::NotAName> {
    attribute::name(text).map(str::to_owned)
}

impl Add {
    fn run(self) -> Result<(), Failure> {
        let (store, app) = (self.of.open()?, self.of.app);
        match wait(store.declare_attributes(app, self.names.clone()))? {
            Declared::Done => {
                self.names.iter().try_for_each(|name| say(format_args!("app {app}: has the attribute {name}")))
            }
            Declared::NoApp => Err(unknown(app)),
            Declared::TooMany(count) => Err(Failure::new(format!(
                "the app would have {count} attributes, of at most {NAMES_MAX}: none is added"
            ))
            .hint("take one back with `pigeonloft app attribute remove`")),
        }
    }
}

impl Remove {
    fn run(self) -> Result<(), Failure> {
        let (store, app) = (self.of.open()?, self.of.app);
        for name in self.names {
            if !wait(store.remove_attribute(app, name.clone()))? {
                return Err(Failure::new(format!("app {app} has no attribute \"{}\"", name.escape_debug()))
                    .hint(format!("`pigeonloft app attribute list --app {app}` shows those it has")));
            }
            say(format_args!("app {app}: the attribute {name} is gone, and what devices had under it"))?;
        }
        Ok(())
    }
}

impl List {
    fn run(self) -> Result<(), Failure> {
        let names = wait(self.of.open()?.declared_attributes(self.of.app))?;
        names.iter().try_for_each(say)
    }
}
