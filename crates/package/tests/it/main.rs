//! The public face of the package crate.

#![allow(clippy::unwrap_used, reason = "helpers of tests, where a panic is the report")]

mod corpus;
mod hostile;
mod intake;
mod package;
mod rows;
mod support;
