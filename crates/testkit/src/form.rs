//! Form: a multipart body, written by hand so that it can be as odd as a test wants it.

/// A multipart body under construction.
#[derive(Debug, Clone)]
pub struct Form {
    boundary: String,
    body: Vec<u8>,
}

impl Default for Form {
    fn default() -> Self {
        Self { boundary: "----pigeonloft-7MA4YWxkTrZu0gW".into(), body: Vec::new() }
    }
}

impl Form {
    /// The same form with another boundary; before its parts are added.
    ///
    /// # Panics
    /// It has parts.
    #[must_use]
    pub fn with_boundary(self, boundary: &str) -> Self {
        assert!(self.body.is_empty(), "the parts stand between boundaries");
        Self { boundary: boundary.to_owned(), ..self }
    }

    /// A form with one file in the field `file`.
    #[must_use]
    pub fn of_file(name: &str, content: &[u8]) -> Self {
        Self::default().file("file", name, content)
    }

    /// Adds a file.
    #[must_use]
    pub fn file(self, field: &str, name: &str, content: &[u8]) -> Self {
        let quoted = name.replace('"', "%22");
        let disposition = format!("form-data; name=\"{field}\"; filename=\"{quoted}\"");
        self.part(&format!("Content-Disposition: {disposition}\r\nContent-Type: application/octet-stream"), content)
    }

    /// Adds a field that is no file.
    #[must_use]
    pub fn field(self, name: &str, value: &str) -> Self {
        self.part(&format!("Content-Disposition: form-data; name=\"{name}\""), value.as_bytes())
    }

    /// Adds a part with these header lines, CRLF between them.
    #[must_use]
    pub fn part(mut self, headers: &str, content: &[u8]) -> Self {
        self.body.extend_from_slice(format!("--{}\r\n{headers}\r\n\r\n", self.boundary).as_bytes());
        self.body.extend_from_slice(content);
        self.body.extend_from_slice(b"\r\n");
        self
    }

    /// The `Content-Type` of the body.
    #[must_use]
    pub fn content_type(&self) -> String {
        format!("multipart/form-data; boundary={}", self.boundary)
    }

    /// The body, closed.
    #[must_use]
    pub fn body(&self) -> Vec<u8> {
        [&self.body[..], b"--", self.boundary.as_bytes(), b"--\r\n"].concat()
    }
}
