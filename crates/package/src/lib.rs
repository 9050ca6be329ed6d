//! Package: an audience file that an app uploaded (zip, txt or csv), and the file it becomes on disk.
//!
//! This crate turns the bytes of an upload into checked, distinct, sorted rows, and gives these rows back in batches.
//! It knows nothing of HTTP, multipart, apps or databases; it blocks, and is called from threads that may block.
//!
//! ```text
//! bytes ─ Intake ─ (zip: spooled, one entry expanded) ─ rows split and checked ─ parted, sorted ─ Ready ─ publish
//!                                                                                                        Reader
//! ```
//!
//! Memory is bounded by [`Limits::sort_memory`] and a few fixed buffers, whatever the file.

mod check;
#[cfg(feature = "corpus")]
pub mod corpus;
mod disk;
mod error;
mod excerpt;
mod intake;
mod limits;
mod name;
mod notes;
mod refusal;
mod rejected;
mod row_sorter;
mod rows;
mod summary;
mod zip;

pub use check::{Checked, check};
pub use disk::{Batch, INCOMING_PREFIX, ReadError, Reader, Rows, verify};
pub use error::IntakeError;
pub use intake::{Intake, Published, Ready, rejected_path, sweep};
pub use limits::{BadRows, Limits, TOKEN_CHARS};
pub use name::{FileName, Format, NAME_CHARS_MAX};
pub use notes::{Note, Trace};
pub use refusal::{BadRow, Reason, Refusal, RefusalKind, ZipTrouble};
pub use row_sorter::RowSorter;
pub use summary::{NotToken, Summary};
