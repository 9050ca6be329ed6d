//! Cases of txt and csv files, and of file names.

use super::{Case, refused, taken};
use crate::RefusalKind::{Empty, Invalid};

const TOKENS: &str = "03f2a1b4c5d6e7f8091a2b3c4d5e6f708192\n03f2a1b4c5d6e7f8091a2b3c4d5e6f708193\n";

pub(super) fn cases() -> Vec<Case> {
    let mut cases = names();
    cases.extend(rows());
    cases.extend(encodings());
    cases.extend(csv());
    cases
}

fn names() -> Vec<Case> {
    let longest = format!("{}.txt", "n".repeat(96));
    let longest_chinese = format!("{}.txt", "名".repeat(96));
    let says = &["101 characters", "at most 100"];
    vec![
        taken("a name of 100 characters", &longest, TOKENS, [2, 0, 0]),
        taken("a name of 100 Chinese characters", &longest_chinese, TOKENS, [2, 0, 0]),
        refused("a name of 101 characters", &format!("n{longest}"), TOKENS, Invalid, says),
        refused("a name of 101 Chinese characters", &format!("名{longest_chinese}"), TOKENS, Invalid, says),
        taken("a whole path as name", "C:\\File upload with absolute path\\list.txt", TOKENS, [2, 0, 0]),
        taken("an extension in capitals", "LIST.TXT", TOKENS, [2, 0, 0]),
        taken("the name of the 2019 sample, text in it", "File name", "user1\nuser2\n\r\n", [2, 0, 1]),
        refused("a name of another extension", "list.xlsx", TOKENS, Invalid, &["list.xlsx", ".zip, .txt or .csv"]),
    ]
}

fn rows() -> Vec<Case> {
    let longest = "x".repeat(100);
    let longest_chinese = "名".repeat(100);
    vec![
        taken("two tokens", "list.txt", TOKENS, [2, 0, 0]),
        taken("lines that end with LF", "list.txt", "user1\nuser2\n", [2, 0, 0]),
        taken("lines that end with CRLF", "list.txt", "user1\r\nuser2\r\n", [2, 0, 0]),
        taken("both line ends in one file", "list.txt", "user1\r\nuser2\nuser3\r\n", [3, 0, 0]),
        taken("a last line without its end", "list.txt", "user1\nuser2", [2, 0, 0]),
        taken("a byte order mark", "list.txt", "\u{feff}user1\nuser1\n", [1, 1, 0]),
        taken("blank rows", "list.txt", "\nuser1\n\n \t\r\n\u{3000}\nuser2\n\n", [2, 0, 5]),
        taken("blanks around rows", "list.txt", " user1\t\n\u{3000}user1\u{a0}\n", [1, 1, 0]),
        taken("duplicates", "list.txt", "user1\nuser2\nuser1\nuser1\n", [2, 2, 0]),
        taken("blanks inside a row", "list.txt", "user one\nuser  one\n", [2, 0, 0]),
        taken("a comma and a quote in a txt file", "list.txt", "a,b\n\"c\n", [2, 0, 0]),
        taken("rows of 2 characters", "list.txt", "ab\n名单\n", [2, 0, 0]),
        taken("rows of 100 characters", "list.txt", format!("{longest}\n{longest_chinese}\n"), [2, 0, 0]),
        refused("a row of 1 character", "list.txt", "user1\na\n", Invalid, &["1 bad row", "line 2", "at least 2"]),
        refused("a row of 1 Chinese character", "list.txt", "名\n用户\n", Invalid, &["1 bad row", "line 1", "名"]),
        refused(
            "a row of 101 characters",
            "list.txt",
            format!("user1\n\n{longest}x\n"),
            Invalid,
            &["line 3", "101 characters of at most 100"],
        ),
        refused(
            "a row of 101 Chinese characters",
            "list.txt",
            format!("{longest_chinese}名\n"),
            Invalid,
            &["line 1", "101 characters of at most 100"],
        ),
        refused(
            "twelve bad rows",
            "list.txt",
            format!("user1\n{}", "b\n".repeat(12)),
            Invalid,
            &["12 bad rows", "line 2:", "line 11:", "and 2 more", "bad_rows = skip"],
        ),
        refused("a NUL in a row", "list.txt", "user1\nus\0er2\n", Invalid, &["line 2", "U+0000"]),
        refused(
            "a tab in a row",
            "list.txt",
            "user1\tname\n",
            Invalid,
            &["line 1", "U+0009", "a tab: keep one column"],
        ),
        refused(
            "lines that end with CR alone",
            "list.txt",
            "user1\ruser2\r",
            Invalid,
            &["line 1", "U+000D", "LF or CRLF"],
        ),
        refused("no byte at all", "list.txt", "", Empty, &["empty", "one account or token per row"]),
        refused("nothing but blank rows", "list.txt", "\n \r\n\n", Empty, &["no rows", "3 blank"]),
        refused("nothing but a byte order mark", "list.txt", "\u{feff}", Empty, &["no rows; write"]),
    ]
}

fn encodings() -> Vec<Case> {
    let text = "user1\r\n用户2\r\nuser3\r\n";
    let little: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let big: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
    let plain: Vec<u8> = "user1\nuser2\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    // 张三, 李四, 王五, 赵六 and 用户 in GBK.
    let gbk = b"\xd5\xc5\xc8\xfd\n\xc0\xee\xcb\xc4\nuser3\n\xcd\xf5\xce\xe5\n\xd5\xd4\xc1\xf9\n\xd3\xc3\xbb\xa7\n";
    let says = &["not UTF-8", "UTF-16", "save it as UTF-8", "CSV UTF-8"];
    vec![
        refused("UTF-16 with its mark", "list.txt", [&b"\xff\xfe"[..], &little].concat(), Invalid, says),
        refused("UTF-16 of the other byte order", "list.txt", [&b"\xfe\xff"[..], &big].concat(), Invalid, says),
        refused("UTF-16 without a mark", "list.csv", plain, Invalid, says),
        refused("GBK", "list.txt", *gbk, Invalid, &["not UTF-8", "GBK", "line 1", "save it as UTF-8"]),
        refused(
            "a single bad byte",
            "list.txt",
            *b"user1\nus\xe4er2\nuser3\nuser4\n",
            Invalid,
            &["1 bad row", "line 2", "not UTF-8", "save the file as UTF-8"],
        ),
    ]
}

fn csv() -> Vec<Case> {
    let late: String =
        (1..=5000).map(|row| if row == 5000 { "a,b\n".to_owned() } else { format!("user{row}\n") }).collect();
    let says = &["second column", "one column"];
    vec![
        taken("a csv of plain values", "list.csv", "user1\r\nuser2\r\nuser1\r\n", [2, 1, 0]),
        taken("a csv with a byte order mark", "list.csv", "\u{feff}\"user1\"\nuser2\n", [2, 0, 0]),
        taken("quoted values", "list.csv", "\"user1\"\n\"user2\"\r\n\"user3\"", [3, 0, 0]),
        taken("a comma inside quotes", "list.csv", "\"user,1\"\n", [1, 0, 0]),
        taken("a quote inside quotes", "list.csv", "\"user \"\"one\"\"\"\nuser2\n", [2, 0, 0]),
        taken("the same value with and without quotes", "list.csv", "\"user1\"\nuser1\n", [1, 1, 0]),
        taken("blank rows of a csv", "list.csv", "user1\n\n\"\"\n  \n\" \"\n", [1, 0, 4]),
        refused("a second column on the first line", "list.csv", "user1,7\nuser2,8\n", Invalid, &["line 1", says[0]]),
        refused("a second column on the 5,000th line", "list.csv", late, Invalid, &["line 5000", says[0], says[1]]),
        refused(
            "a second column that is empty",
            "list.csv",
            "user1\nuser2,\n",
            Invalid,
            &["line 2", says[0], "even at the end"],
        ),
        refused("a second column after quotes", "list.csv", "\"user1\" ,x\n", Invalid, &["line 1", says[0]]),
        refused("a quote that is never closed", "list.csv", "user1\n\"user2\nuser3\n", Invalid, &["line 2", "closed"]),
        refused("a line end inside quotes", "list.csv", "\"us\ner\"\nuser2\n", Invalid, &["line 1", "U+000A"]),
        refused("text after a closing quote", "list.csv", "user1\n\"us\"er\n", Invalid, &["line 2", "closing quote"]),
        refused("no byte of a csv", "list.csv", "", Empty, &["empty"]),
    ]
}
