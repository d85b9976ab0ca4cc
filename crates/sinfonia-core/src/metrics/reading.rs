//! The measurements that a page gives.

use std::collections::BTreeMap;
use std::ops::Add;
use std::time::Duration;

use super::page::{Label, Sample, lines};
use super::{ResourceName, Take, Term};
use crate::cloudlet::{Measurement, Resources, normalise_resources};

/// What a page said of each resource. Rates follow from two of them.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Reading(BTreeMap<ResourceName, Total>);

/// What the series of a resource come to.
#[derive(Debug, Clone, PartialEq)]
enum Total {
    Sum(f64),
    Mean {
        sum: f64,
        count: u32,
    },
    /// What each counts, by its labels: the coming and going of one must not look like growth of the others.
    Rate(BTreeMap<Vec<Label>, f64>),
}

impl Reading {
    /// Reads the series of a page; a resource is left out when none of its series is there.
    pub fn of(page: &str, series: &BTreeMap<ResourceName, Term>) -> Self {
        let mut totals: BTreeMap<&ResourceName, Total> = BTreeMap::new();
        for line in lines(page) {
            let named = |(_, term): &(_, &Term)| term.series.name() == line.name;
            let mut wanted = series.iter().filter(named).peekable();
            if wanted.peek().is_none() {
                continue;
            }
            let Some(sample) = line.sample() else {
                continue;
            };
            for (name, term) in wanted.filter(|(_, term)| term.series.takes(&sample)) {
                let total = totals.entry(name);
                total.or_insert_with(|| term.take.into()).add(&sample);
            }
        }
        let totals = totals.into_iter();
        Self(totals.map(|(name, total)| (name.clone(), total)).collect())
    }

    /// Whether the page had none of the series.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The measurements. Rates need the reading before this one and the time between the two. What is not finite is left out.
    pub fn resources(
        &self,
        series: &BTreeMap<ResourceName, Term>,
        before: Option<(&Self, Duration)>,
    ) -> Resources {
        let measured = self.0.iter().filter_map(|(name, total)| {
            let before = before.and_then(|(reading, time)| Some((reading.0.get(name)?, time)));
            let value = total.value(before)? / series.get(name)?.divide_by;
            let value = Measurement::try_from(value).ok()?;
            Some((name.as_str().to_owned(), value))
        });
        let mut resources = measured.collect();
        normalise_resources(&mut resources);
        resources
    }
}

impl From<Take> for Total {
    fn from(take: Take) -> Self {
        match take {
            Take::Sum => Self::Sum(0.0),
            Take::Mean => Self::Mean { sum: 0.0, count: 0 },
            Take::Rate => Self::Rate(BTreeMap::new()),
        }
    }
}

impl Total {
    fn add(&mut self, sample: &Sample) {
        match self {
            Self::Sum(sum) => *sum += sample.value,
            Self::Mean { sum, count } => {
                *sum += sample.value;
                *count += 1;
            }
            Self::Rate(counters) => {
                counters.insert(sample.labels.clone(), sample.value);
            }
        }
    }

    /// What that is as a number. A rate is that of the counters which were there before too and have not begun anew, if there are any.
    fn value(&self, before: Option<(&Self, Duration)>) -> Option<f64> {
        match self {
            Self::Sum(sum) => Some(*sum),
            Self::Mean { sum, count } => Some(sum / f64::from(*count)),
            Self::Rate(counters) => {
                let (Self::Rate(before), time) = before? else {
                    return None;
                };
                let growths = counters.iter().filter_map(|(labels, now)| {
                    let growth = now - before.get(labels)?;
                    (growth >= 0.0).then_some(growth)
                });
                let growth = growths.reduce(f64::add)?;
                Some(growth / time.as_secs_f64())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const PAGE: &str = "\
# TYPE queue_length gauge
queue_length{queue=\"a\"} 3
queue_length{queue=\"b\"} 4
DCGM_FI_DEV_GPU_UTIL{gpu=\"0\"} 30
DCGM_FI_DEV_GPU_UTIL{gpu=\"1\"} 50
received_bytes_total{device=\"lo\"} 1000
received_bytes_total{device=\"eth0\"} 5000
odd NaN
";

    #[test]
    fn the_series_of_a_page_make_resources() {
        let series = series([
            ("queue", term("queue_length", Take::Sum, 1.0)),
            ("queue_a", term("queue_length{queue=\"a\"}", Take::Sum, 1.0)),
            ("gpu_ratio", term("DCGM_FI_DEV_GPU_UTIL", Take::Mean, 100.0)),
            ("odd", term("odd", Take::Sum, 1.0)),
            ("absent", term("absent", Take::Sum, 1.0)),
        ]);

        let resources = Reading::of(PAGE, &series).resources(&series, None);

        let expected = [("gpu_ratio", 0.4), ("queue", 7.0), ("queue_a", 3.0)];
        assert_eq!(resources, measurements(expected));
    }

    #[test]
    fn a_gpu_ratio_above_1_is_in_per_cent() {
        let series = series([("gpu_ratio", term("DCGM_FI_DEV_GPU_UTIL", Take::Mean, 1.0))]);

        let resources = Reading::of(PAGE, &series).resources(&series, None);

        assert_eq!(resources, measurements([("gpu_ratio", 0.4)]));
    }

    #[test]
    fn a_rate_is_what_a_counter_grows_in_a_second() {
        let outside = "received_bytes_total{device!=\"lo\"}";
        let series = series([("net_rx_rate", term(outside, Take::Rate, 1.0))]);
        let first = Reading::of(PAGE, &series);
        let later = Reading::of("received_bytes_total{device=\"eth0\"} 6500\n", &series);
        let time = Duration::from_secs(15);

        let at_first = first.resources(&series, None);
        let grown = later.resources(&series, Some((&first, time)));
        let begun_anew = first.resources(&series, Some((&later, time)));
        let at_once = later.resources(&series, Some((&first, Duration::ZERO)));

        assert_eq!(grown, measurements([("net_rx_rate", 100.0)]));
        assert_eq!(
            [at_first, begun_anew, at_once],
            [const { Resources::new() }; 3]
        );
    }

    #[rstest]
    #[case::all_go_on("c{i=\"a\"} 400\nc{i=\"b\"} 5300\n", Some(40.0))]
    #[case::one_vanishes("c{i=\"b\"} 5300\n", Some(20.0))]
    #[case::one_appears("c{i=\"a\"} 400\nc{i=\"b\"} 5300\nc{i=\"c\"} 9000\n", Some(40.0))]
    #[case::one_begins_anew("c{i=\"a\"} 7\nc{i=\"b\"} 5300\n", Some(20.0))]
    #[case::all_begin_anew("c{i=\"a\"} 7\nc{i=\"b\"} 7\n", None)]
    #[case::others("c{i=\"c\"} 9000\n", None)]
    fn a_rate_is_that_of_the_series_that_go_on(#[case] page: &str, #[case] expected: Option<f64>) {
        let series = series([("rate", term("c", Take::Rate, 1.0))]);
        let first = Reading::of("c{i=\"a\"} 100\nc{i=\"b\"} 5000\n", &series);

        let resources =
            Reading::of(page, &series).resources(&series, Some((&first, Duration::from_secs(15))));

        let rate = resources.get("rate").map(|rate| rate.value());
        assert_eq!(rate, expected);
    }

    #[test]
    fn a_page_without_the_series_is_empty() {
        let series = series([("queue", term("queue_length", Take::Sum, 1.0))]);

        assert!(Reading::of("<html>queue_length</html>", &series).is_empty());
        assert!(!Reading::of(PAGE, &series).is_empty());
    }

    fn series<const N: usize>(terms: [(&str, Term); N]) -> BTreeMap<ResourceName, Term> {
        terms
            .map(|(name, term)| (name.parse().unwrap(), term))
            .into()
    }

    fn term(series: &str, take: Take, divide_by: f64) -> Term {
        Term {
            series: series.parse().unwrap(),
            take,
            divide_by,
        }
    }

    fn measurements<const N: usize>(values: [(&str, f64); N]) -> Resources {
        values
            .map(|(name, value)| (name.to_owned(), value.try_into().unwrap()))
            .into()
    }
}
