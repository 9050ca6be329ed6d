//! Testkit, for tests alone: the real program as a process, and whoever talks to it.
//!
//! [`Server`] runs the binary under test on a folder of its own, kills it, stops it and starts it again. [`App`] calls
//! its API as a customer's program does, [`Form`] and [`raw`] as a peculiar one. [`Fleet`] is thousands of MQTT devices
//! in one process, [`raw_mqtt`] one that misbehaves, [`program`] the clients people really have. What is to be true of all of them is left to the tests.
//!
//! Everything blocks, panics when what it needs is not there, and waits on states, never on time alone: [`until`].

mod app;
mod apple;
mod certificate;
mod chromium;
mod disk;
mod fleet;
mod form;
mod google;
mod ports;
pub mod program;
mod push_service;
pub mod raw;
pub mod raw_mqtt;
mod server;
mod wait;

pub use app::{App, Device, assert_refused};
pub use apple::Apple;
pub use certificate::Certificate;
pub use chromium::Chromium;
pub use disk::SmallDisk;
pub use fleet::{Connection, Delivery, Ending, Fleet, Habit, Message, Phone, Receipt, State};
pub use form::Form;
pub use google::Google;
pub use push_service::PushService;
pub use server::{Builder, Server};
pub use wait::{LONG, until, until_within};

/// A [`Builder`] for the program of the crate whose test this stands in.
#[macro_export]
macro_rules! pigeonloft {
    () => {
        $crate::Server::builder(env!("CARGO_BIN_EXE_pigeonloft"))
    };
}
