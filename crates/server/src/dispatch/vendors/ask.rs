//! Ask: gives a batch to a channel, as far as the services that its devices name are not paused.

use std::collections::HashMap;

use pigeonloft_channels::vendor::{Opened, Target};
use pigeonloft_model::attribute::Values;
use pigeonloft_model::{AccessId, Channel, Code, Verdict};

use crate::clock::unix_millis;
use crate::vendors::Vendors;
use crate::vendors::circuit::{Heard, Pass, Turn};

/// What a device's message came to, and whether its token is forgotten if that says it is dead.
pub(super) type Answered = (Verdict, bool);

/// A batch that a channel is asked to take.
pub(super) struct Ask<'a> {
    pub(super) vendors: &'a Vendors,
    pub(super) access_id: AccessId,
    pub(super) channel: Channel,
    pub(super) opened: &'a dyn Opened,
    pub(super) targets: &'a [Target],
}

/// Devices of a batch whose messages go to one service.
struct Group {
    origin: String,
    /// The places of those that it was not asked for yet.
    left: Vec<usize>,
}

/// What of a group goes out together.
struct Going<'a> {
    group: &'a mut Group,
    turn: Turn,
    places: Vec<usize>,
}

impl Ask<'_> {
    /// Answers for each device, in their order. Services that are tried after a pause take part in a second round, if they are well.
    pub(super) async fn all(self, values: &Values) -> Vec<Answered> {
        let mut groups = self.groups();
        let mut answers = vec![None; self.targets.len()];
        loop {
            let mut going = Vec::new();
            for group in &mut groups {
                going.extend(self.pass(group, &mut answers));
            }
            if going.is_empty() {
                break;
            }
            let mut verdicts = self.send(&going, values).await;
            for of_group in going {
                self.report(of_group, &mut verdicts, &mut answers);
            }
        }
        let unanswered = || (Verdict::Unknown("no answer".into()), false);
        answers.into_iter().map(|answer| answer.unwrap_or_else(unanswered)).collect()
    }

    fn groups(&self) -> Vec<Group> {
        let mut groups: Vec<Group> = Vec::new();
        let mut known: HashMap<String, usize> = HashMap::new();
        for (place, target) in self.targets.iter().enumerate() {
            let origin = self.opened.origin(target);
            let index = match known.get(&origin) {
                Some(index) => *index,
                None => {
                    known.insert(origin.clone(), groups.len());
                    groups.push(Group { origin, left: Vec::new() });
                    groups.len() - 1
                }
            };
            groups[index].left.push(place);
        }
        groups
    }

    /// What of a group may go out now. Where it is paused, that answers for the rest.
    fn pass<'g>(&self, group: &'g mut Group, answers: &mut [Option<Answered>]) -> Option<Going<'g>> {
        if group.left.is_empty() {
            return None;
        }
        let (turn, places) = match self.vendors.pass(self.access_id, self.channel, &group.origin, group.left.len()) {
            Pass::All(turn) => (turn, std::mem::take(&mut group.left)),
            Pass::Probe(turn, probes) => (turn, group.left.drain(..probes.min(group.left.len())).collect()),
            Pass::Nothing(code) => {
                group.is_paused(&code, answers);
                return None;
            }
        };
        Some(Going { group, turn, places })
    }

    /// The verdicts of what goes out, at their places.
    async fn send(&self, going: &[Going<'_>], values: &Values) -> Vec<Option<Verdict>> {
        let sent_at = unix_millis();
        let mut places: Vec<usize> = going.iter().flat_map(|group| &group.places).copied().collect();
        if places.len() == self.targets.len() {
            let verdicts = self.opened.send(self.targets, values).await;
            return verdicts.into_iter().map(|verdict| Some(dated(verdict, sent_at))).collect();
        }
        places.sort_unstable();
        let targets: Vec<Target> = places.iter().map(|place| self.targets[*place].clone()).collect();
        let mut verdicts = vec![None; self.targets.len()];
        for (place, verdict) in places.into_iter().zip(self.opened.send(&targets, values).await) {
            verdicts[place] = Some(dated(verdict, sent_at));
        }
        verdicts
    }

    fn report(&self, going: Going<'_>, verdicts: &mut [Option<Verdict>], answers: &mut [Option<Answered>]) {
        let Going { group, turn, places } = going;
        let of_devices =
            places.iter().filter_map(|place| Some((self.targets[*place].device, verdicts[*place].as_ref()?)));
        let heard = Heard::of(self.channel, of_devices);
        let judged = self.vendors.report(self.access_id, self.channel, &group.origin, turn, &heard);
        for place in places {
            answers[place] = verdicts[place].take().map(|verdict| (verdict, judged.believed));
        }
        // One try a batch: where it changed nothing, the next batch makes another.
        if let Some(code) = judged.paused {
            group.is_paused(&code, answers);
        }
    }
}

/// A verdict that a token is dead is of when the vendor was asked, if it does not say since when: what a device registers meanwhile
/// is not meant.
fn dated(verdict: Verdict, sent_at: i64) -> Verdict {
    match verdict {
        Verdict::Dead { code, since: None } => Verdict::Dead { code, since: Some(sent_at) },
        other => other,
    }
}

impl Group {
    fn is_paused(&mut self, code: &Code, answers: &mut [Option<Answered>]) {
        for place in self.left.drain(..) {
            answers[place] = Some((Verdict::Later { code: code.clone(), after: None }, false));
        }
    }
}
