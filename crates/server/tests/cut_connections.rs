//! Cut connections: uploads that end at every stage, by a farewell, by a reset and by silence. Nothing of them is left, the
//! turn they had is given back, and nobody else notices.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};

use pigeonloft_testkit::{App, Fleet, Form, Server, pigeonloft, raw, until};
use serde_json::json;

/// How a client ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Closes its side, and reads what comes.
    Farewell,
    /// Breaks off.
    Reset,
    /// Says nothing more.
    Silence,
}

/// How many bytes of an upload are sent, of each stage it goes through.
fn stages(head: &str, body: &[u8]) -> Vec<(&'static str, usize)> {
    let form_head = body.windows(4).position(|bytes| bytes == b"\r\n\r\n").expect("a form has a head") + 4;
    let last_boundary = body.len() - body.iter().rev().skip(2).position(|byte| *byte == b'\n').expect("a line");
    vec![
        ("nothing", 0),
        ("in the head", head.len() / 2),
        ("the head", head.len()),
        ("in the form's head", head.len() + form_head / 2),
        ("the form's head", head.len() + form_head),
        ("in the file", head.len() + body.len() / 2),
        ("before the last boundary", head.len() + last_boundary),
        ("in the last boundary", head.len() + last_boundary + 7),
        ("all but the last byte", head.len() + body.len() - 1),
    ]
}

fn end(mut stream: TcpStream, way: Way, what: &str) {
    match way {
        Way::Farewell => {
            stream.shutdown(Shutdown::Write).expect("it is open");
            if let Some(answer) = raw::answer(&mut stream) {
                assert!(!answer.body.contains("\"retCode\":0"), "{what}: {answer:?}");
            }
        }
        Way::Reset => raw::reset(stream),
        Way::Silence => {
            // Whether it is told so or not, the server does not wait for it for ever.
            let mut heard = Vec::new();
            let _ = stream.read_to_end(&mut heard);
            let heard = String::from_utf8_lossy(&heard);
            assert!(!heard.contains("\"retCode\":0"), "{what}: {heard}");
        }
    }
}

fn assert_nothing_is_left(server: &Server, app: &App, what: &str) {
    until(&format!("nothing is left of an upload cut off after {what}"), || {
        server.package_files().is_empty().then_some(())
    });
    assert_eq!(app.own("GET", "/v1/packages").1["packages"], json!([]), "{what}");
}

#[test]
fn an_upload_cut_off_at_any_stage_and_in_any_way_leaves_nothing_and_gives_its_turn_back() {
    let server = pigeonloft!()
        .set("package.uploads_at_once", 2)
        .set("package.sort_memory_bytes", 65_536)
        .set("http.header_timeout_s", 1)
        .set("http.body_idle_timeout_s", 1)
        .start();
    let app = server.app("android");
    let (_fleet, phones) = Fleet::of(&server, [app.register_device(Some("ann"))]);
    let rows: String = (0..100_000).map(|row| format!("row-{row:08}\n")).collect();
    let form = Form::of_file("list.txt", rows.as_bytes());
    let (head, body) = (raw::upload_head(&app, &form), form.body());
    let request = [head.as_bytes(), &body].concat();
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        // Meanwhile others go about their work.
        let pushing = scope.spawn(|| {
            let mut pushes = 0;
            while !is_over.load(Ordering::Acquire) {
                let push_id = app.pushed(json!({ "audience_type": "account", "account_list": ["ann"] }));
                pushes += 1;
                assert_eq!(phones[0].wait_for_messages(pushes)[pushes - 1].push_id, push_id);
            }
            pushes
        });
        for way in [Way::Farewell, Way::Reset, Way::Silence] {
            for (stage, sent) in stages(&head, &body) {
                let what = format!("{stage}, {way:?}");
                let mut stream = raw::connect(server.http());
                stream.write_all(&request[..sent]).expect("the server reads");
                end(stream, way, &what);
                assert_nothing_is_left(&server, &app, &what);
            }
        }
        is_over.store(true, Ordering::Release);
        println!("{} pushes meanwhile", pushing.join().expect("nobody noticed"));
    });
    // As many as there are turns at once: none of them was lost.
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| assert_eq!(app.upload_form(&form)["retCode"], 0));
        }
    });
    assert_eq!(server.package_files().len(), 4);
}
