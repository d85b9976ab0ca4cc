//! `cargo xtask replay`: the placement of a trace of requests on a fleet, on a simulated clock, compared between policies.

mod drawing;
mod fleet;
mod generator;
mod simulation;
mod summary;
mod trace;

use std::fs;
use std::num::NonZero;
use std::path::{Path, PathBuf};

use anstream::{eprintln, println};
use anyhow::{Context, bail, ensure};
use clap::{Args, Subcommand, ValueEnum};
use sinfonia_core::policy::Policy;
use sinfonia_core::ranking::{Matcher, RankingRules};

use self::fleet::Site;
use self::simulation::{Record, simulate};
use self::summary::Summary;
use self::trace::{Format, Request};

/// What the run without a policy is called.
const NO_POLICY: &str = "none";

/// What follows the help.
const EXAMPLES: &str = "\
Examples:
  Compare two policies with none, and see what they save and cost:
    cd examples/replay
    cargo xtask replay --trace trace.csv --fleet fleet.yaml --policy cheapest.yaml \\
      --policy greenest.yaml --mean price --mean carbon --draw drawings

  Make another fleet and another trace:
    cargo xtask replay generate /tmp/example --seed 7";

/// What to do.
#[derive(Args)]
#[command(args_conflicts_with_subcommands = true, arg_required_else_help = true, after_help = EXAMPLES)]
pub(crate) struct Options {
    #[command(subcommand)]
    task: Option<Task>,
    #[command(flatten)]
    replay: Option<ReplayOptions>,
}

#[derive(Subcommand)]
enum Task {
    /// Makes an example: a fleet of 40 cloudlets and a trace of 2,000 requests, fleet.yaml and trace.csv.
    Generate(GenerateOptions),
}

/// What to make.
#[derive(Args)]
struct GenerateOptions {
    /// Where to put the files; those of an earlier example are replaced.
    folder: PathBuf,
    /// What chance follows from: the same seed makes the same files.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// What to replay, and what to tell of it.
#[derive(Args)]
struct ReplayOptions {
    /// The requests: a CSV file with a line of names, or lines of JSON (.jsonl, .ndjson).
    ///
    /// Fields: `time` (seconds from the start), `duration` (seconds for which the deployment is held), and of `client` (an address) and
    /// `latitude` with `longitude` at least one; `uuid` (the recipe; helloworld if there is none). Addresses are not looked up in a
    /// database of places: a device is where its line says, or nowhere.
    #[arg(long, value_name = "FILE")]
    trace: PathBuf,
    /// The cloudlets: a file as Tier 1 reads it, each with the deployments that it holds at once, `resources: {capacity: 40}`.
    #[arg(long, value_name = "FILE")]
    fleet: PathBuf,
    /// A policy as sinfonia-tier1 reads it, to be compared with the run without one; repeatable.
    #[arg(long = "policy", value_name = "FILE")]
    policies: Vec<PathBuf>,
    /// Matchers that order the cloudlets, as those of sinfonia-tier1; repeatable.
    #[arg(
        short,
        long = "match",
        value_name = "NAME",
        value_delimiter = ',',
        default_value = "network,location,random"
    )]
    matchers: Vec<Matcher>,
    /// How many of the first cloudlets a policy orders, and a request is tried at.
    #[arg(long, value_name = "COUNT", default_value = "64")]
    shortlist: NonZero<usize>,
    /// Adds a column with the mean of this resource of the file over all that are placed; repeatable.
    #[arg(long, value_name = "RESOURCE")]
    mean: Vec<String>,
    /// How the comparison is written.
    #[arg(long, value_enum, default_value_t = Output::Table)]
    output: Output,
    /// Draws distances (distance.svg) and utilisation (utilisation.svg) into this folder.
    #[arg(long, value_name = "FOLDER")]
    draw: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    /// A table in Markdown.
    Table,
    /// A list in JSON, with an object for each run.
    Json,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    match (&options.task, &options.replay) {
        (Some(Task::Generate(options)), _) => generate(options),
        (None, Some(options)) => {
            println!("{}", replay(options)?);
            Ok(())
        }
        (None, None) => bail!("there is nothing to replay\nhint: cargo xtask replay --help"),
    }
}

fn generate(options: &GenerateOptions) -> anyhow::Result<()> {
    let GenerateOptions { folder, seed } = options;
    let example = generator::example(*seed);
    make_folder(folder)?;
    for (name, text) in [("fleet.yaml", example.fleet), ("trace.csv", example.trace)] {
        let file = folder.join(name);
        fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
        eprintln!("{}", file.display());
    }
    Ok(())
}

/// Replays, draws where that is asked for, and tells the comparison.
fn replay(options: &ReplayOptions) -> anyhow::Result<String> {
    let ReplayOptions {
        trace,
        fleet,
        policies,
        mean,
        output,
        draw,
        ..
    } = options;
    let trace = read(trace, |text| trace::parse(text, Format::of(trace)?))?;
    let fleet = read(fleet, fleet::parse)?;
    let policies = read_policies(policies)?;
    for warning in &fleet.warnings {
        eprintln!("warning: {warning}");
    }
    if let Some(folder) = draw {
        make_folder(folder)?;
    }
    let runs = compare(&trace, &fleet.sites, &policies, options);
    if let Some(folder) = draw {
        drawing::draw(folder, &runs)?;
    }
    let summaries = runs
        .iter()
        .map(|(name, record)| Summary::new(name, record, &fleet.sites, mean));
    told(&summaries.collect::<Vec<_>>(), *output)
}

/// The policies to compare, each with its name; the first is none.
fn read_policies(files: &[PathBuf]) -> anyhow::Result<Vec<(String, Policy)>> {
    let mut policies = vec![(NO_POLICY.to_owned(), Policy::default())];
    for file in files {
        let name = file.file_stem().unwrap_or(file.as_os_str());
        let name = name.to_string_lossy().into_owned();
        ensure!(
            policies.iter().all(|(earlier, _)| *earlier != name),
            "there is a policy `{name}` already\nhint: name {} differently",
            file.display()
        );
        policies.push((name, read(file, |text| Ok(Policy::parse(text)?))?));
    }
    Ok(policies)
}

/// Plays the trace once for each policy.
fn compare<'a>(
    trace: &[Request],
    fleet: &[Site],
    policies: &'a [(String, Policy)],
    options: &ReplayOptions,
) -> Vec<(&'a str, Record)> {
    let run = |(name, policy): &'a (String, Policy)| {
        let rules = RankingRules {
            matchers: &options.matchers,
            policy,
            shortlist: options.shortlist.get(),
        };
        (name.as_str(), simulate(trace, fleet, rules))
    };
    policies.iter().map(run).collect()
}

fn told(summaries: &[Summary], output: Output) -> anyhow::Result<String> {
    Ok(match output {
        Output::Table => summary::table(summaries),
        Output::Json => serde_json::to_string_pretty(summaries)?,
    })
}

/// Reads a file and makes sense of it.
fn read<T>(file: &Path, parse: impl FnOnce(&str) -> anyhow::Result<T>) -> anyhow::Result<T> {
    let text = fs::read_to_string(file);
    let text = text.with_context(|| format!("cannot read {}", file.display()))?;
    parse(&text).with_context(|| format!("cannot use {}", file.display()))
}

fn make_folder(folder: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))
}

#[cfg(test)]
mod tests;
