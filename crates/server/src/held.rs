//! Held: messages that wait in inboxes and are with a vendor at this moment. A session that begins meanwhile is not shown them, or
//! its device would have them from both.
//!
//! Who holds them looks for sessions after that, and leaves out the devices that have one: a session that it does not see yet
//! asks for its inbox later, and finds them held. (What is kept off our own channel no session is shown, held or not.)

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;

use pigeonloft_model::{AccessId, DeviceId, PushId};
use tokio::sync::watch;

use crate::lock::lock;

/// The messages that are held.
#[derive(Debug, Default)]
pub(crate) struct Held {
    all: Mutex<All>,
    /// Told when some are let go.
    let_go: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct All {
    of_devices: HashMap<DeviceId, Vec<PushId>>,
    /// Of which app those are that were held together, by when.
    apps: BTreeMap<u64, AccessId>,
    next: u64,
}

/// Messages that are held together, until this is dropped.
#[derive(Debug)]
pub(crate) struct Hold<'a> {
    held: &'a Held,
    turn: u64,
    messages: Vec<(PushId, DeviceId)>,
}

impl Held {
    /// Holds messages of an app.
    pub(crate) fn hold(&self, access_id: AccessId, messages: Vec<(PushId, DeviceId)>) -> Hold<'_> {
        let mut all = lock(&self.all);
        let turn = all.next;
        all.next += 1;
        all.apps.insert(turn, access_id);
        for (push_id, device) in &messages {
            all.of_devices.entry(*device).or_default().push(*push_id);
        }
        Hold { held: self, turn, messages }
    }

    /// The pushes whose messages to a device are held.
    pub(crate) fn of(&self, device: DeviceId) -> Vec<PushId> {
        lock(&self.all).of_devices.get(&device).cloned().unwrap_or_default()
    }

    /// Waits until all messages of an app are let go that are held now.
    pub(crate) async fn let_go(&self, access_id: AccessId) {
        let mut told = self.let_go.subscribe();
        let before = lock(&self.all).next;
        let none_left = |_: &()| !lock(&self.all).apps.range(..before).any(|(_, of)| *of == access_id);
        // The sender is our own: it is not gone.
        let _ = told.wait_for(none_left).await;
    }
}

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        let mut all = lock(&self.held.all);
        all.apps.remove(&self.turn);
        for (push_id, device) in &self.messages {
            if let Some(pushes) = all.of_devices.get_mut(device) {
                if let Some(place) = pushes.iter().position(|of| of == push_id) {
                    pushes.swap_remove(place);
                }
                if pushes.is_empty() {
                    all.of_devices.remove(device);
                }
            }
        }
        drop(all);
        self.held.let_go.send_replace(());
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const APP: AccessId = AccessId(1_500_000_001);

    #[tokio::test]
    async fn what_is_held_is_let_go_with_its_hold_and_who_waits_does_not_wait_for_later_ones() {
        let held = Held::default();
        let (first, second) = (PushId(1), PushId(2));
        let one = held.hold(APP, vec![(first, DeviceId(7)), (second, DeviceId(7)), (first, DeviceId(8))]);
        assert_eq!((held.of(DeviceId(7)), held.of(DeviceId(9))), (vec![first, second], vec![]));
        held.let_go(AccessId(2)).await;
        let waits = held.let_go(APP);
        tokio::pin!(waits);
        assert!(tokio::time::timeout(Duration::ZERO, waits.as_mut()).await.is_err());
        let later = held.hold(APP, vec![(first, DeviceId(7))]);
        drop(one);
        waits.await;
        assert_eq!((held.of(DeviceId(7)), held.of(DeviceId(8))), (vec![first], vec![]));
        drop(later);
        assert_eq!(held.of(DeviceId(7)), []);
    }
}
