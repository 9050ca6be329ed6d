//! Sums: of one push, of a plan or group, and of each day, for each channel used and for all together.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use pigeonloft_model::statistics::{GroupQuery, one_push, overview_days};
use pigeonloft_model::{Channel, Day, Fault, Tally};
use pigeonloft_store::{App, Counts, Sums};
use serde_json::{Value, json};

use super::super::super::answer::Answer;
use super::{stored, today};
use crate::auth::internal;
use crate::loft::Loft;

/// `POST /v3/statistics/get_push_task_stat_channel`: the sums of one push.
pub(super) async fn push_task_stat_channel(loft: Arc<Loft>, app: Arc<App>, body: Bytes) -> Result<Answer, Fault> {
    let mut channels = Channels::default();
    let push = stored(&loft, app.access_id, one_push(&body)?).await?;
    let by_vendors = loft.store.channel_sums(push.push_id).await.map_err(|error| internal(&error))?;
    let mut own = of_push(&push.counts);
    for (channel, sums) in by_vendors {
        own = minus(own, sums);
        channels.add(channel, sums);
    }
    channels.add(Channel::Xg, own);
    Ok(Answer::with(json!({ "pushStatDataAll": channels.shown() })))
}

/// `POST /v3/statistics/get_push_group_stat_channel`: the sums of the pushes of a plan or group that start on some days.
pub(super) async fn push_group_stat_channel(loft: Arc<Loft>, app: Arc<App>, body: Bytes) -> Result<Answer, Fault> {
    let GroupQuery { tally, days } = GroupQuery::parse(&body, today(&loft))?;
    let sums = loft.store.day_sums(app.access_id, tally, days).await.map_err(|error| internal(&error))?;
    let mut channels = Channels::default();
    for of_day in sums {
        channels.add(of_day.channel, of_day.sums);
    }
    Ok(Answer::with(json!({ "pushStatDataAll": channels.shown() })))
}

/// `POST /v3/statistics/get_push_channel_stat_overview`: the sums of the pushes that start on each of some days. A day
/// without pushes has its row, too; one that is still to come has none.
pub(super) async fn push_channel_stat_overview(loft: Arc<Loft>, app: Arc<App>, body: Bytes) -> Result<Answer, Fault> {
    let today = today(&loft);
    let days = overview_days(&body, today)?;
    let sums = loft.store.day_sums(app.access_id, Tally::App, days).await.map_err(|error| internal(&error))?;
    let mut of_days = BTreeMap::<Day, Channels>::new();
    for of_day in sums {
        of_days.entry(of_day.day).or_default().add(of_day.channel, of_day.sums);
    }
    let rows = days.until(today).map(|day| {
        let channels = of_days.remove(&day).unwrap_or_default();
        json!({ "date": day.text(days.format), "channelDatas": channels.shown() })
    });
    Ok(Answer::with(json!({ "pushDateChannelStat": rows.collect::<Value>() })))
}

/// Sums by channel; the own channel is among them, whatever came of it.
struct Channels(BTreeMap<Channel, Sums>);

impl Default for Channels {
    fn default() -> Self {
        Self(BTreeMap::from([(Channel::Xg, Sums::default())]))
    }
}

impl Channels {
    fn add(&mut self, channel: Channel, sums: Sums) {
        let sum = self.0.entry(channel).or_default();
        *sum = plus(*sum, sums);
    }

    fn shown(&self) -> Value {
        let all = self.0.values().copied().fold(Sums::default(), plus);
        // As published: the vendors' receipts, which our own channel has none of; but their sum over all channels takes
        // the arrivals of our own in.
        let vendor_receipts = |channel: Channel, sums: &Sums| if channel == Channel::Xg { 0 } else { sums.arrived };
        let each = self.0.iter().map(
            |(&channel, sums)| json!({ "channel": channel, "pushState": state(sums, vendor_receipts(channel, sums)) }),
        );
        each.chain([json!({ "channel": "all", "pushState": state(&all, all.arrived) })]).collect()
    }
}

fn plus(one: Sums, other: Sums) -> Sums {
    Sums {
        targets: one.targets + other.targets,
        sent: one.sent + other.sent,
        arrived: one.arrived + other.arrived,
        shown: one.shown + other.shown,
        clicked: one.clicked + other.clicked,
        cleared: one.cleared + other.cleared,
    }
}

/// What is left of the first without the second, which is a part of it, read a moment later.
fn minus(all: Sums, part: Sums) -> Sums {
    Sums {
        targets: all.targets.saturating_sub(part.targets),
        sent: all.sent.saturating_sub(part.sent),
        arrived: all.arrived.saturating_sub(part.arrived),
        shown: all.shown.saturating_sub(part.shown),
        clicked: all.clicked.saturating_sub(part.clicked),
        cleared: all.cleared.saturating_sub(part.cleared),
    }
}

fn of_push(counts: &Counts) -> Sums {
    let &Counts { targets, sent, arrived, shown, clicked, cleared, .. } = counts;
    Sums { targets, sent, arrived, shown, clicked, cleared }
}

fn state(sums: &Sums, vendor_receipts: u64) -> Value {
    json!({
        "pushActiveUv": sums.targets,
        "pushOnlineUv": sums.sent,
        "arrivalUv": sums.arrived,
        "verifySvcUv": sums.arrived,
        "callbackVerifySvcUv": vendor_receipts,
        "verifyUv": sums.shown,
        "clickUv": sums.clicked,
        "cleanupUv": sums.cleared,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sums_of_a_push_go_under_their_published_names() {
        let counts = Counts {
            targets: 9,
            sent: 8,
            arrived: 7,
            shown: 6,
            clicked: 5,
            cleared: 4,
            waiting: 2,
            ..Counts::default()
        };
        let expected = |vendor_receipts: u64| {
            json!({"pushActiveUv": 9, "pushOnlineUv": 8, "arrivalUv": 7, "verifySvcUv": 7,
            "callbackVerifySvcUv": vendor_receipts, "verifyUv": 6, "clickUv": 5, "cleanupUv": 4})
        };
        let mut channels = Channels::default();
        channels.add(Channel::Xg, of_push(&counts));
        assert_eq!(
            channels.shown(),
            json!([{"channel": "xg", "pushState": expected(0)}, {"channel": "all", "pushState": expected(7)}])
        );
    }

    #[test]
    fn all_is_the_sum_of_the_channels_and_there_without_any() {
        let none = Channels::default().shown();
        assert_eq!((&none[0]["channel"], &none[1]["channel"]), (&json!("xg"), &json!("all")));
        assert_eq!(none[1]["pushState"]["pushActiveUv"], 0);
        let mut channels = Channels::default();
        for channel in [Channel::Xg, Channel::Fcm, Channel::Xg] {
            channels.add(channel, Sums { targets: 1, arrived: 1, ..Sums::default() });
        }
        let shown = channels.shown();
        let of = |place: usize, member: &str| shown[place]["pushState"][member].as_u64();
        assert_eq!([0, 1, 2].map(|place| of(place, "pushActiveUv")), [Some(2), Some(1), Some(3)]);
        assert_eq!([0, 1, 2].map(|place| of(place, "callbackVerifySvcUv")), [Some(0), Some(1), Some(3)]);
    }
}
