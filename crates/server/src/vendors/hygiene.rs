//! Hygiene: whether a vendor's word that tokens are dead is believed. Where it says so of most, it is rather a fault of
//! credentials or environment, or of the vendor's, and forgetting the tokens would cost the app its devices.

/// Share of dead tokens among the last ones that is still normal. Of tokens that are seldom used a tenth may be.
const NORMAL_SHARE: f64 = 0.4;

/// Fewer tokens than this say nothing about a share.
const LEAST: f64 = 50.0;

/// About how many of the last tokens count.
const REMEMBERED: f64 = 5_000.0;

/// What a vendor said of the last tokens of an app.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Hygiene {
    asked: f64,
    dead: f64,
}

impl Hygiene {
    /// Counts an answer about so many tokens, of which so many are said to be dead. Answers whether that is believed.
    pub(super) fn believes(&mut self, asked: usize, dead: usize) -> bool {
        self.asked += asked as f64;
        self.dead += dead as f64;
        let is_normal = self.asked < LEAST || self.dead <= NORMAL_SHARE * self.asked;
        if self.asked > REMEMBERED {
            let keep = REMEMBERED / 2.0 / self.asked;
            self.asked *= keep;
            self.dead *= keep;
        }
        is_normal
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn most_tokens_are_not_dead_at_once() {
        let mut hygiene = Hygiene::default();
        assert!(hygiene.believes(1, 1), "one says nothing about a share");
        assert!(hygiene.believes(1_000, 100));
        assert!(!hygiene.believes(2_000, 2_000));
        assert!(!hygiene.believes(1, 1), "also the next one is not believed");
        for _ in 0..10 {
            hygiene.believes(2_000, 10);
        }
        assert!(hygiene.believes(100, 10), "until it is as it was");
    }
}
