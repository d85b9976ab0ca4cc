//! `cargo xtask bench tier1`.

pub(super) mod fleet;
mod hanging;
mod reports;
mod scale;

use std::fmt::{Display, Write as _};
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anstream::{eprintln, println};
use anyhow::Context;
use clap::{Args, ValueEnum};
use sinfonia_testbed::{Binaries, Service, command};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use self::fleet::{Fleet, REPORT_TOKEN};
use super::load::{self, Measured};
use crate::cargo::{
    DISTRIBUTION, again_for_measurements, build_for_measurements, programs, workspace,
};

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
    /// Measure this alone; repeatable.
    #[arg(long, value_enum)]
    only: Vec<Part>,
}

/// A part of the measurements.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Deploy requests with 100 and 10,000 cloudlets.
    Deploys,
    /// Deploy requests while one of ten cloudlets hangs.
    Hanging,
    /// Reports with 100,000 cloudlets, alone and beside deploy requests.
    Reports,
    /// Start and memory.
    Scale,
}

/// Where clients are.
const PITTSBURGH: (f64, f64) = (40.44, -79.99);
/// Sizes of the fleet that Tier 1 chooses from.
const FLEETS: [u32; 2] = [100, 10_000];
/// Time that a Tier 1 may take to read a file of a million cloudlets.
const PATIENCE: Duration = Duration::from_mins(5);

/// What all measurements need.
struct Bench<'a> {
    options: &'a Options,
    runtime: &'a Runtime,
    folder: TempDir,
    tier2: StandIn,
}

pub(crate) fn run(options: &Options, runtime: &Runtime) -> anyhow::Result<()> {
    build_for_measurements()?;
    if cfg!(debug_assertions) {
        return again_for_measurements();
    }
    let bench = Bench {
        options,
        runtime,
        folder: TempDir::new()?,
        tier2: StandIn::start(&["instant-tier2"])?,
    };
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    println!(
        "{cores} cores, {} connections, median of {} rounds of {} s\n",
        options.connections, options.rounds, options.seconds
    );
    if options.measures(Part::Deploys) {
        println!("{}", table("deploy requests", deploys(&bench)?));
    }
    if options.measures(Part::Hanging) {
        let title = "deploy requests of clients near nine of ten cloudlets";
        println!("{}", table(title, hanging::measure(&bench)?));
    }
    if options.measures(Part::Reports) {
        reports::measure(&bench)?;
    }
    if options.measures(Part::Scale) {
        scale::measure(&bench)?;
    }
    Ok(())
}

impl Options {
    fn measures(&self, part: Part) -> bool {
        self.only.is_empty() || self.only.contains(&part)
    }
}

fn deploys(bench: &Bench<'_>) -> anyhow::Result<Vec<(String, Vec<Measured>)>> {
    let forwarder = bench.forwarder()?;
    let mut subjects = vec![(
        "bare axum + reqwest forwarder".to_owned(),
        forwarder.address,
    )];
    let mut running = Vec::new();
    for size in FLEETS {
        let service = bench.tier1(&format!("{size}"), Some(&bench.fleet(size).file()))?;
        subjects.push((format!("Tier 1, {size} cloudlets"), service.address()));
        running.push(service);
    }
    let (connections, time) = (bench.options.connections, bench.time());
    bench.in_turns(&subjects, &async |address| {
        load::deploys(*address, connections, time, &[PITTSBURGH]).await
    })
}

impl Bench<'_> {
    /// Measures subjects in turns, as often as asked for.
    fn in_turns<N: Display, S, M>(
        &self,
        subjects: &[(N, S)],
        measure: &impl AsyncFn(&S) -> anyhow::Result<M>,
    ) -> anyhow::Result<Vec<(String, Vec<M>)>> {
        let named = |(name, _): &(N, S)| (name.to_string(), Vec::new());
        let mut measured: Vec<(String, Vec<M>)> = subjects.iter().map(named).collect();
        for round in 1..=self.options.rounds {
            for ((name, results), (_, subject)) in measured.iter_mut().zip(subjects) {
                eprintln!("round {round} of {}: {name}", self.options.rounds);
                let one = self.runtime.block_on(measure(subject));
                results.push(one.with_context(|| format!("{name} failed"))?);
            }
        }
        Ok(measured)
    }

    const fn time(&self) -> Duration {
        Duration::from_secs(self.options.seconds)
    }

    const fn fleet(&self, size: u32) -> Fleet {
        let tier2 = self.tier2.address;
        Fleet { size, tier2 }
    }

    /// What forwards to one of the cloudlets.
    fn forwarder(&self) -> anyhow::Result<StandIn> {
        let cloudlet = format!("http://{}/cloudlet-0", self.tier2.address);
        StandIn::start(&["forwarder", &cloudlet])
    }

    /// A Tier 1 that knows the cloudlets of a file, if there is one, and takes reports.
    fn tier1(&self, name: &str, cloudlets: Option<&str>) -> anyhow::Result<Service> {
        let folder = self.folder.path();
        let mut command = command(&Binaries::in_folder(&programs(DISTRIBUTION))?.tier1);
        if let Some(cloudlets) = cloudlets {
            let file = folder.join(format!("{name}.yaml"));
            fs::write(&file, cloudlets)?;
            command.arg("--cloudlets").arg(&file);
        }
        let tokens = folder.join("report-tokens");
        fs::write(&tokens, format!("{REPORT_TOKEN} *\n"))?;
        command
            .arg("--report-tokens")
            .arg(&tokens)
            .arg("--recipes")
            .arg(workspace().join("examples/recipes"))
            .env("RUST_LOG", "warn,sinfonia_service=info");
        let name = format!("tier1-{name}");
        Ok(Service::start_within(PATIENCE, &name, command, folder)?)
    }
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
