//! `cargo xtask bench tunnel`.

mod buffers;
mod ends;
mod interrupt;
mod iperf;
mod lab;
mod namespace;
pub(super) mod parts;
mod quiet;
pub(super) mod resets;
mod running;
mod scenarios;
mod start;
mod statistics;
mod table;
mod tools;

use anstream::{eprintln, println};
use anyhow::Context;
use clap::{Args, ValueEnum as _};
use tokio::runtime::Runtime;

use self::scenarios::{Scenario, Subject};
use self::table::{Row, Table};
use self::tools::Tools;

/// Fewest rounds of a table to publish.
const ENOUGH: u64 = 5;
/// Rounds and seconds of a run that only shows whether it works.
const QUICK: (u64, u64) = (2, 1);
/// Share of the machine that other programs may take while a table to publish is measured.
const QUIET: f64 = 0.1;

/// How much to measure.
#[derive(Args)]
pub(crate) struct Options {
    /// Pairs of each measurement: ours and wireguard-go's one after the other, in turns with the other measurements.
    #[arg(long, default_value_t = ENOUGH, value_parser = clap::value_parser!(u64).range(1..))]
    rounds: u64,
    /// Seconds of each stream.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
    /// Shows in 2 rounds of 1 s whether all of it works; such a table is not for publication.
    #[arg(long, conflicts_with_all = ["rounds", "seconds"])]
    quick: bool,
    /// Measures this alone; repeatable.
    #[arg(long, value_enum)]
    only: Vec<Scenario>,
}

impl Options {
    fn amount(&self) -> (u64, u64) {
        if self.quick {
            QUICK
        } else {
            (self.rounds, self.seconds)
        }
    }

    fn scenarios(&self) -> Vec<Scenario> {
        let all = Scenario::value_variants().iter().copied();
        all.filter(|scenario| self.only.is_empty() || self.only.contains(scenario))
            .collect()
    }
}

pub(crate) fn run(options: &Options, runtime: &Runtime) -> anyhow::Result<()> {
    let tools = Tools::prepare()?;
    interrupt::watch(runtime)?;
    let outcome = measure(options, &tools);
    // Ctrl-C reaches the programs as well, whose failures say less.
    interrupt::check()?;
    let (table, others) = outcome?;
    println!("{}\n{table}", heading(options, &tools, others)?);
    Ok(())
}

/// Measures all rounds; returns also the greatest share of the machine that others took between them.
fn measure(options: &Options, tools: &Tools) -> anyhow::Result<(Table, f64)> {
    let (rounds, seconds) = options.amount();
    let mut measured: Vec<(Scenario, Vec<Row>)> = Vec::new();
    for scenario in options.scenarios() {
        match scenario.obstacle() {
            Some(obstacle) => eprintln!("{}: left out, {obstacle}", scenario.name()),
            None => measured.push((scenario, rows(scenario))),
        }
    }
    let mut others: f64 = 0.0;
    for round in 1..=rounds {
        others = others.max(quiet::share_of_others()?);
        for (scenario, rows) in &mut measured {
            let label = format!("round {round} of {rounds}: {}", scenario.name());
            eprintln!("{label}");
            let (ours, baseline) = pair(round, |subject| {
                interrupt::check()?;
                let values = scenario.measure(tools, subject, round, seconds);
                values.with_context(|| format!("{label}, {subject:?}"))
            })?;
            for (row, (ours, baseline)) in rows.iter_mut().zip(ours.iter().zip(&baseline)) {
                row.push(*ours, *baseline);
            }
        }
    }
    let rows = measured.into_iter().flat_map(|(_, rows)| rows);
    Ok((Table(rows.collect()), others))
}

fn rows(scenario: Scenario) -> Vec<Row> {
    let row = |cell| Row::new(cell, scenario.baseline());
    scenario.cells().into_iter().map(row).collect()
}

/// Measures both, in each round first the other one of them, so that neither always has the warmer machine.
fn pair<T>(
    round: u64,
    mut measure: impl FnMut(Subject) -> anyhow::Result<T>,
) -> anyhow::Result<(T, T)> {
    if round % 2 == 1 {
        let ours = measure(Subject::Ours)?;
        Ok((ours, measure(Subject::Baseline)?))
    } else {
        let baseline = measure(Subject::Baseline)?;
        Ok((measure(Subject::Ours)?, baseline))
    }
}

fn heading(options: &Options, tools: &Tools, others: f64) -> anyhow::Result<String> {
    let (rounds, seconds) = options.amount();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let mut text = format!(
        "{cores} cores, {}; {rounds} interleaved pairs, streams of {seconds} s; other programs took up to {:.0} % of the machine between them. Each file that went through before had the SHA-256 that it was sent with.\n",
        tools.versions()?,
        100.0 * others,
    );
    for reason in doubts(rounds, others) {
        text += &format!("\n**Not for publication**: {reason}.\n");
    }
    Ok(text)
}

/// Why a table should not be published.
fn doubts(rounds: u64, others: f64) -> Vec<&'static str> {
    let doubts = [
        (rounds < ENOUGH, "that takes at least 5 pairs"),
        (
            others > QUIET,
            "the machine was busy, which is hard on programs of few threads",
        ),
    ];
    let found = doubts.into_iter().filter(|(is_so, _)| *is_so);
    found.map(|(_, reason)| reason).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_enough_pairs_on_a_quiet_machine_are_for_publication() {
        assert!(doubts(5, 0.02).is_empty());
        assert_eq!(doubts(4, 0.02), ["that takes at least 5 pairs"]);
        assert_eq!(doubts(4, 0.5).len(), 2);
    }

    #[test]
    fn the_order_within_a_pair_alternates() {
        let mut order = Vec::new();

        for round in 1..=2 {
            let measure = |subject| {
                order.push(subject);
                Ok(subject)
            };
            let pair = pair(round, measure).unwrap();
            assert_eq!(pair, (Subject::Ours, Subject::Baseline));
        }

        use Subject::{Baseline, Ours};
        assert_eq!(order, [Ours, Baseline, Baseline, Ours]);
    }
}
