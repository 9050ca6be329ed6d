//! Circuits: those of one app's channel, by the origin of the service that is asked. Apple's and Google's channels have one
//! service, whose origin is empty; the services of Web Push are named by browsers, that is by anybody.

use std::collections::HashMap;
use std::time::Instant;

use pigeonloft_model::Channel;

use super::circuit::Circuit;

/// Origins of one channel that are remembered. The browsers of the world name a few, and some dozens of Microsoft's.
const REMEMBERED: usize = 64;

/// The circuits of one app's channel.
#[derive(Debug)]
pub(super) struct Circuits {
    channel: Channel,
    normal_share: f64,
    by_origin: HashMap<String, Known>,
}

#[derive(Debug)]
struct Known {
    circuit: Circuit,
    /// Messages that were for it.
    messages: u64,
    /// When the last were.
    used: Instant,
}

impl Circuits {
    /// None yet. So large a share of dead tokens is still normal.
    pub(super) fn new(channel: Channel, normal_share: f64) -> Self {
        Self { channel, normal_share, by_origin: HashMap::new() }
    }

    /// The circuit of an origin for which there are so many messages. Where too many are known, the one with the fewest messages is
    /// forgotten, of those the one that was used least lately: an origin that somebody made up for a device or two forgets none that
    /// thousands use.
    pub(super) fn of(&mut self, origin: &str, messages: usize, now: Instant) -> &mut Circuit {
        if !self.by_origin.contains_key(origin) && self.by_origin.len() >= REMEMBERED {
            let least = self.by_origin.iter().min_by_key(|(_, known)| (known.messages, known.used));
            if let Some(least) = least.map(|(origin, _)| origin.clone()) {
                self.by_origin.remove(&least);
            }
        }
        let new = || Known { circuit: Circuit::new(self.channel, self.normal_share), messages: 0, used: now };
        let known = self.by_origin.entry(origin.to_owned()).or_insert_with(new);
        known.messages += messages as u64;
        known.used = now;
        &mut known.circuit
    }

    /// All of them.
    pub(super) fn all(&self) -> impl Iterator<Item = (&str, &Circuit)> {
        self.by_origin.iter().map(|(origin, known)| (&**origin, &known.circuit))
    }

    /// The credentials are others now: each is tried at once.
    pub(super) fn try_now(&mut self, now: Instant) {
        self.by_origin.values_mut().for_each(|known| known.circuit.try_now(now));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use pigeonloft_model::{DeviceId, Verdict};

    use super::super::circuit::{Heard, Pass};
    use super::*;

    /// Sends a batch to an origin, and answers whether it went out.
    fn send(
        circuits: &mut Circuits,
        origin: &str,
        devices: std::ops::Range<i64>,
        verdict: &Verdict,
        now: Instant,
    ) -> bool {
        let circuit = circuits.of(origin, devices.clone().count(), now);
        let (Pass::All(turn) | Pass::Probe(turn, _)) = circuit.pass(now) else { return false };
        let heard = Heard::of(Channel::Webpush, devices.map(|device| (DeviceId(device), verdict)));
        circuit.report(turn, &heard, now, 1.0);
        true
    }

    #[test]
    fn origins_that_somebody_makes_up_pause_and_push_out_none_that_many_use() {
        let mut circuits = Circuits::new(Channel::Webpush, 0.4);
        let (down, now) = (Verdict::Later { code: "503".into(), after: None }, Instant::now());
        let (real, well) = ("https://push.example.net", "https://other.example.net");
        assert!(send(&mut circuits, real, 0..1_000, &down, now));
        assert!(send(&mut circuits, well, 2_000..2_500, &Verdict::Accepted, now));
        for n in 0..10 * REMEMBERED as i64 {
            let at = now + Duration::from_millis(n as u64);
            let made_up = format!("https://{n}.example.org");
            assert!(send(&mut circuits, &made_up, 10_000 + n..10_019 + n, &down, at));
        }
        assert_eq!(circuits.all().count(), REMEMBERED);
        let later = now + Duration::from_secs(1);
        assert!(!send(&mut circuits, real, 0..1_000, &down, later), "it is paused still");
        assert!(send(&mut circuits, well, 2_000..2_500, &Verdict::Accepted, later));
        let paused: Vec<_> = circuits.all().filter(|(_, circuit)| circuit.pause().is_some()).map(|(o, _)| o).collect();
        assert_eq!(paused, [real]);
        circuits.try_now(later);
        assert!(send(&mut circuits, real, 0..1_000, &Verdict::Accepted, later));
    }

    #[test]
    fn what_one_browser_brings_about_pauses_no_push_service() {
        let mut circuits = Circuits::new(Channel::Webpush, 0.4);
        let (origin, now) = ("https://push.example.net", Instant::now());
        let of_one = [
            Verdict::Configuration("403".into()),
            Verdict::Later { code: "429".into(), after: Some(Duration::from_secs(60)) },
            Verdict::Unknown("no answer".into()),
        ];
        for verdict in of_one.iter().cycle().take(300) {
            assert!(send(&mut circuits, origin, 7..8, verdict, now));
        }
        // Endpoints that lead nowhere are made up in any number.
        let dead = Verdict::Dead { code: "404".into(), since: None };
        assert!(send(&mut circuits, origin, 100..1_000, &dead, now));
        assert!(!circuits.of(origin, 0, now).believes_dead());
        assert!(send(&mut circuits, origin, 0..10, &Verdict::Accepted, now));
        // A key that is wrong for all is another matter.
        assert!(send(&mut circuits, origin, 0..20, &of_one[0], now));
        assert!(!send(&mut circuits, origin, 0..20, &of_one[0], now));
    }
}
