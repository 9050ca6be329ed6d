//! Operation: what one method of one path takes and answers.

use pigeonloft_model::RetCode;
use serde_json::{Map, Value, json};

use super::super::answer::Style;
use super::super::v3::once::KEY_CHARS;
use super::schema::{answered, count, text, text_of, whole};

/// The groups operations are shown in.
pub(super) const TAGS: &[(&str, &str)] = &[
    ("v3 push", "TPNS: upload a package, push, and what can be done to a push afterwards."),
    ("v3 devices", "TPNS: accounts, tags and attributes of devices."),
    ("v3 statistics", "TPNS: what pushes were, and what became of them."),
    ("v1 packages", "Our own: uploaded packages."),
    ("v1 pushes", "Our own: how far a push is, and who got what."),
    ("v1 devices", "Our own, called by devices: registering, and what a device says of itself."),
    ("operation", "For the operator's tools."),
];

/// Who may call, and so with which credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::api) enum Caller {
    /// An app's server.
    Server,
    /// A program of the app, by its AccessKey.
    Program,
    /// A device, by its password.
    Device,
    /// Anybody.
    Anybody,
}

impl Caller {
    fn security(self) -> Value {
        match self {
            Self::Server => json!([{ "basic": [] }, { "accessId": [], "timeStamp": [], "sign": [] }]),
            Self::Program => json!([{ "accessId": [], "accessKey": [] }]),
            Self::Device => json!([{ "device": [] }]),
            Self::Anybody => json!([]),
        }
    }
}

/// The ways to say who calls.
pub(super) fn security_schemes() -> Value {
    let header =
        |name: &str, text: &str| json!({ "type": "apiKey", "in": "header", "name": name, "description": text });
    json!({
        "basic": { "type": "http", "scheme": "basic", "description": "AccessId:SecretKey" },
        "device": { "type": "http", "scheme": "basic", "description": "a device's token:password" },
        "accessId": header("AccessId", "the app's AccessId"),
        "accessKey": header("AccessKey", "the app's AccessKey"),
        "timeStamp": header("TimeStamp", "unix seconds, near the server's clock (`auth.timestamp_tolerance_s`)"),
        "sign": header("Sign", "base64 of the lowercase hexadecimal text of HMAC-SHA256(SecretKey, TimeStamp + AccessId + body)"),
    })
}

/// What a call takes and answers; made with the route it is of.
#[derive(Debug)]
pub(in crate::api) struct Operation {
    members: Map<String, Value>,
    parameters: Vec<Value>,
    responses: Map<String, Value>,
    /// The members of a v3 answer, beside code and text.
    members_answered: Option<(String, Vec<(String, Value)>)>,
}

impl Operation {
    /// An operation in a group. Its `id` names it in generated clients.
    pub(in crate::api) fn new(tag: &str, id: &str, caller: Caller, summary: &str) -> Self {
        let members = json!({ "operationId": id, "tags": [tag], "summary": summary, "security": caller.security() });
        Self {
            members: members.as_object().cloned().unwrap_or_default(),
            parameters: Vec::new(),
            responses: Map::new(),
            members_answered: None,
        }
    }

    /// An operation of the v3 API that takes this, an object, such as the example.
    pub(in crate::api) fn v3(tag: &str, id: &str, summary: &str, asked: &Value, example: &Value) -> Self {
        let mut operation = Self::new(tag, id, Caller::Server, summary).draining();
        operation.members.insert("requestBody".into(), body(true, asked, example));
        operation
    }

    /// An operation of the v3 API that takes a form, see [`Operation::takes_file`].
    pub(in crate::api) fn v3_form(tag: &str, id: &str, summary: &str) -> Self {
        Self::new(tag, id, Caller::Server, summary).draining()
    }

    /// More to say than the summary, in Markdown.
    pub(in crate::api) fn says(mut self, description: &str) -> Self {
        self.members.insert("description".into(), description.into());
        self
    }

    /// A part of the path.
    pub(in crate::api) fn path(self, name: &str, schema: &Value, example: impl Into<Value>) -> Self {
        self.parameter(
            json!({ "name": name, "in": "path", "required": true, "schema": schema, "example": example.into() }),
        )
    }

    /// A member of the query, which may be left out.
    pub(in crate::api) fn query(self, name: &str, schema: &Value) -> Self {
        self.parameter(json!({ "name": name, "in": "query", "required": false, "schema": schema }))
    }

    /// Done once under an `Idempotency-Key`.
    pub(in crate::api) fn repeatable(self) -> Self {
        let description = "a key of the caller's: repeats of the call are answered as the first one (`http.idempotency_s`), with \
                           the header `Idempotent-Replayed: true`";
        let mut schema = text_of(KEY_CHARS, description);
        schema["pattern"] = "^[!-~]*$".into();
        self.parameter(json!({ "name": "Idempotency-Key", "in": "header", "required": false, "schema": schema }))
    }

    fn parameter(mut self, parameter: Value) -> Self {
        self.parameters.push(parameter);
        self
    }

    /// A JSON body.
    pub(in crate::api) fn takes(mut self, required: bool, schema: &Value, example: &Value) -> Self {
        self.members.insert("requestBody".into(), body(required, schema, example));
        self
    }

    /// A form with a file.
    pub(in crate::api) fn takes_file(mut self, field: &str, description: &str) -> Self {
        let file = json!({ "type": "string", "format": "binary", "description": description });
        let form =
            json!({ "title": "UploadForm", "type": "object", "required": [field], "properties": { field: file } });
        let content = json!({ "multipart/form-data": { "schema": form } });
        self.members.insert("requestBody".into(), json!({ "required": true, "content": content }));
        self
    }

    /// An answer of this type.
    pub(in crate::api) fn answers(mut self, status: u16, description: &str, kind: &str, schema: &Value) -> Self {
        // Without parameters such as the charset, which generators of clients do not expect.
        let kind = kind.split(';').next().unwrap_or(kind);
        let response = json!({ "description": description, "content": { kind: { "schema": schema } } });
        self.responses.insert(status.to_string(), response);
        self
    }

    /// An answer in JSON.
    pub(in crate::api) fn json(self, status: u16, description: &str, schema: &Value) -> Self {
        self.answers(status, description, "application/json", schema)
    }

    /// An answer without a body.
    pub(in crate::api) fn empty(mut self, status: u16, description: &str) -> Self {
        self.responses.insert(status.to_string(), json!({ "description": description }));
        self
    }

    /// The members of a v3 answer beside code and text, named as a whole.
    pub(in crate::api) fn members<const N: usize>(mut self, title: &str, members: [(&str, Value); N]) -> Self {
        let members = members.into_iter().map(|(name, schema)| (name.to_owned(), schema)).collect();
        self.members_answered = Some((title.to_owned(), members));
        self
    }

    /// The v3 answer, code and text spelled in this way.
    pub(in crate::api) fn in_style(mut self, style: Style) -> Self {
        let (code, says) = style.names();
        let default = match style {
            Style::Camel => "CamelAnswer",
            Style::Snake => "SnakeAnswer",
        };
        let (title, members) = self.members_answered.take().unwrap_or_else(|| (default.to_owned(), Vec::new()));
        let mut properties = Map::new();
        properties.insert(code.into(), ret_code());
        properties.insert(says.into(), text("empty, or what is wrong, where, and what to do"));
        properties.extend(members);
        let schema = json!({
            "title": title, "type": "object", "properties": properties, "required": [code, says],
            "additionalProperties": false,
        });
        self.json(200, "Done, or refused: the code tells. A refused call may have code and text alone.", &schema)
    }

    /// Errors, each a problem+json.
    pub(in crate::api) fn problems(mut self, statuses: &[u16]) -> Self {
        for status in statuses {
            let description = match status {
                400 => "Something of the call cannot be taken",
                401 => "No credentials, or not the right ones",
                403 => "Another device's",
                404 => "The app has no such thing",
                408 => "The body does not come",
                409 => "Not in the state it is in",
                410 => "No longer kept",
                413 => "The body is too large",
                426 => "The connection is no WebSocket",
                429 => "Too fast: come back after `Retry-After`",
                500 => "The server's data is damaged",
                _ => "Not now: repeat the call",
            };
            self = self.answers(*status, description, "application/problem+json", &problem());
            if matches!(status, 429 | 503) {
                let after =
                    json!({ "Retry-After": { "required": false, "schema": count("seconds until it is worth a try") } });
                self.responses[&status.to_string()]["headers"] = after;
            }
        }
        self
    }

    /// It is refused while the server shuts down.
    fn draining(self) -> Self {
        self.problems(&[503])
    }

    /// As the document has it.
    pub(super) fn described(self) -> Value {
        let Self { mut members, parameters, mut responses, .. } = self;
        responses.sort_keys();
        if !parameters.is_empty() {
            members.insert("parameters".into(), parameters.into());
        }
        members.insert("responses".into(), Value::Object(responses));
        Value::Object(members)
    }
}

fn body(required: bool, schema: &Value, example: &Value) -> Value {
    json!({ "required": required, "content": { "application/json": { "schema": schema, "example": example } } })
}

/// A code of the v3 API.
fn ret_code() -> Value {
    let mut code = whole(0..=i64::from(i32::MAX), &RetCode::TABLE.join("\n\n"));
    code["title"] = "Code".into();
    code
}

/// An error of our own API.
fn problem() -> Value {
    answered(
        "Problem",
        [
            ("type", text("about:blank")),
            ("title", text("the status, in words")),
            ("status", whole(400..=599, "the status")),
            ("detail", text("what is wrong, and what to do")),
        ],
    )
}

/// `GET /openapi.json`
pub(super) fn document() -> Operation {
    let schema = json!({ "type": "object", "required": ["openapi", "info", "paths"] });
    Operation::new("operation", "openapi", Caller::Anybody, "This description").json(200, "OpenAPI 3.1", &schema)
}

/// `GET /docs`
pub(super) fn page() -> Operation {
    Operation::new("operation", "docs", Caller::Anybody, "This description, to read").answers(
        200,
        "A page",
        "text/html",
        &json!({ "type": "string" }),
    )
}
