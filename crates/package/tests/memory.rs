//! Memory stays bounded whatever the file. A process of its own, for the peak is that of the process.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "helpers of tests, where a panic is the report")]

use pigeonloft_package::{BadRows, FileName, Intake, IntakeError, Limits, Ready};

const MIB: usize = 1 << 20;

/// MiB of a huge row. `cargo test --release` takes it for what it can be; without optimization that would take minutes.
const HUGE: usize = if cfg!(debug_assertions) { 16 } else { 1024 };

/// The most memory this process ever held, in bytes.
fn peak() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
}

fn taken(name: &str, chunks: impl Iterator<Item = Vec<u8>>) -> Ready {
    take(name, chunks).unwrap()
}

fn take(name: &str, chunks: impl Iterator<Item = Vec<u8>>) -> Result<Ready, IntakeError> {
    let dir = tempfile::tempdir().unwrap();
    let limits = Limits { file_bytes: u64::MAX, sort_memory: 4 * MIB, ..Limits::default() };
    let mut intake = Intake::begin(dir.path(), FileName::parse(name).unwrap(), limits, BadRows::Skip).unwrap();
    for chunk in chunks {
        intake.write(&chunk)?;
    }
    intake.finish()
}

fn refused(name: &str, chunks: impl Iterator<Item = Vec<u8>>) -> String {
    match take(name, chunks) {
        Err(IntakeError::Refused(refusal)) => refusal.to_string(),
        other => panic!("{name}: {:?}", other.map(|ready| ready.summary().clone())),
    }
}

/// Pieces of 1 MiB, each of one byte over and over.
fn of(byte: u8, mib: usize) -> impl Iterator<Item = Vec<u8>> {
    std::iter::repeat_n(vec![byte; MIB], mib)
}

fn text(text: &str) -> impl Iterator<Item = Vec<u8>> {
    std::iter::once(text.as_bytes().to_vec())
}

#[test]
fn neither_long_rows_nor_many_take_more_than_the_memory_for_sorting_and_some_buffers() {
    let ready = taken("a-huge-row.txt", of(b'x', HUGE).chain(text("\nuser1\n")));
    assert_eq!((ready.summary().rows, ready.summary().bad_rows), (1, 1));
    let ready = taken("a-huge-value.csv", text("\"").chain(of(b'x', HUGE)).chain(text("\"\nuser1\n")));
    assert_eq!((ready.summary().rows, ready.summary().bad_rows), (1, 1));

    let said = refused("a-quote-that-is-never-closed.csv", text("user1\nuser2\n\"").chain(of(b'\n', HUGE)));
    assert!(said.contains("line 3") && said.contains("quote"), "{said}");
    let said = refused("nothing-but-blank-rows.txt", of(b'\n', HUGE));
    assert!(said.contains("no rows") && said.contains(&format!("{} blank", HUGE * MIB)), "{said}");
    let said = refused("nothing-but-nuls.txt", of(0, HUGE));
    assert!(said.contains("1 bad row: line 1: "), "{said}");
    let said = refused("nothing-but-cr.txt", of(b'\r', HUGE));
    assert!(said.contains("no rows (1 blank)"), "{said}");

    let token = |n: u64| format!("{:036x}\n", u128::from(n.wrapping_mul(0x9e37_79b9_7f4a_7c15)) << 80);
    let tokens = (0..1000).map(|page| (page * 1000..(page + 1) * 1000).map(token).collect::<String>().into_bytes());
    // All of them and their keys would take 50 MiB.
    assert_eq!(taken("tokens-of-35-mib.txt", tokens).summary().rows, 1_000_000);

    assert!(peak() < 40 * MIB, "{} MiB", peak() / MIB);
}
