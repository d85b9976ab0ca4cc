//! What many measurements come to.

/// The middle of measurements, and the least and the greatest of them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Summary {
    pub(super) median: f64,
    pub(super) least: f64,
    pub(super) greatest: f64,
}

impl Summary {
    /// Sums up; nothing cannot be summed up.
    pub(super) fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = values.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let (least, greatest) = (*sorted.first()?, *sorted.last()?);
        let middle = sorted.len() / 2;
        let median = if sorted.len() % 2 == 1 {
            sorted[middle]
        } else {
            f64::midpoint(sorted[middle - 1], sorted[middle])
        };
        Some(Self {
            median,
            least,
            greatest,
        })
    }
}

/// Measurements of ours, each with the baseline's of the same round.
#[derive(Debug, Default)]
pub(super) struct Pairs {
    ours: Vec<f64>,
    baseline: Vec<f64>,
}

impl Pairs {
    pub(super) fn push(&mut self, ours: f64, baseline: f64) {
        self.ours.push(ours);
        self.baseline.push(baseline);
    }

    pub(super) fn ours(&self) -> Option<Summary> {
        Summary::of(self.ours.iter().copied())
    }

    pub(super) fn baseline(&self) -> Option<Summary> {
        Summary::of(self.baseline.iter().copied())
    }

    /// Ours over the baseline's, pair by pair: what slows the machine down for a while slows down both.
    pub(super) fn ratio(&self) -> Option<Summary> {
        let pairs = self.ours.iter().zip(&self.baseline);
        Summary::of(pairs.map(|(ours, baseline)| ours / baseline))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_number_lies_between_the_two_in_the_middle() {
        let odd = Summary::of([5.0, 1.0, 3.0]).unwrap();
        let even = Summary::of([4.0, 1.0, 2.0, 9.0]).unwrap();

        assert_eq!((odd.least, odd.median, odd.greatest), (1.0, 3.0, 5.0));
        assert_eq!((even.least, even.median, even.greatest), (1.0, 3.0, 9.0));
        assert_eq!(Summary::of([]), None);
    }

    #[test]
    fn the_ratio_is_that_of_pairs_and_not_of_medians() {
        let mut pairs = Pairs::default();
        for (ours, baseline) in [(2.0, 1.0), (30.0, 10.0), (4.0, 4.0)] {
            pairs.push(ours, baseline);
        }

        let ratio = pairs.ratio().unwrap();

        assert_eq!(
            ratio,
            Summary {
                median: 2.0,
                least: 1.0,
                greatest: 3.0
            }
        );
        assert_eq!(pairs.ours().unwrap().median, 4.0);
        assert_eq!(pairs.baseline().unwrap().median, 4.0);
    }
}
