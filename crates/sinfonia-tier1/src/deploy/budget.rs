//! How long a deploy request may take, and how much of that one cloudlet gets.

use std::time::Duration;

/// What a request gets whose client does not say how long it waits: existing clients give up after 10 seconds.
const USUAL: Duration = Duration::from_secs(9);
/// Most that a client gets; Tier 2 waits no longer for a deployment either.
const MOST: Duration = Duration::from_secs(60);
/// With less left than this no cloudlet is asked any more: it could hardly answer in time.
const LEAST: Duration = Duration::from_secs(2);
/// Least that a client gets, however short it says that it waits: the time of one try, and some for what comes before, such as the recipe.
const SHORTEST: Duration = Duration::from_millis(2500);
/// Most that a cloudlet gets while there are others to fall over to.
const LONGEST_TRY: Duration = Duration::from_secs(20);
/// Time for the answer of a cloudlet to travel, in seconds.
const TRAVEL: u64 = 1;
/// What a request may have taken already without costing its cloudlet a whole second, because seconds are rounded down.
const SLACK: Duration = Duration::from_millis(50);

/// The time that a request has in all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Budget(Duration);

/// The time that one cloudlet gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TryTime(Duration);

impl Budget {
    /// What the seconds of the client's `Prefer: wait` give it: at least 2.5, so that a cloudlet is asked at all, at most 60.
    pub(crate) fn of(prefer_wait: Option<u64>) -> Self {
        Self(prefer_wait.map_or(USUAL, |seconds| {
            Duration::from_secs(seconds).clamp(SHORTEST, MOST)
        }))
    }

    /// The longest that any request can take.
    pub(crate) const fn longest() -> Duration {
        MOST
    }

    /// What is left of it.
    pub(crate) fn left(self, elapsed: Duration) -> Duration {
        self.0.saturating_sub(elapsed)
    }

    /// What a cloudlet gets that is asked now: half of what is left, but all of it when there is none to fall over to. Nothing when it
    /// is too late to ask.
    pub(crate) fn next_try(self, elapsed: Duration, is_last: bool) -> Option<TryTime> {
        let left = self.left(elapsed);
        if left < LEAST {
            return None;
        }
        Some(TryTime(if is_last {
            left
        } else {
            (left / 2).min(LONGEST_TRY)
        }))
    }
}

impl TryTime {
    /// The time after which the try is given up.
    pub(crate) const fn duration(self) -> Duration {
        self.0
    }

    /// The seconds for the cloudlet's `Prefer: wait`: its answer needs time to travel.
    pub(crate) fn prefer_wait(self) -> u64 {
        (self.0 + SLACK).as_secs().saturating_sub(TRAVEL).max(1)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::not_said(None, 9.0)]
    #[case::tier_3(Some(60), 60.0)]
    #[case::longer_than_we_take(Some(u64::MAX), 60.0)]
    #[case::too_short_for_a_try(Some(0), 2.5)]
    #[case::just_too_short_for_a_try(Some(2), 2.5)]
    #[case::in_between(Some(5), 5.0)]
    fn the_client_says_how_long_it_waits(#[case] prefer_wait: Option<u64>, #[case] seconds: f64) {
        assert_eq!(
            Budget::of(prefer_wait),
            Budget(Duration::from_secs_f64(seconds))
        );
    }

    #[rstest]
    #[case::half_of_what_is_left(9.0, 0.0, false, Some((4.5, 3)))]
    #[case::half_of_the_rest(9.0, 4.5, false, Some((2.25, 1)))]
    #[case::the_last_gets_all(9.0, 4.5, true, Some((4.5, 3)))]
    #[case::at_most_20_seconds(60.0, 0.0, false, Some((20.0, 19)))]
    #[case::the_last_gets_more_than_20(60.0, 0.0, true, Some((60.0, 59)))]
    #[case::exactly_enough(9.0, 7.0, false, Some((1.0, 1)))]
    #[case::some_milliseconds_do_not_cost_a_second(9.0, 0.004, true, Some((8.996, 8)))]
    #[case::more_do(9.0, 0.1, true, Some((8.9, 7)))]
    #[case::too_late(9.0, 7.001, true, None)]
    #[case::long_over(9.0, 100.0, true, None)]
    fn a_try_gets_its_share(
        #[case] total: f64,
        #[case] elapsed: f64,
        #[case] is_last: bool,
        #[case] expected: Option<(f64, u64)>,
    ) {
        let budget = Budget(Duration::from_secs_f64(total));

        let time = budget.next_try(Duration::from_secs_f64(elapsed), is_last);

        let shown = time.map(|time| (time.duration().as_secs_f64(), time.prefer_wait()));
        assert_eq!(shown, expected);
    }

    proptest! {
        #[test]
        fn no_try_outlives_its_request(prefer_wait: Option<u64>, elapsed in 0_u64..70_000, is_last: bool) {
            let budget = Budget::of(prefer_wait);
            let elapsed = Duration::from_millis(elapsed);

            if let Some(time) = budget.next_try(elapsed, is_last) {
                prop_assert!(elapsed + time.duration() <= budget.0);
                prop_assert!(time.duration() >= Duration::from_secs(1));
            }
        }
    }
}
