//! Rows: the files customers upload, of every format and many sizes, and what must be found in them.

use std::collections::BTreeSet;
use std::fmt::Write;

use fastrand::Rng;
use pigeonloft_package::corpus::zipped;

use crate::customer::Customer;
use crate::ledger::{Fate, Kind, Upload};

/// A token no device has.
fn strange_token(number: usize) -> String {
    format!("{:04x}{number:032x}", number * 7919 % 0x1_0000)
}

/// How many rows a file has: most are small, some are of tens of thousands.
fn size(rng: &mut Rng) -> usize {
    match rng.u8(0..100) {
        0..15 => rng.usize(1..10),
        15..75 => rng.usize(10..2000),
        75..95 => rng.usize(2000..8000),
        _ => rng.usize(8000..40_000),
    }
}

/// Some of the customer's phones: none, a few, or most.
pub(crate) fn some_phones(rng: &mut Rng, customer: &Customer) -> Vec<usize> {
    let share = [0.0, 0.1, 0.7, 1.0][rng.usize(0..4)];
    (0..customer.phones.len()).filter(|_| rng.f64() < share).collect()
}

/// A file, and what the server must find in it.
pub(crate) fn file(rng: &mut Rng, customer: &Customer, stem: &str) -> (Upload, Vec<u8>) {
    let kind = if rng.bool() { Kind::Accounts } else { Kind::Tokens };
    let named: BTreeSet<String> = some_phones(rng, customer)
        .into_iter()
        .map(|place| match kind {
            Kind::Accounts => customer.accounts[place].clone(),
            Kind::Tokens => customer.phones[place].device().token.clone(),
        })
        .collect();
    // Strangers stand between the known in the order of rows, so that a cursor has a way to go everywhere.
    let strangers = size(rng).saturating_sub(named.len()).max(usize::from(named.is_empty()));
    let stranger = |place: usize| match kind {
        Kind::Accounts => format!("{}-{place}", customer.accounts[place % customer.accounts.len()]),
        Kind::Tokens => strange_token(place),
    };
    let mut rows: Vec<String> = named.iter().cloned().chain((0..strangers).map(stranger)).collect();
    let distinct = rows.len();
    let duplicates = if rng.bool() { 0 } else { rng.usize(0..=distinct / 10) };
    rows.extend_from_within(..duplicates);
    let bad_rows = if customer.skips_bad_rows { rng.usize(0..5) } else { 0 };
    rows.extend((0..bad_rows).map(|_| "x".to_owned()));
    rng.shuffle(&mut rows);
    let blanks = rng.usize(0..4);

    let phones = (0..customer.phones.len()).filter(|place| match kind {
        Kind::Accounts => named.contains(&customer.accounts[*place]),
        Kind::Tokens => named.contains(&customer.phones[*place].device().token),
    });
    let (file_name, bytes) = written(rng, stem, &rows, blanks);
    let upload = Upload {
        file_name,
        kind,
        fate: Fate::Unanswered,
        rows: distinct as u64,
        duplicates: duplicates as u64,
        blanks: blanks as u64,
        bad_rows: bad_rows as u64,
        bytes: bytes.len() as u64,
        no_device: strangers as u64,
        phones: phones.collect(),
        pushed: false,
    };
    (upload, bytes)
}

/// The rows in one of the formats. Answers its file name, too.
fn written(rng: &mut Rng, stem: &str, rows: &[String], blanks: usize) -> (String, Vec<u8>) {
    let csv = rng.bool();
    let mut text = "\r\n".repeat(blanks);
    for row in rows {
        let quote = if csv && rng.u8(0..10) == 0 { "\"" } else { "" };
        let _ = writeln!(text, "{quote}{row}{quote}");
    }
    let name = format!("{stem}.{}", if csv { "csv" } else { "txt" });
    if rng.u8(0..3) > 0 {
        return (name, text.into_bytes());
    }
    (format!("{stem}.zip"), zipped(&name, text.as_bytes()))
}
