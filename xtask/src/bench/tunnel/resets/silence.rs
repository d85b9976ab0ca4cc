//! Times in which devices heard nothing, and what is told of them.

use std::fmt;

use crate::percentile::percentile;

/// Percentiles that are told, with their names.
const PERCENTILES: [(usize, &str); 3] = [(50, "median"), (95, "p95"), (100, "longest")];

/// Times in seconds.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Silences(Vec<f64>);

/// Ours beside those of an ordinary WireGuard client, as Markdown.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) ours: Silences,
    pub(super) ordinary: Silences,
}

impl Silences {
    pub(super) fn push(&mut self, seconds: f64) {
        self.0.push(seconds);
    }

    pub(super) fn last(&self) -> Option<f64> {
        self.0.last().copied()
    }

    fn percentile(&self, per_cent: usize) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        percentile(&sorted, per_cent).unwrap_or(f64::NAN)
    }
}

impl IntoIterator for Silences {
    type Item = f64;
    type IntoIter = std::vec::IntoIter<f64>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl FromIterator<f64> for Silences {
    fn from_iter<T: IntoIterator<Item = f64>>(silences: T) -> Self {
        Self(silences.into_iter().collect())
    }
}

impl fmt::Display for Table {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(
            "| silence of a stream when Kilo resets its session | sinfonia-tier3 | wireguard-go in the same run | ratio |\n| --- | --- | --- | --- |\n",
        )?;
        for (per_cent, name) in PERCENTILES {
            let [ours, ordinary] = [&self.ours, &self.ordinary].map(|all| all.percentile(per_cent));
            let ratio = ours / ordinary;
            writeln!(
                formatter,
                "| {name} | {ours:.2} s | {ordinary:.2} s | {ratio:.2} |"
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_silences_that_there_were() {
        let silences: Silences = (1..=20).map(f64::from).collect();

        let told = PERCENTILES.map(|(per_cent, _)| silences.percentile(per_cent));

        assert_eq!(told, [10.0, 19.0, 20.0]);
        assert!(Silences::default().percentile(50).is_nan());
    }

    #[test]
    fn each_percentile_is_told_with_its_ratio() {
        let table = Table {
            ours: [2.0, 3.0, 2.5].into_iter().collect(),
            ordinary: [15.0, 16.0].into_iter().collect(),
        };

        let rows: Vec<_> = table.to_string().lines().map(str::to_owned).collect();

        assert_eq!(rows[2], "| median | 2.50 s | 15.00 s | 0.17 |");
        assert_eq!(rows[4], "| longest | 3.00 s | 16.00 s | 0.19 |");
    }
}
