//! The table of upload cases through the real port: each file meets the verdict the table gives it, with its code, its
//! text and its counts.

use pigeonloft_package::RefusalKind;
use pigeonloft_package::corpus::{self, Case, Expect};
use pigeonloft_testkit::{App, pigeonloft, until};
use serde_json::json;

/// What the API answers to a file of the case, against what the table says; `None` where they agree.
fn difference(app: &App, case: &Case) -> Option<String> {
    let answer = app.upload(&case.file_name, &case.bytes);
    let (found, expected) = match &case.expect {
        Expect::Taken { rows, duplicates, blanks } => {
            if answer["retCode"] != 0 {
                return Some(format!("{}: refused: {answer}", case.name));
            }
            let (status, package) = app.own("GET", &format!("/v1/packages/{}", answer["uploadId"]));
            let shown = json!([status, package["rows"], package["duplicates"], package["blanks"], package["bytes"]]);
            (shown, json!([200, rows, duplicates, blanks, case.bytes.len()]))
        }
        Expect::Refused { kind, says } => {
            let code = match kind {
                RefusalKind::Empty => 1_008_012,
                RefusalKind::Invalid => 1_008_007,
                RefusalKind::Unreadable => 1_008_011,
            };
            let text = answer["errMsg"].as_str().unwrap_or_default();
            if let Some(unsaid) = says.iter().find(|part| !text.contains(**part)) {
                return Some(format!("{}: does not say \"{unsaid}\": {answer}", case.name));
            }
            (json!([answer["retCode"], answer["uploadId"]]), json!([code, 0]))
        }
    };
    (found != expected).then(|| format!("{}: {found}, not {expected}: {answer}", case.name))
}

#[test]
fn every_file_of_the_table_meets_its_verdict_at_the_real_port() {
    let limits = corpus::limits();
    let server = pigeonloft!()
        .set("package.file_bytes", limits.file_bytes)
        .set("package.expanded_bytes", limits.expanded_bytes)
        .start();
    let app = server.app("android");
    let cases = corpus::cases();
    let differences: Vec<String> = cases.iter().filter_map(|case| difference(&app, case)).collect();
    assert!(differences.is_empty(), "{} of {}:\n{}", differences.len(), cases.len(), differences.join("\n"));

    let taken = cases.iter().filter(|case| matches!(case.expect, Expect::Taken { .. })).count();
    assert!(taken > 0 && taken < cases.len(), "the table has both");
    assert_eq!(server.package_files().len(), taken, "what was refused left nothing");
}

#[test]
fn an_app_that_skips_bad_rows_keeps_the_good_ones_and_can_fetch_the_others() {
    let server = pigeonloft!().start();
    let app = server.app("android");
    let content = "good one\nx\ngood two\ngood one\n\nanother\n";
    let refused = app.upload("list.txt", content);
    assert_eq!(refused["retCode"], 1_008_007, "{refused}");
    assert!(refused["errMsg"].as_str().is_some_and(|text| text.contains("line 2")), "{refused}");

    server.run(["app", "set", "--access-id", &app.access_id.to_string(), "--bad-rows", "skip"]);
    // A running server follows within two seconds.
    let answer =
        until("the server follows", || Some(app.upload("list.txt", content)).filter(|answer| answer["retCode"] == 0));
    let path = format!("/v1/packages/{}", answer["uploadId"]);
    let (_, package) = app.own("GET", &path);
    let counts = json!([package["rows"], package["duplicates"], package["blanks"], package["bad_rows"]]);
    assert_eq!(counts, json!([3, 1, 1, 1]));
    let rejected = app.own_text(&format!("{path}/rejected.csv"));
    assert!(rejected.lines().any(|line| line.starts_with("2,")), "{rejected}");

    assert_eq!(app.own("DELETE", &path).0, 204);
    assert_eq!(app.own("GET", &path).0, 404);
    assert_eq!(server.package_files(), Vec::<String>::new());
}
