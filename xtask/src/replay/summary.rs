//! What a run comes to, in numbers that can be put side by side.

use std::collections::BTreeMap;

use comfy_table::presets::ASCII_MARKDOWN;
use comfy_table::{CellAlignment, Table};
use serde::Serialize;

use super::fleet::Site;
use super::simulation::{Placement, Record};
use crate::percentile::percentile;

/// What stands where there is nothing to tell.
const NOTHING: &str = "-";

/// A run in numbers.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Summary {
    /// The policy's name.
    pub(crate) policy: String,
    /// Requests of the trace.
    pub(crate) requests: usize,
    /// Those that got a deployment, or had one already.
    pub(crate) placed: usize,
    /// Those that got none.
    pub(crate) rejected: usize,
    /// Cloudlets that were asked because the one before had no room.
    pub(crate) fall_overs: usize,
    /// Kilometres from the placed to their cloudlets, where both places are known; `None` where none is.
    pub(crate) distance_km: Option<Distances>,
    /// How even the load is: see [`fairness`].
    pub(crate) fairness: f64,
    /// The highest time-averaged utilisation of a cloudlet, 0 to 1.
    pub(crate) highest_utilisation: f64,
    /// The share of the placed that made an overloaded cloudlet hold one deployment more, 0 to 1.
    pub(crate) on_overloaded: f64,
    /// Means over the placed of what the file says of their cloudlets; `None` where it says nothing of any.
    pub(crate) means: BTreeMap<String, Option<f64>>,
}

/// Kilometres. The percentiles are values that occur (nearest rank).
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Distances {
    pub(crate) mean: f64,
    pub(crate) p50: f64,
    pub(crate) p95: f64,
}

impl Summary {
    /// Sums up a run. `resources` names what is to be averaged over the placed.
    pub(crate) fn new(policy: &str, record: &Record, fleet: &[Site], resources: &[String]) -> Self {
        let placements: Vec<&Placement> = record.placements().collect();
        let tries = record.outcomes.iter().map(|outcome| outcome.tries);
        let overloads = placements.iter().filter(|placement| placement.is_overload);
        let mean = |name: &String| {
            let cloudlets = placements
                .iter()
                .map(|placement| &fleet[placement.site].cloudlet);
            let values = cloudlets.filter_map(|cloudlet| cloudlet.resources.get(name));
            let values: Vec<f64> = values.map(|value| value.value()).collect();
            (name.clone(), mean(&values))
        };
        Self {
            policy: policy.to_owned(),
            requests: record.outcomes.len(),
            placed: placements.len(),
            rejected: record.outcomes.len() - placements.len(),
            fall_overs: tries.map(|tries| tries.saturating_sub(1)).sum(),
            distance_km: Distances::of(&record.distances_km()),
            fairness: fairness(&record.utilisation),
            highest_utilisation: record.utilisation.iter().copied().fold(0.0, f64::max),
            on_overloaded: overloads.count() as f64 / placements.len().max(1) as f64,
            means: resources.iter().map(mean).collect(),
        }
    }
}

impl Distances {
    /// Sums up distances that are in order.
    fn of(distances_km: &[f64]) -> Option<Self> {
        Some(Self {
            mean: mean(distances_km)?,
            p50: percentile(distances_km, 50)?,
            p95: percentile(distances_km, 95)?,
        })
    }
}

/// The runs as a table in Markdown, a line each.
pub(crate) fn table(summaries: &[Summary]) -> String {
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN);
    let columns = [
        "policy",
        "requests",
        "placed",
        "rejected",
        "fall-overs",
        "mean km",
        "p50 km",
        "p95 km",
        "fairness",
        "highest use",
        "on overloaded",
    ];
    let means = summaries
        .first()
        .into_iter()
        .flat_map(|run| run.means.keys());
    let means = means.map(|name| format!("mean {name}"));
    table.set_header(columns.map(str::to_owned).into_iter().chain(means));
    table.add_rows(summaries.iter().map(row));
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table.to_string()
}

fn row(summary: &Summary) -> Vec<String> {
    let kilometres = |part: fn(&Distances) -> f64| {
        let distance = summary.distance_km.as_ref().map(part);
        distance.map_or_else(|| NOTHING.to_owned(), |distance| format!("{distance:.0}"))
    };
    let percent = |share: f64| format!("{:.1} %", 100.0 * share);
    let mut cells = vec![
        summary.policy.clone(),
        summary.requests.to_string(),
        summary.placed.to_string(),
        summary.rejected.to_string(),
        summary.fall_overs.to_string(),
        kilometres(|distances| distances.mean),
        kilometres(|distances| distances.p50),
        kilometres(|distances| distances.p95),
        format!("{:.3}", summary.fairness),
        percent(summary.highest_utilisation),
        percent(summary.on_overloaded),
    ];
    let means = summary.means.values();
    cells.extend(means.map(|mean| mean.map_or_else(|| NOTHING.to_owned(), figure)));
    cells
}

/// A number of unknown size with three figures that say something.
fn figure(value: f64) -> String {
    match value.abs() {
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        1.0.. => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

/// Jain's fairness index: (Σx)² / (n · Σx²), 1 where all are equal, 1/n where one has all (R. Jain, D.-M. Chiu and W. Hawe, "A Quantitative
/// Measure of Fairness and Discrimination for Resource Allocation in Shared Computer Systems", DEC TR-301, 1984). Idle ones are equal.
fn fairness(shares: &[f64]) -> f64 {
    let sum: f64 = shares.iter().sum();
    let squares: f64 = shares.iter().map(|share| share * share).sum();
    if squares > 0.0 {
        sum * sum / (shares.len() as f64 * squares)
    } else {
        1.0
    }
}

fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::all_equal(&[0.3, 0.3, 0.3], 1.0)]
    #[case::one_has_all(&[0.0, 0.5, 0.0, 0.0], 0.25)]
    #[case::published_example(&[1.0, 3.0, 5.0], 81.0 / 105.0)]
    #[case::all_idle(&[0.0, 0.0], 1.0)]
    fn fairness_is_jains_index(#[case] shares: &[f64], #[case] expected: f64) {
        assert!((fairness(shares) - expected).abs() < 1e-12);
    }

    #[test]
    fn what_nobody_tells_is_left_open() {
        let run = |policy: &str, distance_km, price| Summary {
            policy: policy.to_owned(),
            requests: 1200,
            placed: 1100,
            rejected: 100,
            fall_overs: 7,
            distance_km,
            fairness: 0.75,
            highest_utilisation: 0.982,
            on_overloaded: 0.004,
            means: BTreeMap::from([("price".to_owned(), price)]),
        };
        let distances = Distances {
            mean: 12.4,
            p50: 9.0,
            p95: 1234.5,
        };

        let told = table(&[
            run("none", None, None),
            run("cheapest", Some(distances), Some(0.123_45)),
        ]);

        insta::assert_snapshot!(told, @r"
        | policy   | requests | placed | rejected | fall-overs | mean km | p50 km | p95 km | fairness | highest use | on overloaded | mean price |
        |----------|----------|--------|----------|------------|---------|--------|--------|----------|-------------|---------------|------------|
        | none     |     1200 |   1100 |      100 |          7 |       - |      - |      - |    0.750 |      98.2 % |         0.4 % |          - |
        | cheapest |     1200 |   1100 |      100 |          7 |      12 |      9 |   1234 |    0.750 |      98.2 % |         0.4 % |      0.123 |
        ");
    }

    proptest! {
        #[test]
        fn fairness_knows_no_unit_and_lies_between_one_nth_and_1(shares in prop::collection::vec(0.01..1.0, 1..40), unit in 0.1..10.0) {
            let scaled: Vec<f64> = shares.iter().map(|share| share * unit).collect();

            prop_assert!((fairness(&shares) - fairness(&scaled)).abs() < 1e-9);
            prop_assert!(fairness(&shares) <= 1.0 + 1e-9);
            prop_assert!(fairness(&shares) >= 1.0 / shares.len() as f64 - 1e-9);
        }
    }
}
