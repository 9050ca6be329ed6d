//! Any bytes as a txt or csv file.
//!
//! The first byte picks the name (by its two low bits: txt, csv, or none) and what bad rows do (by the next), the second
//! byte how long the pieces are that the file comes in; the rest is the file. It becomes a package of good, distinct, sorted
//! rows or is refused in one line, the same whatever the pieces, and never panics.

#![no_main]

mod package_law;

use libfuzzer_sys::fuzz_target;
use pigeonloft_package::BadRows;

fuzz_target!(|input: &[u8]| {
    let [pick, step, file @ ..] = input else { return };
    let name = ["list.txt", "list.csv", "list", "list.csv"][usize::from(pick & 3)];
    let bad_rows = if pick & 4 == 0 { BadRows::Skip } else { BadRows::Refuse };
    package_law::hold(name, bad_rows, usize::from(*step), file);
});
