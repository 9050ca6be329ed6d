//! Sorted: checked rows into the database in the order of its tables, whatever order the file has.
//!
//! Rows are sorted by token and loaded; the bindings that are left are sorted by account and loaded. Each is a line of
//! text for the sorter, in files that have no name where the memory does not hold it. Names, tokens, channels, tags and
//! attributes hold no control characters, so a tab ends each of them, and orders before whatever could go on.

use std::fmt::Write as _;
use std::io;
use std::path::Path;

use indicatif::ProgressBar;
use pigeonloft_model::{AccessId, DeviceId, Environment, TagType, Token};
use pigeonloft_package::RowSorter;
use pigeonloft_store::{AccountKey, Binding, ChannelToken, Import, ImportRow};

use super::columns::Columns;
use super::intake::Sums;
use super::row::Row;
use crate::cli::failure::Failure;
use crate::cli::progress;

/// Memory of each of the two sortings, bytes.
const SORT_MEMORY: usize = 32 << 20;

/// Rows of a transaction, at least: a running server's own writes wait for one. Twice as many at most, where the last
/// device has more rows.
const CHUNK_ROWS: usize = 20_000;

/// What an attribute in a line begins with; a tag begins with a digit.
const ATTRIBUTE: char = '@';

/// Characters of a row's number, in hexadecimal.
const NUMBER_CHARS: usize = 10;

/// Rows of a file, on their way into the database.
pub(super) struct Sorted {
    sorter: RowSorter,
    line: String,
    rows: u64,
}

impl Sorted {
    /// Nothing yet; what exceeds the memory goes to files in `dir`.
    pub(super) fn new(dir: &Path) -> Self {
        Self { sorter: RowSorter::new(dir, SORT_MEMORY), line: String::new(), rows: 0 }
    }

    /// Takes a row, which has a token.
    pub(super) fn push(&mut self, row: &Row) -> Result<(), Failure> {
        self.line.clear();
        write_row(&mut self.line, row, self.rows);
        self.rows += 1;
        self.sorter.push(&self.line).map_err(|error| cannot_sort(&error))
    }

    /// Puts the rows into the database of a data folder.
    pub(super) fn load(self, data_dir: &Path, app: AccessId, columns: &Columns) -> Result<Sums, Failure> {
        let mut load = Load {
            import: Import::begin(data_dir, app)?.with_attributes(columns.attributes()),
            sums: Sums::default(),
            accounts: RowSorter::new(data_dir, SORT_MEMORY),
            bindings: 0,
            line: String::new(),
        };
        let bar = progress::of_things(self.rows, "devices");
        let devices = load.devices(self.sorter, &bar);
        bar.finish_and_clear();
        devices.and_then(|()| load.accounts(data_dir)).map_err(|failure| failure.hint(load.left()))?;
        load.import.finish()?;
        Ok(load.sums)
    }
}

/// An import under way.
struct Load {
    import: Import,
    sums: Sums,
    accounts: RowSorter,
    bindings: u64,
    line: String,
}

impl Load {
    /// The first half: the devices.
    fn devices(&mut self, sorter: RowSorter, bar: &ProgressBar) -> Result<(), Failure> {
        let mut chunk: Vec<ImportRow> = Vec::with_capacity(CHUNK_ROWS);
        each_row(sorter, |text| {
            let row = read_row(text)?;
            let next_device = chunk.last().is_some_and(|last| last.token != row.token);
            if chunk.len() >= 2 * CHUNK_ROWS || chunk.len() >= CHUNK_ROWS && next_device {
                self.device_chunk(&mut chunk, bar)?;
            }
            chunk.push(row);
            Ok(())
        })?;
        self.device_chunk(&mut chunk, bar)
    }

    fn device_chunk(&mut self, chunk: &mut Vec<ImportRow>, bar: &ProgressBar) -> Result<(), Failure> {
        let (imported, bindings) = self.import.devices(chunk)?;
        self.sums.new += imported.new;
        self.sums.known += imported.known;
        for binding in &bindings {
            self.line.clear();
            write_binding(&mut self.line, binding);
            self.accounts.push(&self.line).map_err(|error| cannot_sort(&error))?;
        }
        self.bindings += bindings.len() as u64;
        bar.inc(chunk.len() as u64);
        chunk.clear();
        Ok(())
    }

    /// The second half: the accounts.
    fn accounts(&mut self, data_dir: &Path) -> Result<(), Failure> {
        let bar = progress::of_things(self.bindings, "accounts");
        let sorter = std::mem::replace(&mut self.accounts, RowSorter::new(data_dir, SORT_MEMORY));
        let mut chunk: Vec<Binding> = Vec::with_capacity(CHUNK_ROWS);
        let done = each_row(sorter, |text| {
            chunk.push(read_binding(text)?);
            if chunk.len() == CHUNK_ROWS {
                self.account_chunk(&mut chunk, &bar)?;
            }
            Ok(())
        });
        let done = done.and_then(|()| self.account_chunk(&mut chunk, &bar));
        bar.finish_and_clear();
        done
    }

    fn account_chunk(&mut self, chunk: &mut Vec<Binding>, bar: &ProgressBar) -> Result<(), Failure> {
        let rows = chunk.len() as u64;
        self.sums.bound += self.import.accounts(chunk)?;
        bar.inc(rows);
        chunk.clear();
        Ok(())
    }

    /// What an import that ends early leaves behind.
    fn left(&self) -> String {
        let Sums { new, known, bound, .. } = self.sums;
        format!(
            "{} rows are in and stay, {bound} of their accounts are bound; repeated, the import brings their devices up \
             to date",
            new + known
        )
    }
}

/// Hands over the sorter's rows until `each` fails.
fn each_row(sorter: RowSorter, mut each: impl FnMut(&str) -> Result<(), Failure>) -> Result<(), Failure> {
    let mut failed = None;
    let done = sorter.finish(|row| {
        let text = std::str::from_utf8(row).map_err(io::Error::other)?;
        each(text).map_err(|failure| {
            failed = Some(failure);
            io::Error::other("the import ends")
        })
    });
    match failed {
        Some(failure) => Err(failure),
        None => done.map_err(|error| cannot_sort(&error)),
    }
}

fn cannot_sort(error: &io::Error) -> Failure {
    Failure::of("cannot sort the rows in files of the data folder", error)
}

/// What a sorter gives back is not what it was given.
fn not_ours() -> Failure {
    cannot_sort(&io::ErrorKind::InvalidData.into())
}

/// Writes a row so that rows order by token, and those of a token by their number.
fn write_row(line: &mut String, row: &Row, number: u64) {
    line.push_str(row.token.as_ref().map(Token::as_str).unwrap_or_default());
    // Writing to a string does not fail.
    let _ = write!(line, "{number:0NUMBER_CHARS$x}\t");
    if let Some(AccountKey { account_type, name }) = &row.account {
        let _ = write!(line, "{account_type}");
        line.extend(["\t", name]);
    } else {
        line.push('\t');
    }
    for part in row.channel.as_ref().map_or(["", ""], |to| [to.channel.as_str(), &to.token]) {
        line.extend(["\t", part]);
    }
    line.push_str(match row.environment {
        None => "\t",
        Some(Environment::Product) => "\tproduct",
        Some(Environment::Dev) => "\tdev",
    });
    for (kind, name) in &row.reported {
        let _ = write!(line, "\t{} {name}", kind.code());
    }
    for (nth, value) in &row.attributes {
        let _ = write!(line, "\t{ATTRIBUTE}{nth} {value}");
    }
}

fn read_row(line: &str) -> Result<ImportRow, Failure> {
    let (token, rest) = line.split_at_checked(Token::LENGTH).ok_or_else(not_ours)?;
    let mut parts = rest.split('\t').skip(1);
    let mut part = || parts.next().ok_or_else(not_ours);
    let (account_type, name, channel, channel_token, environment) = (part()?, part()?, part()?, part()?, part()?);
    let account = if name.is_empty() {
        None
    } else {
        Some(AccountKey { account_type: account_type.parse().map_err(|_| not_ours())?, name: name.to_owned() })
    };
    let (mut reported, mut attributes) = (Vec::new(), Vec::new());
    for part in parts {
        let (code, text) = part.split_once(' ').ok_or_else(not_ours)?;
        if let Some(nth) = code.strip_prefix(ATTRIBUTE) {
            attributes.push((nth.parse().map_err(|_| not_ours())?, text.to_owned()));
        } else {
            let kind = code.parse().ok().and_then(|code: i64| TagType::try_from(code).ok()).ok_or_else(not_ours)?;
            reported.push((kind, text.to_owned()));
        }
    }
    Ok(ImportRow {
        reported,
        attributes,
        token: token.parse().map_err(|_| not_ours())?,
        password_hash: None,
        account,
        channel: match channel {
            "" => None,
            name => {
                let channel = name.parse().map_err(|_| not_ours())?;
                Some(ChannelToken { channel, token: channel_token.to_owned(), detail: None })
            }
        },
        environment: match environment {
            "product" => Some(Environment::Product),
            "dev" => Some(Environment::Dev),
            _ => None,
        },
    })
}

/// Writes a binding so that bindings order as the table of accounts does.
fn write_binding(line: &mut String, Binding { account, device }: &Binding) {
    let _ = write!(line, "{:08x}{}\t{:016x}", account.account_type, account.name, device.0);
}

fn read_binding(line: &str) -> Result<Binding, Failure> {
    let (account_type, rest) = line.split_at_checked(8).ok_or_else(not_ours)?;
    let (name, device) = rest.split_once('\t').ok_or_else(not_ours)?;
    Ok(Binding {
        account: AccountKey {
            account_type: u32::from_str_radix(account_type, 16).map_err(|_| not_ours())?,
            name: name.to_owned(),
        },
        device: DeviceId(i64::from_str_radix(device, 16).map_err(|_| not_ours())?),
    })
}

#[cfg(test)]
mod tests {
    use pigeonloft_model::Channel;

    use super::*;

    fn row(n: u8) -> Row {
        Row {
            token: Some(Token::from_bytes([n; 18])),
            account: None,
            channel: None,
            environment: None,
            reported: Vec::new(),
            attributes: Vec::new(),
        }
    }

    #[test]
    fn a_line_gives_back_what_it_was_made_of() {
        let account = AccountKey { account_type: 1002, name: "张 三".into() };
        let full = Row {
            account: Some(account.clone()),
            channel: Some(ChannelToken { channel: Channel::Apns, token: "a:b".into(), detail: None }),
            environment: Some(Environment::Dev),
            reported: vec![(TagType::AppVersion, "1.2 beta".into()), (TagType::Province, "广东".into())],
            attributes: vec![(0, "7 @ 无锡".into()), (12, "@1 x".into())],
            ..row(1)
        };
        let named = Row { account: Some(account), ..row(2) };
        for row in [full, named, Row { environment: Some(Environment::Product), ..row(3) }, row(4)] {
            let mut line = String::new();
            write_row(&mut line, &row, 5_000_000);
            let read = read_row(&line).unwrap();
            assert_eq!(
                (Some(read.token), read.account, read.channel, read.environment, read.reported, read.attributes),
                (row.token, row.account, row.channel, row.environment, row.reported, row.attributes)
            );
        }
    }

    #[test]
    fn lines_of_rows_order_by_token_then_number() {
        let line = |n, number| {
            let mut line = String::new();
            write_row(&mut line, &row(n), number);
            line
        };
        let ordered = [line(1, 9), line(1, 10), line(1, 1 << 30), line(2, 0), line(0xf0, 0)];
        assert!(ordered.is_sorted(), "{ordered:?}");
    }

    #[test]
    fn lines_of_bindings_order_as_bindings_do_and_give_them_back() {
        let binding = |account_type, name: &str, device| Binding {
            account: AccountKey { account_type, name: name.into() },
            device: DeviceId(device),
        };
        let mut bindings = [
            binding(0, "ann", 7),
            binding(0, "ann", 300),
            binding(0, "ann b", 1),
            binding(0, "anna", 2),
            binding(0, "张三", 3),
            binding(5, "ann", 1),
            binding(1015, "ann", 1),
        ];
        bindings.sort();
        let lines = bindings.clone().map(|binding| {
            let mut line = String::new();
            write_binding(&mut line, &binding);
            line
        });
        assert!(lines.is_sorted(), "{lines:?}");
        assert_eq!(lines.map(|line| read_binding(&line).unwrap()), bindings);
    }
}
