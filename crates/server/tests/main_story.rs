//! The main story: a package is uploaded and pushed to devices online and offline, the server ends in the middle of it
//! and starts again, and every device has got the message once, under one id, and all sums agree.

use std::collections::BTreeSet;

use pigeonloft_testkit::{App, Fleet, Habit, Phone, Server, State, pigeonloft, until};
use serde_json::json;

/// Devices, two of five offline; each is bound to an account of its own.
const DEVICES: usize = 500;
/// Rows of the package that no device is bound to.
const STRANGERS: usize = 100;
/// One online device in so many does not acknowledge at first, so that the batches with it take their time.
const STUBBORN: usize = 7;
const BATCH_ROWS: usize = 10;
const BATCHES_IN_FLIGHT: usize = 2;

/// A push under way to `online` and `offline` devices.
struct Story {
    server: Server,
    app: App,
    fleet: Fleet,
    prompt: Vec<Phone>,
    stubborn: Vec<Phone>,
    offline: Vec<Phone>,
    push_id: String,
}

fn account(place: usize) -> String {
    format!("account-{place:04}")
}

impl Story {
    /// Tells it up to the moment where some of the push is done and some is not.
    fn up_to_the_middle() -> Self {
        let server = pigeonloft!()
            .set("push.batch_rows", BATCH_ROWS)
            .set("push.batches_in_flight", BATCHES_IN_FLIGHT)
            .set("push.ack_wait_ms", 300)
            .start();
        let app = server.app("android");
        let devices = app.import_devices(&server, (0..DEVICES).map(account));
        assert_eq!(devices.len(), DEVICES);
        let (mut prompt, mut stubborn, mut offline) = (Vec::new(), Vec::new(), Vec::new());
        for (place, device) in devices.into_iter().enumerate() {
            let phone = Phone::new(device);
            match place % 5 {
                3 | 4 => offline.push(phone),
                _ if place.is_multiple_of(STUBBORN) => stubborn.push(phone),
                _ => prompt.push(phone),
            }
        }
        let fleet = Fleet::new(server.mqtt());
        fleet.online(&prompt, Habit::Acknowledges);
        fleet.online(&stubborn, Habit::NeverAcknowledges);
        let upload_id = app.uploaded((0..DEVICES + STRANGERS).map(account));
        let push_id = app.pushed(json!({ "audience_type": "package_account_push", "upload_id": upload_id }));
        until("some of the push is done", || (app.progress(&push_id)["rows_done"].as_u64() >= Some(200)).then_some(()));
        let shown = app.progress(&push_id);
        assert_eq!(shown["state"], "PUSH_STARTED", "the server ends in the middle: {shown}");
        Self { server, app, fleet, prompt, stubborn, offline, push_id }
    }

    fn online(&self) -> impl Iterator<Item = &Phone> {
        self.prompt.iter().chain(&self.stubborn)
    }

    /// Starts the server again, brings everybody back, and waits until all have it.
    fn go_on(&mut self) {
        self.online().for_each(|phone| phone.wait_for_state(&State::Offline));
        self.server.restart();
        self.fleet.online(self.online(), Habit::Acknowledges);
        let finished = self.app.finished(&self.push_id);
        assert_eq!(finished["no_device"], STRANGERS);
        assert_eq!(finished["audience_rows"], DEVICES + STRANGERS);
        assert_eq!(finished["rows_done"], DEVICES + STRANGERS);
        assert_eq!(finished["targets"], DEVICES);
        self.wait_for_arrivals(self.prompt.len() + self.stubborn.len());
        assert_eq!(self.app.progress(&self.push_id)["outcomes"]["waiting"], self.offline.len());

        self.fleet.online(&self.offline, Habit::Acknowledges);
        self.wait_for_arrivals(DEVICES);
        let shown = self.app.progress(&self.push_id);
        assert_eq!(shown["outcomes"]["waiting"], 0, "{shown}");
        let stat = self.app.stat(&self.push_id);
        assert_eq!(stat["pushActiveUv"], DEVICES, "{stat}");
        assert_eq!(stat["pushOnlineUv"], DEVICES, "{stat}");
        assert_eq!(stat["arrivalUv"], DEVICES, "{stat}");
    }

    fn wait_for_arrivals(&self, count: usize) {
        until(&format!("{count} arrivals are counted"), || {
            let arrived = self.app.progress(&self.push_id)["outcomes"]["arrived"].as_u64();
            assert!(arrived <= Some(count as u64), "more arrivals than devices that were online: {arrived:?}");
            (arrived == Some(count as u64)).then_some(())
        });
    }

    /// Every device has the message under one id of its own. Answers how many of `among` got it repeatedly.
    fn repeated(&self, among: &[Phone]) -> usize {
        let mut ids = BTreeSet::new();
        for phone in self.online().chain(&self.offline) {
            let (of_phone, _) = phone.of_push(&self.push_id);
            assert_eq!(of_phone.len(), 1, "{:?}", phone.messages());
            ids.extend(of_phone);
        }
        assert_eq!(ids.len(), DEVICES, "no id is that of two devices");
        among.iter().filter(|phone| phone.of_push(&self.push_id).1 > 1).count()
    }
}

#[test]
fn every_device_gets_a_push_once_though_the_server_is_killed_in_the_middle_of_it() {
    let mut story = Story::up_to_the_middle();
    story.server.kill9();
    story.go_on();
    let repeated = story.repeated(&story.prompt);
    println!("{repeated} of {} devices that acknowledge at once got the message again", story.prompt.len());
    assert!(repeated <= BATCHES_IN_FLIGHT * BATCH_ROWS, "only batches in flight can be repeated: {repeated}");
    assert_eq!(story.repeated(&story.offline), 0, "what came out of an inbox and was acknowledged does not come again");
}

#[test]
fn every_device_gets_a_push_once_though_the_server_is_stopped_in_the_middle_of_it() {
    let mut story = Story::up_to_the_middle();
    story.server.terminate();
    assert!(story.server.log().contains("unfinished pushes go on at the next start"), "it says what it leaves");
    story.go_on();
    assert_eq!(story.repeated(&story.prompt), 0, "a server that is asked to stop lets its batches end");
    assert_eq!(story.repeated(&story.offline), 0);
}

#[test]
fn receipts_are_counted_once_for_each_device_though_sent_twice() {
    let server = pigeonloft!().start();
    let app = server.app("android");
    let phones: Vec<Phone> = (0..3).map(|_| Phone::new(app.register_device(Some("reader")))).collect();
    let fleet = Fleet::new(server.mqtt());
    fleet.online(&phones, Habit::Acknowledges);
    let push_id = app.pushed(json!({
        "audience_type": "account", "account_list": ["reader"], "account_push_type": 1,
    }));
    for phone in &phones {
        assert_eq!(phone.wait_for_messages(1)[0].push_id, push_id);
    }
    for (phone, events) in phones.iter().zip([&["shown", "clicked"][..], &["shown", "cleared"], &["shown"]]) {
        for event in events.iter().chain(events) {
            phone.report(&push_id, event);
        }
    }
    let receipts = app.progress(&push_id)["receipts"].clone();
    assert_eq!(receipts, json!({ "shown": 3, "clicked": 1, "cleared": 1 }));
    let stat = app.stat(&push_id);
    assert_eq!((&stat["verifyUv"], &stat["clickUv"], &stat["cleanupUv"]), (&json!(3), &json!(1), &json!(1)));
}

#[test]
fn a_receipt_that_comes_before_the_batch_is_recorded_is_counted_all_the_same() {
    // One device says nothing, so that its batch is on record only a while after the other has said everything.
    let mut server = pigeonloft!().set("push.ack_wait_ms", 3000).start();
    let app = server.app("android");
    let [prompt, silent] = [(); 2].map(|()| Phone::new(app.register_device(Some("ann"))));
    let fleet = Fleet::new(server.mqtt());
    fleet.online([&prompt], Habit::Acknowledges);
    fleet.online([&silent], Habit::NeverAcknowledges);
    let push_id = app.pushed(json!({ "audience_type": "account", "account_list": ["ann"], "account_push_type": 1 }));
    let _ = prompt.wait_for_messages(1);
    prompt.report(&push_id, "shown");
    assert_eq!(app.progress(&push_id)["rows_done"], 0, "the batch is not on record");
    server.kill9();
    server.restart();
    assert_eq!(app.finished(&push_id)["receipts"], json!({ "shown": 1, "clicked": 0, "cleared": 0 }));
}

#[test]
fn a_receipt_of_another_devices_push_counts_for_nothing() {
    let server = pigeonloft!().start();
    let app = server.app("android");
    let reader = Phone::new(app.register_device(Some("reader")));
    let other = Phone::new(app.register_device(Some("other")));
    let fleet = Fleet::new(server.mqtt());
    fleet.online([&reader, &other], Habit::Acknowledges);
    let push_id = app.pushed(json!({ "audience_type": "account", "account_list": ["reader"] }));
    let _ = reader.wait_for_messages(1);
    other.report(&push_id, "shown");
    other.report("999999999", "shown");
    reader.report(&push_id, "clicked");
    assert_eq!(app.progress(&push_id)["receipts"], json!({ "shown": 0, "clicked": 1, "cleared": 0 }));
    // A client that reports nonsense is not sent away: it would only come again.
    other.report(&push_id, "clicked");
    assert_eq!(other.state(), State::Online);
}
