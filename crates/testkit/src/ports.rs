//! Ports: numbers that stay a test's own while its server is down.
//!
//! Port 0 would do for a server that starts once. One that is killed and started again needs its old port, which the
//! system may meanwhile have given to an outgoing connection; so these are taken from below the range it gives from,
//! and held against other tests by a file lock, which ends with the process.

use std::fs::{self, File, OpenOptions};
use std::net::{Ipv4Addr, TcpListener};

/// Below what Linux gives to outgoing connections (32,768 on), above what services have.
const FIRST: u16 = 20_000;
const LAST: u16 = 32_700;

/// A port nobody else has while this lives.
#[derive(Debug)]
pub(crate) struct Port {
    pub(crate) number: u16,
    _lock: File,
}

impl Port {
    /// Takes a free port.
    pub(crate) fn take() -> Self {
        let folder = std::env::temp_dir().join("pigeonloft-test-ports");
        fs::create_dir_all(&folder).expect("a folder for locks can be made");
        // Each process begins elsewhere, so that they seldom try the same ones.
        let span = u32::from(LAST - FIRST);
        let begin = std::process::id().wrapping_mul(97) % span;
        (0..span)
            .map(|step| FIRST + u16::try_from((begin + step) % span).unwrap_or_default())
            .find_map(|number| {
                let path = folder.join(number.to_string());
                let lock = OpenOptions::new().create(true).truncate(false).write(true).open(path).ok()?;
                lock.try_lock().ok()?;
                TcpListener::bind((Ipv4Addr::LOCALHOST, number)).ok()?;
                Some(Self { number, _lock: lock })
            })
            .expect("one of thousands of ports is free")
    }
}
