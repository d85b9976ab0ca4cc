//! What very many cloudlets cost: the start, and memory.

use std::thread;
use std::time::{Duration, Instant};

use anstream::{eprintln, println};
use sinfonia_testbed::Service;

use super::super::{load, process};
use super::Bench;
use crate::percentile::percentile;

/// Sizes of the files that Tier 1 starts with; the first is the baseline.
const STARTS: [u32; 2] = [100, 100_000];
/// Cloudlets whose memory is looked at.
const CLOUDLETS: u32 = 1_000_000;
/// The most that they may take, in MiB.
const BUDGET: f64 = 1024.0;

/// Time after which memory that is no longer used was given back.
const SETTLED: Duration = Duration::from_secs(5);

/// Measures how long Tier 1 takes until it listens, and its memory.
pub(super) fn measure(bench: &Bench<'_>) -> anyhow::Result<()> {
    println!("| start with a file of | seconds | ratio to the first |\n| --- | --- | --- |");
    let mut first = None;
    for size in STARTS {
        let seconds = start(bench, size)?;
        let ratio = seconds / *first.get_or_insert(seconds);
        println!("| {size} cloudlets | {seconds:.2} | {ratio:.1} |");
    }

    println!(
        "\n| resident memory, {CLOUDLETS} cloudlets | MiB | ratio to 1 GiB | most until then, MiB |\n| --- | --- | --- | --- |"
    );
    let fleet = bench.fleet(CLOUDLETS);
    eprintln!("start with a file of {CLOUDLETS} cloudlets");
    tell_memory("of a file", &bench.tier1("million", Some(&fleet.file()))?)?;
    eprintln!("{CLOUDLETS} cloudlets report");
    let service = bench.tier1("million-reported", None)?;
    let connections = bench.options.connections;
    let all = load::reports(service.address(), connections, None, fleet);
    bench.runtime.block_on(all)?;
    tell_memory("that reported", &service)
}

/// The median of the times, in seconds.
fn start(bench: &Bench<'_>, size: u32) -> anyhow::Result<f64> {
    let file = bench.fleet(size).file();
    let mut seconds = Vec::new();
    for round in 1..=bench.options.rounds {
        eprintln!(
            "round {round} of {}: start with {size} cloudlets",
            bench.options.rounds
        );
        let before = Instant::now();
        let _service = bench.tier1("start", Some(&file))?;
        seconds.push(before.elapsed().as_secs_f64());
    }
    seconds.sort_by(f64::total_cmp);
    Ok(percentile(&seconds, 50).unwrap_or(f64::NAN))
}

fn tell_memory(name: &str, service: &Service) -> anyhow::Result<()> {
    thread::sleep(SETTLED);
    let (now, most) = (
        process::mebibytes(service.process_id())?,
        process::peak_mebibytes(service.process_id())?,
    );
    println!("| {name} | {now:.0} | {:.2} | {most:.0} |", now / BUDGET);
    Ok(())
}
