//! `cargo xtask bench tier1`.

mod hanging;

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anstream::{eprintln, println};
use anyhow::Context;
use clap::Args;
use sinfonia_testbed::{Binaries, Service, command};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::load::{self, Measured};
use crate::cargo::{build_for_release, programs, workspace};

/// How much to measure.
#[derive(Args)]
pub(crate) struct Options {
    /// Connections that send requests at once.
    #[arg(long, default_value_t = 16)]
    connections: usize,
    /// Seconds of each measurement.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// How often each measurement is repeated, in turns with the others; the median counts.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
}

/// Where clients are.
const PITTSBURGH: (f64, f64) = (40.44, -79.99);
/// Sizes of the fleet that Tier 1 ranks.
const FLEETS: [usize; 2] = [100, 10_000];

pub(crate) fn run(options: &Options, runtime: &Runtime) -> anyhow::Result<()> {
    build_for_release()?;
    let folder = TempDir::new()?;
    let tier2 = StandIn::start(&["instant-tier2"])?;
    let forwarder =
        StandIn::start(&["forwarder", &format!("http://{}/cloudlet-0", tier2.address)])?;
    let tier1s: Vec<Service> = FLEETS
        .iter()
        .map(|size| {
            let name = format!("{size}-cloudlets");
            tier1(&name, &fleet(*size, tier2.address), folder.path())
        })
        .collect::<Result<_, _>>()?;

    let mut subjects = vec![(
        "bare axum + reqwest forwarder".to_owned(),
        forwarder.address,
    )];
    subjects.extend(
        FLEETS
            .iter()
            .zip(&tier1s)
            .map(|(size, tier1)| (format!("Tier 1, {size} cloudlets"), tier1.address())),
    );
    let mut measured: Vec<Vec<Measured>> = subjects.iter().map(|_| Vec::new()).collect();
    for round in 1..=options.rounds {
        for ((name, address), results) in subjects.iter().zip(&mut measured) {
            eprintln!("round {round} of {}: {name}", options.rounds);
            let load = load::deploys(
                *address,
                options.connections,
                Duration::from_secs(options.seconds),
                &[PITTSBURGH],
            );
            results.push(
                runtime
                    .block_on(load)
                    .with_context(|| format!("{name} failed"))?,
            );
        }
    }
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    println!(
        "{cores} cores, {} connections, median of {} rounds of {} s\n",
        options.connections, options.rounds, options.seconds
    );
    let names = subjects.into_iter().map(|(name, _)| name);
    println!("{}", table("deploy requests", names.zip(measured)));
    drop(tier1s);
    let hanging = hanging::measure(options, runtime, tier2.address, folder.path())?;
    let title = "deploy requests of clients near nine of ten cloudlets";
    println!("{}", table(title, hanging));
    Ok(())
}

/// Medians, each with its ratio to the first.
fn table(title: &str, measured: impl IntoIterator<Item = (String, Vec<Measured>)>) -> String {
    let mut text = format!(
        "| {title} | per second | p50 ms | p99 ms | ratio to the first |\n| --- | --- | --- | --- | --- |\n"
    );
    let medians = measured
        .into_iter()
        .filter_map(|(name, rounds)| Some((name, median(rounds)?)));
    let medians: Vec<(String, Measured)> = medians.collect();
    let baseline = medians
        .first()
        .map_or(f64::NAN, |(_, first)| first.per_second);
    for (name, median) in &medians {
        let ratio = median.per_second / baseline;
        let (p50, p99) = (median.milliseconds(0.5), median.milliseconds(0.99));
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "| {name} | {:.0} | {p50:.2} | {p99:.2} | {ratio:.3} |",
            median.per_second
        );
    }
    text
}

fn median(mut rounds: Vec<Measured>) -> Option<Measured> {
    rounds.sort_by(|a, b| a.per_second.total_cmp(&b.per_second));
    let middle = rounds.len() / 2;
    rounds.into_iter().nth(middle)
}

/// A Tier 1 that knows these cloudlets.
fn tier1(name: &str, cloudlets: &str, folder: &Path) -> anyhow::Result<Service> {
    let binaries = Binaries::in_folder(&programs("release"))?;
    let file = folder.join(format!("{name}.yaml"));
    fs::write(&file, cloudlets)?;
    let mut command = command(&binaries.tier1);
    command
        .arg("--cloudlets")
        .arg(&file)
        .arg("--recipes")
        .arg(workspace().join("examples/recipes"))
        .env("RUST_LOG", "warn,sinfonia_service=info");
    Ok(Service::start(&format!("tier1-{name}"), command, folder)?)
}

/// Cloudlets spread over the globe, all of them played by one instant Tier 2.
fn fleet(size: usize, tier2: SocketAddr) -> String {
    let golden_angle = 180.0 * (3.0 - 5.0_f64.sqrt());
    let document = |index: usize| {
        let latitude = (1.0 - 2.0 * (index as f64 + 0.5) / size as f64)
            .asin()
            .to_degrees();
        let longitude = (golden_angle * index as f64).rem_euclid(360.0) - 180.0;
        format!(
            "endpoint: http://{tier2}/cloudlet-{index}/api/v1/deploy\nlocation: [{latitude:.4}, {longitude:.4}]\nlocal_networks: [192.0.2.0/24]\n"
        )
    };
    (0..size).map(document).collect::<Vec<_>>().join("---\n")
}

/// One of the programs of [`super::stand_ins`], killed when dropped.
struct StandIn {
    child: Child,
    address: SocketAddr,
}

impl StandIn {
    fn start(arguments: &[&str]) -> anyhow::Result<Self> {
        let program = std::env::current_exe()?;
        let mut child = Command::new(program)
            .arg("bench")
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()?;
        let stdout = child.stdout.take().context("a stand-in has no output")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        let address = line
            .trim()
            .parse()
            .with_context(|| format!("a stand-in did not come up: {line:?}"))?;
        Ok(Self { child, address })
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        // Both fail only where it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
