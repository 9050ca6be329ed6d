//! The credentials of an app for APNs: a key of its team, or a certificate.

use std::env::VarError;
use std::io::Read;
use std::path::{Path, PathBuf};

use clap::{ArgGroup, Args};
use pigeonloft_channels::apns::{BadCertificate, Certificate, Credentials, ENDS_SOON_S, Identity, TeamKey};

use crate::cli::failure::Failure;
use crate::cli::files::{bytes_of, text_of};
use crate::clock::unix_seconds;

/// Where the password of a certificate's file is, if no file is named that has it.
const PASSWORD: &str = "PIGEONLOFT_CERTIFICATE_PASSWORD";

/// Apple: a key of the team, or a certificate of the app
///
/// The password of a .p12 file comes from --password-file or from the environment (PIGEONLOFT_CERTIFICATE_PASSWORD), for
/// whoever is on the machine sees what is on a command line.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("identity").required(true).args(["key", "certificate"])))]
pub(super) struct Set {
    /// A key of the team: the .p8 file, as Apple issues it
    #[arg(long, value_name = "FILE", requires = "key_id", requires = "team_id", requires = "topic")]
    key: Option<PathBuf>,
    /// The id of the key, 10 characters
    #[arg(long, value_name = "ID", requires = "key")]
    key_id: Option<String>,
    /// The id of the team, 10 characters
    #[arg(long, value_name = "ID", requires = "key")]
    team_id: Option<String>,
    /// Instead of a key, a certificate: the .p12 file that Keychain Access exports, PEM, or Apple's .cer
    #[arg(long, value_name = "FILE")]
    certificate: Option<PathBuf>,
    /// The certificate's key, PEM without a password, where it is not in the same file
    #[arg(long, value_name = "FILE", requires = "certificate")]
    certificate_key: Option<PathBuf>,
    /// The file with the password of the .p12 file; - reads standard input
    #[arg(long, value_name = "FILE", requires = "certificate")]
    password_file: Option<PathBuf>,
    /// The app's bundle id, for devices that name none of their own [default: the one that the certificate names]
    #[arg(long, value_name = "BUNDLE-ID")]
    topic: Option<String>,
    /// Where to send instead of to Apple, such as to `pigeonloft sim apns`
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// Where to send what is for devices of the environment dev, if that is another place
    #[arg(long, value_name = "URL", requires = "url")]
    sandbox_url: Option<String>,
    /// The port of Apple's hosts, 443 or 2197 [default: 443]
    #[arg(long, value_name = "PORT", value_parser = port, conflicts_with = "url")]
    port: Option<u16>,
    /// The certificate to trust there, PEM
    #[arg(long, value_name = "FILE", requires = "url")]
    trust: Option<PathBuf>,
}

/// Apple listens on two.
fn port(text: &str) -> Result<u16, String> {
    match text {
        "443" => Ok(443),
        "2197" => Ok(2_197),
        _ => Err("Apple listens on 443 and 2197".to_owned()),
    }
}

impl Set {
    /// The credentials that it names.
    pub(super) fn credentials(&self) -> Result<Credentials, Failure> {
        let identity = match (&self.key, &self.certificate) {
            (Some(key), _) => {
                let [key_id, team_id] = [&self.key_id, &self.team_id].map(|id| id.clone().unwrap_or_default());
                Identity::Key(TeamKey { key: text_of(key)?, key_id, team_id })
            }
            (None, Some(file)) => Identity::Certificate { certificate: self.read(file)? },
            (None, None) => return Err(Failure::new("neither a key nor a certificate is given")),
        };
        let named = match &identity {
            Identity::Key(_) => None,
            Identity::Certificate { certificate } => certificate.topic(),
        };
        let topic = self.topic.as_deref().or(named).map(ToOwned::to_owned).ok_or_else(|| {
            Failure::new("the certificate names no bundle id").hint("name it: --topic com.example.shop")
        })?;
        let credentials = Credentials {
            identity,
            topic,
            url: self.url.clone(),
            sandbox_url: self.sandbox_url.clone(),
            port: self.port,
            trusted: self.trust.as_deref().map(text_of).transpose()?,
        };
        credentials.check(unix_seconds()).map_err(|error| Failure::of("the credentials cannot be used", &error))?;
        Ok(credentials)
    }

    fn read(&self, file: &Path) -> Result<Certificate, Failure> {
        let key = self.certificate_key.as_deref().map(text_of).transpose()?;
        Certificate::from_file(&bytes_of(file)?, key.as_deref(), &self.password()?).map_err(|error| {
            let failure = Failure::of(format_args!("{} cannot be used", file.display()), &error);
            match error {
                BadCertificate::Password => failure.hint(format!("give it with --password-file, or in {PASSWORD}")),
                _ => failure,
            }
        })
    }

    /// Without the end of its line, which is no part of it.
    fn password(&self) -> Result<String, Failure> {
        let mut password = match &self.password_file {
            Some(file) if file == Path::new("-") => {
                let mut text = String::new();
                let read = std::io::stdin().read_to_string(&mut text);
                read.map_err(|error| Failure::of("cannot read the password from standard input", &error))?;
                text
            }
            Some(file) => text_of(file)?,
            None => match std::env::var(PASSWORD) {
                Ok(password) => return Ok(password),
                Err(VarError::NotPresent) => return Ok(String::new()),
                Err(error) => return Err(Failure::of(PASSWORD, &error)),
            },
        };
        password.truncate(password.trim_end_matches(['\r', '\n']).len());
        Ok(password)
    }
}

/// Until when a certificate is valid, in words.
pub(super) fn until(certificate: &Certificate, now: i64) -> String {
    let (day, left_s) = (certificate.ends_on(), certificate.ends() - now);
    if left_s < 0 {
        format!("certificate expired on {day}")
    } else if left_s < ENDS_SOON_S {
        format!("certificate valid until {day}, {} days", left_s / 86_400)
    } else {
        format!("certificate valid until {day}")
    }
}
