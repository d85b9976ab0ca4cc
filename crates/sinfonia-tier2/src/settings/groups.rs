//! Groups of options that only Tier 2 has.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::builder::BoolishValueParser;
use clap::{Args, ValueEnum};
use jiff::SignedDuration;
use sinfonia_core::cloudlet::DisplayName;
use sinfonia_core::endpoint::Endpoint;
use sinfonia_core::lifecycle::Policy;
use sinfonia_core::network::Network;
use sinfonia_core::tunnel::HostPort;
use sinfonia_service::recipes::RecipeSource;
use sinfonia_service::settings::List;
use url::Url;
use uuid::Uuid;

use super::values::{
    Label, Locations, SecretName, duration, lease_duration, positive_duration, tier2_endpoint,
};

/// What runs the deployments.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(next_help_heading = "Cluster")]
pub struct ClusterArgs {
    /// What runs the deployments
    #[arg(long, env = "SINFONIA_CLUSTER", value_name = "KIND", value_enum, default_value_t = ClusterKind::Kubernetes)]
    pub cluster: ClusterKind,
    /// Folder or http(s) URL of the recipes
    #[arg(
        long,
        env = "SINFONIA_RECIPES",
        value_name = "PATH|URL",
        default_value = "RECIPES"
    )]
    pub recipes: RecipeSource,
    /// Credentials of the Kubernetes cluster [default: KUBECONFIG, ~/.kube/config, or those of the pod]
    #[arg(long, env = "SINFONIA_KUBECONFIG", value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Context to use of the credentials [default: the current one]
    #[arg(long, env = "SINFONIA_KUBECONTEXT", value_name = "NAME")]
    pub kubecontext: Option<String>,
    /// Prometheus of the Kubernetes cluster
    #[arg(
        long,
        env = "SINFONIA_PROMETHEUS",
        value_name = "URL",
        default_value = "http://kube-prometheus-stack-prometheus.monitoring:9090"
    )]
    pub prometheus: Url,
}

/// How it works on a Kubernetes cluster; the sandbox makes no use of these.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(next_help_heading = "Kubernetes")]
pub struct KubernetesArgs {
    /// Namespace of the records and the leader's lease [default: that of the context or the pod]
    #[arg(long, env = "SINFONIA_NAMESPACE", value_name = "NAME")]
    pub namespace: Option<String>,
    /// What tells whether a tunnel is in use
    #[arg(long, env = "SINFONIA_ACTIVITY", value_name = "SOURCE", value_enum, default_value_t = ActivitySource::Prometheus)]
    pub activity: ActivitySource,
    /// Time after which a leader that died is replaced by another replica
    #[arg(long, env = "SINFONIA_LEADER_LEASE", value_name = "TIME", default_value = "15s", value_parser = lease_duration)]
    pub leader_lease: SignedDuration,
    /// Time after which a deployment is compared with the cluster although nothing was heard of it
    #[arg(long, env = "SINFONIA_RESYNC_INTERVAL", value_name = "TIME", default_value = "10m", value_parser = positive_duration)]
    pub resync_interval: SignedDuration,
    /// Secret in --namespace with which images are pulled (kubernetes.io/dockerconfigjson), copied into each deployment's Namespace, where
    /// its chart can read it; repeatable
    #[arg(long, env = "SINFONIA_IMAGE_PULL_SECRET", value_name = "NAME")]
    pub image_pull_secret: Vec<List<SecretName>>,
}

/// How helm is run; the sandbox makes no use of these.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(next_help_heading = "Helm")]
pub struct HelmArgs {
    /// The helm program, version 3 or 4
    #[arg(
        long,
        env = "SINFONIA_HELM",
        value_name = "PROGRAM",
        default_value = "helm"
    )]
    pub helm: PathBuf,
    /// Installations and removals at once
    #[arg(
        long,
        env = "SINFONIA_HELM_CONCURRENCY",
        value_name = "N",
        default_value = "4"
    )]
    pub helm_concurrency: NonZeroUsize,
    /// Installations that may wait for their turn; more are turned away for a while
    #[arg(
        long,
        env = "SINFONIA_HELM_QUEUE",
        value_name = "N",
        default_value_t = 64
    )]
    pub helm_queue: usize,
    /// Time for the hooks of a chart, and for helm itself
    #[arg(long, env = "SINFONIA_HELM_TIMEOUT", value_name = "TIME", default_value = "5m", value_parser = positive_duration)]
    pub helm_timeout: SignedDuration,
    /// Folder for charts and helm's own files [default: sinfonia-tier2 in the user's cache]
    #[arg(long, env = "SINFONIA_CACHE", value_name = "FOLDER")]
    pub cache: Option<PathBuf>,
}

/// What tells whether a tunnel is in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ActivitySource {
    /// The handshakes and bytes that Prometheus (--prometheus) knows of
    Prometheus,
    /// Nothing: only requests keep a deployment
    None,
}

/// A kind of cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ClusterKind {
    /// A Kubernetes cluster with Kilo
    Kubernetes,
    /// In memory: installs nothing, loses everything when it ends
    Sandbox,
}

/// Who this cloudlet is, as Tier 1 is told.
#[derive(Debug, Clone, PartialEq, Args)]
#[command(next_help_heading = "This cloudlet")]
pub struct CloudletArgs {
    /// URL under which Tier 1 and devices reach this service; needed for reports
    #[arg(long, env = "SINFONIA_TIER2_URL", value_name = "URL", value_parser = tier2_endpoint)]
    pub tier2_url: Option<Endpoint>,
    /// Announce this service on the local network (mDNS), so that devices find it without a Tier 1
    #[arg(long, env = "SINFONIA_ZEROCONF", value_parser = BoolishValueParser::new())]
    pub zeroconf: bool,
    /// Identity of this cloudlet [default: made of --tier2-url]
    #[arg(long, env = "SINFONIA_UUID", value_name = "UUID")]
    pub uuid: Option<Uuid>,
    /// Name for people [default: the host of --tier2-url]
    #[arg(long, env = "SINFONIA_NAME", value_name = "NAME")]
    pub name: Option<DisplayName>,
    /// Place in degrees, LAT,LON; repeatable, or a JSON list of pairs
    #[arg(
        long,
        env = "SINFONIA_LOCATION",
        value_name = "LAT,LON",
        allow_hyphen_values = true
    )]
    pub location: Vec<Locations>,
    /// Networks at the cloudlet; their clients are served first
    #[arg(long, env = "SINFONIA_LOCAL_NETWORKS", value_name = "CIDR")]
    pub local_networks: Vec<List<Network>>,
    /// Properties that do not change by the minute
    #[arg(long, env = "SINFONIA_LABELS", value_name = "NAME=VALUE")]
    pub labels: Vec<List<Label>>,
}

/// How reports are sent.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(next_help_heading = "Reports")]
pub struct ReportArgs {
    /// File with the token to report with
    #[arg(long, env = "SINFONIA_REPORT_TOKEN", value_name = "FILE")]
    pub report_token: Option<PathBuf>,
}

/// Whom it serves.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(next_help_heading = "Callers")]
pub struct CallerArgs {
    /// File with the tokens of those who may deploy, one a line; without it all may
    #[arg(long, env = "SINFONIA_DEPLOY_TOKENS", value_name = "FILE")]
    pub deploy_tokens: Option<PathBuf>,
    /// Clients to serve beside those of --local-networks [default: all]
    #[arg(long, env = "SINFONIA_ACCEPTED_CLIENTS", value_name = "CIDR")]
    pub accepted_clients: Vec<List<Network>>,
    /// Clients not to serve, whatever else is said
    #[arg(long, env = "SINFONIA_REJECTED_CLIENTS", value_name = "CIDR")]
    pub rejected_clients: Vec<List<Network>>,
    /// Deploy requests that one client may send per minute; 0 for any number
    #[arg(
        long,
        env = "SINFONIA_CLIENT_RATE",
        value_name = "N",
        default_value_t = 60
    )]
    pub client_rate: u32,
}

/// How many deployments it takes.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(next_help_heading = "Deployments")]
pub struct DeploymentArgs {
    /// Deployments at once [default: as many as --client-network has addresses]
    #[arg(long, env = "SINFONIA_MAX_DEPLOYMENTS", value_name = "N")]
    pub max_deployments: Option<NonZeroUsize>,
    /// Deployments at once of one client: an IPv4 address or an IPv6 /64
    #[arg(
        long,
        env = "SINFONIA_MAX_DEPLOYMENTS_PER_CLIENT",
        value_name = "N",
        default_value = "4"
    )]
    pub max_deployments_per_client: NonZeroUsize,
}

/// How long deployments live.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(next_help_heading = "Deployments")]
pub struct LifeArgs {
    /// Time for which a request waits until the deployment is ready, where it does not say
    #[arg(long, env = "SINFONIA_READY_TIMEOUT", value_name = "TIME", default_value = "8s", value_parser = duration)]
    pub ready_timeout: SignedDuration,
    /// Time to be ready for the first time; then a deployment is given up
    #[arg(long, env = "SINFONIA_READY_DEADLINE", value_name = "TIME", default_value = "10m", value_parser = positive_duration)]
    pub ready_deadline: SignedDuration,
    /// Time for which a request keeps a deployment. With --activity prometheus no shorter than 3m: handshakes of a tunnel in use are up to
    /// that far apart, so a Prometheus that has just begun takes it for idle
    #[arg(long, env = "SINFONIA_LEASE", value_name = "TIME", default_value = "300s", value_parser = positive_duration)]
    pub lease: SignedDuration,
    /// Time for which a deployment can be brought back after its lease
    #[arg(long, env = "SINFONIA_GRACE", value_name = "TIME", default_value = "300s", value_parser = duration)]
    pub grace: SignedDuration,
    /// Time for which a deployment is kept when nobody can tell whether it is used
    #[arg(long, env = "SINFONIA_MAX_UNKNOWN", value_name = "TIME", default_value = "24h", value_parser = duration)]
    pub max_unknown: SignedDuration,
    /// Time after which a deployment ends, however much it is used [default: never]
    #[arg(long, env = "SINFONIA_MAX_LIFETIME", value_name = "TIME", value_parser = positive_duration)]
    pub max_lifetime: Option<SignedDuration>,
    /// Time between two looks at all leases
    #[arg(long, env = "SINFONIA_JOB_INTERVAL", value_name = "TIME", default_value = "60s", value_parser = positive_duration)]
    pub job_interval: SignedDuration,
}

/// How devices are connected.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(next_help_heading = "Tunnel")]
pub struct TunnelArgs {
    /// Network whose addresses devices get inside the tunnel
    #[arg(
        long,
        env = "SINFONIA_CLIENT_NETWORK",
        value_name = "CIDR",
        default_value = "10.5.0.0/16"
    )]
    pub client_network: Network,
    /// Where devices reach the tunnel, UDP [default: what Kilo says; in the sandbox the port of --tunnel-listen at the host of --tier2-url, else where it listens]
    #[arg(long, env = "SINFONIA_TUNNEL_ENDPOINT", value_name = "HOST:PORT")]
    pub tunnel_endpoint: Option<HostPort>,
    /// Where the sandbox listens for WireGuard, UDP; port 0 is any that is free [default: port 51820 of all addresses]
    #[arg(long, env = "SINFONIA_TUNNEL_LISTEN", value_name = "ADDRESS:PORT")]
    pub tunnel_listen: Option<SocketAddr>,
}

impl LifeArgs {
    /// The policy that these options make.
    pub fn policy(&self) -> Policy {
        let Self {
            ready_timeout: _,
            job_interval: _,
            ready_deadline,
            lease,
            grace,
            max_unknown,
            max_lifetime,
        } = self;
        Policy {
            lease: *lease,
            grace: *grace,
            ready_deadline: *ready_deadline,
            max_unknown: *max_unknown,
            max_lifetime: *max_lifetime,
            ..Policy::default()
        }
    }
}
