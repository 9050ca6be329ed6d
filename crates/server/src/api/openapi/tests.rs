use std::collections::BTreeSet;

use pigeonloft_model::{AudienceKind, Platform, Push, Zone};

use super::*;
use crate::api::{demo, operations, v1, v3};

fn routes() -> Routes {
    v3::routes().merge(v1::routes()).merge(operations::routes())
}

/// Every value within this one, and itself.
fn within<'a>(value: &'a Value, found: &mut Vec<&'a Value>) {
    found.push(value);
    match value {
        Value::Array(list) => list.iter().for_each(|value| within(value, found)),
        Value::Object(map) => map.values().for_each(|value| within(value, found)),
        _ => {}
    }
}

fn all_within(value: &Value) -> Vec<&Value> {
    let mut found = Vec::new();
    within(value, &mut found);
    found
}

/// The paths of a router. What axum shows of itself is the one way to ask for them: `RouteId(3): "/v3/push/app"`.
fn served(router: &Router<Arc<Loft>>) -> BTreeSet<String> {
    let shown = format!("{router:?}");
    let paths = shown.split("): \"").skip(1).filter_map(|rest| rest.split('"').next());
    // The last is what axum answers 404 by.
    let of_axum = |path: &&str| matches!(*path, "/" | "/{*__private__axum_fallback}");
    paths.filter(|path| !of_axum(path)).map(str::to_owned).collect()
}

fn operations(document: &Value) -> impl Iterator<Item = &Value> {
    document["paths"]
        .as_object()
        .into_iter()
        .flatten()
        .flat_map(|(_, path)| path.as_object().into_iter().flatten())
        .map(|(_, operation)| operation)
}

#[test]
fn every_route_of_the_router_is_described_and_the_reverse() {
    let Routes { router, paths } = routes();
    let described: BTreeSet<&str> = paths.keys().map(String::as_str).collect();
    assert!(described.len() > 20, "{described:?}");
    assert_eq!(served(&router).iter().map(String::as_str).collect::<BTreeSet<_>>(), described);
    // The files of a page are no calls, and have a folder of their own.
    let files = served(&demo::router());
    assert!(files.iter().all(|path| path.starts_with("/demo/")), "{files:?}");
}

#[test]
fn two_schemas_of_one_name_are_the_same() {
    let paths = Value::Object(routes().paths);
    let mut named = Map::new();
    for schema in all_within(&paths) {
        let title = schema.get("title").and_then(Value::as_str).filter(|_| schema.get("type").is_some());
        if let Some(title) = title {
            let earlier = named.entry(title).or_insert_with(|| schema.clone());
            assert_eq!(&*earlier, schema, "two different schemas are called {title}: clients would get one of them");
        }
    }
    assert!(named.len() > 20, "{named:?}");
}

#[test]
fn every_reference_leads_somewhere_and_every_name_is_used_once() {
    let document = document(routes().paths);
    for reference in all_within(&document).into_iter().filter_map(|value| value.get("$ref")?.as_str()) {
        let found = document.pointer(reference.trim_start_matches('#'));
        assert!(found.is_some_and(Value::is_object), "{reference}");
    }
    let mut ids: Vec<_> = operations(&document).map(|operation| operation["operationId"].to_string()).collect();
    let count = ids.len();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), count, "two operations have one id");
    for operation in operations(&document) {
        let tag = operation["tags"][0].as_str();
        assert!(operation::TAGS.iter().any(|(known, _)| Some(*known) == tag), "{operation}");
    }
}

#[test]
fn the_page_has_every_operation_and_schema_and_its_style_alone_may_be_used() {
    let document = document(routes().paths);
    let page = page::html(&document);
    for operation in operations(&document) {
        let id = operation["operationId"].as_str().expect("an id");
        assert!(page.contains(&format!("<section id=\"{id}\">")), "{id}");
    }
    for name in document["components"]["schemas"].as_object().expect("schemas").keys() {
        assert!(page.contains(&format!("<section id=\"schema-{name}\">")), "{name}");
    }
    assert!(!page.contains("<script") && !page.contains("src="), "it asks for nothing");
    let policy = page::policy();
    let policy = policy.to_str().expect("text");
    assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
}

#[test]
fn every_described_member_of_a_push_is_read() {
    let lists =
        json!({ "account_list": ["ann"], "token_list": ["0123456789abcdef0123456789abcdef0123"], "upload_id": 1 });
    let ours = json!({ "exclude_upload_id": 2, "sample": 0.5, "message_type": "notify", "message": { "title": "a" } });
    // Nothing that is read can be this.
    let nothing = [json!({ "never": [true] }), json!("\u{7f}")];
    let is_read = |name: &str| {
        let calls = AudienceKind::ALL.iter().flat_map(|kind| nothing.iter().map(move |nothing| (kind, nothing)));
        calls.into_iter().any(|(kind, nothing)| {
            let mut call = lists.clone();
            let call = call.as_object_mut().expect("an object");
            call.extend(ours.as_object().expect("an object").clone());
            call.insert("audience_type".into(), kind.as_str().into());
            call.insert(name.to_owned(), nothing.clone());
            let parsed = Push::parse(json!(call).to_string().as_bytes(), Platform::Ios, 1_800_000_000, Zone::CHINA);
            parsed.is_err_and(|fault| fault.text.contains(name))
        })
    };
    let described = v3::described::push_request();
    let described = described["properties"].as_object().expect("members").keys();
    // What cannot be echoed is as good as not there.
    let unread: Vec<_> = described.filter(|name| *name != "seq" && !is_read(name)).collect();
    assert!(unread.is_empty(), "described, and not looked at: {unread:?}");
}
