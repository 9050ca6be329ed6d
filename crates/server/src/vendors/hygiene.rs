//! Hygiene: whether a vendor's word that tokens are dead is believed. Where it says so of most, it is rather a fault of
//! credentials or environment, or of the vendor's, and forgetting the tokens would cost the app its devices.

/// Fewer tokens than this say nothing about a share.
pub(super) const LEAST: usize = 50;

/// About how many of the last tokens count.
const REMEMBERED: f64 = 5_000.0;

/// What a vendor said of the last tokens of an app.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Hygiene {
    /// Share of dead tokens that is still normal.
    normal_share: f64,
    asked: f64,
    dead: f64,
    /// The last share that could be told was abnormal.
    suspects: bool,
}

impl Hygiene {
    /// Of tokens of which none was asked for.
    pub(super) fn new(normal_share: f64) -> Self {
        Self { normal_share, asked: 0.0, dead: 0.0, suspects: false }
    }

    /// Counts an answer about so many tokens, of which so many are said to be dead. Answers whether that is believed.
    pub(super) fn believes(&mut self, asked: usize, dead: usize) -> bool {
        self.asked += asked as f64;
        self.dead += dead as f64;
        if !self.is_undecided() {
            self.suspects = self.dead > self.normal_share * self.asked;
        }
        if self.asked > REMEMBERED {
            let keep = REMEMBERED / 2.0 / self.asked;
            self.asked *= keep;
            self.dead *= keep;
        }
        !self.suspects
    }

    /// Whether the share was abnormal when it could be told last.
    pub(super) fn suspects(&self) -> bool {
        self.suspects
    }

    /// Whether too few were asked for since it began anew.
    pub(super) fn is_undecided(&self) -> bool {
        self.asked < LEAST as f64
    }

    /// What was said before counts no more; a suspicion stays until the share can be told again.
    pub(super) fn begin_anew(&mut self) {
        (self.asked, self.dead) = (0.0, 0.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn most_tokens_are_not_dead_at_once() {
        let mut hygiene = Hygiene::new(0.4);
        assert!(hygiene.believes(1, 1), "one says nothing about a share");
        assert!(hygiene.believes(1_000, 100));
        assert!(!hygiene.believes(2_000, 2_000));
        assert!(!hygiene.believes(1, 1), "also the next one is not believed");
        for _ in 0..10 {
            hygiene.believes(2_000, 10);
        }
        assert!(hygiene.believes(100, 10), "until it is as it was");
    }

    #[test]
    fn a_suspicion_outlasts_a_new_beginning_until_enough_are_asked_for() {
        let mut hygiene = Hygiene::new(0.4);
        assert!(!hygiene.believes(100, 100));
        hygiene.begin_anew();
        assert!(!hygiene.believes(LEAST - 1, 0) && hygiene.is_undecided());
        assert!(hygiene.believes(1, 0));
    }
}
