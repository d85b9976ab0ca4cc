//! Options of `sinfonia-tier2 guard`.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, ValueEnum};
use sinfonia_core::network::Network;
use sinfonia_service::settings::{AdminListen, List, LogArgs};

/// Longest name of an interface: `IFNAMSIZ` of the kernel without the zero at its end.
const LONGEST_INTERFACE: usize = 15;

pub(super) const EXAMPLES: &str = "\
Examples:
  On each node of a cluster, as root, with credentials that may list and watch pods,
  namespaces, nodes and ServiceCIDRs (deploy/tier2/guard.yaml does that in the cluster):
    sinfonia-tier2 guard --kubeconfig guard.conf

  Let devices reach the internet through the cloudlet as well:
    sinfonia-tier2 guard --kubeconfig guard.conf --client-egress internet

  See what is in force, and how many packets were dropped for which reason:
    nft list table inet sinfonia

  Lift all restrictions of this node:
    sinfonia-tier2 guard --remove

The table stays when the program ends: who was let through still is, and nobody else.";

/// How the node is guarded from devices.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct GuardArgs {
    /// Takes the restrictions of this node away and ends
    #[arg(long)]
    pub remove: bool,
    /// What devices may reach.
    #[command(flatten)]
    pub clients: GuardedClientArgs,
    /// The cluster whose pods they are.
    #[command(flatten)]
    pub cluster: GuardedClusterArgs,
    /// How it works on the node.
    #[command(flatten)]
    pub node: GuardedNodeArgs,
    /// What it logs.
    #[command(flatten)]
    pub log: LogArgs,
}

/// What devices may reach through their tunnels, beside their own deployments.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(next_help_heading = "Devices")]
pub struct GuardedClientArgs {
    /// Network of the devices' addresses inside the tunnel, as Tier 2 has it; nothing else may use it
    #[arg(
        long,
        env = "SINFONIA_CLIENT_NETWORK",
        value_name = "CIDR",
        default_value = "10.5.0.0/16"
    )]
    pub client_network: Network,
    /// What devices reach beyond the cluster
    #[arg(long, env = "SINFONIA_CLIENT_EGRESS", value_name = "WHAT", value_enum, default_value_t = ClientEgress::None)]
    pub client_egress: ClientEgress,
    /// Interface of the tunnel; where devices are reached by it, their addresses count from nowhere else
    #[arg(
        long,
        env = "SINFONIA_TUNNEL_INTERFACE",
        value_name = "NAME",
        default_value = "kilo0"
    )]
    pub tunnel_interface: InterfaceName,
}

/// The cluster.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(next_help_heading = "Cluster")]
pub struct GuardedClusterArgs {
    /// Credentials of the Kubernetes cluster [default: KUBECONFIG, ~/.kube/config, or those of the pod]
    #[arg(long, env = "SINFONIA_KUBECONFIG", value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Context to use of the credentials [default: the current one]
    #[arg(long, env = "SINFONIA_KUBECONTEXT", value_name = "NAME")]
    pub kubecontext: Option<String>,
    /// Ranges of the cluster's pods, services and nodes [default: what its ServiceCIDRs and nodes say]
    #[arg(long, env = "SINFONIA_CLUSTER_CIDRS", value_name = "CIDR")]
    pub cluster_cidrs: Vec<List<Network>>,
}

/// How it works on the node.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(next_help_heading = "Node")]
pub struct GuardedNodeArgs {
    /// The nft program of nftables, 1.0 or newer
    #[arg(
        long,
        env = "SINFONIA_NFT",
        value_name = "PROGRAM",
        default_value = "nft"
    )]
    pub nft: PathBuf,
    /// Where to tell about health, read-only: ADDR:PORT, ADDR (port 5002), or "off"
    #[arg(
        long,
        env = "SINFONIA_ADMIN_LISTEN",
        value_name = "ADDR[:PORT]",
        default_value = "127.0.0.1"
    )]
    pub admin_listen: AdminListen,
}

/// What devices reach beyond the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ClientEgress {
    /// Nothing
    None,
    /// Addresses of the whole internet; none that is private or the cluster's
    Internet,
}

/// The name of a network interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InterfaceName(String);

/// A text that names no interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected the name of an interface such as kilo0: 1 to 15 of a-z, A-Z, 0-9, `.`, `_`, `-`")]
pub struct InterfaceNameError;

impl FromStr for InterfaceName {
    type Err = InterfaceNameError;

    fn from_str(text: &str) -> Result<Self, InterfaceNameError> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        if text.is_empty() || text.len() > LONGEST_INTERFACE || !text.bytes().all(is_plain) {
            return Err(InterfaceNameError);
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for InterfaceName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("kilo0", true)]
    #[case("wg-edge.1_a", true)]
    #[case("fifteen-letters", true)]
    #[case("", false)]
    #[case("sixteen--letters", false)]
    #[case("kilo0\" accept", false)]
    #[case("kilo*", false)]
    fn an_interface_has_a_plain_short_name(#[case] text: &str, #[case] expected: bool) {
        assert_eq!(text.parse::<InterfaceName>().is_ok(), expected);
    }
}
