//! When a cloudlet's measurements are fetched.

use std::time::Duration;

use sinfonia_core::endpoint::Endpoint;

/// Largest share of the interval by which it is shortened or lengthened, so that scrapes which began together drift apart.
const JITTER: f64 = 0.1;
/// Longest time between two tries while they fail: a cloudlet that comes back is measured two minutes later.
const LONGEST_RETRY: Duration = Duration::from_secs(120);

/// Time from the start to a cloudlet's first scrape: the part of the interval that a hash of its endpoint gives, so that many cloudlets
/// are spread out evenly, and equally after a restart.
pub(super) fn offset(endpoint: &Endpoint, interval: Duration) -> Duration {
    // The last bytes of a uuid of version 5 are bytes of SHA-1.
    let [.., a, b, c, d] = endpoint.uuid().into_bytes();
    interval.mul_f64(share(u32::from_be_bytes([a, b, c, d])))
}

/// Time from the start of a scrape to the start of the next one, after this many failures in a row; `random` spreads it evenly, by a tenth
/// to both sides. Two failures change nothing, so that measurements, which are believed for 45 s, do not lapse because of one.
pub(super) fn pause(interval: Duration, failures: u32, random: u32) -> Duration {
    let doubled = interval.saturating_mul(2_u32.saturating_pow(failures.saturating_sub(2)));
    let longest = LONGEST_RETRY.max(interval);
    doubled
        .min(longest)
        .mul_f64(1.0 - JITTER + 2.0 * JITTER * share(random))
}

/// From 0 to 1.
fn share(number: u32) -> f64 {
    f64::from(number) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    const INTERVAL: Duration = Duration::from_secs(15);

    #[rstest]
    #[case::good_and_early(0, 0, 13_500)]
    #[case::good_and_late(0, u32::MAX, 16_500)]
    #[case::one_failure(1, u32::MAX / 2, 15_000)]
    #[case::two_failures(2, u32::MAX / 2, 15_000)]
    #[case::three_failures(3, u32::MAX / 2, 30_000)]
    #[case::four_failures(4, u32::MAX / 2, 60_000)]
    #[case::many_failures(1_000, u32::MAX / 2, 120_000)]
    fn further_failures_double_the_pause_up_to_two_minutes(
        #[case] failures: u32,
        #[case] random: u32,
        #[case] milliseconds: u64,
    ) {
        let pause = pause(INTERVAL, failures, random);

        let exact = Duration::from_millis(milliseconds);
        assert!(
            pause.abs_diff(exact) < Duration::from_millis(1),
            "{pause:?}"
        );
    }

    #[test]
    fn many_cloudlets_begin_in_all_parts_of_the_interval_and_always_in_the_same() {
        let offsets = || -> Vec<Duration> {
            (0..1000)
                .map(|number| offset(&endpoint(number), INTERVAL))
                .collect()
        };
        let mut tenths = [0; 10];
        for begun in offsets() {
            let tenth = begun.as_millis() * 10 / INTERVAL.as_millis();
            tenths[usize::try_from(tenth).unwrap().min(9)] += 1;
        }

        assert!(
            tenths.iter().all(|count| (60..=140).contains(count)),
            "{tenths:?}"
        );
        assert_eq!(offsets(), offsets());
    }

    proptest! {
        #[test]
        fn a_pause_is_about_an_interval_at_least_and_two_minutes_at_most(
            seconds in 1..=30_u64,
            failures: u32,
            random: u32,
        ) {
            let interval = Duration::from_secs(seconds);

            let pause = pause(interval, failures, random);

            prop_assert!(pause >= interval.mul_f64(0.89) && pause <= LONGEST_RETRY.mul_f64(1.11));
        }
    }

    fn endpoint(number: u32) -> Endpoint {
        format!("https://cloudlet-{number}.example/api/v1/deploy")
            .parse()
            .unwrap()
    }
}
