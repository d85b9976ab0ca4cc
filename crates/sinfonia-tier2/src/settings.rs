//! The command line of Tier 2, and the environment variables behind it.

mod commands;
mod groups;
mod guard;
mod isolation;
mod tier1;
mod values;

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use clap_complete::Shell;
use sinfonia_service::settings::{
    ClientArgs, LimitArgs, ListenArgs, LogArgs, ProxyArgs, TraceArgs,
};
use sinfonia_service::version::Build;

pub use self::commands::{DrainArgs, ReadyArgs, TargetArgs};
pub use self::groups::{
    ActivitySource, CallerArgs, CloudletArgs, ClusterArgs, ClusterKind, DeploymentArgs, HelmArgs,
    KubernetesArgs, LifeArgs, ReportArgs, TunnelArgs,
};
pub use self::guard::{
    ClientEgress, GuardArgs, GuardedClientArgs, GuardedClusterArgs, GuardedNodeArgs, InterfaceName,
    InterfaceNameError,
};
pub use self::isolation::{Amount, AmountError, IsolationArgs};
pub use self::tier1::{Tier1Args, Tier1Url, Tier1UrlError};
pub use self::values::{Label, LabelError, Locations, LocationsError, SecretName, SecretNameError};

const EXAMPLES: &str = "\
Examples:
  Try it, without a cluster and without a Tier 1:
    sinfonia-tier2 --cluster sandbox --recipes examples/recipes

  On a Kubernetes cluster, once it knows the records (see deploy/tier2):
    sinfonia-tier2 crd | kubectl apply -f -
    sinfonia-tier2 --kubeconfig admin.conf --namespace sinfonia \\
      --recipes https://recipes.example/

  Report to a Tier 1, and let only those deploy that have a token:
    sinfonia-tier2 --cluster sandbox --recipes https://recipes.example/ \\
      --tier1-url https://tier1.example --report-token report-token \\
      --tier2-url https://cloudlet.example --name \"Cloudlet downtown\" \\
      --location 40.4439,-79.9444 --deploy-tokens deploy-tokens

  Let no new device in before maintenance, those that are there go on (see drain --help):
    sinfonia-tier2 drain --namespace sinfonia

Times are written like 90s, 5m or 1h30m; a bare number is seconds. Lists are JSON,
[\"a\",\"b\"], or separated by commas. The command line wins over the environment, and
an empty variable counts as unset.";

/// Deploys backends into one cloudlet, and tells Tier 1 about it
#[derive(Debug, Clone, Parser)]
#[command(name = "sinfonia-tier2", version, after_long_help = EXAMPLES, max_term_width = 100)]
pub struct Settings {
    /// What to do besides running.
    #[command(subcommand)]
    pub task: Option<Task>,
    /// What runs the deployments.
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// How it works on Kubernetes.
    #[command(flatten)]
    pub kubernetes: KubernetesArgs,
    /// How deployments are kept apart.
    #[command(flatten)]
    pub isolation: IsolationArgs,
    /// How helm is run.
    #[command(flatten)]
    pub helm: HelmArgs,
    /// Who this cloudlet is.
    #[command(flatten)]
    pub cloudlet: CloudletArgs,
    /// Whom it reports to.
    #[command(flatten)]
    pub tier1: Tier1Args,
    /// How it reports.
    #[command(flatten)]
    pub report: ReportArgs,
    /// Whom it serves.
    #[command(flatten)]
    pub callers: CallerArgs,
    /// Whose word about a client's address counts.
    #[command(flatten)]
    pub proxies: ProxyArgs,
    /// How many deployments it takes.
    #[command(flatten)]
    pub deployments: DeploymentArgs,
    /// How long deployments live.
    #[command(flatten)]
    pub life: LifeArgs,
    /// How devices are connected.
    #[command(flatten)]
    pub tunnel: TunnelArgs,
    /// Where it listens.
    #[command(flatten)]
    pub listen: ListenArgs,
    /// How much it takes on.
    #[command(flatten)]
    pub limits: LimitArgs,
    /// How it asks other services.
    #[command(flatten)]
    pub client: ClientArgs,
    /// What it logs.
    #[command(flatten)]
    pub log: LogArgs,
    /// Where its traces go.
    #[command(flatten)]
    pub traces: TraceArgs,
    /// What the program was built from.
    #[arg(skip)]
    pub build: Build,
}

/// What Tier 2 can do besides running.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum Task {
    /// Prints the definition of the records (CloudletDeployment) for `kubectl apply -f -`
    Crd,
    /// Prints the description of the API (OpenAPI 3.1), as it is served at /api/v1/openapi.json
    #[command(after_long_help = commands::OPENAPI_EXAMPLES)]
    Openapi,
    /// Keeps what devices may reach through this node: their own deployments, and nothing else
    #[command(after_long_help = guard::EXAMPLES)]
    Guard(Box<GuardArgs>),
    /// Takes no new deployments from now on; those that there are go on
    #[command(after_long_help = commands::DRAIN_EXAMPLES)]
    Drain(DrainArgs),
    /// Takes new deployments again
    #[command(after_long_help = commands::UNDRAIN_EXAMPLES)]
    Undrain(TargetArgs),
    /// Asks a Tier 2 that runs whether it is ready: ends with 0 if so, else with 1 and what is missing
    #[command(after_long_help = commands::READY_EXAMPLES)]
    Ready(ReadyArgs),
    /// Prints a script that completes the command line in a shell
    #[command(after_long_help = commands::COMPLETIONS_EXAMPLES)]
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Writes the manual pages, for packages
    #[command(hide = true)]
    Man {
        /// Folder to write them into
        #[arg(value_name = "DIR")]
        folder: PathBuf,
    },
}

impl Settings {
    /// How many installations may be under way, those that wait included; any number in the sandbox.
    pub fn most_pending(&self) -> Option<usize> {
        let HelmArgs {
            helm_concurrency,
            helm_queue,
            ..
        } = &self.helm;
        match self.cluster.cluster {
            ClusterKind::Kubernetes => Some(helm_concurrency.get().saturating_add(*helm_queue)),
            ClusterKind::Sandbox => None,
        }
    }
}
