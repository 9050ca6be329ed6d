//! Encoding: whether a file as a whole is written in another encoding than UTF-8, and in which, so that its user hears that
//! instead of a bad row for every row.

use crate::Refusal;

/// Bytes of rows that are not UTF-8, kept to guess their encoding from.
const SAMPLE_BYTES: usize = 16 << 10;

/// Bytes of one such row, at most: what is kept also of a row that comes in pieces, so that the guess does not depend on
/// where the file is torn.
const ROW_SAMPLE_BYTES: usize = 256;

const _: () = assert!(ROW_SAMPLE_BYTES <= 4 * crate::rejected::ROW_CHARS);

const LITTLE_ENDIAN: &str = "UTF-16 (little-endian)";
const BIG_ENDIAN: &str = "UTF-16 (big-endian)";

/// Refuses what its first four bytes give away: archives, what programs write that is not text, and UTF-16 with its mark.
/// None of them begins a file in UTF-8 but a zip archive, whose name tells.
pub(super) fn judge_mark(head: &[u8]) -> Result<(), Refusal> {
    match head {
        [b'P', b'K', 3, 4, ..] => Err(Refusal::ArchiveAsText),
        [0xd0, 0xcf, 0x11, 0xe0, ..] => {
            Err(Refusal::NotText { what: "an Excel workbook (.xls)", remedy: "open it and save its sheet as .csv" })
        }
        [0x1f, 0x8b, ..] => {
            Err(Refusal::NotText { what: "compressed with gzip", remedy: "unpack it, or pack it as .zip" })
        }
        [0xff, 0xfe, ..] => Err(Refusal::Encoding { line: 1, looks_like: LITTLE_ENDIAN }),
        [0xfe, 0xff, ..] => Err(Refusal::Encoding { line: 1, looks_like: BIG_ENDIAN }),
        _ => Ok(()),
    }
}

/// Refuses UTF-16 without a mark, where every second byte is NUL. `head` is the first
/// [`HEAD_BYTES`](super::text::HEAD_BYTES) of the text, or all of a shorter one.
pub(super) fn judge_head(head: &[u8]) -> Result<(), Refusal> {
    let nul = |from: usize| head.iter().skip(from).step_by(2).filter(|byte| **byte == 0).count();
    let half = head.len() / 2;
    // Eight of ten characters of Latin script in UTF-16 have a NUL half; text has none at all.
    let looks_like = match (nul(0), nul(1)) {
        (0, odd) if half > 1 && odd * 10 >= half * 8 => LITTLE_ENDIAN,
        (even, 0) if half > 1 && even * 10 >= half * 8 => BIG_ENDIAN,
        _ => return Ok(()),
    };
    Err(Refusal::Encoding { line: 1, looks_like })
}

/// What the rows tell about the encoding.
#[derive(Default)]
pub(super) struct Evidence {
    /// Rows that are UTF-8 and not mere ASCII.
    pub(super) utf8_rows: u64,
    not_utf8_rows: u64,
    first_line: u64,
    sample: Vec<u8>,
}

impl Evidence {
    pub(super) fn not_utf8(&mut self, line: u64, raw: &[u8]) {
        if self.not_utf8_rows == 0 {
            self.first_line = line;
        }
        self.not_utf8_rows += 1;
        let room = SAMPLE_BYTES - self.sample.len();
        if room > 0 {
            self.sample.extend_from_slice(&raw[..raw.len().min(room - 1).min(ROW_SAMPLE_BYTES)]);
            self.sample.push(b'\n');
        }
    }

    /// The verdict after all rows, `rows` of which were not blank.
    ///
    /// A file is of another encoding when more of its rows are not UTF-8 than are UTF-8 beyond ASCII, and they are more
    /// than half of all rows, or at least ten and a tenth of them. Else they are single bad rows.
    pub(super) fn judge(self, rows: u64) -> Result<(), Refusal> {
        let bad = self.not_utf8_rows;
        let most = bad.saturating_mul(2) > rows || (bad >= 10 && bad.saturating_mul(10) >= rows);
        if bad <= self.utf8_rows || !most {
            return Ok(());
        }
        // Rows in UTF-16 are full of NULs, which no legacy encoding uses.
        if self.sample.contains(&0) {
            return Err(Refusal::Encoding { line: self.first_line, looks_like: "UTF-16 or a binary file" });
        }
        let mut detector = chardetng::EncodingDetector::new(chardetng::Iso2022JpDetection::Deny);
        detector.feed(&self.sample, true);
        // The users of this API write Chinese before anything else; the hint settles what is too short to tell.
        let guess = detector.guess(Some(b"cn"), chardetng::Utf8Detection::Deny);
        Err(Refusal::Encoding { line: self.first_line, looks_like: guess.name() })
    }
}
