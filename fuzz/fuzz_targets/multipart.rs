//! Any bytes as a form, under any Content-Type, in chunks of any size.
//!
//! The first byte is the chunk size, the text up to the next line feed the Content-Type, the rest the body. Reading it
//! never panics; the events come in their order and within their bounds; where the chunks begin and end changes neither
//! events nor errors; an error is a short text on one line.

#![no_main]

#[path = "../../crates/server/src/multipart/mod.rs"]
pub mod multipart;

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use multipart::{Error, Event, MAX_FIELD_NAME_BYTES, MAX_FILE_NAME_BYTES, MAX_PARTS, Reader};

/// The longest text of an error: what it quotes is bounded, and so is all else in it.
const ERROR_CHARS: usize = 1_200;

fuzz_target!(|input: &[u8]| {
    let Some((&size, rest)) = input.split_first() else { return };
    let Some(line_end) = memchr::memchr(b'\n', rest) else { return };
    let (content_type, body) = (&rest[..line_end], Bytes::copy_from_slice(&rest[line_end + 1..]));
    let reader = || match Reader::new(content_type) {
        Ok(reader) => Some(reader),
        Err(error) => {
            refused(&error);
            None
        }
    };
    let Some(whole) = reader().map(|reader| read(reader, &body, usize::MAX)) else { return };
    for size in [usize::from(size) + 1, 1] {
        assert_eq!(reader().map(|reader| read(reader, &body, size)).as_ref(), Some(&whole));
    }
    let (events, end) = &whole;
    ordered(events, body.len());
    assert_eq!(events.last() == Some(&Event::End), end.is_ok());
    if let Err(error) = end {
        refused(error);
    }
});

/// The events of `body` in chunks of `size`, neighbouring data joined, and how it ended.
fn read(mut reader: Reader, body: &Bytes, size: usize) -> (Vec<Event>, Result<(), Error>) {
    let mut events: Vec<Event> = Vec::new();
    let mut data: Vec<u8> = Vec::new();
    let mut rest = body.clone();
    while !rest.is_empty() {
        reader.feed(rest.split_to(size.min(rest.len())));
        loop {
            match reader.next_event() {
                Ok(None) => break,
                Ok(Some(Event::Data(more))) => {
                    assert!(!more.is_empty());
                    data.extend_from_slice(&more);
                }
                Ok(Some(event)) => {
                    settle(&mut data, &mut events);
                    events.push(event);
                }
                Err(error) => {
                    settle(&mut data, &mut events);
                    return (events, Err(error));
                }
            }
        }
    }
    settle(&mut data, &mut events);
    (events, reader.finish())
}

/// Moves the data gathered so far, if any, to the events.
fn settle(data: &mut Vec<u8>, events: &mut Vec<Event>) {
    if !data.is_empty() {
        events.push(Event::Data(std::mem::take(data).into()));
    }
}

fn ordered(events: &[Event], body: usize) {
    let (mut inside, mut parts, mut bytes, mut ended) = (false, 0, 0, false);
    for event in events {
        assert!(!ended, "nothing follows the end");
        match event {
            Event::PartBegin(part) => {
                assert!(!inside);
                (inside, parts) = (true, parts + 1);
                // A byte that is not UTF-8 becomes a character of three.
                assert!(part.name.len() <= 3 * MAX_FIELD_NAME_BYTES);
                assert!(part.file_name.as_ref().is_none_or(|name| name.len() <= 3 * MAX_FILE_NAME_BYTES));
            }
            Event::Data(data) => {
                assert!(inside);
                bytes += data.len();
            }
            Event::PartEnd => {
                assert!(inside);
                inside = false;
            }
            Event::End => {
                assert!(!inside);
                ended = true;
            }
        }
    }
    assert!(parts <= MAX_PARTS && bytes <= body);
}

fn refused(error: &Error) {
    let text = error.to_string();
    assert!(!text.is_empty() && text.chars().count() <= ERROR_CHARS, "{text}");
    assert!(!text.chars().any(char::is_control), "{text:?}");
}
