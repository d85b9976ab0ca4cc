//! Starts and stops real programs for tests and for the quickstart, on free loopback ports, each with its log kept.
//!
//! The tiers' own binaries are a [`Service`] each. [`ControlPlane`] is a Kubernetes control plane of real programs that tests share and
//! use as a [`Cluster`], directly or through a [`FaultProxy`]; [`Cloudlet`] prepares one for a Tier 2. [`Node`] is a cluster with a real
//! node, on a [`Machine`] of its own, that runs Pods from [`Image`]s, a [`Gateway`] plays Kilo's part there, a [`WireguardExporter`]
//! tells of its tunnels, and an [`Installation`] has both tiers on it. [`Prometheus`] scrapes [`Exporter`]s, and a [`Metric`] is one of the table
//! for operators. [`Programs`] tells where the programs of others are, [`ProgramSet`] builds them.

mod binaries;
mod cache;
mod chart;
mod cloudlet;
mod cluster;
mod control_plane;
mod exporter;
mod fault_proxy;
mod folder;
mod gateway;
mod image;
mod machine;
mod metrics_table;
mod node;
mod port;
mod process;
mod programs;
mod prometheus;
mod run_folder;
mod runtime;
mod service;
mod wireguard_exporter;

pub use self::binaries::{Binaries, MissingBinary, command};

pub use self::cache::cache_folder;
pub use self::chart::write_chart;
pub use self::cloudlet::Cloudlet;
pub use self::cluster::{Cluster, ClusterError, TestNamespace, unique_name};
pub use self::control_plane::{
    ControlPlane, ControlPlaneError, KUBE_DNS_ADDRESS, NODE_ENDPOINT, NODE_NAME, NODE_PUBLIC_KEY,
    NODE_WIREGUARD_IP, SharedCluster, VARIABLE,
};
pub use self::exporter::Exporter;
pub use self::fault_proxy::{Answer, ApiCall, Fault, FaultProxy, FaultProxyError, Rule};
pub use self::folder::TestFolder;
pub use self::gateway::{Gateway, GatewayError, GatewaySettings, Habits};
pub use self::image::{Compression, Image, ImageError};
pub use self::machine::{Machine, MachineError};
pub use self::metrics_table::Metric;
pub use self::node::{Application, Installation, InstallationError, Node, NodeError, NodeProgram};
pub use self::port::ReservedPort;
pub use self::programs::{
    BuildError, MissingNodeProgram, MissingProgram, NodePrograms, ProgramSet, Programs, Progress,
};
pub use self::prometheus::{Prometheus, PrometheusError};
pub use self::run_folder::RunFolder;
pub use self::service::{Service, ServiceError};
pub use self::wireguard_exporter::{WireguardExporter, WireguardExporterError};
