//! Chosen: where a device stands in an audience without rows, all devices of the app or those that tags mean.

use pigeonloft_model::Audience;
use pigeonloft_store::Reader;

use super::{Case, Error, Place, at};
use crate::dispatch::source::seen_since;

impl Case {
    /// Where the device stands among the app's devices, if the push means it.
    pub(super) fn place_among_all(&self, store: &Reader) -> Result<Place, Error> {
        let (device, push) = (&self.device, &self.started.push);
        let id = device.device.0;
        let row = self.started.first_device.and_then(|first| u64::try_from(id.checked_sub(first.0)?).ok());
        let Some(row) = row.filter(|row| *row < push.counts.audience_rows) else {
            let text = format!(
                "the push is for devices that were registered before it was asked for{}, the device was{}",
                at(Some(push.created_at)),
                at(Some(device.created_at))
            );
            return Ok(Place::Nowhere(text));
        };
        let started_at = push.started_at.unwrap_or(push.start_at * 1000);
        if device.seen_at < seen_since(self.target_days, started_at) {
            let text = format!(
                "the push is for devices seen within {} days of its start (push.target_days), the device was seen last{}",
                self.target_days,
                at(Some(device.seen_at))
            );
            return Ok(Place::Nowhere(text));
        }
        if let Audience::Tag(rules) = &self.request.audience {
            let choice = store.choice(push.access_id, Some(&rules.expression()), None, i64::MIN)?;
            if store.choose(&choice, id..id.saturating_add(1))?.is_empty() {
                return Ok(Place::Nowhere(
                    "the rules of the push do not mean the device with the tags it has now".into(),
                ));
            }
        }
        Ok(Place::Row(row))
    }
}
