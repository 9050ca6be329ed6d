//! The v3 API, topic by topic: what is asked, what is answered, and what it does to devices.

mod accept_time;
mod addresses;
mod apns;
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
mod paused;
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

use pigeonloft_model::Zone;

/// Unix seconds of a moment as the API writes it, in UTC+8.
fn at(text: &str) -> i64 {
    Zone::CHINA.time(text).expect("a moment")
}
