//! Repeats: which messages came again though they had been acknowledged, and whether a kill explains each of them.

use std::collections::HashMap;

use pigeonloft_testkit::{Delivery, Ending, Phone};

use crate::ledger::Push;
use crate::tally::Repeats;
use crate::world::{BATCH_ROWS, BATCHES_IN_FLIGHT, Down, WINDOW};

/// A session that is full turns a live message away, and fetches it from its inbox later: so many times the devices of the
/// batches under way are held to be too many.
const TOO_MANY: u64 = 2;

/// Counts the repeats among what the phones of a customer got, and holds them to their bounds.
pub(crate) fn count(phones: &[Phone], pushes: &[&Push], downs: &[Down], repeats: &mut Repeats) {
    let by_id: HashMap<&str, &Push> = pushes.iter().filter_map(|push| Some((push.fate.id()?, *push))).collect();
    let mut of_batches: HashMap<(&str, usize), u64> = HashMap::new();
    for phone in phones {
        let (deliveries, connections) = phone.deliveries();
        let mut of_inbox: HashMap<usize, u64> = HashMap::new();
        let mut last: HashMap<&str, &Delivery> = HashMap::new();
        for delivery in &deliveries {
            let push = by_id[&*delivery.message.push_id];
            let earlier = last.insert(&delivery.message.push_id, delivery);
            let Some(earlier) = earlier.filter(|earlier| earlier.acknowledged) else { continue };
            let token = &phone.device().token;
            assert_ne!(earlier.connection, delivery.connection, "twice to {token} over one connection");
            let over = connections[earlier.connection];
            if over.ending == Some(Ending::Cut) {
                repeats.cut_by_device += 1;
                continue;
            }
            let down = downs.iter().position(|down| down.until >= earlier.at && down.since <= delivery.at);
            let Some(kill) = down else {
                panic!("{token} acknowledged a message, no kill came, and it came again: {earlier:?} {delivery:?}")
            };
            repeats.oldest = repeats.oldest.max(downs[kill].since.saturating_duration_since(earlier.at));
            if over.subscribed < Some(push.since) {
                repeats.of_batches += 1;
                *of_batches.entry((&push.title, kill)).or_default() += 1;
            } else {
                repeats.of_inboxes += 1;
                *of_inbox.entry(kill).or_default() += 1;
            }
        }
        assert!(of_inbox.values().all(|count| *count <= WINDOW), "more than a window is unsettled: {of_inbox:?}");
    }
    let most = of_batches.values().copied().max().unwrap_or_default();
    assert!(
        most < BATCHES_IN_FLIGHT * BATCH_ROWS * TOO_MANY,
        "more than the batches in flight were repeated: {of_batches:?}"
    );
    repeats.most_of_batches = repeats.most_of_batches.max(most);
}
