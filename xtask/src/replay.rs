//! `cargo xtask replay`: the placement of a trace of requests on a fleet, on a simulated clock, compared between policies.

mod drawing;
mod fleet;
mod generator;
mod simulation;
mod summary;
mod trace;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anstream::{eprintln, println};
use anyhow::{Context, bail, ensure};
use clap::{Args, Subcommand, ValueEnum};
use sinfonia_core::load::Thresholds;
use sinfonia_core::policy::Policy;
use sinfonia_core::ranking::RankingRules;
use sinfonia_tier1::settings::OrderArgs;

use self::fleet::{Fleet, Site};
use self::simulation::{Rules, simulate};
use self::summary::Summary;
use self::trace::Format;

/// What the run without a policy is called.
const NO_POLICY: &str = "none";
/// The measurement that tells which share of a cloudlet is in use.
const UTILISATION: &str = "cpu_ratio";

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
    #[command(flatten)]
    order: OrderArgs,
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
        order,
        mean,
        output,
        draw,
    } = options;
    let trace = read(trace, |text| trace::parse(text, Format::of(trace)?))?;
    let Fleet { sites, warnings } = read(fleet, fleet::parse)?;
    let policies = read_policies(policies)?;
    let (matchers, thresholds) = (order.matchers(), order.thresholds().context("--overload")?);
    check_resources(mean, &sites)?;
    for warning in &warnings {
        eprintln!("warning: {warning}");
    }
    if let Some(folder) = draw {
        make_folder(folder)?;
    }
    let run = |(name, policy)| {
        let rules = Rules {
            ranking: RankingRules {
                matchers: &matchers,
                policy,
                shortlist: order.shortlist,
            },
            thresholds: &thresholds,
            utilisation_limit: utilisation_limit(&thresholds),
        };
        (name, simulate(&trace, &sites, rules))
    };
    let runs: Vec<_> = policies
        .iter()
        .map(|(name, policy)| run((name.as_str(), policy)))
        .collect();
    if let Some(folder) = draw {
        drawing::draw(folder, &runs)?;
    }
    let summaries = runs.iter();
    let summaries = summaries.map(|(name, record)| Summary::new(name, record, &sites, mean));
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

/// Makes sure that means are of what is there.
fn check_resources(names: &[String], fleet: &[Site]) -> anyhow::Result<()> {
    let resources = fleet.iter().flat_map(|site| site.cloudlet.resources.iter());
    let there: BTreeSet<&str> = resources.map(|(name, _)| name).collect();
    let missing = names.iter().find(|name| !there.contains(name.as_str()));
    match missing {
        None => Ok(()),
        Some(name) => bail!(
            "--mean {name}: no cloudlet says it\nhint: there are {}",
            Vec::from_iter(there).join(", ")
        ),
    }
}

/// Above which utilisation a cloudlet is really overloaded. It is so without a threshold too, or else a run with thresholds would compare badly
/// with one without.
fn utilisation_limit(thresholds: &Thresholds) -> f64 {
    let usual = || Thresholds::default().limit(UTILISATION);
    thresholds.limit(UTILISATION).or_else(usual).unwrap_or(1.0)
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
