//! The row readers against naive ones, on arbitrary bytes and arbitrary chunk borders.

use crate::support::{Naive, files, folder, head_is_refused, rows, take};
use pigeonloft_package::{BadRows, IntakeError, Limits, Refusal, verify};
use proptest::prelude::*;

/// Pieces that meet the rules of rows at their borders.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    let fixed = prop::sample::select(vec![
        "\n",
        "\r\n",
        "\r",
        " ",
        "\t",
        "\u{3000}",
        "\u{a0}",
        "\u{85}",
        "a",
        "ab",
        "abc",
        "名",
        "名单",
        "\u{feff}",
        "\0",
        "\u{1f426}",
        ",",
        "\"",
        "\"\"",
        "'",
        "\u{7f}",
    ])
    .prop_map(|text| text.as_bytes().to_vec());
    prop_oneof![
        12 => fixed,
        3 => "[a-c]{2,4}".prop_map(|text| format!("{text}\n").into_bytes()),
        1 => (95usize..105).prop_map(|n| vec![b'x'; n]),
        1 => (95usize..105).prop_map(|n| "名".repeat(n).into_bytes()),
        1 => (400usize..1500).prop_map(|n| vec![b' '; n]),
        1 => prop::collection::vec(any::<u8>(), 0..4),
    ]
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        9 => prop::collection::vec(piece(), 0..60).prop_map(|pieces| pieces.concat()),
        1 => prop::collection::vec(any::<u8>(), 0..300),
    ]
}

fn cuts() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(any::<usize>(), 0..40)
}

/// The naive reader of csv: one character after another, whole file in memory. `None` for a refusal of the file.
fn naive_csv(bytes: &[u8]) -> Option<Naive> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut records: Vec<(u64, Vec<u8>, bool)> = Vec::new();
    let (mut at, mut line) = (0, 1);
    while at < bytes.len() {
        let record_line = line;
        let blanks = bytes[at..].iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
        let (mut value, mut spoiled) = (Vec::new(), false);
        let mut closed = true;
        if bytes.get(at + blanks) == Some(&b'"') {
            at += blanks + 1;
            closed = false;
            while at < bytes.len() {
                match (bytes[at], bytes.get(at + 1)) {
                    (b'"', Some(b'"')) => at += 1,
                    (b'"', _) => {
                        closed = true;
                        at += 1;
                        break;
                    }
                    (b'\n', _) => line += 1,
                    _ => {}
                }
                value.push(bytes[at]);
                at += 1;
            }
            let rest = bytes[at..].iter().take_while(|byte| !matches!(byte, b'\n' | b',')).count();
            spoiled = bytes[at..at + rest].iter().any(|byte| !matches!(byte, b' ' | b'\t' | b'\r'));
            at += rest;
        } else {
            let rest = bytes[at..].iter().take_while(|byte| !matches!(byte, b'\n' | b',')).count();
            value.extend_from_slice(&bytes[at..at + rest]);
            at += rest;
        }
        if !closed || bytes.get(at) == Some(&b',') {
            return None;
        }
        records.push((record_line, value, spoiled));
        at += 1;
        line += 1;
    }
    let mut naive = Naive::of_rows(records.iter().filter(|r| !r.2).map(|r| (r.0, &r.1[..])));
    naive.bad.extend(records.iter().filter(|r| r.2).map(|r| (r.0, pigeonloft_package::Reason::AfterQuote)));
    naive.bad.sort_by_key(|bad| bad.0);
    Some(naive)
}

/// Everything that must hold of one file, whatever it is.
fn law(name: &str, bytes: &[u8], cuts: &[usize], naive: Option<Naive>) {
    let dir = folder();
    let outcome = take(dir.path(), name, bytes, cuts, Limits::default(), BadRows::Skip);
    if bytes.is_empty() {
        assert!(matches!(outcome, Err(IntakeError::Refused(Refusal::Empty))));
        return;
    }
    if head_is_refused(bytes) {
        // A second column within the first bytes is refused no earlier than these.
        assert!(
            matches!(outcome, Err(IntakeError::Refused(Refusal::Encoding { .. } | Refusal::ArchiveAsText))),
            "{outcome:?}"
        );
        return;
    }
    let Some(naive) = naive else {
        let refused =
            matches!(outcome, Err(IntakeError::Refused(Refusal::SecondColumn { .. } | Refusal::UnclosedQuote { .. })));
        assert!(refused, "{outcome:?}");
        return;
    };
    if naive.is_foreign() {
        assert!(matches!(outcome, Err(IntakeError::Refused(Refusal::Encoding { .. }))), "{outcome:?}");
        return;
    }
    if naive.good == 0 {
        match outcome {
            Err(IntakeError::Refused(Refusal::NoRows { blanks })) => {
                assert_eq!((blanks, naive.bad.len()), (naive.blanks, 0));
            }
            Err(IntakeError::Refused(Refusal::BadRows { count, .. })) => assert_eq!(count, naive.bad.len() as u64),
            other => panic!("{other:?}"),
        }
        assert_eq!(files(dir.path()), [""; 0]);
        return;
    }
    let published = outcome.unwrap();
    let summary = &published.summary;
    assert_eq!(
        (summary.rows, summary.duplicates, summary.blanks, summary.bad_rows),
        (naive.rows.len() as u64, naive.good - naive.rows.len() as u64, naive.blanks, naive.bad.len() as u64)
    );
    let first: Vec<_> = summary.bad_first.iter().map(|bad| (bad.line, bad.reason)).collect();
    assert_eq!(first, naive.bad[..naive.bad.len().min(10)]);
    assert_eq!(summary.not_tokens, naive.rows.iter().filter(|row| row.chars().count() != 36).count() as u64);
    assert_eq!(rows(&published.path, 7), naive.rows.into_iter().collect::<Vec<_>>());
    assert_eq!(verify(&published.path).unwrap(), summary.rows);
    assert_eq!(published.rejected.is_some(), summary.bad_rows > 0);
    assert_eq!(files(dir.path()).len(), 1 + usize::from(published.rejected.is_some()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(800))]

    #[test]
    fn a_txt_file_comes_to_what_a_naive_reader_finds(bytes in bytes(), cuts in cuts()) {
        law("list.txt", &bytes, &cuts, Some(Naive::of_txt(&bytes)));
    }

    #[test]
    fn a_csv_file_comes_to_what_a_naive_reader_finds(bytes in bytes(), cuts in cuts()) {
        law("list.csv", &bytes, &cuts, naive_csv(&bytes));
    }

    #[test]
    fn where_a_file_is_torn_changes_nothing(bytes in bytes(), cuts in cuts()) {
        let dir = folder();
        for name in ["list.txt", "list.csv", "list"] {
            let [whole, torn] = [&[][..], &cuts].map(|cuts| {
                take(dir.path(), name, &bytes, cuts, Limits::default(), BadRows::Skip)
                    .map(|published| (published.summary, std::fs::read(published.path).unwrap()))
                    .map_err(|error| error.to_string())
            });
            prop_assert_eq!(whole, torn);
        }
    }
}

#[test]
fn a_row_too_long_to_keep_is_judged_and_shown_as_if_it_were_kept() {
    let blanks = " \u{3000}".repeat(2000);
    let dir = folder();
    for row in [
        &format!("{blanks}user1{blanks}").into_bytes()[..],
        blanks.as_bytes(),
        &format!("{blanks}a{blanks}").into_bytes(),
        &format!("a{blanks}b\0").into_bytes(),
        &format!("ab\t{blanks}").into_bytes(),
        &[blanks.as_bytes(), b"ab\xe4"].concat(),
        &[blanks.as_bytes(), b"ab\xe4\r\r"].concat(),
        &[blanks.as_bytes(), b"\xe4ab", blanks.as_bytes()].concat(),
        &[b"ab\xe5\x90", blanks.as_bytes()].concat(),
        "\u{540d}".repeat(3000).as_bytes(),
    ] {
        let file = [b"user1\nuser2\nuser3\n", row, b"\nuser4\n"].concat();
        let [whole, torn] = [vec![], (0..file.len()).step_by(7).collect()].map(|cuts| {
            let published = take(dir.path(), "list.txt", &file, &cuts, Limits::default(), BadRows::Skip).unwrap();
            (published.summary, published.rejected.map(|path| std::fs::read_to_string(path).unwrap()))
        });
        assert_eq!(whole, torn);
        let naive = Naive::of_txt(&file);
        assert_eq!((whole.0.rows, whole.0.blanks), (naive.rows.len() as u64, naive.blanks));
        let bad: Vec<_> = whole.0.bad_first.iter().map(|bad| (bad.line, bad.reason)).collect();
        assert_eq!(bad, naive.bad);
    }
}
