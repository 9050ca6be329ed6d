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
        let content = content.as_ref();
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
        let packed = encoder.write_all(content).and_then(|()| encoder.finish()).unwrap_or_default();
        let mut crc = Crc::new();
        crc.update(content);
        let (name, size) = (name.as_ref().to_vec(), content.len() as u64);
        Self { name, packed, method: 8, flags: 0, crc: crc.sum(), size, zip64: false }
    }

    pub(super) fn stored(name: &str, content: impl AsRef<[u8]>) -> Self {
        Self { packed: content.as_ref().to_vec(), method: 0, ..Self::new(name, content) }
    }

    /// `times` × 1 MiB of one repeated row, packed without ever being held; `size` is what the archive says it is.
    pub(super) fn bomb(name: &str, times: usize, size: u64) -> Self {
        let piece = "user1\n".repeat((1 << 20) / 6);
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
        for _ in 0..times {
            // A Vec takes everything.
            let _ = encoder.write_all(piece.as_bytes());
        }
        Self { packed: encoder.finish().unwrap_or_default(), size, ..Self::new(name, "") }
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
    let (count, size, offset) = (entries.len() as u64, directory.len() as u64, out.len() as u64);
    out.extend(directory);
    let zip64 = entries.iter().any(|entry| entry.zip64);
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
