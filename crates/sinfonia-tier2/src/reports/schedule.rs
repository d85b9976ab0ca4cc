//! When the next report goes out.

use std::time::Duration;

/// Time between two reports that are accepted.
const INTERVAL: Duration = Duration::from_secs(15);
/// Largest share of the interval by which it is shortened or lengthened, so that cloudlets which started together drift apart.
const JITTER: f64 = 0.1;
/// Time before a report is tried again for the first time; it doubles with each failure.
const FIRST_RETRY: Duration = Duration::from_secs(1);
/// Longest time between two tries: a Tier 1 that comes back knows its cloudlets a minute later.
const LONGEST_RETRY: Duration = Duration::from_secs(60);

/// Time until the next report after this many failures in a row; `random` spreads it evenly, by a tenth around the interval, and after failures
/// over the upper half of the retry time.
pub(super) fn pause(failures: u32, random: u32) -> Duration {
    let random = f64::from(random) / f64::from(u32::MAX);
    match failures.checked_sub(1) {
        None => INTERVAL.mul_f64(1.0 - JITTER + 2.0 * JITTER * random),
        Some(doublings) => {
            let longest = FIRST_RETRY
                .saturating_mul(2_u32.saturating_pow(doublings))
                .min(LONGEST_RETRY);
            longest.mul_f64(0.5 + 0.5 * random)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::accepted(0, 0, 13_500)]
    #[case::accepted_late(0, u32::MAX, 16_500)]
    #[case::first_failure(1, u32::MAX, 1_000)]
    #[case::first_failure_early(1, 0, 500)]
    #[case::third_failure(3, u32::MAX, 4_000)]
    #[case::many_failures(1_000, u32::MAX, 60_000)]
    fn failures_double_the_pause(
        #[case] failures: u32,
        #[case] random: u32,
        #[case] milliseconds: u64,
    ) {
        assert_eq!(pause(failures, random), Duration::from_millis(milliseconds));
    }

    proptest! {
        #[test]
        fn a_pause_is_never_shorter_than_half_a_second_nor_longer_than_a_minute(failures: u32, random: u32) {
            let pause = pause(failures, random);

            prop_assert!(pause >= FIRST_RETRY / 2 && pause <= LONGEST_RETRY);
        }
    }
}
