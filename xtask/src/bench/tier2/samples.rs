//! Times that were measured, and what is told of them.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use futures_util::future::try_join_all;

use super::table::Row;
use crate::percentile::percentile;

/// Times of the same thing, done again and again.
#[derive(Debug, Default)]
pub(super) struct Samples {
    times: Vec<Duration>,
    /// How long all of them took, where some ran at once.
    elapsed: Duration,
}

impl Samples {
    /// Adds one that ran alone.
    pub(super) fn push(&mut self, time: Duration) {
        self.times.push(time);
        self.elapsed += time;
    }

    /// Adds others that ran after these.
    pub(super) fn add(&mut self, others: Self) {
        self.times.extend(others.times);
        self.elapsed += others.elapsed;
    }

    /// How many were done per second.
    pub(super) fn per_second(&self) -> f64 {
        self.times.len() as f64 / self.elapsed.as_secs_f64()
    }

    /// A percentile in milliseconds.
    pub(super) fn milliseconds(&self, per_cent: usize) -> f64 {
        let mut sorted = self.times.clone();
        sorted.sort();
        let time = percentile(&sorted, per_cent);
        time.map_or(f64::NAN, |time| time.as_secs_f64() * 1000.0)
    }

    /// The row of the times beside a baseline's. Its ratio is that of the medians.
    pub(super) fn row(&self, what: &str, baseline: &str, other: &Self) -> Row {
        Row {
            what: what.to_owned(),
            figure: self.percentiles(),
            baseline: format!("{baseline}: {}", other.percentiles()),
            ratio: self.milliseconds(50) / other.milliseconds(50),
        }
    }

    /// The row of the rate beside a baseline's.
    pub(super) fn rate_row(&self, what: &str, baseline: &str, other: f64) -> Row {
        let seconds = self.elapsed.as_secs_f64();
        Row {
            what: what.to_owned(),
            figure: format!("{:.1}/s ({seconds:.0} s in all)", self.per_second()),
            baseline: format!("{baseline}: {other:.1}/s"),
            ratio: self.per_second() / other,
        }
    }

    fn percentiles(&self) -> String {
        let [p50, p99] = [50, 99].map(|per_cent| self.milliseconds(per_cent));
        let digits = if p50 < 10.0 { 2 } else { 0 };
        format!("p50 {p50:.digits$} ms, p99 {p99:.digits$} ms")
    }
}

/// Does something with each item, with a number of them under way at once.
pub(super) async fn at_once<T>(
    workers: usize,
    items: impl IntoIterator<Item = T>,
    work: impl AsyncFn(T) -> anyhow::Result<Duration>,
) -> anyhow::Result<Samples> {
    let items = Mutex::new(items.into_iter());
    let next = || {
        let mut items = items.lock().unwrap_or_else(PoisonError::into_inner);
        items.next()
    };
    let begun = Instant::now();
    let worker = async || {
        let mut times = Vec::new();
        while let Some(item) = next() {
            times.push(work(item).await?);
        }
        anyhow::Ok(times)
    };
    let times = try_join_all((0..workers).map(|_| worker())).await?;
    Ok(Samples {
        times: times.concat(),
        elapsed: begun.elapsed(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_times_that_were_measured() {
        let mut samples = Samples::default();
        for milliseconds in (1..=100).rev() {
            samples.push(Duration::from_millis(milliseconds));
        }

        let told = [0, 50, 99, 100].map(|per_cent| samples.milliseconds(per_cent));

        assert_eq!(told, [1.0, 50.0, 99.0, 100.0]);
    }
}
