//! Options of the commands by which an operator speaks to a Tier 2 that runs.

use std::path::PathBuf;

use clap::Args;
use jiff::SignedDuration;
use url::Url;

use super::values::positive_duration;
use crate::cluster::draining::Reason;

pub(super) const DRAIN_EXAMPLES: &str = "\
Examples:
  Let no new device in before the cluster's nodes are maintained, and say so:
    sinfonia-tier2 drain --namespace sinfonia --reason \"new disks until noon\"

  The same from within a pod of Tier 2, which has the rights:
    kubectl exec --namespace sinfonia deployment/edge-sinfonia -- sinfonia-tier2 drain

  See what goes on, and wait until nothing does:
    kubectl get cld --namespace sinfonia --watch

Who has a deployment keeps it for as long as it is used, and may renew it. New requests
are answered with 503 and sent to another cloudlet by Tier 1. This outlasts restarts;
`sinfonia-tier2 undrain` ends it.";

pub(super) const UNDRAIN_EXAMPLES: &str = "\
Examples:
  Take new deployments again:
    sinfonia-tier2 undrain --namespace sinfonia";

pub(super) const READY_EXAMPLES: &str = "\
Examples:
  Whether the Tier 2 of this machine is ready, and what is missing if not:
    sinfonia-tier2 ready

  Whether any Tier 2 behind a Service is: only those that are ready are reached by it:
    sinfonia-tier2 ready http://edge-sinfonia.sinfonia:5000/";

pub(super) const OPENAPI_EXAMPLES: &str = "\
Examples:
  Have a client of the API made, or anything else that reads OpenAPI:
    sinfonia-tier2 openapi >tier2.json

  See what a deployment looks like:
    sinfonia-tier2 openapi | jq .components.schemas.CloudletDeployment

A Tier 2 that runs shows the same to people at /api/v1/ui/, and lets them send requests.";

pub(super) const COMPLETIONS_EXAMPLES: &str = "\
Examples:
  sinfonia-tier2 completions bash >~/.local/share/bash-completion/completions/sinfonia-tier2
  sinfonia-tier2 completions zsh >~/.zfunc/_sinfonia-tier2
  sinfonia-tier2 completions fish >~/.config/fish/completions/sinfonia-tier2.fish";

/// Which Tier 2s are meant: all that work in one Namespace. What is not said here is as without a command.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
#[command(next_help_heading = "Cluster")]
pub struct TargetArgs {
    /// Credentials of the Kubernetes cluster [default: SINFONIA_KUBECONFIG, KUBECONFIG, ~/.kube/config, or those of the pod]
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Context to use of the credentials [default: SINFONIA_KUBECONTEXT, or the current one]
    #[arg(long, value_name = "NAME")]
    pub kubecontext: Option<String>,
    /// Namespace of Tier 2's records [default: SINFONIA_NAMESPACE, or that of the context or the pod]
    #[arg(long, value_name = "NAME")]
    pub namespace: Option<String>,
}

/// How a cloudlet is drained.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub struct DrainArgs {
    /// Why, in a line that callers and logs are told
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<Reason>,
    /// Which Tier 2s are meant.
    #[command(flatten)]
    pub target: TargetArgs,
}

/// What is asked whether it is ready.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct ReadyArgs {
    /// URL that answers 200 when Tier 2 is ready
    #[arg(value_name = "URL", default_value = "http://127.0.0.1:5001/readyz")]
    pub url: Url,
    /// Time to answer
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = positive_duration)]
    pub timeout: SignedDuration,
}
