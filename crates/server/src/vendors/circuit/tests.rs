use pigeonloft_model::Verdict;
use proptest::prelude::*;

use super::heard::OF_ONE_DEVICE;
use super::*;

/// How a vendor is for a while.
#[derive(Debug, Clone, Copy)]
enum Mood {
    Well,
    Failing(Option<u64>),
    Refusing,
    Burying,
}

impl Mood {
    fn answers(self, count: usize) -> Vec<Verdict> {
        let verdict = match self {
            Self::Well => Verdict::Accepted,
            Self::Failing(after) => {
                Verdict::Later { code: "ServiceUnavailable".into(), after: after.map(Duration::from_secs) }
            }
            Self::Refusing => Verdict::Configuration("InvalidProviderToken".into()),
            Self::Burying => Verdict::Dead { code: "Unregistered".into(), since: None },
        };
        vec![verdict; count]
    }
}

fn moods() -> impl Strategy<Value = Vec<(Mood, u64)>> {
    let mood = prop_oneof![
        Just(Mood::Well),
        Just(Mood::Failing(None)),
        (1_u64..60).prop_map(|seconds| Mood::Failing(Some(seconds))),
        Just(Mood::Refusing),
        Just(Mood::Burying),
    ];
    proptest::collection::vec((mood, 1_u64..600), 1..6)
}

/// What is heard of a batch of Apple's, always of the same devices.
fn heard(verdicts: &[Verdict]) -> Heard {
    Heard::of(Channel::Apns, (0..).map(DeviceId).zip(verdicts))
}

/// A batch is sent, and answered at once.
fn send(circuit: &mut Circuit, mood: Mood, batch: usize, now: Instant, dice: f64) -> (usize, Option<Change>) {
    match circuit.pass(now) {
        Pass::All(turn) => (batch, circuit.report(turn, &heard(&mood.answers(batch)), now, dice).1),
        Pass::Probe(turn, probes) => {
            let sent = probes.min(batch);
            (sent, circuit.report(turn, &heard(&mood.answers(sent)), now, dice).1)
        }
        Pass::Nothing(_) => (0, None),
    }
}

proptest! {
    #[test]
    fn a_vendor_that_is_ill_is_left_alone_and_one_that_is_well_again_is_used_again(
        moods in moods(),
        batch in 1_usize..200,
        dice in proptest::collection::vec(0.0_f64..1.0, 1..20),
    ) {
        let begin = Instant::now();
        let mut circuit = Circuit::new(Channel::Apns, 0.4);
        let (mut at, mut dice) = (begin, dice.into_iter().cycle());
        // A batch a second, in virtual time; at the end the vendor is well for as long as the longest wait, and as the tries
        // take of which one at a time tells a share.
        for (mood, seconds) in moods.into_iter().chain([(Mood::Well, 1_000)]) {
            let mut asked = 0;
            for _ in 0..seconds {
                at += Duration::from_secs(1);
                let was = circuit.state(at);
                let (sent, change) = send(&mut circuit, mood, batch, at, dice.next().unwrap_or_default());
                asked += sent;
                // What is let through, by the state before.
                match was {
                    State::Closed => prop_assert_eq!(sent, batch),
                    State::Open => prop_assert_eq!(sent, 0),
                    State::HalfOpen => prop_assert!(sent > 0 && sent <= batch.min(hygiene::LEAST)),
                }
                // What changes, by what was heard.
                match change {
                    Some(Change::Opened(pause)) => {
                        prop_assert!(was == State::Closed && pause.since == at && pause.next_try > at);
                        let reason = match mood {
                            Mood::Failing(_) => Reason::Failing,
                            Mood::Refusing => Reason::Configuration,
                            Mood::Burying => Reason::DeadTokens,
                            Mood::Well => return Err(TestCaseError::fail("opened by what was taken")),
                        };
                        prop_assert_eq!(pause.reason, reason);
                    }
                    Some(Change::Closed) => prop_assert!(was == State::HalfOpen && sent > 0),
                    None => {}
                }
                // What the vendor asks for is kept to.
                if let (Mood::Failing(Some(after)), State::HalfOpen, Some(pause)) = (mood, was, circuit.pause()) {
                    prop_assert!(pause.next_try >= at + Duration::from_secs(after));
                }
            }
            if let Mood::Failing(None) | Mood::Refusing = mood {
                let longest = FAILURES_IN_A_ROW + batch + seconds as usize / 2 * hygiene::LEAST;
                prop_assert!(asked <= longest, "{asked} messages of {} in {seconds} s", batch as u64 * seconds);
            }
        }
        prop_assert_eq!(circuit.state(at), State::Closed, "{:?}", circuit);
    }
}

#[test]
fn waits_grow_and_a_try_that_is_never_heard_of_does_not_stand_in_the_way() {
    let mut circuit = Circuit::new(Channel::Apns, 0.4);
    let mut now = Instant::now();
    let mut waits = Vec::new();
    for _ in 0..9 {
        let _ = send(&mut circuit, Mood::Failing(None), 50, now, 1.0);
        let next = circuit.pause().expect("it is paused").next_try;
        waits.push((next - now).as_secs());
        now = next;
    }
    assert_eq!(waits, [5, 10, 20, 40, 80, 160, 300, 300, 300]);
    assert!(matches!(circuit.pass(now), Pass::Probe(_, PROBES)));
    assert!(matches!(circuit.pass(now), Pass::Nothing(_)), "one try at a time");
    now += PROBED_WITHIN;
    assert_eq!(send(&mut circuit, Mood::Well, 50, now, 1.0).1, Some(Change::Closed));
    let _ = send(&mut circuit, Mood::Failing(None), 50, now, 1.0);
    let pause = circuit.pause().expect("it is paused");
    assert_eq!((pause.next_try - now).as_secs(), 5, "another failure begins with a short wait");
    circuit.try_now(now);
    assert_eq!(circuit.state(now), State::HalfOpen, "other credentials are tried at once");
}

#[test]
fn what_is_of_one_device_or_heard_too_late_says_nothing_of_the_channel() {
    let mut circuit = Circuit::new(Channel::Apns, 0.4);
    let now = Instant::now();
    let of_devices = [
        Verdict::Refused("BadDeviceToken".into()),
        Verdict::Configuration("DeviceTokenNotForTopic".into()),
        // One device that says it is of the sandbox, where the key is for production alone.
        Verdict::Configuration("BadEnvironmentKeyInToken".into()),
        Verdict::Later { code: OF_ONE_DEVICE.into(), after: None },
    ];
    let Pass::All(turn) = circuit.pass(now) else { panic!("it is closed") };
    for verdict in of_devices {
        assert_eq!(circuit.report(turn, &heard(&vec![verdict; 1_000]), now, 0.5), (true, None));
    }
    let mut mixed = Mood::Failing(None).answers(1_000);
    mixed.push(Verdict::Accepted);
    assert_eq!(circuit.report(turn, &heard(&mixed), now, 0.5).1, None, "it takes some");
    let failing = heard(&Mood::Failing(None).answers(FAILURES_IN_A_ROW));
    assert!(matches!(circuit.report(turn, &failing, now, 0.5).1, Some(Change::Opened(_))));
    for late in [Mood::Well, Mood::Refusing] {
        assert_eq!(circuit.report(turn, &heard(&late.answers(100)), now, 0.5).1, None);
        assert_eq!(circuit.state(now), State::Open);
    }
}
