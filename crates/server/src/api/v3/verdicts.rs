//! Verdicts: what is to be said of each element of a batch, and of the batch as a whole.

use pigeonloft_model::account::Elements;
use pigeonloft_model::{Fault, RetCode};
use serde_json::{Map, Value};

use super::super::answer::Answer;

/// Failed elements an answer's text names; it counts the rest.
const NAMED: usize = 10;

/// The published answers have 1008006 for every token that cannot be used, malformed and unknown alike.
pub(super) const UNKNOWN_TOKEN: (RetCode, &str) =
    (RetCode::InvalidToken, "no device of this app has this token; register or import it first");

/// What is to be said of each element of a batch.
pub(super) struct Verdicts {
    /// The member the elements came in.
    list: &'static str,
    faults: Vec<Option<Fault>>,
}

impl Verdicts {
    /// Parts the good elements of a batch from the bad ones.
    pub(super) fn of<T>(list: &'static str, elements: Elements<T>) -> (Self, Vec<T>) {
        let mut good = Vec::with_capacity(elements.len());
        let faults = elements.into_iter().map(|element| element.map(|element| good.push(element)).err()).collect();
        (Self { list, faults }, good)
    }

    /// Takes in what became of the good elements, in their order: `None` is well.
    pub(super) fn judge(&mut self, good: impl Iterator<Item = Option<(RetCode, &'static str)>>) {
        let list = self.list;
        let places = self.faults.iter_mut().enumerate().filter(|(_, fault)| fault.is_none());
        for ((place, fault), verdict) in places.zip(good) {
            *fault = verdict.map(|(code, text)| Fault::new(code, format!("{list}[{place}]: {text}")));
        }
    }

    /// The answer: a code for each element, and one for the whole.
    pub(super) fn answer(self, mut members: Map<String, Value>) -> Answer {
        let result = self.faults.iter().map(|fault| match fault {
            None => "0".into(),
            Some(fault) => Value::from(fault.code.to_string()),
        });
        members.insert("result".into(), result.collect());
        let answer = Answer::with(Value::Object(members));
        match self.failure() {
            None => answer,
            Some(fault) => answer.under(fault.code, fault.text),
        }
    }

    /// What is to be said of the whole batch, unless all is well.
    fn failure(&self) -> Option<Fault> {
        let of = self.faults.len();
        let failed: Vec<&Fault> = self.faults.iter().flatten().collect();
        if failed.is_empty() {
            return None;
        }
        let code = if failed.len() == of { RetCode::WhollyFailed } else { RetCode::PartlyFailed };
        let named: Vec<&str> = failed.iter().take(NAMED).map(|fault| fault.text.as_str()).collect();
        let more = match failed.len() - named.len() {
            0 => String::new(),
            more => format!("; and {more} more"),
        };
        Some(Fault::new(code, format!("{} of {of} failed: {}{more}", failed.len(), named.join("; "))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNKNOWN: Option<(RetCode, &str)> = Some((RetCode::InvalidToken, "unknown"));

    #[test]
    fn what_becomes_of_the_good_elements_finds_its_place_between_the_bad_ones() {
        let bad = || Err(Fault::new(RetCode::Invalid, "bad"));
        let (mut verdicts, good) = Verdicts::of("token_list", vec![bad(), Ok(1), bad(), Ok(2), Ok(3)]);
        assert_eq!(good, [1, 2, 3]);
        verdicts.judge([None, UNKNOWN, None].into_iter());
        let codes: Vec<_> = verdicts.faults.iter().map(|fault| fault.as_ref().map(|fault| fault.code)).collect();
        let (invalid, unknown) = (Some(RetCode::Invalid), Some(RetCode::InvalidToken));
        assert_eq!(codes, [invalid, None, invalid, unknown, None]);
        assert_eq!(verdicts.faults[3].as_ref().unwrap().text, "token_list[3]: unknown");
    }

    #[test]
    fn a_batch_goes_well_or_fails_in_part_or_wholly() {
        for (judged, code) in [
            (vec![None, None], None),
            (vec![None, UNKNOWN], Some(RetCode::PartlyFailed)),
            (vec![UNKNOWN, UNKNOWN], Some(RetCode::WhollyFailed)),
        ] {
            let (mut verdicts, _) = Verdicts::of("token_list", judged.iter().map(|_| Ok(())).collect());
            verdicts.judge(judged.into_iter());
            assert_eq!(verdicts.failure().map(|fault| fault.code), code);
        }
    }

    #[test]
    fn the_first_ten_failed_elements_are_named_and_the_rest_counted() {
        let (mut verdicts, good) = Verdicts::of("token_list", (0..12).map(Ok).collect());
        verdicts.judge(good.iter().map(|_| UNKNOWN));
        let text = verdicts.failure().unwrap().text;
        assert!(text.starts_with("12 of 12 failed: token_list[0]: unknown; "), "{text}");
        assert!(text.ends_with("token_list[9]: unknown; and 2 more"), "{text}");
    }
}
