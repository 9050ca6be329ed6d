//! Runs the program.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};

use tempfile::TempDir;

/// What a command did.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    /// Its output, which must be a success.
    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert_eq!((self.code, self.stderr.as_str()), (Some(0), ""), "{}", self.stdout);
        self.stdout
    }

    /// What it said on standard error, which must be a failure without any other output.
    #[track_caller]
    pub(crate) fn failed(self) -> String {
        assert_eq!((self.code, self.stdout.as_str()), (Some(1), ""), "{}", self.stderr);
        self.stderr
    }
}

fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pigeonloft"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("PIGEONLOFT_") {
            command.env_remove(name);
        }
    }
    // What the machine gives cause to warn of is no matter of a transcript.
    command.stdin(Stdio::null()).env("PIGEONLOFT_LOG__LEVEL", "error");
    command
}

/// Runs a command to its end.
pub(crate) fn pigeonloft<A: AsRef<OsStr>>(args: impl IntoIterator<Item = A>) -> Ran {
    ran(command().args(args))
}

/// Runs a command to its end with this on its standard input.
pub(crate) fn pigeonloft_reading<A: AsRef<OsStr>>(input: &str, args: impl IntoIterator<Item = A>) -> Ran {
    let file = TempDir::new().unwrap();
    let path = file.path().join("input");
    std::fs::write(&path, input).unwrap();
    ran(command().args(args).stdin(std::fs::File::open(path).unwrap()))
}

/// Runs a command to its end with this environment variable.
pub(crate) fn pigeonloft_with<A: AsRef<OsStr>>(name: &str, value: &str, args: impl IntoIterator<Item = A>) -> Ran {
    ran(command().env(name, value).args(args))
}

fn ran(command: &mut Command) -> Ran {
    let output = command.output().unwrap();
    Ran {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A folder for the data of a server and the files of a test.
pub(crate) struct Place(TempDir);

impl Place {
    pub(crate) fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    /// The data folder.
    pub(crate) fn data(&self) -> String {
        self.0.path().join("data").display().to_string()
    }

    /// A file in the folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a file.
    pub(crate) fn file(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.path(name);
        std::fs::write(&path, content).unwrap();
        path.display().to_string()
    }

    /// Replaces the folder's path, which is another each time, in a transcript.
    pub(crate) fn plain(&self, text: &str) -> String {
        text.replace(&self.0.path().display().to_string(), "HERE")
    }

    /// Creates an app with these credentials.
    pub(crate) fn app(&self, access_id: &str, secret_key: &str) {
        let data = self.data();
        let args = ["app", "create", "--data-dir", &data, "--platform", "android", "--name", "Shop"];
        pigeonloft(args.into_iter().chain(["--access-id", access_id, "--secret-key", secret_key])).ok();
    }
}

/// A process that goes on.
pub(crate) struct Running {
    process: Child,
    stdout: BufReader<ChildStdout>,
}

impl Running {
    /// Starts a command; port 0 for both ports is added.
    pub(crate) fn start<'a>(args: impl IntoIterator<Item = &'a str>) -> Self {
        let ports = ["--listen", "127.0.0.1:0", "--mqtt-listen", "127.0.0.1:0"];
        let mut process = command().args(args).args(ports).stdout(Stdio::piped()).spawn().unwrap();
        let stdout = BufReader::new(process.stdout.take().unwrap());
        Self { process, stdout }
    }

    /// The next line of its output; empty at its end.
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// The address it says it listens on with this scheme.
    pub(crate) fn address(line: &str, scheme: &str) -> String {
        let found = line.split_whitespace().find_map(|word| word.strip_prefix(&format!("{scheme}://")));
        found.unwrap_or_else(|| panic!("no {scheme} in {line:?}")).to_owned()
    }

    /// Sends a signal, such as `TERM`.
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([format!("-{name}"), self.process.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// Waits for its end.
    pub(crate) fn ended(mut self) -> ExitStatus {
        self.process.wait().unwrap()
    }
}

/// A test that fails leaves no process behind.
impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
