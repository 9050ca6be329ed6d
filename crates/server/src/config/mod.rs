//! Config: every setting of the server, from the embedded default file, the user's file, the environment and the
//! command line, later ones first. The default file is the reference: a key that is not in it does not exist.

mod forwarded;

use std::fmt::Display;
use std::path::PathBuf;
use std::str::FromStr;

use config::{Environment, File, FileFormat};
use pigeonloft_model::{Networks, Zone};
use serde::Deserialize;

pub use forwarded::ForwardedHeader;

/// The default file, as `pigeonloft config` prints it.
pub const DEFAULT: &str = include_str!("default.toml");

/// Settings of a server. What each means, and its default, stands in the default file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "default.toml documents every key, once")]
pub struct Config {
    pub data_dir: PathBuf,
    pub http: Http,
    pub mqtt: Mqtt,
    pub tls: Tls,
    pub auth: Auth,
    pub credentials: Credentials,
    pub webpush: Webpush,
    pub device: Device,
    pub package: Package,
    pub push: Push,
    pub statistics: Statistics,
    pub log: Log,
    pub shutdown: Shutdown,
}

/// `[http]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "default.toml documents every key, once")]
pub struct Http {
    pub listen: String,
    pub tls_listen: String,
    pub service_access_point: String,
    pub connections: usize,
    pub connections_per_address: usize,
    pub header_timeout_s: u64,
    pub body_idle_timeout_s: u64,
    pub json_bytes: usize,
    pub bodies_bytes: usize,
    pub idempotency_s: u64,
    #[serde(deserialize_with = "parsed")]
    pub trusted_proxies: Networks,
    pub forwarded_header: ForwardedHeader,
}

/// `[mqtt]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "default.toml documents every key, once")]
pub struct Mqtt {
    pub listen: String,
    pub tls_listen: String,
    pub connections: usize,
    pub connections_per_address: usize,
    pub connect_timeout_s: u64,
    pub keep_alive_max_s: u16,
    pub packet_bytes: usize,
    pub window: u16,
    pub write_stall_s: u64,
}

/// `[tls]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "default.toml documents every key, once")]
pub struct Tls {
    pub certificate: PathBuf,
    pub key: PathBuf,
    pub reload_s: u64,
}

/// `[auth]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "default.toml documents every key, once")]
pub struct Auth {
    pub timestamp_tolerance_s: u64,
}

/// `[credentials]`
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "default.toml documents every key, once")]
pub struct Credentials {
    pub key: String,
    pub key_file: PathBuf,
}

/// The key stays out of logs.
impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("key_file", &self.key_file).finish_non_exhaustive()
    }
}

/// `[webpush]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "default.toml documents every key, once")]
pub struct Webpush {
    pub allow_http: bool,
    pub allow_private_addresses: bool,
    pub trusted_certificate: PathBuf,
}

/// `[device]`
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "default.toml documents every key, once")]
pub struct Device {
    pub registrations_per_second: u32,
    pub registrations_per_second_per_address: u32,
    pub registrations_burst_per_address: u32,
}

/// `[package]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "default.toml documents every key, once")]
pub struct Package {
    pub file_bytes: u64,
    pub expanded_bytes: u64,
    pub uploads_at_once: usize,
    pub sort_memory_bytes: usize,
    pub disk_reserve_bytes: u64,
    pub unused_days: u32,
}

/// `[push]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "default.toml documents every key, once")]
pub struct Push {
    #[serde(deserialize_with = "parsed")]
    pub utc_offset: Zone,
    pub target_days: u32,
    pub batch_rows: usize,
    pub batches_in_flight: usize,
    pub batches_with_vendors: usize,
    pub running: usize,
    pub ack_wait_ms: u64,
    pub scan_ms: u64,
    pub recipients_days: u32,
    pub dead_tokens_percent: u32,
}

/// `[statistics]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "default.toml documents every key, once")]
pub struct Statistics {
    pub calls_per_hour: u32,
}

/// `[log]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "default.toml documents every key, once")]
pub struct Log {
    pub level: String,
    pub format: LogFormat,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines: one JSON object a line.
    Json,
}

impl TryFrom<String> for LogFormat {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        match name.as_str() {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err(format!("{name:?} is neither \"text\" nor \"json\"")),
        }
    }
}

/// `[shutdown]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "default.toml documents every key, once")]
pub struct Shutdown {
    pub grace_s: u64,
}

/// The settings are wrong: which one, and why.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or a variable does not say what it should.
    #[error("configuration: {0}\nhint: `pigeonloft config` prints every key with its default")]
    Read(#[from] config::ConfigError),
    /// A value is out of range.
    #[error("configuration: {key} is {value}, it must be {must}")]
    Range {
        /// The key.
        key: &'static str,
        /// What it is set to.
        value: String,
        /// What it may be set to.
        must: &'static str,
    },
}

/// What the command line overrides.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// `--data-dir`
    pub data_dir: Option<PathBuf>,
    /// `--listen`
    pub listen: Option<String>,
    /// `--mqtt-listen`
    pub mqtt_listen: Option<String>,
}

impl Config {
    /// Reads the settings.
    ///
    /// # Errors
    /// The file cannot be read, a key is unknown or a value is of the wrong kind or out of range.
    pub fn load(file: Option<PathBuf>, overrides: &Overrides) -> Result<Self, Error> {
        let mut builder = config::Config::builder().add_source(File::from_str(DEFAULT, FileFormat::Toml));
        if let Some(file) = file {
            builder = builder.add_source(File::from(file).format(FileFormat::Toml));
        }
        let environment =
            Environment::with_prefix("PIGEONLOFT").prefix_separator("_").separator("__").try_parsing(true);
        let data_dir = overrides.data_dir.as_ref().map(|dir| dir.display().to_string());
        let config: Self = builder
            .add_source(environment)
            .set_override_option("data_dir", data_dir)?
            .set_override_option("http.listen", overrides.listen.clone())?
            .set_override_option("mqtt.listen", overrides.mqtt_listen.clone())?
            .build()?
            .try_deserialize()?;
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), Error> {
        let seconds = |seconds: u64| usize::try_from(seconds).unwrap_or(usize::MAX);
        let at_least_one = [
            ("http.header_timeout_s", seconds(self.http.header_timeout_s)),
            ("http.body_idle_timeout_s", seconds(self.http.body_idle_timeout_s)),
            ("mqtt.connect_timeout_s", seconds(self.mqtt.connect_timeout_s)),
            ("mqtt.write_stall_s", seconds(self.mqtt.write_stall_s)),
            ("mqtt.keep_alive_max_s", usize::from(self.mqtt.keep_alive_max_s)),
            ("tls.reload_s", seconds(self.tls.reload_s)),
            ("http.connections", self.http.connections),
            ("http.connections_per_address", self.http.connections_per_address),
            ("mqtt.connections", self.mqtt.connections),
            ("mqtt.connections_per_address", self.mqtt.connections_per_address),
            ("mqtt.window", usize::from(self.mqtt.window)),
            ("push.batches_in_flight", self.push.batches_in_flight),
            ("push.running", self.push.running),
        ];
        for (key, value) in at_least_one {
            if value == 0 {
                return Err(Error::Range { key, value: "0".into(), must: "at least 1" });
            }
        }
        if self.http.bodies_bytes < self.http.json_bytes || self.http.bodies_bytes > tokio::sync::Semaphore::MAX_PERMITS
        {
            let (key, value) = ("http.bodies_bytes", self.http.bodies_bytes.to_string());
            return Err(Error::Range { key, value, must: "at least http.json_bytes" });
        }
        let ranges: [(_, i64, _, _); 7] = [
            ("push.batch_rows", self.push.batch_rows as i64, 1..=100_000, "from 1 to 100000"),
            (
                "package.sort_memory_bytes",
                self.package.sort_memory_bytes as i64,
                65_536..=1 << 32,
                "from 65536 to 4294967296",
            ),
            ("http.idempotency_s", self.http.idempotency_s as i64, 1..=2_592_000, "from 1 to 2592000"),
            ("push.dead_tokens_percent", i64::from(self.push.dead_tokens_percent), 1..=100, "from 1 to 100"),
            ("push.scan_ms", self.push.scan_ms as i64, 10..=60_000, "from 10 to 60000"),
            ("package.uploads_at_once", self.package.uploads_at_once as i64, 1..=1000, "from 1 to 1000"),
            // A CONNECT alone has about a hundred bytes; beyond 2^28 there are no packets.
            ("mqtt.packet_bytes", self.mqtt.packet_bytes as i64, 256..=1 << 28, "from 256 to 268435456"),
        ];
        for (key, value, range, must) in ranges {
            if !range.contains(&value) {
                return Err(Error::Range { key, value: value.to_string(), must });
            }
        }
        if !self.credentials.key.is_empty() && !crate::vault::is_key(&self.credentials.key) {
            // A secret, whatever it is: it is not said.
            let value = format!("a text of {} characters", self.credentials.key.trim().chars().count());
            return Err(Error::Range { key: "credentials.key", value, must: "64 hexadecimal characters, or empty" });
        }
        if self.tls.certificate.as_os_str().is_empty() != self.tls.key.as_os_str().is_empty() {
            return Err(Error::Range {
                key: "tls",
                value: "half set".into(),
                must: "both a certificate and a key, or neither",
            });
        }
        Ok(())
    }

    /// Whether a certificate is configured.
    #[must_use]
    pub fn has_tls(&self) -> bool {
        !self.tls.certificate.as_os_str().is_empty()
    }

    /// The folder of package files.
    #[must_use]
    pub fn packages_dir(&self) -> PathBuf {
        self.data_dir.join(crate::folder::PACKAGES)
    }
}

/// A text, read as what it stands for.
fn parsed<'de, T, D>(deserializer: D) -> Result<T, D::Error>
where
    T: FromStr<Err: Display>,
    D: serde::Deserializer<'de>,
{
    String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_file_sets_every_key() {
        let config = Config::load(None, &Overrides::default()).unwrap();
        assert_eq!(config.http.listen, "127.0.0.1:8080");
        assert_eq!(config.package.file_bytes, 100 << 20);
        assert!(!config.has_tls());
    }

    #[test]
    fn an_unknown_key_and_a_value_out_of_range_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let says = |text: &str| {
            let file = dir.path().join("pigeonloft.toml");
            std::fs::write(&file, text).unwrap();
            Config::load(Some(file), &Overrides::default()).unwrap_err().to_string()
        };
        assert!(says("[http]\nlisten_on = 1").contains("listen_on"));
        assert!(says("[push]\nbatch_rows = 0").contains("push.batch_rows is 0"));
        let format = says("[log]\nformat = \"xml\"");
        assert!(
            format.contains("\"xml\" is neither \"text\" nor \"json\"") && format.contains("log.format"),
            "{format}"
        );
        assert!(says("[package]\nuploads_at_once = 9223372036854775807").contains("package.uploads_at_once is"));
        assert!(says("[mqtt]\npacket_bytes = 0").contains("mqtt.packet_bytes is 0"));
        assert!(says("[http]\nbodies_bytes = 1").contains("http.bodies_bytes is 1"));
        let proxies = says("[http]\ntrusted_proxies = \"10.0.0.0/8 proxy\"");
        assert!(proxies.contains("\"proxy\" is no address and no network"), "{proxies}");
        assert!(says("[http]\nforwarded_header = \"via\"").contains("\"via\" is neither"));
        let key = says("[credentials]\nkey = \"secret\"");
        assert!(key.contains("credentials.key is a text of 6 characters") && !key.contains("secret"), "{key}");
        assert!(says("[tls]\nkey = \"k\"").contains("both a certificate and a key"));
    }

    #[test]
    fn the_command_line_wins() {
        let overrides = Overrides { listen: Some("[::1]:9".into()), ..Overrides::default() };
        assert_eq!(Config::load(None, &overrides).unwrap().http.listen, "[::1]:9");
    }
}
