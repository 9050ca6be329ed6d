//! Intake: checked rows into the database in the order of the file, a chunk at a time, with tokens and passwords issued
//! and written out on the way.

use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;

use csv::{ByteRecord, Writer};
use pigeonloft_model::{AccessId, Token};
use pigeonloft_store::{Import, ImportRow};

use super::columns::{Column, Columns};
use super::import::{Input, unreadable};
use super::row::{self, Row, Rules};
use crate::cli::failure::Failure;
use crate::password::{hex, password_hash};

/// Rows of a chunk, which is one transaction. Larger chunks fill the tables faster, and make a running server's own
/// writes wait longer.
const CHUNK_ROWS: usize = 50_000;

/// Random bytes of an issued token.
const TOKEN_BYTES: usize = 18;

/// Random bytes of an issued password, which is written in hexadecimal.
const PASSWORD_BYTES: usize = 16;

/// What an import did.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Sums {
    pub(super) new: u64,
    pub(super) known: u64,
    pub(super) bound: u64,
    pub(super) skipped: u64,
}

/// An import under way.
pub(super) struct Intake {
    import: Import,
    columns: Columns,
    rules: Rules,
    out: Out,
    chunk: Vec<Pending>,
    sums: Sums,
}

/// A row of the chunk that is being filled.
struct Pending {
    row: Row,
    /// The line as it stands in the file.
    record: ByteRecord,
}

/// A row of a chunk that goes in now.
struct Issued {
    token: Token,
    password: String,
    record: ByteRecord,
}

/// A chunk did not go in.
enum ChunkError {
    Store(pigeonloft_store::Error),
    Out(csv::Error),
}

impl From<pigeonloft_store::Error> for ChunkError {
    fn from(error: pigeonloft_store::Error) -> Self {
        Self::Store(error)
    }
}

impl Intake {
    /// Begins an import into the database of a data folder.
    pub(super) fn begin(
        data_dir: &Path,
        access_id: AccessId,
        columns: Columns,
        rules: Rules,
        out: Out,
    ) -> Result<Self, Failure> {
        let import = Import::begin(data_dir, access_id)?.with_attributes(columns.attributes());
        Ok(Self { import, columns, rules, out, chunk: Vec::new(), sums: Sums::default() })
    }

    /// Takes in every row of a file. Bad rows are left out and counted.
    pub(super) fn all(&mut self, input: &mut Input) -> Result<(), Failure> {
        let mut record = ByteRecord::new();
        while input.read_byte_record(&mut record).map_err(|error| unreadable(&error))? {
            let Ok(row) = row::read(&self.columns, &record, self.rules) else {
                self.sums.skipped += 1;
                continue;
            };
            self.chunk.push(Pending { row, record: record.clone() });
            if self.chunk.len() == CHUNK_ROWS {
                self.flush()?;
            }
        }
        self.flush()
    }

    /// Ends the import.
    pub(super) fn finish(self) -> Result<Sums, Failure> {
        self.import.finish()?;
        Ok(self.sums)
    }

    fn flush(&mut self) -> Result<(), Failure> {
        if self.chunk.is_empty() {
            return Ok(());
        }
        let (mut rows, issued) = issue(&mut self.chunk)?;
        let out = &mut self.out;
        let imported = self.import.chunk_then(&mut rows, |new| out.write(&issued, new).map_err(ChunkError::Out));
        let imported = imported.map_err(|error| {
            let failure = match error {
                ChunkError::Store(error) => Failure::from(error),
                ChunkError::Out(error) => Failure::of("cannot write the file of --out", &error),
            };
            let rows_in = self.sums.new + self.sums.known;
            failure
                .hint(format!("{rows_in} rows are in and stay; repeated, the import brings their devices up to date"))
        })?;
        self.sums.new += imported.new;
        self.sums.known += imported.known;
        self.sums.bound += imported.bound;
        Ok(())
    }
}

/// Empties a chunk into rows for the database, and what is to be written out of each.
fn issue(chunk: &mut Vec<Pending>) -> Result<(Vec<ImportRow>, Vec<Issued>), Failure> {
    // One call for the whole chunk: a call for each row would cost more than the rest of it.
    let mut random = vec![0; chunk.len() * (TOKEN_BYTES + PASSWORD_BYTES)];
    getrandom::fill(&mut random).map_err(|error| Failure::of("the system has no random numbers to give", &error))?;
    let mut rows = Vec::with_capacity(chunk.len());
    let mut issued = Vec::new();
    for (Pending { row, record }, random) in chunk.drain(..).zip(random.chunks_exact(TOKEN_BYTES + PASSWORD_BYTES)) {
        let (for_token, for_password) = random.split_at(TOKEN_BYTES);
        let token = row.token.unwrap_or_else(|| {
            let mut bytes = [0; TOKEN_BYTES];
            bytes.copy_from_slice(for_token);
            Token::from_bytes(bytes)
        });
        let password = hex(for_password);
        rows.push(ImportRow {
            token,
            password_hash: Some(password_hash(&password)),
            account: row.account,
            channel: row.channel,
            environment: row.environment,
            reported: row.reported,
            attributes: row.attributes,
        });
        issued.push(Issued { token, password, record });
    }
    Ok((rows, issued))
}

/// The file of `--out`: a line for each row that went in.
pub(super) struct Out {
    writer: Writer<File>,
    /// Where the input has the token, which comes first here.
    token_place: Option<usize>,
}

impl Out {
    /// Creates the file, for its owner only, and writes its header: that of `input` behind token and password.
    pub(super) fn create(path: &Path, columns: &Columns, input: &mut Input) -> Result<Self, Failure> {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(path).map_err(|error| {
            let failure = Failure::of(format_args!("cannot create {}", path.display()), &error);
            match error.kind() {
                io::ErrorKind::AlreadyExists => {
                    failure.hint("it may hold the only copy of passwords: name another file, or move it away")
                }
                _ => failure,
            }
        })?;
        let mut out = Self { writer: Writer::from_writer(file), token_place: columns.place(Column::Token) };
        let header = input.byte_headers().map_err(|error| unreadable(&error))?.clone();
        out.line("token", "password", &header)
            .map_err(|error| Failure::of(format_args!("cannot write {}", path.display()), &error))?;
        Ok(out)
    }

    /// Writes the rows of a chunk, and waits for them to be on the disk. Only the row that registered a device has its
    /// password.
    fn write(&mut self, rows: &[Issued], new: &HashSet<Token>) -> Result<(), csv::Error> {
        let mut told = HashSet::new();
        for Issued { token, password, record } in rows {
            let registered = new.contains(token) && told.insert(*token);
            self.line(token.as_str(), if registered { password } else { "" }, record)?;
        }
        self.writer.flush()?;
        self.writer.get_ref().sync_data()?;
        Ok(())
    }

    fn line(&mut self, token: &str, password: &str, record: &ByteRecord) -> Result<(), csv::Error> {
        self.writer.write_field(token)?;
        self.writer.write_field(password)?;
        for (place, value) in record.iter().enumerate() {
            if Some(place) != self.token_place {
                self.writer.write_field(value)?;
            }
        }
        self.writer.write_record(None::<&[u8]>)
    }
}
