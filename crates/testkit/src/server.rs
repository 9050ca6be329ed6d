//! Server: the program under test as a process, with a data folder, ports and a log of its own.

use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tempfile::TempDir;

use crate::app::App;
use crate::ports::Port;
use crate::program::require;
use crate::wait::until;

/// How long a start may take, recovery of the data folder included.
const START: Duration = Duration::from_secs(60);

/// Last bytes of the log that a failed test shows.
const SHOWN: usize = 16 << 10;

/// A server to be started.
#[derive(Debug)]
pub struct Builder {
    binary: PathBuf,
    data_dir: Option<PathBuf>,
    settings: Vec<(String, String)>,
    clock_at: Option<i64>,
}

impl Builder {
    /// Changes a setting, by its key in the configuration file, such as `push.batch_rows`.
    #[must_use]
    pub fn set(mut self, key: &str, value: impl ToString) -> Self {
        self.settings.push((format!("PIGEONLOFT_{}", key.to_uppercase().replace('.', "__")), value.to_string()));
        self
    }

    /// Uses this data folder, which must be there, instead of a temporary one.
    #[must_use]
    pub fn data_dir(mut self, path: impl Into<PathBuf>) -> Self {
        self.data_dir = Some(path.into());
        self
    }

    /// Gives it a clock of its own, which shows this moment (unix seconds) when it starts, and goes on from there. How fast
    /// time passes, as for timeouts, stays as it is.
    ///
    /// # Panics
    /// `faketime` is not here.
    #[must_use]
    pub fn clock_at(mut self, moment: i64) -> Self {
        let _ = require("faketime");
        self.clock_at = Some(moment);
        self
    }

    /// Starts it, and waits until it can be reached.
    ///
    /// # Panics
    /// It does not start; its log is printed.
    #[must_use]
    pub fn start(self) -> Server {
        let folder = TempDir::new().expect("a temporary folder can be made");
        let data_dir = self.data_dir.unwrap_or_else(|| folder.path().join("data"));
        let ports = [(); 4].map(|()| Port::take());
        let mut server = Server {
            binary: self.binary,
            settings: self.settings,
            log: folder.path().join("log"),
            clock: self.clock_at.map(|_| folder.path().join("clock")),
            data_dir,
            _folder: folder,
            ports,
            child: None,
            heard: None,
        };
        if let Some(moment) = self.clock_at {
            server.set_clock(moment);
        }
        server.launch();
        server
    }
}

/// A server under test. Dropping it kills the process; if the test failed, the end of its log is printed.
#[derive(Debug)]
pub struct Server {
    binary: PathBuf,
    settings: Vec<(String, String)>,
    log: PathBuf,
    /// Where libfaketime reads how far its clock is off, if it has one of its own.
    clock: Option<PathBuf>,
    data_dir: PathBuf,
    _folder: TempDir,
    /// HTTP, MQTT, and both over TLS.
    ports: [Port; 4],
    child: Option<Child>,
    /// What the process says, until it can be reached.
    heard: Option<mpsc::Receiver<String>>,
}

impl Server {
    /// A server of this binary; [`pigeonloft!`](crate::pigeonloft) knows which. The environment variable
    /// `PIGEONLOFT_TEST_BINARY` names another to be tested in its place, such as one built for release.
    #[must_use]
    pub fn builder(binary: impl Into<PathBuf>) -> Builder {
        let binary = std::env::var_os("PIGEONLOFT_TEST_BINARY").map_or_else(|| binary.into(), PathBuf::from);
        // A test that waits for a sum asks for it more often than an hour allows.
        Builder { binary, data_dir: None, settings: Vec::new(), clock_at: None }.set("statistics.calls_per_hour", 0)
    }

    fn launch(&mut self) {
        self.begin_to_start();
        self.wait_until_started();
    }

    /// Starts the process, and does not wait until it can be reached.
    ///
    /// # Panics
    /// It runs already, or cannot be run.
    pub fn begin_to_start(&mut self) {
        assert!(self.child.is_none(), "it runs already");
        let log = OpenOptions::new().create(true).append(true).open(&self.log).expect("the log can be opened");
        let address = |port: &Port| SocketAddr::from((Ipv4Addr::LOCALHOST, port.number)).to_string();
        let [http, mqtt, https, mqtts] = self.ports.each_ref().map(address);
        let mut child = self
            .command(["serve", "--listen", &http, "--mqtt-listen", &mqtt])
            .env("PIGEONLOFT_HTTP__TLS_LISTEN", https)
            .env("PIGEONLOFT_MQTT__TLS_LISTEN", mqtts)
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("the server's binary can be run");
        let stdout = child.stdout.take().expect("its output is a pipe");
        self.child = Some(child);
        let (said, heard) = mpsc::channel();
        self.heard = Some(heard);
        std::thread::spawn(move || {
            // After the first line it says nothing more; reading on keeps the pipe open until it ends.
            BufReader::new(stdout).lines().map_while(Result::ok).for_each(|line| {
                let _ = said.send(line);
            });
        });
    }

    /// Waits until a start that was begun has ended: the server can be reached.
    ///
    /// # Panics
    /// It cannot in time; its log is printed.
    pub fn wait_until_started(&mut self) {
        let heard = self.heard.take().expect("a start was begun");
        let line = heard.recv_timeout(START).unwrap_or_else(|_| panic!("the server does not start:\n{}", self.log()));
        let expected = format!("pigeonloft listens on http://{} and mqtt://{}", self.http(), self.mqtt());
        assert!(line.starts_with(&expected), "it says: {line}, not: {expected}");
    }

    /// Whether a start that was begun has ended by now. Answers it once.
    pub fn has_started(&mut self) -> bool {
        self.heard.as_ref().is_some_and(|heard| heard.try_recv().is_ok())
    }

    /// A command of the program on this server's data folder, with its settings.
    fn command<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> Command {
        let mut command = Command::new(&self.binary);
        // What is set for the tests, or for a server of the one who runs them, is none of this one's settings.
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"PIGEONLOFT_")) {
            command.env_remove(name);
        }
        command
            .args(arguments)
            .arg("--data-dir")
            .arg(&self.data_dir)
            .envs(self.settings.iter().cloned())
            .stdin(Stdio::null());
        if let Some(clock) = &self.clock {
            command
                // The loader puts the folder of this machine's libraries in place of $LIB.
                .env("LD_PRELOAD", "/usr/$LIB/faketime/libfaketimeMT.so.1")
                .env("FAKETIME_TIMESTAMP_FILE", clock)
                .env("FAKETIME_NO_CACHE", "1")
                .env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        }
        command
    }

    /// Sets its clock to this moment, unix seconds, also while it runs.
    ///
    /// # Panics
    /// It has no clock of its own, see [`Builder::clock_at`].
    pub fn set_clock(&self, moment: i64) {
        let clock = self.clock.as_ref().expect("it has a clock of its own");
        let real = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs_f64();
        let new = clock.with_extension("new");
        // In one piece, for it is read at any moment.
        fs::write(&new, format!("{:+.3}", moment as f64 - real))
            .and_then(|()| fs::rename(&new, clock))
            .expect("a file can be written");
    }

    /// Runs a command of the program on this server's data folder and answers what it printed.
    ///
    /// # Panics
    /// It fails.
    pub fn run<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> String {
        let output = self.command(arguments).output().expect("the binary can be run");
        let [printed, error] = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
        assert!(output.status.success(), "{:?} {printed}{error}", output.status);
        String::from_utf8(output.stdout).expect("it prints UTF-8")
    }

    /// As [`Server::run`], of a command that may fail: then what it wrote on standard error.
    ///
    /// # Errors
    /// It failed.
    ///
    /// # Panics
    /// The binary cannot be run.
    pub fn try_run<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> Result<String, String> {
        let output = self.command(arguments).output().expect("the binary can be run");
        let [printed, error] = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        if output.status.success() { Ok(printed) } else { Err(error) }
    }

    /// Creates an app of this platform.
    #[must_use]
    pub fn app(&self, platform: &str) -> App {
        let printed = self.run(["app", "create", "--platform", platform, "--name", "test", "--json"]);
        App::new(self, &serde_json::from_str(&printed).expect("it prints JSON"))
    }

    fn address(&self, port: usize) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.ports[port].number))
    }

    /// Where its API is, the same after every start.
    #[must_use]
    pub fn http(&self) -> SocketAddr {
        self.address(0)
    }

    /// Where its own channel is.
    #[must_use]
    pub fn mqtt(&self) -> SocketAddr {
        self.address(1)
    }

    /// Where its API is over TLS, if a certificate is set.
    #[must_use]
    pub fn https(&self) -> SocketAddr {
        self.address(2)
    }

    /// Where its own channel is over TLS, if a certificate is set.
    #[must_use]
    pub fn mqtts(&self) -> SocketAddr {
        self.address(3)
    }

    /// The URL of a path of its API.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.http())
    }

    /// Its data folder.
    #[must_use]
    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// The files in its packages folder, sorted.
    #[must_use]
    pub fn package_files(&self) -> Vec<String> {
        let entries = fs::read_dir(self.data_dir.join("packages")).expect("there is a packages folder");
        let name = |entry: std::io::Result<fs::DirEntry>| {
            entry.expect("it can be read").file_name().to_string_lossy().into_owned()
        };
        let mut names: Vec<_> = entries.map(name).collect();
        names.sort();
        names
    }

    /// Everything it logged since its first start.
    #[must_use]
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Its process id.
    ///
    /// # Panics
    /// It does not run.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("the server runs").id()
    }

    /// Whether the process is there.
    pub fn is_running(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    /// SIGKILL: from here on nothing of it runs.
    pub fn kill9(&mut self) {
        let mut child = self.child.take().expect("the server runs");
        child.kill().expect("it can be killed");
        child.wait().expect("it can be waited for");
    }

    /// SIGTERM, without waiting.
    pub fn ask_to_stop(&self) {
        let killed = Command::new("kill").args(["-TERM", &self.pid().to_string()]).status();
        assert!(killed.expect("kill can be run").success());
    }

    /// Waits until it has ended.
    ///
    /// # Panics
    /// It does not, or does not run.
    pub fn ended(&mut self) -> ExitStatus {
        let child = self.child.as_mut().expect("the server runs");
        let status = until("the server ends", || child.try_wait().expect("it can be waited for"));
        self.child = None;
        status
    }

    /// SIGTERM, and waits until it has ended, which it must with success.
    pub fn terminate(&mut self) {
        self.ask_to_stop();
        let status = self.ended();
        assert!(status.success(), "{status}");
    }

    /// Starts it again on the same folder and ports.
    ///
    /// # Panics
    /// It runs already, or does not start.
    pub fn restart(&mut self) {
        self.launch();
    }

    /// A figure of `/metrics`: the sum over all series of this name whose labels contain `labels`.
    #[must_use]
    pub fn metric(&self, name: &str, labels: &str) -> f64 {
        let mut answer = ureq::get(self.url("/metrics")).call().expect("/metrics answers");
        let text = answer.body_mut().read_to_string().expect("it is text");
        let value = |line: &str| {
            let rest = line.strip_prefix(name)?;
            let (series, value) = rest.rsplit_once(' ')?;
            let is_it = (series.is_empty() || series.starts_with('{')) && series.contains(labels);
            is_it.then(|| value.parse::<f64>().expect("a figure"))
        };
        text.lines().filter_map(value).sum()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.child.is_some() {
            self.kill9();
        }
        if std::thread::panicking() {
            let log = self.log();
            let from = log.ceil_char_boundary(log.len().saturating_sub(SHOWN));
            eprintln!("--- the server's log{}\n{}---", if from > 0 { ", its end" } else { "" }, &log[from..]);
        }
    }
}
