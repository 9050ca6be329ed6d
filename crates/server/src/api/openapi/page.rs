//! The page: the document as HTML, made on the server. It has no script and asks for nothing else, so that it is read
//! without a network and under a policy that allows next to nothing.

use std::fmt::Write;
use std::sync::LazyLock;

use axum::http::HeaderValue;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::Value;
use sha2::{Digest, Sha256};

const STYLE: &str = include_str!("page.css");

/// Its style alone may be used, by its digest.
pub(super) fn policy() -> HeaderValue {
    static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
        let digest = BASE64.encode(Sha256::digest(STYLE));
        let policy = format!(
            "default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        );
        policy.parse().unwrap_or(HeaderValue::from_static("default-src 'none'"))
    });
    POLICY.clone()
}

/// The page of a document.
pub(super) fn html(document: &Value) -> String {
    let mut page = Page { document, html: String::new() };
    // Writing to a text does not fail.
    let _ = page.whole();
    page.html
}

struct Page<'a> {
    document: &'a Value,
    html: String,
}

impl<'a> Page<'a> {
    fn whole(&mut self) -> std::fmt::Result {
        let info = &self.document["info"];
        let (title, version) = (escaped(&info["title"]), escaped(&info["version"]));
        write!(
            self.html,
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}: the API</title>\
             <meta name=\"viewport\" content=\"width=device-width\"><style>{STYLE}</style></head><body>\
             <header><h1>{title} {version}</h1>"
        )?;
        self.prose(&info["description"])?;
        self.html.push_str("<p>For machines: <a href=\"/openapi.json\">openapi.json</a></p></header><nav>");
        for (path, method, operation) in operations(self.document) {
            let (id, summary) = (escaped(&operation["operationId"]), escaped(&operation["summary"]));
            write!(self.html, "<a href=\"#{id}\" title=\"{summary}\"><b>{}</b> {}</a>", upper(method), escape(path))?;
        }
        self.html.push_str("</nav><main><h2>Credentials</h2><table>");
        for (name, scheme) in components(self.document, "securitySchemes") {
            let kind = escaped(&scheme["in"]) + &escaped(&scheme["scheme"]);
            let (name, header, says) = (escape(name), escaped(&scheme["name"]), marked(&scheme["description"]));
            write!(self.html, "<tr><th>{name}</th><td>{kind} {header}</td><td>{says}</td></tr>")?;
        }
        self.html.push_str("</table>");
        for tag in list(&self.document["tags"]) {
            write!(self.html, "<h2>{}</h2><p>{}</p>", escaped(&tag["name"]), escaped(&tag["description"]))?;
            for (path, method, operation) in operations(self.document) {
                if operation["tags"][0] == tag["name"] {
                    self.operation(path, method, operation)?;
                }
            }
        }
        self.html.push_str("<h2>Schemas</h2>");
        for (name, schema) in components(self.document, "schemas") {
            write!(self.html, "<section id=\"schema-{0}\"><h3>{0}</h3>", escape(name))?;
            self.members(schema)?;
            self.html.push_str("</section>");
        }
        self.html.push_str("</main></body></html>\n");
        Ok(())
    }

    fn operation(&mut self, path: &str, method: &str, operation: &'a Value) -> std::fmt::Result {
        let (id, summary) = (escaped(&operation["operationId"]), escaped(&operation["summary"]));
        let method = upper(method);
        write!(
            self.html,
            "<section id=\"{id}\"><h3><b>{method}</b> <code>{}</code></h3><p>{summary}</p>",
            escape(path)
        )?;
        self.prose(&operation["description"])?;
        let schemes = list(&operation["security"]).iter().filter_map(Value::as_object);
        let ways: Vec<String> = schemes.map(|way| way.keys().cloned().collect::<Vec<_>>().join(" + ")).collect();
        if !ways.is_empty() {
            write!(self.html, "<p>Credentials: {}</p>", escape(&ways.join(", or ")))?;
        }
        let parameters = list(&operation["parameters"]);
        if !parameters.is_empty() {
            self.html.push_str("<table>");
            for parameter in parameters {
                let name = parameter["name"].as_str().unwrap_or_default();
                self.row(name, &parameter["schema"], parameter["in"].as_str().unwrap_or_default())?;
            }
            self.html.push_str("</table>");
        }
        if let Some(content) = operation["requestBody"]["content"].as_object() {
            for (kind, body) in content {
                write!(self.html, "<h4>Takes <code>{}</code>: {}</h4>", escape(kind), kind_of(&body["schema"]))?;
                if let Some(example) = body.get("example") {
                    let example = serde_json::to_string_pretty(example).unwrap_or_default();
                    write!(self.html, "<pre>{}</pre>", escape(&example))?;
                }
            }
        }
        self.html.push_str("<h4>Answers</h4><table>");
        for (status, response) in operation["responses"].as_object().into_iter().flatten() {
            let content = response["content"].as_object().into_iter().flatten();
            let content: Vec<String> = content
                .map(|(kind, body)| format!("<code>{}</code> {}", escape(kind), kind_of(&body["schema"])))
                .collect();
            let (status, says) = (escape(status), escaped(&response["description"]));
            write!(self.html, "<tr><th>{status}</th><td>{}</td><td>{says}</td></tr>", content.join(", "))?;
        }
        self.html.push_str("</table></section>");
        Ok(())
    }

    fn members(&mut self, schema: &'a Value) -> std::fmt::Result {
        self.prose(&schema["description"])?;
        self.html.push_str("<table>");
        for (name, member) in schema["properties"].as_object().into_iter().flatten() {
            let is_required = list(&schema["required"]).iter().any(|required| required == name.as_str());
            self.row(name, member, if is_required { "required" } else { "" })?;
        }
        self.html.push_str("</table>");
        Ok(())
    }

    fn row(&mut self, name: &str, schema: &Value, note: &str) -> std::fmt::Result {
        let (name, kind, says) = (escape(name), kind_of(schema), marked(&schema["description"]));
        write!(self.html, "<tr><th>{name}</th><td>{kind}</td><td>{note}</td><td>{says}</td></tr>")
    }

    /// Paragraphs of Markdown, as far as this document uses it.
    fn prose(&mut self, text: &Value) -> std::fmt::Result {
        for paragraph in text.as_str().unwrap_or_default().split("\n\n").filter(|text| !text.is_empty()) {
            write!(self.html, "<p>{}</p>", marked(&paragraph.into()))?;
        }
        Ok(())
    }
}

fn operations(document: &Value) -> impl Iterator<Item = (&str, &str, &Value)> {
    let paths = document["paths"].as_object().into_iter().flatten();
    paths.flat_map(|(path, methods)| {
        let methods = methods.as_object().into_iter().flatten();
        methods.map(move |(method, operation)| (path.as_str(), method.as_str(), operation))
    })
}

fn components<'a>(document: &'a Value, kind: &str) -> impl Iterator<Item = (&'a String, &'a Value)> {
    document["components"][kind].as_object().into_iter().flatten()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn upper(method: &str) -> String {
    method.to_uppercase()
}

/// What a schema allows, in a few words.
fn kind_of(schema: &Value) -> String {
    if let Some(name) = schema["$ref"].as_str().and_then(|reference| reference.rsplit('/').next()) {
        return format!("<a href=\"#schema-{0}\">{0}</a>", escape(name));
    }
    if let Some(any) = schema["oneOf"].as_array() {
        return any.iter().map(kind_of).collect::<Vec<_>>().join(" or ");
    }
    let mut kind = match &schema["type"] {
        Value::Array(kinds) => kinds.iter().map(escaped).collect::<Vec<_>>().join(" or "),
        kind => escaped(kind),
    };
    if let Some(known) = schema["enum"].as_array() {
        kind = known.iter().map(|known| format!("<code>{}</code>", escaped(known))).collect::<Vec<_>>().join(" ");
    }
    if schema["items"].is_object() {
        kind = format!("{kind} of {}", kind_of(&schema["items"]));
    }
    for (least, most) in [("minimum", "maximum"), ("minLength", "maxLength"), ("minItems", "maxItems")] {
        let [least, most] = [least, most].map(|bound| schema.get(bound).map(Value::to_string));
        let _ = match (least, most) {
            (Some(least), Some(most)) => write!(kind, ", {least}–{most}"),
            (Some(least), None) => write!(kind, ", from {least}"),
            (None, Some(most)) => write!(kind, ", at most {most}"),
            (None, None) => Ok(()),
        };
    }
    if let Some(members) = schema["properties"].as_object() {
        let members = members.iter().map(|(name, member)| format!("<code>{}</code> {}", escape(name), kind_of(member)));
        kind = format!("{kind} ({})", members.collect::<Vec<_>>().join(", "));
    }
    kind
}

/// A text with `code` and **strong** words.
fn marked(text: &Value) -> String {
    let mut html = escaped(text);
    for (mark, tag) in [("**", "b"), ("`", "code")] {
        let mut parts = html.split(mark);
        let mut marked = parts.next().unwrap_or_default().to_owned();
        for (place, part) in parts.enumerate() {
            let _ = write!(marked, "<{}{tag}>{part}", if place % 2 == 0 { "" } else { "/" });
        }
        html = marked;
    }
    html
}

fn escaped(text: &Value) -> String {
    escape(text.as_str().unwrap_or_default())
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
