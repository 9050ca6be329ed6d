//! Activity: on which of the last days a device was seen, as a bitmap beside the moment when it was seen last. A row for
//! each device and day would be the largest table of all, for a question that is asked of few weeks.

/// Days on which a device was seen: bit 0 is the day of its `seen_at`, bit n the day n days before. A day begins at
/// midnight of the zone of the store; where that is changed, days before may be off by one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct ActiveDays(i64);

impl ActiveDays {
    /// Days that are kept, the last one included: what an integer of SQLite holds besides its sign.
    const KEPT: i64 = 63;

    /// The day of `seen_at` alone.
    pub(crate) const TODAY: Self = Self(1);

    /// As the table has them.
    pub(crate) const fn from_column(bits: i64) -> Self {
        Self(bits & i64::MAX)
    }

    /// As the table has them.
    pub(crate) const fn column(self) -> i64 {
        self.0
    }

    /// Whether the device was seen on the day `later` days after the one it was seen last on.
    pub(crate) fn has(self, later: i64) -> bool {
        (-Self::KEPT + 1..=0).contains(&later) && self.0 >> -later & 1 == 1
    }

    /// With a day on which the device was seen again, `later` days after the one it was seen last on. Below zero the
    /// clock was set back: days that are yet to come are forgotten.
    pub(crate) fn seen_again(self, later: i64) -> Self {
        let moved = match later {
            0..Self::KEPT => self.0 << later & i64::MAX,
            _ if later > -Self::KEPT && later < 0 => self.0 >> -later,
            _ => 0,
        };
        Self(moved | 1)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_days_are_those_of_the_last_63_on_which_a_device_was_seen(steps in proptest::collection::vec(-3_i64..40, 0..40)) {
            let (mut days, mut today, mut expected) = (ActiveDays::TODAY, 0_i64, BTreeSet::from([0_i64]));
            for step in steps {
                today += step;
                prop_assert_eq!(days.has(step), expected.contains(&today));
                days = days.seen_again(step);
                expected.insert(today);
                expected.retain(|day| (today - 62..=today).contains(day));
                let found: BTreeSet<i64> = (0..63).filter(|before| days.column() >> before & 1 == 1).map(|before| today - before).collect();
                prop_assert_eq!(&found, &expected);
                prop_assert_eq!(ActiveDays::from_column(days.column()), days);
            }
        }
    }

    #[test]
    fn who_comes_back_after_a_long_time_has_this_day_alone() {
        assert_eq!(ActiveDays::from_column(0b1011).seen_again(62).column(), 1 | 1 << 62);
        for later in [63, 64, 1_000, i64::MAX, -63, i64::MIN] {
            assert_eq!(ActiveDays::from_column(0b1011).seen_again(later), ActiveDays::TODAY, "{later}");
        }
    }
}
