//! The command line as its users meet it: real processes, their output word for word, their exit status.

mod app;
mod demo;
mod device;
mod package;
mod serve;
mod support;
