//! Hex: rows of the sixteen characters `0`–`9` and `a`–`f`, as device tokens and telephone numbers are, at half a byte a
//! character. Packed bytes order as the characters do, but for rows that differ in zeros at their end alone.

use wide::{i16x8, u8x16, u16x8};

/// The longest row that is packed, in characters.
pub(super) const CHARS_MAX: usize = 8 * 2 * WORDS - 2;
const WORDS: usize = 8;

/// A packed row: 16 characters a word, the first in its highest bits; what is to spare of the last word is zero.
pub(super) struct Packed {
    chars: usize,
    words: [u64; WORDS],
}

/// Eight times the same byte.
const fn each(byte: u8) -> u64 {
    u64::from_ne_bytes([byte; 8])
}

impl Packed {
    pub(super) fn new() -> Self {
        Self { chars: 0, words: [0; WORDS] }
    }

    /// Takes a row. False: it holds another character or is too long, and nothing is to be read here then.
    pub(super) fn pack(&mut self, row: &[u8]) -> bool {
        if row.len() > CHARS_MAX {
            return false;
        }
        self.chars = row.len();
        let (mut wrong, mut wrong_in_pairs) = (0, u8x16::default());
        let (pairs, rest) = row.as_chunks::<16>();
        for (pair, word) in pairs.iter().zip(&mut self.words) {
            *word = word_of(*pair, &mut wrong_in_pairs);
        }
        let (whole, rest) = rest.as_chunks::<8>();
        let first = whole.first().map(|first| halves(u64::from_be_bytes(*first), &mut wrong));
        let last = halves(filled(rest, row), &mut wrong);
        self.words[pairs.len()] = first.map_or(last << 32, |first| first << 32 | last);
        wrong == 0 && wrong_in_pairs == u8x16::default()
    }

    pub(super) fn chars(&self) -> usize {
        self.chars
    }

    /// Eight bytes from byte `from` on, as a number.
    pub(super) fn word(&self, from: usize) -> u64 {
        let (word, bits) = (from / 8, 8 * (from % 8));
        let next = self.words.get(word + 1).copied().unwrap_or(0);
        self.words.get(word).copied().unwrap_or(0) << bits | (next >> 1 >> (63 - bits))
    }

    pub(super) fn words(&self) -> &[u64; WORDS] {
        &self.words
    }
}

/// The last characters of a row, less than eight, before as many zeros as it takes.
fn filled(rest: &[u8], row: &[u8]) -> u64 {
    let zeros = each(b'0') >> (8 * rest.len());
    match row.last_chunk::<8>() {
        _ if rest.is_empty() => zeros,
        Some(last) => zeros | u64::from_be_bytes(*last) << (64 - 8 * rest.len()),
        None => {
            zeros | rest.iter().zip([56, 48, 40, 32, 24, 16, 8]).map(|(byte, at)| u64::from(*byte) << at).sum::<u64>()
        }
    }
}

/// Sixteen characters to eight bytes. `wrong` gets a bit for what is none of the sixteen.
fn word_of(chars: [u8; 16], wrong: &mut u8x16) -> u64 {
    let chars = u8x16::new(chars);
    let letter = chars.simd_gt(u8x16::splat(b'9'));
    let half = chars - u8x16::splat(b'0') - (letter & u8x16::splat(b'a' - b'9' - 1));
    // What is no digit is more than 15, or came before the letters.
    *wrong |= half ^ half.max(letter & u8x16::splat(10)).min(u8x16::splat(15));
    let pairs: u16x8 = bytemuck::cast(half);
    let (first, second) = if cfg!(target_endian = "little") { (pairs << 4, pairs >> 8) } else { (pairs >> 4, pairs) };
    let bytes: i16x8 = bytemuck::cast((first | second) & u16x8::splat(0xff));
    let [word, _]: [u64; 2] = bytemuck::cast(u8x16::narrow_i16x8(bytes, bytes));
    u64::from_be(word)
}

/// Eight characters to four bytes, side by side in one register. `wrong` gets a bit for what is none of the sixteen.
fn halves(chars: u64, wrong: &mut u64) -> u64 {
    // Letters have bit 6, and their low half counts from 1.
    let half = (chars & each(0x0f)) + 9 * ((chars >> 6) & each(1));
    let letter = ((half + each(6)) >> 4) & each(1);
    *wrong |= (half & each(0xf0)) | (chars ^ (half + each(b'0') + letter * u64::from(b'a' - b'9' - 1)));
    let bytes = (half | half >> 4) & 0x00ff_00ff_00ff_00ff;
    let pairs = (bytes | bytes >> 8) & 0x0000_ffff_0000_ffff;
    (pairs | pairs >> 16) & 0xffff_ffff
}

/// The two characters of each byte.
static CHARS: [[u8; 2]; 256] = {
    let digits = b"0123456789abcdef";
    let mut chars = [[0; 2]; 256];
    let mut byte = 0;
    while byte < 256 {
        chars[byte] = [digits[byte >> 4], digits[byte & 15]];
        byte += 1;
    }
    chars
};

/// Writes the characters of a packed row, as many as `out` takes.
pub(super) fn unpack(packed: &[u8], out: &mut [u8]) {
    let (pairs, last) = out.as_chunks_mut::<2>();
    for (pair, byte) in pairs.iter_mut().zip(packed) {
        *pair = CHARS[usize::from(*byte)];
    }
    if let ([last], Some(byte)) = (last, packed.get(pairs.len())) {
        *last = CHARS[usize::from(*byte)][0];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_of_any_length_packs_and_unpacks_and_no_other_character_passes() {
        let row: Vec<u8> = b"0123456789abcdef".iter().copied().cycle().take(CHARS_MAX).collect();
        let mut packed = Packed::new();
        for len in 1..=CHARS_MAX {
            assert!(packed.pack(&row[..len]), "{len}");
            let bytes: Vec<u8> = packed.words().iter().flat_map(|word| word.to_be_bytes()).collect();
            let mut out = vec![0; len];
            unpack(&bytes[..len.div_ceil(2)], &mut out);
            assert_eq!(out, row[..len]);
            for from in 0..len.div_ceil(2) {
                let mut eight = bytes[from..].to_vec();
                eight.resize(8.max(eight.len()), 0);
                assert_eq!(packed.word(from).to_be_bytes(), eight[..8]);
            }
            assert!(bytes[len / 2..len.next_multiple_of(16) / 2][len % 2..].iter().all(|byte| *byte == 0));
            for (at, byte) in (0..len).flat_map(|at| (0..=255).map(move |byte| (at, byte))) {
                let mut other = row[..len].to_vec();
                other[at] = byte;
                assert_eq!(packed.pack(&other), matches!(byte, b'0'..=b'9' | b'a'..=b'f'), "{len} {at} {byte}");
            }
            assert!(packed.pack(&row[..len]));
        }
        assert!(!packed.pack(&[b'0'; CHARS_MAX + 1]));
    }
}
