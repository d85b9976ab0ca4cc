//! The table that is printed in the end.

use std::fmt;

use super::statistics::{Pairs, Summary};

/// What is measured in one cell of each round.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cell {
    pub(super) what: &'static str,
    pub(super) unit: &'static str,
    pub(super) target: Option<Target>,
}

/// What the median has to reach.
#[derive(Debug, Clone, Copy)]
pub(super) struct Target {
    pub(super) of: Of,
    pub(super) bound: Bound,
    pub(super) must: f64,
    pub(super) ambitious: f64,
}

/// What a target is about.
#[derive(Debug, Clone, Copy)]
pub(super) enum Of {
    /// The ratio to the baseline.
    Ratio,
    /// Our own figure, whatever the baseline's is.
    Ours,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Bound {
    AtMost,
    AtLeast,
}

/// A cell with its measurements.
#[derive(Debug)]
pub(super) struct Row {
    cell: Cell,
    baseline: &'static str,
    pairs: Pairs,
}

/// Rows in the order in which they were measured, as Markdown.
#[derive(Debug, Default)]
pub(super) struct Table(pub(super) Vec<Row>);

impl Row {
    pub(super) fn new(cell: Cell, baseline: &'static str) -> Self {
        Self {
            cell,
            baseline,
            pairs: Pairs::default(),
        }
    }

    pub(super) fn push(&mut self, ours: f64, baseline: f64) {
        self.pairs.push(ours, baseline);
    }
}

impl Target {
    fn is_reached(self, bound: f64, value: f64) -> bool {
        match self.bound {
            Bound::AtMost => value <= bound,
            Bound::AtLeast => value >= bound,
        }
    }

    fn verdict(self, median: f64) -> &'static str {
        if self.is_reached(self.ambitious, median) {
            "ambitious"
        } else if self.is_reached(self.must, median) {
            "must"
        } else {
            "**missed**"
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = match self.bound {
            Bound::AtMost => "≤",
            Bound::AtLeast => "≥",
        };
        write!(formatter, "{sign} {} / {}", self.must, self.ambitious)
    }
}

impl fmt::Display for Table {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(
            "| what | ours | baseline of the same round | ratio, median [range] | must / ambitious | reached |\n| --- | --- | --- | --- | --- | --- |\n",
        )?;
        self.0.iter().try_for_each(|row| row.fmt(formatter))
    }
}

impl fmt::Display for Row {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            cell,
            baseline: name,
            pairs,
        } = self;
        let all = (pairs.ours(), pairs.baseline(), pairs.ratio());
        let (Some(ours), Some(baseline), Some(ratio)) = all else {
            return Ok(());
        };
        let unit = cell.unit;
        let figure = |summary: Summary| format!("{} {unit}", digits(summary.median));
        write!(
            formatter,
            "| {} | {} [{}–{}] | {name}: {} | ",
            cell.what,
            figure(ours),
            digits(ours.least),
            digits(ours.greatest),
            figure(baseline),
        )?;
        let Summary {
            median,
            least,
            greatest,
        } = ratio;
        write!(formatter, "{median:.2} [{least:.2}–{greatest:.2}] | ")?;
        match cell.target {
            Some(target) => {
                let (unit, median) = match target.of {
                    Of::Ratio => (String::new(), ratio.median),
                    Of::Ours => (format!(" {unit}"), ours.median),
                };
                writeln!(formatter, "{target}{unit} | {} |", target.verdict(median))
            }
            None => writeln!(formatter, "– | – |"),
        }
    }
}

/// A figure with as many digits as mean something.
fn digits(value: f64) -> String {
    let decimals = match value.abs() {
        small if small < 10.0 => 2,
        medium if medium < 100.0 => 1,
        _ => 0,
    };
    format!("{value:.decimals$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(target: Option<Target>, pairs: &[(f64, f64)]) -> String {
        let cell = Cell {
            what: "throughput",
            unit: "Gbit/s",
            target,
        };
        let mut row = Row::new(cell, "wireguard-go");
        for (ours, baseline) in pairs {
            row.push(*ours, *baseline);
        }
        row.to_string()
    }

    const AT_LEAST: Target = Target {
        of: Of::Ratio,
        bound: Bound::AtLeast,
        must: 1.3,
        ambitious: 1.6,
    };

    #[test]
    fn a_row_tells_figures_ratio_target_and_whether_it_is_reached() {
        let row = row(Some(AT_LEAST), &[(3.0, 2.0), (4.0, 2.5), (30.0, 10.0)]);

        assert_eq!(
            row,
            "| throughput | 4.00 Gbit/s [3.00–30.0] | wireguard-go: 2.50 Gbit/s | 1.60 [1.50–3.00] | ≥ 1.3 / 1.6 | ambitious |\n"
        );
    }

    #[test]
    fn a_target_may_be_about_our_own_figure() {
        let target = Target {
            of: Of::Ours,
            bound: Bound::AtMost,
            must: 30.0,
            ambitious: 10.0,
        };

        let row = row(Some(target), &[(20.0, 300.0)]);

        assert!(row.ends_with("| ≤ 30 / 10 Gbit/s | must |\n"), "{row}");
    }

    #[test]
    fn what_misses_its_target_stands_out() {
        assert!(row(Some(AT_LEAST), &[(1.0, 1.0)]).ends_with("| **missed** |\n"));
        assert!(row(None, &[(1.0, 1.0)]).ends_with("| – | – |\n"));
    }

    #[test]
    fn a_row_without_measurements_is_left_out() {
        assert_eq!(row(None, &[]), "");
    }
}
