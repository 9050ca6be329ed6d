//! `package check` and `package upload`.

use crate::serve::Server;
use crate::support::{Place, pigeonloft, pigeonloft_reading};

#[test]
fn a_file_that_would_be_taken_is_checked_with_its_figures() {
    let place = Place::new();
    let accounts = place.file("accounts.txt", "\u{feff}ann@example.com\r\n\r\nbob\r\nbob\r\n");
    let tokens = place.file("tokens.csv", format!("{}\n", "0a".repeat(18)));
    assert_eq!(
        place.plain(&pigeonloft(["package", "check", &accounts, &tokens]).ok()),
        "HERE/accounts.txt: would be taken\n  rows        2 (txt, 32 bytes)\n  duplicates  1\n  blanks      1\n  \
         bad rows    0\n  push to     accounts only: 2 of the rows cannot be tokens, first line 1 with 15 \
         characters, not 36 [ann@example.com]\n\
         HERE/tokens.csv: would be taken\n  rows        1 (csv, 37 bytes)\n  duplicates  0\n  blanks      0\n  \
         bad rows    0\n  push to     tokens or accounts\n"
    );
}

#[test]
fn every_bad_row_is_named_and_refuses_the_file() {
    let place = Place::new();
    let rows: String = (0..3000).map(|n| if n % 2 == 0 { "x\n".to_owned() } else { format!("user{n}\n") }).collect();
    let file = place.file("audience.txt", rows);
    let ran = pigeonloft(["package", "check", &file]);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(1), ""));
    let said = place.plain(&ran.stdout);
    let lines: Vec<_> = said.lines().collect();
    assert_eq!(lines[0], "HERE/audience.txt:1: 1 character of at least 2 [x]");
    assert_eq!(lines[1499], "HERE/audience.txt:2999: 1 character of at least 2 [x]");
    assert_eq!(
        lines[1500],
        "HERE/audience.txt: would be refused for its bad rows; an app with bad_rows = skip keeps the others"
    );
    assert!(said.contains("  rows        1500 (") && said.contains("  bad rows    1500\n"));
}

#[test]
fn what_a_spreadsheet_may_have_spoilt_is_noted_and_refuses_nothing() {
    let place = Place::new();
    let phones = place.file("phones.csv", "\u{feff}Phone\r\n1.39E+10\r\n\"1.38E+10\"\r\n'007\r\nann;bob\r\n");
    let said = place.plain(&pigeonloft(["package", "check", &phones]).ok());
    assert!(said.starts_with("HERE/phones.csv: would be taken\n"), "{said}");
    let notes: Vec<&str> = said.lines().filter_map(|line| line.strip_prefix("  note        ")).collect();
    assert_eq!(
        notes,
        [
            "name of a column as the first row: 1, first line 1 [Phone]; remove it",
            "numbers whose last digits a spreadsheet has dropped: 2, first line 2 [1.39E+10]; save the column as text, \
             anew",
            "rows that begin with an apostrophe: 1, first line 4 ['007]; remove it, if it only marks them as text",
            "rows with ; or | inside: 1, first line 5 [ann;bob]; each is one account: part them if they are several",
        ]
    );
    let fine = place.file("fine.txt", "ann@example.com\n+8613800000000\n007\n12E4\n");
    assert!(!pigeonloft(["package", "check", &fine]).ok().contains("note"));
}

#[test]
fn one_refused_file_among_good_ones_decides_the_status() {
    let place = Place::new();
    let (good, bad) = (place.file("a.csv", "ann\n"), place.file("b.csv", "ann,bob\n"));
    let ran = pigeonloft(["package", "check", &bad, &good]);
    assert_eq!(ran.code, Some(1));
    let said = place.plain(&ran.stdout);
    assert!(said.starts_with("HERE/b.csv: would be refused: line 1 has a second column"), "{said}");
    assert!(said.contains("HERE/a.csv: would be taken\n"), "{said}");
    let missing = place.path("missing.txt").display().to_string();
    let failed = place.plain(&pigeonloft(["package", "check", &missing]).failed());
    assert!(failed.starts_with("error: cannot check HERE/missing.txt: could not open the file: "), "{failed}");
}

#[test]
fn the_example_files_would_be_taken() {
    let examples = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/");
    let files = ["accounts.csv", "tokens.txt", "accounts.zip"].map(|name| format!("{examples}{name}"));
    let said = pigeonloft(["package", "check"].into_iter().chain(files.iter().map(String::as_str))).ok();
    assert_eq!(said.matches("would be taken").count(), 3);
    assert!(said.contains("rows        310 (zip"), "{said}");
}

#[test]
fn an_upload_prints_its_upload_id() {
    let place = Place::new();
    place.app("1500001048", "s:ecret");
    let server = Server::start(&place);
    let file = place.file("audience \"1\".txt", "ann\nbob\n");
    let url = format!("http://{}", server.http);
    let upload = ["package", "upload", &file, "--access-id", "1500001048", "--secret-key-file", "-"];
    let first = pigeonloft_reading("s:ecret\n", upload.into_iter().chain(["--url", &url])).ok();
    let published = format!("{url}/v3/push/package/upload");
    let second = pigeonloft_reading("s:ecret\n", upload.into_iter().chain(["--url", &published])).ok();
    assert_eq!((first.as_str(), second.as_str()), ("1\n", "2\n"));
}

#[test]
fn a_refused_upload_tells_the_servers_code_and_text() {
    let place = Place::new();
    place.app("1500001048", "secret");
    let server = Server::start(&place);
    let url = format!("http://{}", server.http);
    let (good, bad) = (place.file("a.txt", "ann\n"), place.file("b.txt", "x\n"));
    for (file, id, secret, said) in [
        (&good, "1500001048", "other", "error: refused with 1008003: "),
        (&good, "1500001049", "secret", "error: refused with 1008035: "),
        (&bad, "1500001048", "secret", "error: refused with 1008007: 1 bad row: line 1: 1 character of at least 2 [x]"),
    ] {
        let args = ["package", "upload", file, "--url", &url, "--access-id", id, "--secret-key", secret];
        let failed = pigeonloft(args).failed();
        assert!(failed.starts_with(said), "{failed}");
        assert!(!failed.contains("other"), "a secret was told: {failed}");
    }
}

#[test]
fn an_upload_that_cannot_begin_says_why() {
    let place = Place::new();
    let file = place.file("a.txt", "ann\n");
    let to = |url| ["package", "upload", &file, "--access-id", "7", "--url", url];
    // Port 9 of the discard service: nobody listens there.
    let failed = pigeonloft(to("http://127.0.0.1:9").into_iter().chain(["--secret-key", "s"])).failed();
    assert!(failed.starts_with("error: cannot reach http://127.0.0.1:9: "), "{failed}");
    assert!(
        failed.ends_with("hint: is the server running there? `pigeonloft serve` says where it listens\n"),
        "{failed}"
    );
    assert_eq!(
        pigeonloft(to("http://127.0.0.1:9")).failed(),
        "error: no SecretKey is given\nhint: give it with --secret-key-file FILE, or --secret-key\n"
    );
    assert_eq!(pigeonloft(to("127.0.0.1:8080").into_iter().chain(["--secret-key", "s"])).code, Some(2));
    let folder = place.path("").display().to_string();
    let args = ["package", "upload", &folder, "--access-id", "7", "--secret-key", "s"];
    assert!(pigeonloft(args).failed().ends_with("is not a file\n"));
}
