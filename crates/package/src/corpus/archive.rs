//! A writer of archives, honest ones and liars: what the cases of zip trouble are made with.

use std::io::Write;

use flate2::write::DeflateEncoder;
use flate2::{Compression, Crc};

/// One entry, as it is to be written.
#[derive(Clone)]
pub(super) struct Entry {
    name: Vec<u8>,
    packed: Vec<u8>,
    method: u16,
    flags: u16,
    crc: u32,
    size: u64,
    zip64: bool,
}

impl Entry {
    pub(super) fn new(name: impl AsRef<[u8]>, content: impl AsRef<[u8]>) -> Self {
        Self::of_pieces(name, [content])
    }

    pub(super) fn of_pieces<P: AsRef<[u8]>>(name: impl AsRef<[u8]>, content: impl IntoIterator<Item = P>) -> Self {
        let (mut encoder, mut crc) = (DeflateEncoder::new(Vec::new(), Compression::default()), Crc::new());
        let mut size = 0;
        for piece in content {
            let piece = piece.as_ref();
            // A Vec takes everything.
            let _ = encoder.write_all(piece);
            crc.update(piece);
            size += piece.len() as u64;
        }
        let packed = encoder.finish().unwrap_or_default();
        Self { name: name.as_ref().to_vec(), packed, method: 8, flags: 0, crc: crc.sum(), size, zip64: false }
    }

    pub(super) fn stored(name: &str, content: impl AsRef<[u8]>) -> Self {
        Self { packed: content.as_ref().to_vec(), method: 0, ..Self::new(name, content) }
    }

    /// `times` × 1 MiB of one repeated row, packed without ever being held; `size` is what the archive says it is.
    pub(super) fn bomb(name: &str, times: usize, size: u64) -> Self {
        let piece = "user1\n".repeat((1 << 20) / 6);
        Self { size, ..Self::of_pieces(name, std::iter::repeat_n(piece, times)) }
    }

    /// Bytes of its data.
    pub(super) fn packed_len(&self) -> usize {
        self.packed.len()
    }

    pub(super) fn flags(self, flags: u16) -> Self {
        Self { flags, ..self }
    }

    pub(super) fn method(self, method: u16) -> Self {
        Self { method, ..self }
    }

    pub(super) fn crc(self, crc: u32) -> Self {
        Self { crc, ..self }
    }

    pub(super) fn size(self, size: u64) -> Self {
        Self { size, ..self }
    }

    pub(super) fn zip64(self) -> Self {
        Self { zip64: true, ..self }
    }

    /// What local and central header share, from the flags to the length of the name.
    fn shared(&self, streamed: bool) -> Vec<u8> {
        let mut out = numbers16(&[self.flags, self.method, 0, 0x21]);
        let sizes = [self.packed.len() as u64, self.size];
        let [packed, size] = if self.zip64 { [u32::MAX; 2] } else { sizes.map(|size| size as u32) };
        out.extend(if streamed { numbers32(&[0; 3]) } else { numbers32(&[self.crc, packed, size]) });
        out.extend(numbers16(&[self.name.len() as u16]));
        out
    }

    fn sizes64(&self) -> Vec<u8> {
        [self.size, self.packed.len() as u64].into_iter().flat_map(u64::to_le_bytes).collect()
    }

    fn local(&self) -> Vec<u8> {
        let streamed = self.flags & 8 != 0;
        let mut out = [&b"PK\x03\x04"[..], &[45, 0], &self.shared(streamed)].concat();
        let extra = if self.zip64 { [numbers16(&[1, 16]), self.sizes64()].concat() } else { Vec::new() };
        out.extend(numbers16(&[extra.len() as u16]));
        out.extend([&self.name[..], &extra, &self.packed].concat());
        if streamed {
            out.extend(b"PK\x07\x08");
            out.extend(numbers32(&[self.crc, self.packed.len() as u32, self.size as u32]));
        }
        out
    }

    fn central(&self, offset: u64) -> Vec<u8> {
        let mut out = [&b"PK\x01\x02"[..], &[45, 3, 45, 0], &self.shared(false)].concat();
        let extra = if self.zip64 {
            [numbers16(&[1, 24]), self.sizes64(), offset.to_le_bytes().to_vec()].concat()
        } else {
            Vec::new()
        };
        out.extend(numbers16(&[extra.len() as u16, 0, 0, 0]));
        out.extend(numbers32(&[0o100_644 << 16, if self.zip64 { u32::MAX } else { offset as u32 }]));
        out.extend([&self.name[..], &extra].concat());
        out
    }
}

/// A whole archive; in the zip64 form when one of its entries is.
pub(super) fn archive(entries: &[Entry], comment: &str) -> Vec<u8> {
    let (mut out, mut directory) = (Vec::new(), Vec::new());
    for entry in entries {
        directory.extend(entry.central(out.len() as u64));
        out.extend(entry.local());
    }
    closed(out, &directory, entries.len(), entries.iter().any(|entry| entry.zip64), comment)
}

/// An archive of these entries whose list of files is another: each line of it names an entry by its place, and may give
/// it another name.
pub(super) fn archive_listing(entries: &[Entry], lines: &[(usize, &str)]) -> Vec<u8> {
    let (mut out, mut offsets, mut directory) = (Vec::new(), Vec::new(), Vec::new());
    for entry in entries {
        offsets.push(out.len() as u64);
        out.extend(entry.local());
    }
    for &(place, name) in lines {
        let central = entries[place].central(offsets[place]);
        // The name stands at the end of a header without extra fields.
        let (header, _) = central.split_at(central.len() - entries[place].name.len());
        let mut header = header.to_vec();
        header[28..30].copy_from_slice(&(name.len() as u16).to_le_bytes());
        directory.extend(header);
        directory.extend(name.as_bytes());
    }
    closed(out, &directory, lines.len(), false, "")
}

/// Adds the list of files and what ends an archive.
fn closed(mut out: Vec<u8>, directory: &[u8], entries: usize, zip64: bool, comment: &str) -> Vec<u8> {
    let (count, size, offset) = (entries as u64, directory.len() as u64, out.len() as u64);
    out.extend(directory);
    if zip64 {
        let record = out.len() as u64;
        out.extend(b"PK\x06\x06");
        out.extend(44u64.to_le_bytes());
        out.extend([&[45, 3, 45, 0][..], &numbers32(&[0, 0])].concat());
        out.extend([count, count, size, offset].into_iter().flat_map(u64::to_le_bytes));
        out.extend(b"PK\x06\x07");
        out.extend([&numbers32(&[0])[..], &record.to_le_bytes(), &numbers32(&[1])].concat());
    }
    let [count16, size32, offset32] = if zip64 { [u64::MAX; 3] } else { [count, size, offset] };
    out.extend(b"PK\x05\x06");
    out.extend(numbers16(&[0, 0, count16 as u16, count16 as u16]));
    out.extend(numbers32(&[size32 as u32, offset32 as u32]));
    out.extend(numbers16(&[comment.len() as u16]));
    out.extend(comment.as_bytes());
    out
}

fn numbers16(numbers: &[u16]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
}

fn numbers32(numbers: &[u32]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
}
