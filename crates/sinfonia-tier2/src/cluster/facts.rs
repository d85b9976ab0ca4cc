//! What every cluster tells its devices alike.

use std::net::IpAddr;

use sinfonia_core::network::Network;
use sinfonia_core::tunnel::{Interface, TunnelError};

/// Domain of the Services, as in nearly every Kubernetes cluster.
pub(super) const CLUSTER_DOMAIN: &str = "cluster.local";

/// All addresses of the network's family.
pub(super) fn everything(network: Network) -> Result<Interface, TunnelError> {
    let all = match network.as_ipnet().addr() {
        IpAddr::V4(_) => Network::ALL_IPV4,
        IpAddr::V6(_) => Network::ALL_IPV6,
    };
    all.to_string().parse()
}
