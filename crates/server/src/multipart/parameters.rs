//! Parameters: the `; name=value` list behind a media type or a disposition, read the way clients write it rather than
//! the way RFC 2045 asks. What a parameter means is left to `boundary` and `header`.

/// Between parameters, as the RFCs say.
pub(super) const SEMICOLON: &[u8] = b";";

/// Between parameters of a Content-Type: the hand-built sample of 2019 puts a comma there, and proxies join repeated
/// headers with one.
pub(super) const SEMICOLON_OR_COMMA: &[u8] = b";,";

/// The text before the first separator, and the parameters behind it.
pub(super) fn split<'a>(text: &'a [u8], separators: &'static [u8]) -> (&'a [u8], Parameters<'a>) {
    let end = text.iter().position(|byte| separators.contains(byte)).unwrap_or(text.len());
    (text[..end].trim_ascii(), Parameters { rest: &text[end..], separators })
}

/// The parameters not yet read: each a name in lower case and a value without its quotes.
pub(super) struct Parameters<'a> {
    rest: &'a [u8],
    separators: &'static [u8],
}

impl Parameters<'_> {
    fn is_separator(&self, byte: u8) -> bool {
        self.separators.contains(&byte)
    }

    /// Reads up to the next separator, which stays.
    fn until_separator(&mut self) -> &[u8] {
        let end = self.rest.iter().position(|&byte| self.is_separator(byte)).unwrap_or(self.rest.len());
        let (text, rest) = self.rest.split_at(end);
        self.rest = rest;
        text.trim_ascii()
    }

    /// Reads a quoted value, its opening quote already passed; a missing closing quote ends with the text.
    ///
    /// Only `\"` and `\\` are escapes. Browsers and curl since 7.81 escape nothing with a backslash, so any other one
    /// is a character of a Windows path.
    fn quoted(&mut self) -> Vec<u8> {
        let mut value = Vec::new();
        loop {
            match self.rest {
                [] => return value,
                [b'"', rest @ ..] => {
                    self.rest = rest;
                    return value;
                }
                [b'\\', escaped @ (b'"' | b'\\'), rest @ ..] | [escaped, rest @ ..] => {
                    value.push(*escaped);
                    self.rest = rest;
                }
            }
        }
    }
}

impl Iterator for Parameters<'_> {
    type Item = (String, Vec<u8>);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let start = self.rest.iter().position(|&byte| !self.is_separator(byte) && !byte.is_ascii_whitespace())?;
            self.rest = &self.rest[start..];
            let end =
                self.rest.iter().position(|&byte| byte == b'=' || self.is_separator(byte)).unwrap_or(self.rest.len());
            let (name, rest) = self.rest.split_at(end);
            self.rest = rest;
            let Some(value) = rest.strip_prefix(b"=") else { continue };
            self.rest = value.trim_ascii_start();
            let value = match self.rest.strip_prefix(b"\"") {
                Some(inside) => {
                    self.rest = inside;
                    let value = self.quoted();
                    self.until_separator();
                    value
                }
                None => self.until_separator().to_vec(),
            };
            return Some((String::from_utf8_lossy(name.trim_ascii()).to_ascii_lowercase(), value));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<(String, String)> {
        let (_, parameters) = split(text.as_bytes(), SEMICOLON);
        parameters.map(|(name, value)| (name, String::from_utf8(value).unwrap())).collect()
    }

    fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
        expected.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    #[test]
    fn quotes_protect_separators_and_quotes() {
        assert_eq!(
            read(r#"form-data; name="a;b"; FileName = "say \"hi\".txt""#),
            pairs(&[("name", "a;b"), ("filename", r#"say "hi".txt"#)])
        );
    }

    #[test]
    fn backslashes_of_a_windows_path_stay() {
        assert_eq!(read(r#"form-data;filename="C:\new\table.txt""#), pairs(&[("filename", r"C:\new\table.txt")]));
        assert_eq!(read(r#"form-data;filename="C:\\new\\table.txt""#), pairs(&[("filename", r"C:\new\table.txt")]));
    }

    #[test]
    fn unquoted_values_may_hold_blanks_and_end_at_a_separator() {
        assert_eq!(
            read("form-data; filename= my file.txt ; name=file"),
            pairs(&[("filename", "my file.txt"), ("name", "file")])
        );
    }

    #[test]
    fn a_missing_closing_quote_and_valueless_parameters_are_no_trouble() {
        assert_eq!(read(r#"form-data;; flag; name="file"#), pairs(&[("name", "file")]));
        assert_eq!(read("form-data"), pairs(&[]));
    }
}
