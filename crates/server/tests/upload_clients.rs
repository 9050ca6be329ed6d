//! Uploads as real clients send them: the published samples, curl, Python's requests, with what is peculiar to each.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use pigeonloft_testkit::program::{json_in, python, require, run};
use pigeonloft_testkit::{App, Server, pigeonloft};
use serde_json::{Value, json};
use tempfile::TempDir;

const UPLOAD: &str = "/v3/push/package/upload";

/// A server with an app, and a folder for files to upload.
struct Desk {
    server: Server,
    app: App,
    folder: TempDir,
}

impl Desk {
    fn open() -> Self {
        let server = pigeonloft!().set("http.service_access_point", "Guangzhou").start();
        let app = server.app("android");
        Self { server, app, folder: tempfile::tempdir().expect("a folder") }
    }

    fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, content).expect("a file can be written");
        path
    }

    /// The text file, as the only one of an archive.
    fn zip(&self, text: &Path) -> PathBuf {
        let path = text.with_extension("zip");
        run(require("python3").args(["-m", "zipfile", "-c"]).arg(&path).arg(text));
        path
    }

    /// curl on the upload, silent, and given up after a while: a client that hangs has not got its answer.
    fn curl(&self, authorization: &str) -> Command {
        let mut curl = require("curl");
        curl.args(["-sS", "--max-time", "60", "-H", &format!("Authorization: {authorization}")]);
        curl.arg(self.server.url(UPLOAD));
        curl
    }

    /// The package that this answer is of.
    fn package(&self, answer: &Value) -> Value {
        assert_eq!(answer["retCode"], 0, "{answer}");
        let (status, package) = self.app.own("GET", &format!("/v1/packages/{}", answer["uploadId"]));
        assert_eq!(status, 200, "{package}");
        package
    }
}

fn accounts(count: usize) -> String {
    (0..count).map(|place| format!("account-{place:06}\n")).collect()
}

fn tokens(count: usize) -> String {
    (0..count).map(|place| format!("{place:036x}\n")).collect()
}

#[test]
fn every_published_client_uploads_as_it_is_printed() {
    let desk = Desk::open();
    let (accounts, tokens) = (desk.file("accounts.txt", accounts(1000)), desk.file("tokens.txt", tokens(1000)));
    let csv = desk.file("accounts.csv", "\"one, quoted\"\ntwo two\n");
    let (accounts_zip, tokens_zip) = (desk.zip(&accounts), desk.zip(&tokens));
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/clients");
    for (program, needs, file, rows) in [
        ("curl-2019.sh", "curl", &accounts_zip, 1000),
        ("curl-2019.sh", "curl", &accounts, 1000),
        ("python-2019.py", "requests", &accounts, 1000),
        ("python-2019.py", "requests", &csv, 2),
        ("python-2021.py", "pip._vendor.urllib3", &accounts_zip, 1000),
        ("python-2021.py", "pip._vendor.urllib3", &csv, 2),
        ("curl-token.sh", "curl", &tokens_zip, 1000),
        ("python-token.py", "requests", &tokens, 1000),
        ("python-token.py", "requests", &tokens_zip, 1000),
    ] {
        let mut command = if program.ends_with(".py") {
            python(needs)
        } else {
            let _ = require(needs);
            require("sh")
        };
        command.arg(examples.join(program)).arg(desk.server.url(UPLOAD));
        command.args([&desk.app.access_id.to_string(), &desk.app.secret_key]).arg(file);
        let answer = json_in(&run(&mut command));
        let package = desk.package(&answer);
        assert_eq!(package["rows"], rows, "{program} {package}");
        let name = file.file_name().expect("a name").to_string_lossy().into_owned();
        assert_eq!(package["file_name"], name, "{program}");
    }
}

/// Signs the body `requests` encodes, or another one; prints the answer.
const SIGNING: &str = r#"
import base64, hashlib, hmac, sys, time
import requests
url, access_id, secret, path, late, suffix = sys.argv[1:]
request = requests.Request("POST", url, files={"file": open(path, "rb")}).prepare()
stamp = str(int(time.time()) - int(late))
signed = stamp.encode() + access_id.encode() + request.body + suffix.encode()
digest = hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()
request.headers.update({"AccessId": access_id, "TimeStamp": stamp, "Sign": base64.b64encode(digest.encode()).decode()})
print(requests.Session().send(request).text)
"#;

#[test]
fn an_upload_is_authenticated_by_the_signature_of_its_whole_body() {
    let desk = Desk::open();
    let file = desk.file("accounts.txt", accounts(100_000));
    let sign = |secret: &str, late: &str, suffix: &str| {
        let mut command = python("requests");
        command.args(["-c", SIGNING, &desk.server.url(UPLOAD), &desk.app.access_id.to_string(), secret]);
        json_in(&run(command.arg(&file).args([late, suffix])))
    };
    let secret = desk.app.secret_key.as_str();
    assert_eq!(desk.package(&sign(secret, "0", ""))["rows"], 100_000);
    assert_eq!(desk.package(&sign(secret, "200", ""))["rows"], 100_000, "clocks may differ a little");
    for (answer, says) in [
        (sign(secret, "0", "x"), "Sign"),
        (sign("another secret", "0", ""), "Sign"),
        (sign(secret, "400", ""), "TimeStamp"),
        (sign(secret, "-400", ""), "TimeStamp"),
    ] {
        assert_eq!(answer["retCode"], 1_008_003, "{answer}");
        assert!(answer["errMsg"].as_str().is_some_and(|text| text.contains(says)), "{answer}");
        assert!(!answer.to_string().contains(secret), "a secret is not told");
    }
    assert_eq!(
        desk.server.package_files().len(),
        2,
        "what was refused left nothing: {:?}",
        desk.server.package_files()
    );
}

#[test]
fn credentials_that_do_not_fit_are_refused_with_the_published_codes() {
    let desk = Desk::open();
    let file = format!("file=@{}", desk.file("accounts.txt", accounts(10)).display());
    let ask = |authorization: &str| json_in(&run(desk.curl(authorization).args(["-F", &file])));
    let basic = |user: &str, password: &str| {
        let encoded = run(require("python3").args([
            "-c",
            "import base64, sys; print(base64.b64encode(':'.join(sys.argv[1:]).encode()).decode())",
            user,
            password,
        ]));
        format!("Basic {}", encoded.trim())
    };
    let id = desk.app.access_id.to_string();
    let secret = desk.app.secret_key.as_str();
    assert_eq!(ask(&basic(&id, secret))["retCode"], 0);
    for (authorization, code, says) in [
        (basic("1500999999", secret), 1_008_035, "Guangzhou"),
        (basic("not a number", secret), 1_008_035, "Guangzhou"),
        (basic(&id, "another secret"), 1_008_003, "SecretKey"),
        (basic(&id, ""), 1_008_003, "SecretKey"),
        ("Basic ???".into(), 1_008_003, "Authorization"),
        ("Bearer abc".into(), 1_008_003, "Authorization"),
        (String::new(), 1_008_003, "no credentials"),
    ] {
        let answer = ask(&authorization);
        assert_eq!(answer["retCode"], code, "{authorization}: {answer}");
        assert!(answer["errMsg"].as_str().is_some_and(|text| text.contains(says)), "{authorization}: {answer}");
        assert_eq!(answer["uploadId"], 0, "{answer}");
    }
    assert_eq!(desk.server.package_files().len(), 1, "what was refused left nothing");
}

#[test]
fn a_chunked_body_is_read_to_its_end() {
    let desk = Desk::open();
    let file = format!("file=@{}", desk.file("accounts.txt", accounts(100_000)).display());
    let mut curl = desk.curl(&desk.app.basic());
    let answer = json_in(&run(curl.args(["-H", "Transfer-Encoding: chunked", "-F", &file])));
    assert_eq!(desk.package(&answer)["rows"], 100_000);

    // -T reads as it sends, and knows no length.
    let body = "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.txt\"\r\n\r\nab\ncd\n\r\n--b--\r\n";
    let body = desk.file("body", body);
    let mut curl = desk.curl(&desk.app.basic());
    curl.args(["-X", "POST", "-H", "Content-Type: multipart/form-data; boundary=b", "-T", "-"]);
    let piped = fs::File::open(body).expect("the file is there");
    let output = curl.stdin(piped).output().expect("curl can be run");
    assert_eq!(desk.package(&json_in(&String::from_utf8_lossy(&output.stdout)))["rows"], 2);
}

#[test]
fn a_client_that_waits_for_100_continue_is_let_go_on_or_answered_at_once() {
    let desk = Desk::open();
    let file = format!("file=@{}", desk.file("accounts.txt", accounts(200_000)).display());
    // curl would go on by itself after this time: a server that says nothing would be seen by the deadline of 60 s.
    let wait = ["--expect100-timeout", "300", "-H", "Expect: 100-continue", "-v", "-F", &file];
    let taken = desk.curl(&desk.app.basic()).args(wait).output().expect("curl can be run");
    let heard = String::from_utf8_lossy(&taken.stderr);
    assert!(heard.contains("< HTTP/1.1 100"), "{heard}");
    assert_eq!(desk.package(&json_in(&String::from_utf8_lossy(&taken.stdout)))["rows"], 200_000);

    let refused = desk.curl("Basic MTpi").args(wait).output().expect("curl can be run");
    let heard = String::from_utf8_lossy(&refused.stderr);
    assert!(refused.status.success(), "{heard}");
    assert!(!heard.contains("< HTTP/1.1 100"), "what will be refused need not be sent: {heard}");
    assert_eq!(json_in(&String::from_utf8_lossy(&refused.stdout))["retCode"], 1_008_035);
}

#[test]
fn a_file_name_is_what_follows_the_last_slash_or_backslash() {
    let desk = Desk::open();
    let file = desk.file("accounts.txt", accounts(10));
    let file = file.display();
    for (field, name) in [
        (format!("file=@{file};filename=C:\\Users\\me\\my list.txt"), "my list.txt"),
        (format!("file=@{file};filename=/home/me/list.txt"), "list.txt"),
        (format!("file=@{file};filename=号码包.txt"), "号码包.txt"),
        (format!("file=@{file};filename=LIST.TXT"), "LIST.TXT"),
        (format!("file=@{file};filename=a \"quoted\" list.txt"), "a \"quoted\" list.txt"),
        (format!("file=@{file};filename=a;type=multipart/form-data"), "a"),
    ] {
        let answer = json_in(&run(desk.curl(&desk.app.basic()).args(["-F", &field])));
        assert_eq!(desk.package(&answer)["file_name"], name, "{field}");
    }
}

#[test]
fn what_is_peculiar_about_a_form_does_not_matter_to_the_file_in_it() {
    let desk = Desk::open();
    let file = format!("file=@{}", desk.file("accounts.txt", accounts(10)).display());
    let labelled = format!("{file};type=multipart/form-data");
    for form in [
        &["-F", labelled.as_str()][..],
        &["-F", "fileName=/tmp/accounts.txt", "-F", &file],
        &["-F", &file, "-F", "platform=android", "-F", "empty="],
        &["--http1.0", "-F", &file],
    ] {
        let answer = json_in(&run(desk.curl(&desk.app.basic()).args(form)));
        assert_eq!(desk.package(&answer)["rows"], 10, "{form:?}");
    }
}

#[test]
fn a_refusal_reaches_clients_that_are_still_sending() {
    let desk = Desk::open();
    let large = desk.file("large.txt", accounts(4_000_000));
    let bytes = fs::metadata(&large).expect("it is there").len();
    assert!((50 << 20..100 << 20).contains(&bytes), "large, and within the limit: {bytes}");
    let field = format!("file=@{}", large.display());
    // Without Expect, curl sends all of it whatever comes back.
    let answer = json_in(&run(desk.curl("Basic MTpi").args(["-H", "Expect:", "-F", &field])));
    assert_eq!(answer["retCode"], 1_008_035);
    let small = format!("file=@{}", desk.file("small.txt", accounts(10)).display());
    let answer = json_in(&run(desk.curl(&desk.app.basic()).args(["-H", "Expect:", "-F", &small, "-F", &field])));
    assert_eq!(answer["retCode"], 1_008_007, "two files: {answer}");

    let script = "import requests, sys\n\
                  print(requests.post(sys.argv[1], files={'file': open(sys.argv[2], 'rb')}, auth=('1', 'b')).text)";
    let mut requests = python("requests");
    requests.args(["-c", script, &desk.server.url(UPLOAD)]).arg(&large);
    assert_eq!(json_in(&run(&mut requests))["retCode"], 1_008_035);
    assert_eq!(desk.server.package_files(), Vec::<String>::new());
    assert_eq!(desk.app.own("GET", "/v1/packages").1["packages"], json!([]));
}
