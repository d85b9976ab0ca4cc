//! `cargo xtask bench resets`: how long devices hear nothing when Kilo's agent forgets their sessions because of another device.

mod silence;
mod site;
mod stream;

use std::thread;
use std::time::{Duration, Instant};

use anstream::{eprintln, println};
use anyhow::{Context, ensure};
use clap::Args;
use tokio::runtime::Runtime;

use self::silence::{Silences, Table};
use self::site::Site;
use self::stream::{Stream, now};
use super::tools::Tools;
use super::{interrupt, quiet};

/// Fewest resets of a table to publish, and those of a run that only shows whether it works.
const ENOUGH: u64 = 20;
const QUICK: u64 = 4;
/// Devices of ours.
const DEVICES: usize = 3;
/// Share of the machine that other programs may take while a table to publish is measured. All that is measured is waiting.
const QUIET: f64 = 0.5;
/// Time that a device has to hear something again: an ordinary one needs 15 s.
const PATIENCE: Duration = Duration::from_secs(60);
/// What was on its way when the sessions were forgotten has arrived after this time.
const ON_ITS_WAY: Duration = Duration::from_millis(100);
/// Least and most time between the last device's recovery and the next reset.
const PAUSE: (Duration, Duration) = (Duration::from_millis(1500), Duration::from_millis(7500));
const LOOK: Duration = Duration::from_millis(20);

/// How much to measure.
#[derive(Args)]
pub(crate) struct Options {
    /// How often another device comes or goes; each time takes about 20 s.
    #[arg(long, default_value_t = ENOUGH, value_parser = clap::value_parser!(u64).range(1..))]
    resets: u64,
    /// Shows with 4 resets whether all of it works; such a table is not for publication.
    #[arg(long, conflicts_with = "resets")]
    quick: bool,
}

pub(crate) fn run(options: &Options, runtime: &Runtime) -> anyhow::Result<()> {
    let tools = Tools::prepare_for_resets()?;
    interrupt::watch(runtime)?;
    let resets = if options.quick { QUICK } else { options.resets };
    let outcome = measure(&tools, resets);
    // Ctrl-C reaches the programs as well, whose failures say less.
    interrupt::check()?;
    let (table, others) = outcome?;
    println!("{}\n{table}", heading(&tools, resets, others)?);
    Ok(())
}

/// Measures; returns also the greatest share of the machine that was taken between resets, by the streams and by others.
fn measure(tools: &Tools, resets: u64) -> anyhow::Result<(Table, f64)> {
    eprintln!("starting a control plane, a gateway, and the three tiers…");
    let mut site = Site::start(tools)?;
    let mut streams = (0..DEVICES)
        .map(|number| site.device(tools, number))
        .collect::<anyhow::Result<Vec<_>>>()?;
    streams.push(site.ordinary_device(tools)?);
    let mut silences = vec![Silences::default(); streams.len()];
    let mut others: f64 = 0.0;
    for reset in 1..=resets {
        pause()?;
        others = others.max(quiet::share_of_others()?);
        let begun = now()?;
        site.let_another_come_or_go()?;
        until_all_hear(&mut streams)?;
        for (stream, silences) in streams.iter().zip(&mut silences) {
            let silence = stream.longest_silence_since(begun);
            silences.push(silence.context("a stream was silent from the beginning")?);
        }
        let last = silences.iter().filter_map(Silences::last);
        let last: Vec<_> = last.map(|silence| format!("{silence:.2} s")).collect();
        eprintln!("reset {reset} of {resets}: silent for {}", last.join(", "));
    }
    let ordinary = silences.pop().context("there is no ordinary device")?;
    let ours = silences.into_iter().flatten().collect();
    Ok((Table { ours, ordinary }, others))
}

/// Waits until all streams have heard something of after now.
fn until_all_hear(streams: &mut [Stream]) -> anyhow::Result<()> {
    let begun = Instant::now();
    let forgotten = now()? + ON_ITS_WAY.as_secs_f64();
    loop {
        interrupt::check()?;
        let mut all = true;
        for stream in &mut *streams {
            stream.listen()?;
            all &= stream.has_heard_since(forgotten);
        }
        if all {
            return Ok(());
        }
        let so_far = begun.elapsed();
        ensure!(
            so_far < PATIENCE,
            "a device hears nothing after {PATIENCE:?}"
        );
        thread::sleep(LOOK);
    }
}

/// Waits for a time of chance, so that resets meet all phases of what programs do now and then.
fn pause() -> anyhow::Result<()> {
    let mut random = [0; 4];
    getrandom::fill(&mut random)?;
    let share = f64::from(u32::from_le_bytes(random)) / f64::from(u32::MAX);
    let end = Instant::now() + PAUSE.0 + (PAUSE.1 - PAUSE.0).mul_f64(share);
    while Instant::now() < end {
        interrupt::check()?;
        thread::sleep(LOOK);
    }
    Ok(())
}

fn heading(tools: &Tools, resets: u64, others: f64) -> anyhow::Result<String> {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let mut text = format!(
        "{cores} cores, {}; {resets} resets, {DEVICES} devices of ours and an ordinary one, each with a stream of 50 datagrams per second; up to {:.0} % of the machine was in use between resets.\n",
        tools.own_versions()?,
        100.0 * others,
    );
    for reason in doubts(resets, others) {
        text += &format!("\n**Not for publication**: {reason}.\n");
    }
    Ok(text)
}

/// Why a table should not be published.
fn doubts(resets: u64, others: f64) -> Vec<&'static str> {
    let doubts = [
        (resets < ENOUGH, "that takes at least 20 resets"),
        (others > QUIET, "the machine was busy"),
    ];
    let found = doubts.into_iter().filter(|(is_so, _)| *is_so);
    found.map(|(_, reason)| reason).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_enough_resets_on_a_quiet_machine_are_for_publication() {
        assert!(doubts(20, 0.3).is_empty());
        assert_eq!(doubts(4, 0.3), ["that takes at least 20 resets"]);
        assert_eq!(doubts(20, 0.9), ["the machine was busy"]);
    }
}
