//! A report as Parquet: the columns of the csv, with timestamps (milliseconds, UTC) and booleans, texts as they are.

use std::sync::Arc;

use parquet::basic::Compression;
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DataType, Int32Type, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use parquet::schema::parser::parse_message_type;
use pigeonloft_model::ReceiptEvent;

use super::lines::{Error, Line};

/// Lines of a row group, which is held until it is full: a few megabytes.
const GROUP: usize = 1 << 15;

const SCHEMA: &str = "message recipients {
    optional binary token (UTF8);
    optional int32 account_type;
    optional binary account (UTF8);
    optional binary channel (UTF8);
    required binary outcome (UTF8);
    optional binary reason (UTF8);
    optional binary code (UTF8);
    optional int64 sent_at (TIMESTAMP(MILLIS,true));
    optional int64 arrived_at (TIMESTAMP(MILLIS,true));
    required boolean shown;
    required boolean clicked;
    required boolean cleared;
}";

/// Writes a file, a row group at a time.
pub(super) struct Writer {
    file: SerializedFileWriter<Vec<u8>>,
    group: Vec<Line>,
}

impl From<ParquetError> for Error {
    fn from(error: ParquetError) -> Self {
        Self::Written(error.to_string())
    }
}

impl Writer {
    /// Begins a file.
    pub(super) fn new() -> Result<Self, Error> {
        let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
        let schema = Arc::new(parse_message_type(SCHEMA)?);
        let file = SerializedFileWriter::new(Vec::new(), schema, Arc::new(properties))?;
        Ok(Self { file, group: Vec::new() })
    }

    /// Adds lines; answers what of the file can be sent.
    pub(super) fn add(&mut self, lines: Vec<Line>) -> Result<Vec<u8>, Error> {
        self.group.extend(lines);
        if self.group.len() >= GROUP {
            self.write_group()?;
        }
        self.file.flush().map_err(|error| Error::Written(error.to_string()))?;
        // What is written is counted beside it: the places of later groups stay right.
        Ok(std::mem::take(self.file.inner_mut()))
    }

    /// Ends the file; answers the rest of it.
    pub(super) fn finish(mut self) -> Result<Vec<u8>, Error> {
        if !self.group.is_empty() {
            self.write_group()?;
        }
        Ok(self.file.into_inner()?)
    }

    fn write_group(&mut self) -> Result<(), Error> {
        let lines = std::mem::take(&mut self.group);
        let mut group = self.file.next_row_group()?;
        let mut place = 0;
        while let Some(column) = group.next_column()? {
            write_column(column, place, &lines)?;
            place += 1;
        }
        group.close()?;
        Ok(())
    }
}

/// Writes a column by its place in [`SCHEMA`].
fn write_column(mut column: SerializedColumnWriter<'_>, place: usize, lines: &[Line]) -> Result<(), Error> {
    let text = |text: &str| ByteArray::from(text);
    let receipt = |event: ReceiptEvent| move |line: &Line| line.receipts & event.flag() != 0;
    match place {
        0 => optional::<ByteArrayType>(&mut column, lines, |line| line.token.as_deref().map(text)),
        1 => optional::<Int32Type>(&mut column, lines, |line| line.account_type.map(u32::cast_signed)),
        2 => optional::<ByteArrayType>(&mut column, lines, |line| line.account.as_deref().map(text)),
        3 => optional::<ByteArrayType>(&mut column, lines, |line| line.channel.map(text)),
        4 => required::<ByteArrayType>(&mut column, lines, |line| text(line.outcome)),
        5 => optional::<ByteArrayType>(&mut column, lines, |line| {
            Some(line.reason).filter(|reason| !reason.is_empty()).map(text)
        }),
        6 => optional::<ByteArrayType>(&mut column, lines, |line| line.code.as_deref().map(text)),
        7 => optional::<Int64Type>(&mut column, lines, |line| line.sent_at),
        8 => optional::<Int64Type>(&mut column, lines, |line| line.arrived_at),
        9 => required::<BoolType>(&mut column, lines, receipt(ReceiptEvent::Shown)),
        10 => required::<BoolType>(&mut column, lines, receipt(ReceiptEvent::Clicked)),
        _ => required::<BoolType>(&mut column, lines, receipt(ReceiptEvent::Cleared)),
    }?;
    Ok(column.close()?)
}

fn optional<T: DataType>(
    column: &mut SerializedColumnWriter<'_>,
    lines: &[Line],
    value: impl Fn(&Line) -> Option<T::T>,
) -> Result<usize, ParquetError> {
    let values: Vec<Option<T::T>> = lines.iter().map(value).collect();
    let present: Vec<i16> = values.iter().map(|value| i16::from(value.is_some())).collect();
    let values: Vec<T::T> = values.into_iter().flatten().collect();
    column.typed::<T>().write_batch(&values, Some(&present), None)
}

fn required<T: DataType>(
    column: &mut SerializedColumnWriter<'_>,
    lines: &[Line],
    value: impl Fn(&Line) -> T::T,
) -> Result<usize, ParquetError> {
    let values: Vec<T::T> = lines.iter().map(value).collect();
    column.typed::<T>().write_batch(&values, None, None)
}
