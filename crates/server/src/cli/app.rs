//! `pigeonloft app`: creates, lists and changes apps, in the database itself.

mod allow_ip;
mod apns;
mod attribute;
mod channel;
mod fcm;
mod sealing;
mod webpush;

use allow_ip::AllowIp;
use clap::{Args, Subcommand, ValueEnum};
use pigeonloft_model::{AccessId, Networks, Platform};
use pigeonloft_store::{App, BadRows, Error, Store};
use serde::Serialize;

use super::credentials::{self, SecretKey};
use super::data_dir::{DataDir, wait};
use super::failure::{Failure, say};
use super::random;

/// Issued ids tried before giving up: of a million ids, so many in a row are taken only if almost all are.
const TRIES: usize = 100;

/// Characters of an app's name at most.
const NAME_CHARS_MAX: usize = 100;

/// Create, list and change apps; the server may be running
///
/// An app is what a push belongs to: one AccessId, its keys, one platform. Servers call the API with AccessId and
/// SecretKey; programs on devices register with AccessId and AccessKey.
#[derive(Debug, Subcommand)]
pub(super) enum AppCommand {
    Create(Create),
    List(List),
    Set(Set),
    AllowIp(AllowIp),
    #[command(subcommand)]
    Attribute(attribute::AttributeCommand),
    #[command(subcommand)]
    Channel(Box<channel::ChannelCommand>),
    WebpushKeys(webpush::WebpushKeys),
}

impl AppCommand {
    pub(super) fn run(self) -> Result<(), Failure> {
        match self {
            Self::Create(create) => create.run(),
            Self::List(list) => list.run(),
            Self::Set(set) => set.run(),
            Self::AllowIp(allow_ip) => allow_ip.run(),
            Self::Attribute(command) => command.run(),
            Self::Channel(command) => command.run(),
            Self::WebpushKeys(keys) => keys.run(),
        }
    }
}

/// Create an app and print its credentials
///
/// What is not given is issued. Give the credentials that are already built into your programs to move an app here
/// without changing them.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
        pigeonloft app create --platform android --name Shop\n  \
        pigeonloft app create --platform ios --name Shop --access-id 1600007893 --secret-key-file key.txt --json")]
pub(super) struct Create {
    #[command(flatten)]
    data: DataDir,
    /// What the app's devices run on
    #[arg(long)]
    platform: PlatformName,
    /// A name, for people
    #[arg(long, value_parser = name)]
    name: String,
    /// The AccessId to have [default: a free one, 1500… for Android and the web, 1600… for iOS and macOS]
    #[arg(long, value_name = "N", value_parser = credentials::access_id)]
    access_id: Option<AccessId>,
    #[command(flatten)]
    secret_key: SecretKey,
    /// The AccessKey to have [default: issued]
    #[arg(long, value_name = "KEY", value_parser = credentials::access_key)]
    access_key: Option<String>,
    /// What a bad row does to an upload: refuse the file, or be skipped and listed
    #[arg(long, default_value = "refuse")]
    bad_rows: BadRowsName,
    /// Print JSON: {"access_id":…,"secret_key":"…","access_key":"…","platform":"…","name":"…"}
    #[arg(long)]
    json: bool,
}

/// List the apps
#[derive(Debug, Args)]
pub(super) struct List {
    #[command(flatten)]
    data: DataDir,
    /// Print JSON, one object a line, with the keys
    #[arg(long)]
    json: bool,
}

/// Change an app's settings; a running server follows within two seconds
#[derive(Debug, Args)]
pub(super) struct Set {
    #[command(flatten)]
    data: DataDir,
    /// The app
    #[arg(long, value_name = "N", value_parser = credentials::access_id)]
    access_id: AccessId,
    /// What a bad row does to an upload: refuse the file, or be skipped and listed
    #[arg(long)]
    bad_rows: BadRowsName,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum PlatformName {
    Android,
    Ios,
    Macos,
    Web,
}

impl From<PlatformName> for Platform {
    fn from(name: PlatformName) -> Self {
        match name {
            PlatformName::Android => Self::Android,
            PlatformName::Ios => Self::Ios,
            PlatformName::Macos => Self::Macos,
            PlatformName::Web => Self::Web,
        }
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum BadRowsName {
    Refuse,
    Skip,
}

impl From<BadRowsName> for BadRows {
    fn from(name: BadRowsName) -> Self {
        match name {
            BadRowsName::Refuse => Self::Refuse,
            BadRowsName::Skip => Self::Skip,
        }
    }
}

/// An app as `--json` prints it. The members and their order are a promise to scripts.
#[derive(Serialize)]
struct Printed<'a> {
    access_id: AccessId,
    secret_key: &'a str,
    access_key: &'a str,
    platform: Platform,
    name: &'a str,
}

fn json(app: &App) -> Result<String, Failure> {
    let App { access_id, secret_key, access_key, platform, name, .. } = app;
    serde_json::to_string(&Printed { access_id: *access_id, secret_key, access_key, platform: *platform, name })
        .map_err(|error| Failure::of("cannot write JSON", &error))
}

fn name(text: &str) -> Result<String, String> {
    let text = text.trim();
    if !(1..=NAME_CHARS_MAX).contains(&text.chars().count()) || text.chars().any(char::is_control) {
        return Err(format!("a name has 1 to {NAME_CHARS_MAX} characters, no control characters among them"));
    }
    Ok(text.to_owned())
}

impl Create {
    fn run(self) -> Result<(), Failure> {
        let platform = self.platform.into();
        let store = self.data.create()?;
        let secret_key = self.secret_key.read()?.map_or_else(random::secret_key, Ok)?;
        let access_key = self.access_key.map_or_else(random::access_key, Ok)?;
        let (name, bad_rows) = (self.name, self.bad_rows.into());
        let app = |access_id| App {
            access_id,
            secret_key: secret_key.clone(),
            access_key: access_key.clone(),
            platform,
            name: name.clone(),
            bad_rows,
            allowed: Networks::default(),
        };
        let app = match self.access_id {
            Some(access_id) => wait(store.add_app(app(access_id))).map(|()| app(access_id))?,
            None => wait(add_with_free_id(&store, platform, app))?,
        };
        if self.json {
            return say(json(&app)?);
        }
        say(format_args!("access_id   {}", app.access_id))?;
        say(format_args!("secret_key  {}", app.secret_key))?;
        say(format_args!("access_key  {}", app.access_key))?;
        say(format_args!("platform    {}", app.platform))?;
        say(format_args!("name        {}", app.name))
    }
}

/// Adds an app under an id that no other has.
pub(super) async fn add_with_free_id(
    store: &Store,
    platform: Platform,
    app: impl Fn(AccessId) -> App,
) -> Result<App, Failure> {
    for _ in 0..TRIES {
        let app = app(random::access_id(platform)?);
        match store.add_app(app.clone()).await {
            Err(Error::AppExists(_)) => {}
            Err(error) => return Err(error.into()),
            Ok(()) => return Ok(app),
        }
    }
    Err(Failure::new("no free AccessId was found").hint("give one with --access-id"))
}

impl List {
    fn run(self) -> Result<(), Failure> {
        let store = self.data.open()?;
        let apps = wait(store.apps())?;
        if self.json {
            return apps.iter().try_for_each(|app| say(json(app)?));
        }
        if apps.is_empty() {
            return say("no apps yet: create one with `pigeonloft app create`");
        }
        say("ACCESS_ID   PLATFORM  BAD_ROWS  NAME")?;
        apps.iter().try_for_each(|app| {
            let (id, platform, bad_rows) = (app.access_id, app.platform, app.bad_rows.as_str());
            say(format_args!("{id:<10}  {platform:<8}  {bad_rows:<8}  {}", app.name))
        })
    }
}

impl Set {
    fn run(self) -> Result<(), Failure> {
        let store = self.data.open()?;
        let policy = BadRows::from(self.bad_rows);
        if !wait(store.set_bad_rows(self.access_id, policy))? {
            return Err(unknown(self.access_id));
        }
        say(format_args!("app {}: bad_rows = {}", self.access_id, policy.as_str()))
    }
}

/// There is no such app.
pub(super) fn unknown(access_id: AccessId) -> Failure {
    Failure::new(format!("no app has AccessId {access_id}")).hint("`pigeonloft app list` shows every app")
}
