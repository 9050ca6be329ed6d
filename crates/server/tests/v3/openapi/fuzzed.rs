//! Fuzzed: schemathesis calls what is described, as described and otherwise, and compares every answer.

use std::fs;

use pigeonloft_testkit::program::{python, run};
use pigeonloft_testkit::{App, Device, pigeonloft};
use serde_json::json;

use super::{document, paths};

/// Cases of each call, beside those that its examples and the bounds of its schema make.
const CASES: u32 = 20;

/// What the fuzzer is told: who calls, whom a device may call about, and where the checks do not fit.
fn settings(app: &App, device: &Device) -> String {
    let App { access_id, secret_key, access_key, .. } = app;
    let Device { token, password, .. } = device;
    format!(
        r#"
        hooks = "checks.py"
        [auth.openapi.basic]
        username = "{access_id}"
        password = "{secret_key}"
        [auth.openapi.accessId]
        api_key = "{access_id}"
        [auth.openapi.accessKey]
        api_key = "{access_key}"
        [auth.openapi.device]
        username = "{token}"
        password = "{password}"
        # What was deleted, or is no longer kept, is allowed to be asked for.
        [checks.positive_data_acceptance]
        expected-statuses = ["2xx", "401", "403", "404", "409", "410", "429"]
        [parameters]
        "path.token" = "{token}"
        # Always status 200: what a refusal has to be there, checks.py says.
        [[operations]]
        include-path-regex = "^/v3/"
        [operations.checks]
        negative_data_rejection.enabled = false
        ignored_auth.enabled = false
        # Its 503 is an answer like any other: on a busy machine it may be the true one.
        [[operations]]
        include-path = "/readyz"
        [operations.checks]
        not_a_server_error.enabled = false
        # Nothing of a request that is described makes it a WebSocket.
        [[operations]]
        include-path = "/mqtt"
        [operations.checks]
        positive_data_acceptance.enabled = false
        "#
    )
}

/// A package with a row that was left out, and a push of it that has ended: ids 1, as the examples have them.
fn something_of_each(app: &App) {
    let upload_id = app.uploaded(["ann", "bob", "x"]);
    let push_id = app.pushed(json!({ "audience_type": "package_account_push", "upload_id": upload_id }));
    assert_eq!((upload_id, push_id.as_str()), (1, "1"));
    let _ = app.finished(&push_id);
}

#[test]
fn whatever_is_sent_every_answer_is_as_described_and_none_is_the_servers_fault() {
    let server = pigeonloft!()
        .set("device.registrations_per_second_per_address", 0)
        .set("device.registrations_per_second", 0)
        .start();
    let app = server.app("android");
    server.run(["app", "set", "--access-id", &app.access_id.to_string(), "--bad-rows", "skip"]);
    let device = app.register_device(Some("ann"));
    something_of_each(&app);
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).expect("it can be written");
    write("schemathesis.toml", &settings(&app, &device));
    write("checks.py", include_str!("checks.py"));

    // One worker, one seed, no memory of earlier runs: the cases are the same for the same description.
    let mut fuzzer = python("schemathesis");
    fuzzer.current_dir(folder.path()).args([
        "-m",
        "schemathesis.cli",
        "--no-color",
        "run",
        &server.url("/openapi.json"),
    ]);
    fuzzer.args(["--phases", "examples,coverage,fuzzing", "--max-examples", &CASES.to_string(), "--seed", "1"]);
    fuzzer.args(["--workers", "1", "--generation-database", "none"]);
    // On a busy machine everything is slow: neither cases that take long to think of nor answers that take long to come
    // are failures.
    fuzzer.args(["--suppress-health-check", "too_slow", "--request-timeout", "60"]);
    let said = run(&mut fuzzer);
    let described = document(&server);
    // All but the description itself.
    let calls = paths(&described).map(|(_, methods)| methods.as_object().map_or(0, |of| of.len())).sum::<usize>() - 1;
    assert!(said.contains(&format!("Tested: {calls}\n")), "all {calls} of them: {said}");
}
