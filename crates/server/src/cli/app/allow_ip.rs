//! `pigeonloft app allow-ip`: where an app's servers may call from.

use clap::{Args, ValueEnum};
use pigeonloft_model::{AccessId, Networks};

use super::unknown;
use crate::cli::credentials;
use crate::cli::data_dir::{DataDir, wait};
use crate::cli::failure::{Failure, say};

/// Say from which addresses an app's servers may call; a running server follows within two seconds
///
/// With none, from everywhere. Devices and programs on them are not asked for their address. Behind a proxy the server must know
/// it: http.trusted_proxies.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
        pigeonloft app allow-ip --app 1500001048 add 203.0.113.7 10.0.0.0/8 2001:db8::/32\n  \
        pigeonloft app allow-ip --app 1500001048 list")]
pub(in crate::cli) struct AllowIp {
    #[command(flatten)]
    data: DataDir,
    /// The app
    #[arg(long, value_name = "N", value_parser = credentials::access_id)]
    app: AccessId,
    /// What to do
    action: Action,
    /// Addresses and networks, 100 of an app at most
    #[arg(value_name = "CIDR", required_if_eq_any([("action", "add"), ("action", "remove")]))]
    networks: Vec<Networks>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Action {
    /// Let calls come from these, too; the first ones shut all others out
    Add,
    /// Take these back, as they are listed; with the last one gone, calls come from everywhere again
    Remove,
    /// Print them, one a line
    List,
}

impl AllowIp {
    pub(super) fn run(self) -> Result<(), Failure> {
        let (app, given) = (self.app, self.networks);
        let store = self.data.open()?;
        let changed = match self.action {
            Action::List => {
                let app = wait(store.app(app))?.ok_or_else(|| unknown(app))?;
                return app.allowed.iter().try_for_each(say);
            }
            Action::Add => wait(store.change_allowed(app, move |allowed| {
                given.iter().try_for_each(|networks| allowed.add(networks)).map_err(|refused| refused.to_string())
            })),
            Action::Remove => wait(store.change_allowed(app, move |allowed| {
                match given.iter().find_map(|networks| allowed.remove(networks)) {
                    None => Ok(()),
                    Some(missing) => Err(format!("{missing} is not in the list")),
                }
            })),
        };
        let allowed = changed?.ok_or_else(|| unknown(app))?.map_err(|refused| {
            Failure::new(format!("app {app}: {refused}"))
                .hint(format!("`pigeonloft app allow-ip --app {app} list` shows the list; nothing was changed"))
        })?;
        if allowed.is_empty() {
            return say(format_args!("app {app}: calls may come from everywhere"));
        }
        say(format_args!("app {app}: calls may come from {allowed}"))
    }
}
