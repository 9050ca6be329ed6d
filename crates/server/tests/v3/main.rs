//! The v3 API, topic by topic: what is asked, what is answered, and what it does to devices.

mod accept_time;
mod addresses;
mod apns;
mod apns_certificates;
mod attributes;
mod audiences;
mod collapse;
mod delivery;
mod device_pushes;
mod estimate;
mod examples;
mod fcm;
mod left_out;
mod limits;
mod loose;
mod openapi;
mod parked;
mod paused;
mod paused_origins;
mod repeats;
mod report;
mod revoke;
mod schedule;
mod speed;
mod statistics;
mod stops;
mod tags;
mod texts;
mod webpush;
mod webpush_browser;

use std::process::Child;

use pigeonloft_model::Zone;
use pigeonloft_testkit::{App, Device, Fleet, Habit, Phone, Server, pigeonloft};
use serde_json::Value;

/// Unix seconds of a moment as the API writes it, in UTC+8.
fn at(text: &str) -> i64 {
    Zone::CHINA.time(text).expect("a moment")
}

/// A push that takes its time: four devices, online, get it one after the other, and each is given so many milliseconds to
/// acknowledge, which none does. With them the package of their accounts.
fn one_after_the_other(ack_wait_ms: u64) -> (Server, App, Fleet, Vec<Phone>, i64) {
    let settings = [("push.batch_rows", 1), ("push.batches_in_flight", 1), ("push.ack_wait_ms", ack_wait_ms)];
    let server = settings.iter().fold(pigeonloft!(), |server, (key, value)| server.set(key, value)).start();
    let app = server.app("android");
    let devices: Vec<Device> = (0..4).map(|n| app.register_device(Some(&format!("n{n}")))).collect();
    let fleet = Fleet::new(server.mqtt());
    let phones: Vec<Phone> = devices.into_iter().map(Phone::new).collect();
    fleet.online(&phones, Habit::NeverAcknowledges);
    let package = app.uploaded(["n0", "n1", "n2", "n3"]);
    (server, app, fleet, phones, package)
}

/// The outcomes of a push once it is finished, those that are zero left out.
fn outcomes(app: &App, push_id: &str) -> Value {
    let mut shown = app.finished(push_id)["outcomes"].clone();
    shown.as_object_mut().expect("outcomes").retain(|_, count| *count != 0);
    shown
}

/// A process that ends with its test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
