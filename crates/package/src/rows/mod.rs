//! Rows: the text of a file, split and checked, whatever chunks it comes in.
//!
//! Neither archives nor disks are known here; good rows go to a [`Sorter`](crate::disk::Sorter), bad ones to their list.

mod carry;
mod checker;
mod csv;
mod encoding;
mod text;
mod txt;

pub(crate) use checker::{Bad, Checker, Observer};
pub(crate) use text::{Layout, Text};
