//! When a lease is to be extended.

use std::time::Duration;

/// Longest time between two requests, a third of the lease that Tier 2 gives by default.
const LONGEST: Duration = Duration::from_secs(100);

/// Shortest time between two requests: a Tier 1 has other things to do.
const SHORTEST: Duration = Duration::from_secs(5);

/// How long to wait before the lease is extended of which this is left: half of it, so that there is time for another try.
///
/// A lease that has ended at once is one by a clock that differs from this device's, so that nothing is known of it.
pub(super) fn renewal(left: Option<Duration>) -> Duration {
    match left {
        Some(left) if !left.is_zero() => (left / 2).clamp(SHORTEST, LONGEST),
        _ => LONGEST,
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::usual(Some(300), 100)]
    #[case::not_written_by_tier_2_the_last_time(Some(200), 100)]
    #[case::short(Some(60), 30)]
    #[case::very_short(Some(4), 5)]
    #[case::ended(Some(0), 100)]
    #[case::not_told(None, 100)]
    fn a_lease_is_extended_when_half_of_it_is_left_at_the_latest(
        #[case] left: Option<u64>,
        #[case] expected: u64,
    ) {
        let left = left.map(Duration::from_secs);

        assert_eq!(renewal(left), Duration::from_secs(expected));
    }
}
