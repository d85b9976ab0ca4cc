//! What a placement costs a cloudlet, learned from how a measurement goes with the number of deployments.

/// What a placement is taken to cost before anything was learned, as a part of the threshold: twenty fill an idle cloudlet.
const EXPECTED: f64 = 0.05;
/// How much that weighs: as much as one deployment more and less seen once each.
const EXPECTED_WEIGHT: f64 = 1.0;
/// The least and the most that a placement is taken to cost, as parts of the threshold.
const LEAST: f64 = 0.002;
const MOST: f64 = 1.0;
/// What is left of a report's weight at the next one: what was seen ten minutes ago weighs a quarter.
const REMEMBERED: f64 = 0.966;

/// The straight line through measurements over numbers of deployments, older reports weighing less: what the cloudlet does beside deployments is in
/// its height and not in its slope. Moments are updated as in D. H. D. West, "Updating mean and variance estimates", CACM 22, 1979.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Cost {
    weight: f64,
    mean_number: f64,
    mean_value: f64,
    /// The weighted sum of squares of numbers about their mean.
    spread: f64,
    /// The weighted sum of products of numbers and values about their means.
    together: f64,
}

impl Cost {
    /// Sees a measurement, as a part of its threshold, with this number of deployments.
    pub(super) fn observe(&mut self, number: f64, value: f64) {
        self.weight = self.weight * REMEMBERED + 1.0;
        let (by_number, by_value) = (number - self.mean_number, value - self.mean_value);
        self.mean_number += by_number / self.weight;
        self.mean_value += by_value / self.weight;
        self.spread = self.spread * REMEMBERED + by_number * (number - self.mean_number);
        self.together = self.together * REMEMBERED + by_number * (value - self.mean_value);
    }

    /// What one more deployment adds to the measurement, as a part of its threshold.
    pub(super) fn of_one(&self) -> f64 {
        let slope = (self.together + EXPECTED_WEIGHT * EXPECTED) / (self.spread + EXPECTED_WEIGHT);
        slope.clamp(LEAST, MOST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn before_anything_is_seen_a_placement_costs_what_is_expected() {
        assert_eq!(Cost::default().of_one(), EXPECTED);
    }

    #[test]
    fn what_goes_on_beside_deployments_does_not_count() {
        let mut cost = Cost::default();

        for number in [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0] {
            cost.observe(number, 0.3 + 0.02 * number);
        }

        assert!((cost.of_one() - 0.02).abs() < 0.001, "{}", cost.of_one());
    }

    #[test]
    fn a_number_that_stays_as_it_is_teaches_nothing() {
        let mut cost = Cost::default();

        for value in [0.2, 0.4, 0.3, 0.5, 0.1] {
            cost.observe(7.0, value);
        }

        assert!((cost.of_one() - EXPECTED).abs() < 1e-9, "{}", cost.of_one());
    }

    #[test]
    fn what_was_learned_changes_with_the_deployments() {
        let mut cost = Cost::default();
        for (round, each) in [(40, 0.02), (40, 0.1)]
            .into_iter()
            .flat_map(|(rounds, each)| (0..rounds).map(move |round| (round, each)))
        {
            let number = f64::from(round % 5);
            cost.observe(number, each * number);
        }

        assert!((cost.of_one() - 0.1).abs() < 0.03, "{}", cost.of_one());
    }
}
