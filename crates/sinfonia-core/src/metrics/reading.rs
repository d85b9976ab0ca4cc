//! The measurements that a page gives.

use std::collections::BTreeMap;
use std::time::Duration;

use super::page::lines;
use super::{ResourceName, Take, Term};
use crate::cloudlet::{Measurement, Resources, normalise_resources};

/// What a page said of each resource: the sum or mean of its series. Rates follow from two of them.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Reading(BTreeMap<ResourceName, f64>);

#[derive(Default)]
struct Total {
    sum: f64,
    count: u32,
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
            for (name, _) in wanted.filter(|(_, term)| term.series.takes(&sample)) {
                totals.entry(name).or_default().add(sample.value);
            }
        }
        let take = |(name, total): (&ResourceName, Total)| {
            let term = series.get(name)?;
            Some((name.clone(), total.taken(term.take)))
        };
        Self(totals.into_iter().filter_map(take).collect())
    }

    /// Whether the page had none of the series.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The measurements. Rates need the reading before this one and the time between the two; there is none where a counter has begun
    /// anew. What is not finite is left out.
    pub fn resources(
        &self,
        series: &BTreeMap<ResourceName, Term>,
        before: Option<(&Self, Duration)>,
    ) -> Resources {
        let measured = self.0.iter().filter_map(|(name, &now)| {
            let term = series.get(name)?;
            let value = match term.take {
                Take::Sum | Take::Mean => now,
                Take::Rate => {
                    let (before, time) = before?;
                    let growth = now - before.0.get(name)?;
                    (growth >= 0.0).then_some(growth / time.as_secs_f64())?
                }
            };
            let value = Measurement::try_from(value / term.divide_by).ok()?;
            Some((name.as_str().to_owned(), value))
        });
        let mut resources = measured.collect();
        normalise_resources(&mut resources);
        resources
    }
}

impl Total {
    fn add(&mut self, value: f64) {
        self.sum += value;
        self.count += 1;
    }

    fn taken(&self, take: Take) -> f64 {
        match take {
            Take::Sum | Take::Rate => self.sum,
            Take::Mean => self.sum / f64::from(self.count),
        }
    }
}

#[cfg(test)]
mod tests {
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
