//! Excerpt: a short, printable piece of somebody else's bytes, safe to put into a log line or an answer.

/// Excerpts in refusals and summaries, in characters.
pub(crate) const EXCERPT_CHARS: usize = 40;

/// At most `max` characters of `bytes`: what is not UTF-8 becomes U+FFFD, what does not print is escaped, and a cut is
/// marked by `…` as the last character.
pub(crate) fn excerpt(bytes: &[u8], max: usize) -> String {
    // No character takes more than four bytes, so a longer prefix cannot change the answer.
    let bytes = &bytes[..bytes.len().min(max * 4 + 4)];
    let mut text = String::new();
    let mut chars = 0;
    // Where the text may be cut so that `…` still fits and no escape is torn.
    let mut cut = 0;
    for c in bytes.utf8_chunks().flat_map(|chunk| {
        let bad = (!chunk.invalid().is_empty()).then_some(char::REPLACEMENT_CHARACTER);
        chunk.valid().chars().chain(bad)
    }) {
        let before = text.len();
        if chars < max {
            cut = before;
        }
        match c {
            '"' | '\'' | '\\' => text.push(c),
            _ => text.extend(c.escape_debug()),
        }
        chars += text[before..].chars().count();
        if chars > max {
            text.truncate(cut);
            text.push('…');
            break;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::excerpt;

    #[test]
    fn an_excerpt_is_never_longer_than_asked_and_prints() {
        assert_eq!(excerpt(b"abc", 3), "abc");
        assert_eq!(excerpt(b"abcd", 3), "ab…");
        assert_eq!(excerpt("张三李四".as_bytes(), 3), "张三…");
        assert_eq!(excerpt(b"a\0b\xffc\"", 40), "a\\0b\u{fffd}c\"");
        assert_eq!(excerpt(b"ab\0\0", 3), "ab…");
        assert_eq!(excerpt(b"a\0bc", 3), "a…");
        assert_eq!(excerpt(&[0xe5; 1000], 40).chars().count(), 40);
    }
}
