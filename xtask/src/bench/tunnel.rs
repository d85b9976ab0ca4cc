//! `cargo xtask bench tunnel`.

mod buffers;
mod ends;
mod interrupt;
mod iperf;
mod lab;
mod namespace;
pub(super) mod parts;
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
    let table = outcome?;
    println!("{}\n{table}", heading(options, &tools)?);
    Ok(())
}

fn measure(options: &Options, tools: &Tools) -> anyhow::Result<Table> {
    let (rounds, seconds) = options.amount();
    let mut measured: Vec<(Scenario, Vec<Row>)> = Vec::new();
    for scenario in options.scenarios() {
        match scenario.obstacle() {
            Some(obstacle) => eprintln!("{}: left out, {obstacle}", scenario.name()),
            None => measured.push((scenario, rows(scenario))),
        }
    }
    for round in 1..=rounds {
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
    Ok(Table(rows.collect()))
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

fn heading(options: &Options, tools: &Tools) -> anyhow::Result<String> {
    let (rounds, seconds) = options.amount();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let mut text = format!(
        "{cores} cores, {}; {rounds} interleaved pairs, streams of {seconds} s. Each file that went through before had the SHA-256 that it was sent with.\n",
        tools.versions()?,
    );
    if rounds < ENOUGH || options.quick {
        text += "\n**Not for publication**: that takes at least 5 pairs.\n";
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

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
