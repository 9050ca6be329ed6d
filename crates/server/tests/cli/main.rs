//! The command line as its users meet it: real processes, their output word for word, their exit status.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test")]

mod app;
mod demo;
mod device;
mod doctor;
mod package;
mod sealing;
mod serve;
mod support;
