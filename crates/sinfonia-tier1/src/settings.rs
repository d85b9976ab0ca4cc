//! The command line of Tier 1.

mod commands;

use std::path::PathBuf;

use clap::builder::BoolishValueParser;
use clap::{Args, Parser};
use sinfonia_core::load::{Threshold, ThresholdError, Thresholds};
use sinfonia_core::network::Network;
use sinfonia_core::ranking::Matcher;
use sinfonia_service::recipes::RecipeSource;
use sinfonia_service::settings::{
    ClientArgs, LimitArgs, List, ListenArgs, LogArgs, ProxyArgs, TraceArgs, at_least_one, flatten,
};
use sinfonia_service::version::Build;

pub use self::commands::{CheckArgs, ReportForm, SchemaArgs, Task};
use crate::report_access::AnonymousReports;

/// A cloudlet installs some 6 deployments per second, each of which a client awaits for up to 10 seconds; and of the requests that may
/// wait for cloudlets, one that hangs has no more than a tenth.
const MAX_IN_FLIGHT_PER_CLOUDLET: usize = 64;
/// Length of the shortlist unless told otherwise: an outage must not make each request ask all the world.
const SHORTLIST: usize = 64;

/// As many as fit into 1 GiB of memory, of those that report what cloudlets usually do.
const MAX_REPORTED_CLOUDLETS: usize = 1_000_000;

/// What follows the short help.
const EXAMPLE: &str = "\
Example: sinfonia-tier1 --cloudlets cloudlets.yaml --recipes RECIPES

Lists are repeated, comma-separated or JSON (-m network,location). `--help` says more, with examples.";

/// What follows the long help.
const EXAMPLES: &str = "\
Examples:
  Serve the cloudlets of a file, with recipes from a web server:
    sinfonia-tier1 --cloudlets cloudlets.yaml --recipes https://example.org/recipes

  Let cloudlets report, each with its token, and ask why one is chosen:
    sinfonia-tier1 --report-tokens reports.txt
    curl 'http://localhost:5000/api/v1/explain?client=192.0.2.7'

  Choose by more than distance, for example the cheapest cloudlet with a GPU that is not busy:
    sinfonia-tier1 --cloudlets cloudlets.yaml --policy policy.yaml
    with: {requires: resources.gpu_ratio < 0.8, prefer: -double(cloudlet.labels.price)}

  Let existing cloudlets report that know no tokens, from one network:
    sinfonia-tier1 --allow-anonymous-reports=10.0.0.0/8

  See whether the files are good, without starting (see check --help):
    sinfonia-tier1 check cloudlets.yaml policy.yaml recipes/

  Behind a load balancer:
    sinfonia-tier1 -c cloudlets.yaml --trusted-proxies 10.0.0.0/8

Lists are repeated, comma-separated or JSON: -m network -m random, -m network,random, SINFONIA_MATCHERS='[\"network\",\"random\"]'.
Cloudlet, policy and token files are read again when they change; a bad new one is told in the log and the old one stays.
Of --max-requests, deployments take at most five eighths and calls for existing ones two, so that reports and lists get through.";

/// Tier 1 of Sinfonia: knows the cloudlets, ranks them for a device, and has the best one deploy
#[derive(Debug, Clone, Parser)]
#[command(name = "sinfonia-tier1", version, after_help = EXAMPLE, after_long_help = EXAMPLES)]
pub struct Settings {
    /// What to do besides running.
    #[command(subcommand)]
    pub task: Option<Task>,
    /// What is known and how it is ranked.
    #[command(flatten)]
    pub ranking: RankingArgs,
    /// Who may report.
    #[command(flatten)]
    pub reports: ReportArgs,
    /// Who may ask for more.
    #[command(flatten)]
    pub operators: OperatorArgs,
    /// Whose word about addresses counts.
    #[command(flatten)]
    pub proxies: ProxyArgs,
    /// Where it listens.
    #[command(flatten)]
    pub listen: ListenArgs,
    /// How cloudlets and repositories are asked.
    #[command(flatten)]
    pub client: ClientArgs,
    /// Where reports may lead.
    #[command(flatten)]
    pub endpoints: EndpointArgs,
    /// What it bears.
    #[command(flatten)]
    pub limits: LimitArgs,
    /// How many cloudlets there may be, and what each bears.
    #[command(flatten)]
    pub cloudlet_limits: CloudletLimitArgs,
    /// How it logs.
    #[command(flatten)]
    pub log: LogArgs,
    /// Where its traces go.
    #[command(flatten)]
    pub traces: TraceArgs,
    /// What the program was built from.
    #[arg(skip)]
    pub build: Build,
}

/// What is known, and how it is ranked.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Cloudlets and recipes")]
pub struct RankingArgs {
    /// File with the cloudlets, a stream of YAML documents; without it they have to report
    #[arg(short, long, env = "SINFONIA_CLOUDLETS", value_name = "FILE")]
    pub cloudlets: Option<PathBuf>,
    /// Folder or http(s) URL with the recipes, one UUID.yaml each
    #[arg(
        long,
        env = "SINFONIA_RECIPES",
        value_name = "PATH|URL",
        default_value = "RECIPES"
    )]
    pub recipes: RecipeSource,
    /// How the cloudlets are ordered.
    #[command(flatten)]
    pub order: OrderArgs,
    /// Print the matchers, and end
    #[arg(long)]
    pub list_matchers: bool,
    /// File with what you require of cloudlets and prefer (YAML with requires and prefer, CEL expressions), for every recipe
    #[arg(long, env = "SINFONIA_POLICY", value_name = "FILE")]
    pub policy: Option<PathBuf>,
    /// Database of places (mmdb) for addresses [default: where geoipupdate puts it, if it is there]
    #[arg(long, env = "SINFONIA_GEOIP", value_name = "FILE")]
    pub geoip: Option<PathBuf>,
}

/// How cloudlets are ordered, in Tier 1 and wherever its order is to be foretold.
#[derive(Debug, Clone, Args)]
pub struct OrderArgs {
    /// Matchers that order the cloudlets, each what earlier ones left over; repeatable
    #[arg(
        short,
        long = "match",
        env = "SINFONIA_MATCHERS",
        value_name = "NAME",
        default_value = "network,location,random"
    )]
    pub matchers: Vec<List<Matcher>>,
    /// How many of the first cloudlets are compared by what is preferred and by measured round trips; a request falls over to no more
    #[arg(
        long,
        env = "SINFONIA_SHORTLIST",
        value_name = "N",
        default_value_t = SHORTLIST,
        value_parser = at_least_one
    )]
    pub shortlist: usize,
    /// Measurements above which a cloudlet counts as overloaded and comes after all that do not, until they are below 0.9 of that; placements
    /// count as load before reports show them; repeatable, [] for none
    #[arg(
        long,
        env = "SINFONIA_OVERLOAD",
        value_name = "NAME=LIMIT",
        default_value = "cpu_ratio=0.9,mem_ratio=0.9,gpu_ratio=0.95"
    )]
    pub overload: Vec<List<Threshold>>,
}

/// Who may report.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Reports")]
pub struct ReportArgs {
    /// File with the tokens that cloudlets report with: one a line, the token, a blank, optionally what it may report as (a uuid, an
    /// endpoint, or * for all)
    #[arg(long, env = "SINFONIA_REPORT_TOKENS", value_name = "FILE")]
    pub report_tokens: Option<PathBuf>,
    /// Take reports without a token, from everyone or from these networks
    #[arg(
        long,
        env = "SINFONIA_ALLOW_ANONYMOUS_REPORTS",
        value_name = "CIDR,…",
        num_args = 0..=1,
        require_equals = true,
        default_value = "false",
        hide_default_value = true,
        default_missing_value = "true"
    )]
    pub allow_anonymous_reports: AnonymousReports,
}

/// Who may ask for more than others.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Callers")]
pub struct OperatorArgs {
    /// File with the tokens of operators, who may state a client's address and ask for explanations: one a line
    #[arg(long, env = "SINFONIA_OPERATOR_TOKENS", value_name = "FILE")]
    pub operator_tokens: Option<PathBuf>,
    /// Explain to everyone who asks why cloudlets are chosen
    #[arg(long, env = "SINFONIA_PUBLIC_EXPLAIN", value_parser = BoolishValueParser::new())]
    pub public_explain: bool,
    /// Serve no dashboard: a page at / with a map of the cloudlets, which tells what it knows to those who may ask for explanations
    #[arg(long, env = "SINFONIA_NO_DASHBOARD", value_parser = BoolishValueParser::new())]
    pub no_dashboard: bool,
}

/// Where reports may lead.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Outgoing connections")]
pub struct EndpointArgs {
    /// Networks that reported endpoints may lead to although they are loopback, link-local or otherwise special; repeatable
    #[arg(long, env = "SINFONIA_ALLOW_ENDPOINTS", value_name = "CIDR")]
    pub allow_endpoints: Vec<List<Network>>,
}

/// How many cloudlets there may be, and what each bears.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Limits")]
pub struct CloudletLimitArgs {
    /// Requests in flight at once to one cloudlet; further ones go to the next cloudlet straight away
    #[arg(
        long,
        env = "SINFONIA_MAX_IN_FLIGHT_PER_CLOUDLET",
        value_name = "N",
        default_value_t = MAX_IN_FLIGHT_PER_CLOUDLET,
        value_parser = at_least_one
    )]
    pub max_in_flight_per_cloudlet: usize,
    /// Cloudlets that may report without being in the file of --cloudlets; further ones are refused with 503 until others fall silent
    #[arg(
        long,
        env = "SINFONIA_MAX_REPORTED_CLOUDLETS",
        value_name = "N",
        default_value_t = MAX_REPORTED_CLOUDLETS,
        value_parser = at_least_one
    )]
    pub max_reported_cloudlets: usize,
}

/// The matchers with what they do, one a line.
pub fn matcher_list() -> String {
    let line = |matcher: Matcher| format!("{:<10}{}\n", matcher.to_string(), matcher.description());
    Matcher::ALL.into_iter().map(line).collect()
}

impl OrderArgs {
    /// Above which measurements cloudlets count as overloaded.
    ///
    /// # Errors
    /// A measurement is named twice, or too many are.
    pub fn thresholds(&self) -> Result<Thresholds, ThresholdError> {
        Thresholds::new(flatten(&self.overload))
    }

    /// The matchers, in their order; all of them where none is named.
    pub fn matchers(&self) -> Vec<Matcher> {
        let matchers = flatten(&self.matchers);
        if matchers.is_empty() {
            Matcher::ALL.to_vec()
        } else {
            matchers
        }
    }
}

#[cfg(test)]
mod tests;
