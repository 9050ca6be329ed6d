//! Settle: everything comes to its end, and all of it is looked at.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use pigeonloft_testkit::{Habit, Phone, until};
use serde_json::{Value, json};

use crate::customer::Customer;
use crate::gate::Gate;
use crate::halts;
use crate::ledger::{Fate, Push, Upload};
use crate::repeats;
use crate::world::{Scene, World};

/// Pushes of a customer at the end of a round, to packages that none has read: one a second is taken.
const READ_AT_THE_END: usize = 3;

/// Lets everything come to its end, and looks at it.
pub(crate) fn settle(world: &mut World) {
    let scene = Arc::clone(&world.scene);
    std::thread::scope(|scope| {
        for customer in &scene.customers {
            let scene = &scene;
            scope.spawn(move || push_what_was_not_pushed(scene, customer));
        }
    });
    // Those who were away, or did not acknowledge, come now; nobody is cut off any more.
    for phone in scene.customers.iter().flat_map(|customer| &customer.phones) {
        scene.fleet.stay(phone, Habit::Shows);
    }
    let mut halted = Vec::new();
    for customer in &scene.customers {
        halted.push(wait_for_the_end(customer));
    }
    world.examine();
    for (customer, halted) in scene.customers.iter().zip(halted) {
        all_is_there(world, customer, halted);
    }
}

/// Packages nobody pushed to are read by a push, too: as many as a few seconds allow, first those of which nobody knew that
/// they were kept. The doctor reads all of them.
fn push_what_was_not_pushed(scene: &Scene, customer: &Customer) {
    let gate = Gate::default();
    gate.open();
    let pass = gate.enter().expect("it is open");
    let places: Vec<usize> = {
        let ledger = customer.ledger();
        let unread = |(_, upload): &(usize, &Upload)| !upload.pushed && upload.fate.id().is_some();
        let mut unread: Vec<(usize, &Upload)> = ledger.uploads.iter().enumerate().filter(unread).collect();
        unread.sort_by_key(|(_, upload)| matches!(upload.fate, Fate::Answered(_)));
        unread.into_iter().map(|(place, _)| place).collect()
    };
    for place in places.into_iter().take(READ_AT_THE_END) {
        until("the app's turn to push to a package comes", || {
            customer.push_package(place, &scene.calls, &pass);
            customer.ledger().uploads[place].pushed.then_some(())
        });
    }
}

/// How pushes that were stopped or revoked are shown at their end, by their place in the ledger.
type Halted = HashMap<usize, Value>;

/// Waits until every push has come to its end.
fn wait_for_the_end(customer: &Customer) -> Halted {
    let ledger = customer.ledger();
    let mut halted = Halted::new();
    for (place, push) in ledger.pushes.iter().enumerate().filter(|(_, push)| push.fate != Fate::Absent) {
        let id = push.fate.id().expect("every fate is decided");
        if push.halt.is_some_and(|halt| halt.is_kept(&customer.app.progress(id))) {
            halted.insert(place, halts::wait_for_the_end(customer, push));
            continue;
        }
        let finished = customer.app.finished(id);
        let shown = ["rows_done", "no_device", "targets"].map(|name| finished[name].as_u64());
        let expected = [push.rows, push.no_device, push.phones.len() as u64].map(Some);
        assert_eq!(shown, expected, "rows, no_device, targets: {finished}");
        until("every device has the push", || {
            let arrived = &customer.app.progress(id)["outcomes"]["arrived"];
            (*arrived == push.phones.len()).then_some(())
        });
        until("every device's receipt is counted", || {
            let receipts = &customer.app.progress(id)["receipts"];
            (*receipts == json!({ "shown": push.phones.len(), "clicked": 0, "cleared": 0 })).then_some(())
        });
    }
    halted
}

fn all_is_there(world: &mut World, customer: &Customer, halted: Halted) {
    let tally = &mut world.tally;
    let ledger = std::mem::take(&mut *customer.ledger());
    let pushes: Vec<&Push> = ledger.pushes.iter().filter(|push| push.fate != Fate::Absent).collect();
    let stopped: Vec<(&Push, &Value)> = halted.iter().map(|(place, shown)| (&ledger.pushes[*place], shown)).collect();
    let is_stopped = |push: &Push| stopped.iter().any(|(stopped, _)| std::ptr::eq(*stopped, push));
    let whole: Vec<&Push> = pushes.iter().copied().filter(|push| !is_stopped(push)).collect();
    assert_once_each(&customer.phones, &whole);
    for (push, shown) in &stopped {
        halts::assert_at_most_once_each(&customer.phones, push, shown);
    }
    let revocations: Vec<Push> = stopped.iter().filter_map(|(push, shown)| halts::revocation(push, shown)).collect();
    let sent: Vec<&Push> = pushes.iter().copied().chain(&revocations).collect();
    repeats::count(&customer.phones, &sent, &world.downs, &mut tally.repeats);
    tally.stopped.0 += stopped.len() as u64 - revocations.len() as u64;
    tally.stopped.1 += revocations.len() as u64;

    let kept = ledger.uploads.iter().filter(|upload| upload.fate != Fate::Absent);
    tally.rows += kept.map(|upload| upload.rows).sum::<u64>();
    let is_answered = |fate: &Fate| u64::from(matches!(fate, Fate::Answered(_)));
    tally.uploads.answered += ledger.uploads.iter().map(|upload| is_answered(&upload.fate)).sum::<u64>();
    tally.pushes.answered += pushes.iter().map(|push| is_answered(&push.fate)).sum::<u64>();
    tally.recipients += pushes.iter().map(|push| push.phones.len() as u64).sum::<u64>();
    tally.registrations += ledger.registrations.len() as u64;
    for phone in &customer.phones {
        let (messages, receipts) = phone.count();
        (tally.messages, tally.receipts) = (tally.messages + messages as u64, tally.receipts + receipts as u64);
        phone.forget();
    }
    for upload in &ledger.uploads {
        let Some(id) = upload.fate.id() else { continue };
        assert_eq!(customer.app.own("DELETE", &format!("/v1/packages/{id}")).0, 204);
    }
    let arrived = |shown: &Value| shown["outcomes"]["arrived"].as_u64().expect("a number");
    let ended = whole.iter().map(|push| (*push, push.phones.len() as u64));
    let ended = ended.chain(stopped.iter().map(|(push, shown)| (*push, arrived(shown))));
    let ended = ended.map(|(push, arrived)| (push.fate.id().unwrap_or_default().to_owned(), arrived));
    let mut fresh = customer.ledger();
    fresh.named = ledger.named;
    fresh.ended = ledger.ended.iter().cloned().chain(ended).collect();
}

/// Every phone of a push has it under one id, which no other has, and nobody else has it.
fn assert_once_each(phones: &[Phone], pushes: &[&Push]) {
    for push in pushes {
        let id = push.fate.id().unwrap_or_default();
        let mut ids = BTreeSet::new();
        for (place, phone) in phones.iter().enumerate() {
            let (of_phone, _) = phone.of_push(id);
            let expected = usize::from(push.phones.contains(&place));
            assert_eq!(of_phone.len(), expected, "phone {place} has {of_phone:?} of push {id}");
            ids.extend(of_phone);
        }
        assert_eq!(ids.len(), push.phones.len(), "no id is that of two devices");
    }
}
