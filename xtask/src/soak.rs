//! `cargo xtask soak`: a cloudlet on a real node, used by devices that come and go, for as long as one likes.

mod remains;
mod report;
mod usage;
mod visit;

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anstream::{eprintln, println};
use anyhow::{Context, bail};
use clap::Args;
use sinfonia_testbed::{Binaries, Habits, Installation, Node, RunFolder};

use self::report::Report;
use self::usage::Watched;
use self::visit::Visit;
use crate::cargo::{DISTRIBUTION, build_for_measurements, programs};
use crate::testbed::{build_missing, minutes};

/// Time between two looks at the processes.
const LOOK: Duration = Duration::from_secs(2);
/// Time between two lines that tell how far it is.
const LINE_EVERY: Duration = Duration::from_secs(30);
/// What Tier 2 is told, besides what the chart says: leases short enough that some end meanwhile, and all devices are one client to it.
const TIER2_OPTIONS: [&str; 5] = [
    "--lease=20s",
    "--grace=5s",
    "--job-interval=2s",
    "--client-rate=0",
    "--max-deployments-per-client=1000",
];

/// What follows the help.
const EXAMPLES: &str = "\
Examples:
  As root; -E keeps where cargo and Go are:
    sudo -E cargo xtask soak

  An hour with many devices at once:
    sudo -E cargo xtask soak --minutes 60 --deployments 200 --at-once 8";

/// How much to do.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Options {
    /// How long devices come and go.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..))]
    minutes: u64,
    /// Deployments that there have to be meanwhile, at least.
    #[arg(long, default_value_t = 30)]
    deployments: u64,
    /// Devices that are there at once.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..))]
    at_once: u64,
}

/// What has happened so far.
#[derive(Debug, Default)]
struct Tally {
    begun: AtomicU64,
    done: AtomicU64,
    failures: Mutex<Vec<String>>,
}

impl Tally {
    fn fail(&self, failure: String) {
        eprintln!("failure: {failure}");
        let failures = self.failures.lock();
        failures
            .unwrap_or_else(PoisonError::into_inner)
            .push(failure);
    }
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    if let Some(obstacle) = Node::obstacle() {
        bail!("{obstacle}\nhint: run it as root, on Linux");
    }
    build_missing(true)?;
    build_for_measurements()?;
    let folder = RunFolder::new()?;
    let outcome = soak(options, folder.path());
    if outcome.is_err() {
        RunFolder::keep(folder.path());
        eprintln!("logs are kept in {}", folder.path().display());
    }
    outcome
}

fn soak(options: &Options, folder: &Path) -> anyhow::Result<()> {
    let mut installation = start(folder)?;
    if let Some(gateway) = installation.node_mut().gateway() {
        gateway.set_habits(Habits::KILO);
    }
    let mut watched = Watched::find(installation.node().machine());
    let tally = Tally::default();
    let time = Duration::from_secs(60 * options.minutes);
    let begun = Instant::now();
    thread::scope(|scope| {
        for place in 0..options.at_once {
            let (installation, tally) = (&installation, &tally);
            scope.spawn(move || {
                while begun.elapsed() < time {
                    one_visit(installation, place, tally);
                }
            });
        }
        watch(&mut watched, begun, time, &tally);
    });
    eprintln!("waiting until nothing is left of the deployments…");
    for remains in remains::after_all_have_gone(&installation)? {
        tally.fail(format!("left behind: {remains}"));
    }
    let deployments = tally.done.into_inner();
    let mut failures = tally.failures.into_inner().unwrap_or_default();
    if deployments < options.deployments {
        failures.push(format!(
            "{deployments} deployments in place of at least {}",
            options.deployments
        ));
    }
    let report = Report::new(&watched, time, deployments, failures);
    println!("{report}");
    report.verdict()
}

fn start(folder: &Path) -> anyhow::Result<Installation> {
    let binaries = Binaries::in_folder(&programs(DISTRIBUTION))?;
    let options = TIER2_OPTIONS.map(str::to_owned);
    let installation = Installation::start(folder, binaries, &[], &options, |what| {
        eprintln!("waiting for {what}…");
    });
    installation.context("cannot start a cloudlet")
}

fn one_visit(installation: &Installation, place: u64, tally: &Tally) {
    let number = tally.begun.fetch_add(1, Ordering::Relaxed);
    match Visit::of(place, number).pay(installation) {
        Ok(()) => {
            tally.done.fetch_add(1, Ordering::Relaxed);
        }
        Err(error) => tally.fail(format!("visit {number}: {error:#}")),
    }
}

/// Looks at the processes, and tells how far it is, until the time is over.
fn watch(watched: &mut Watched, begun: Instant, time: Duration, tally: &Tally) {
    let mut next_line = LINE_EVERY;
    while begun.elapsed() < time {
        for ended in watched.look(begun.elapsed()) {
            tally.fail(format!("{ended} has ended"));
        }
        if begun.elapsed() >= next_line {
            next_line += LINE_EVERY;
            eprintln!(
                "{} of {}: {} deployments, {}",
                minutes(begun.elapsed()),
                minutes(time),
                tally.done.load(Ordering::Relaxed),
                watched.in_words()
            );
        }
        thread::sleep(LOOK);
    }
}
