//! Memory stays bounded whatever the file. A process of its own, for the peak is that of the process.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "helpers of tests, where a panic is the report")]

use pigeonloft_package::{BadRows, FileName, Intake, Limits, Ready};

const MIB: usize = 1 << 20;

/// The most memory this process ever held, in bytes.
fn peak() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
}

fn take(name: &str, chunks: impl Iterator<Item = Vec<u8>>) -> Ready {
    let dir = tempfile::tempdir().unwrap();
    let limits = Limits { file_bytes: u64::MAX, sort_memory: 4 * MIB, ..Limits::default() };
    let mut intake = Intake::begin(dir.path(), FileName::parse(name).unwrap(), limits, BadRows::Skip).unwrap();
    for chunk in chunks {
        intake.write(&chunk).unwrap();
    }
    intake.finish().unwrap()
}

#[test]
fn neither_long_rows_nor_many_take_more_than_the_memory_for_sorting_and_some_buffers() {
    let row = || std::iter::repeat_with(|| vec![b'x'; MIB]).take(64);
    let text = |text: &str| std::iter::once(text.as_bytes().to_vec());
    let ready = take("a-row-of-64-mib.txt", row().chain(text("\nuser1\n")));
    assert_eq!((ready.summary().rows, ready.summary().bad_rows), (1, 1));
    let ready = take("a-value-of-64-mib.csv", text("\"").chain(row()).chain(text("\"\nuser1\n")));
    assert_eq!((ready.summary().rows, ready.summary().bad_rows), (1, 1));

    let token = |n: u64| format!("{:036x}\n", u128::from(n.wrapping_mul(0x9e37_79b9_7f4a_7c15)) << 80);
    let tokens = (0..1000).map(|page| (page * 1000..(page + 1) * 1000).map(token).collect::<String>().into_bytes());
    // All of them and their keys would take 50 MiB.
    assert_eq!(take("tokens-of-35-mib.txt", tokens).summary().rows, 1_000_000);

    assert!(peak() < 40 * MIB, "{} MiB", peak() / MIB);
}
