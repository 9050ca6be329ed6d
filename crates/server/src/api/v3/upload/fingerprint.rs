//! Fingerprint: what tells whether two uploads are of the same file, by its name and its content. The form around it has
//! another boundary each time.

use pigeonloft_package::FileName;
use sha2::{Digest, Sha256};

/// A fingerprint in the making.
#[derive(Default)]
pub(super) struct Fingerprint {
    hash: Sha256,
    /// Between the beginning and the end of the file.
    open: bool,
}

impl Fingerprint {
    /// The file begins.
    pub(super) fn begin(&mut self, name: &FileName) {
        self.open = true;
        // The length parts the name from the content.
        self.hash.update((name.as_str().len() as u64).to_be_bytes());
        self.hash.update(name.as_str());
    }

    /// Takes in a piece of the form; what is not of the file is passed over.
    pub(super) fn write(&mut self, piece: &[u8]) {
        if self.open {
            self.hash.update(piece);
        }
    }

    /// The file has ended.
    pub(super) fn end(&mut self) {
        self.open = false;
    }

    pub(super) fn finish(self) -> [u8; 32] {
        self.hash.finalize().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(name: &str, pieces: &[&str]) -> [u8; 32] {
        let mut fingerprint = Fingerprint::default();
        fingerprint.write(b"a field before");
        fingerprint.begin(&FileName::parse(name).unwrap());
        pieces.iter().for_each(|piece| fingerprint.write(piece.as_bytes()));
        fingerprint.end();
        fingerprint.write(b"another field");
        fingerprint.finish()
    }

    #[test]
    fn the_same_file_has_the_same_fingerprint_however_it_comes_in_pieces() {
        let one = of("a.txt", &["ann\nbob\n"]);
        assert_eq!(one, of("a.txt", &["an", "", "n\nbob\n"]));
        for other in [of("b.txt", &["ann\nbob\n"]), of("a.txt", &["ann\nbob"]), of("aa.txt", &["nn\nbob\n"])] {
            assert_ne!(one, other);
        }
    }
}
