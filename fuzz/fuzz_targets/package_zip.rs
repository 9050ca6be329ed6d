//! Any bytes as a zip file.
//!
//! The first byte says what bad rows do (by its low bit), the second how long the pieces are that the file comes in; the rest
//! is the file. What holds is what holds of `package_rows`.

#![no_main]

mod package_law;

use libfuzzer_sys::fuzz_target;
use pigeonloft_package::BadRows;

fuzz_target!(|input: &[u8]| {
    let [pick, step, file @ ..] = input else { return };
    let bad_rows = if pick & 1 == 0 { BadRows::Skip } else { BadRows::Refuse };
    package_law::hold("list.zip", bad_rows, usize::from(*step), file);
});
