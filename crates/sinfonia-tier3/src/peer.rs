//! The cloudlet as a peer of a tunnel of ours.

use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::time::Duration;

use ipnet::IpNet;
use sinfonia_core::tunnel::{Interface, TunnelConfig};
use sinfonia_tunnel::endpoint::PeerConfig;

use crate::wireguard::KEEPALIVE;

/// Time in which the cloudlet has to answer the first handshake. A lost packet costs one or two seconds of it.
pub(crate) const HANDSHAKE_TIME: Duration = Duration::from_secs(15);

/// The cloudlet of an answer, at this address, to which these networks are routed.
pub(crate) fn peer(
    config: &TunnelConfig,
    endpoint: SocketAddr,
    allowed_ips: Vec<IpNet>,
) -> PeerConfig {
    PeerConfig {
        public_key: config.public_key,
        preshared_key: None,
        endpoint: Some(endpoint),
        allowed_ips,
        persistent_keepalive: NonZeroU16::new(KEEPALIVE),
    }
}

/// Networks of an answer as a tunnel takes them.
pub(crate) fn networks(interfaces: &[Interface]) -> Vec<IpNet> {
    let networks = interfaces.iter();
    networks
        .filter_map(|network| IpNet::new(network.address(), network.prefix_length()).ok())
        .collect()
}
