//! What the network of a confinement is like.

use std::fmt;

use sinfonia_core::resolver::Resolver;
use sinfonia_core::tunnel::{Interface, TunnelConfig};

/// What a confined application sees of the network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    /// The device's addresses. Each of their families gets a default route.
    pub addresses: Vec<Interface>,
    /// The longest packet.
    pub mtu: Mtu,
    /// What resolves names.
    pub resolver: Resolver,
}

impl From<&TunnelConfig> for Network {
    fn from(tunnel: &TunnelConfig) -> Self {
        Self {
            addresses: tunnel.address.clone(),
            mtu: Mtu::default(),
            resolver: Resolver::from(tunnel),
        }
    }
}

/// The length of the longest packet of a device, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mtu(u16);

impl Mtu {
    /// The least that IPv6 allows (RFC 8200 §5).
    const LEAST: u16 = 1280;

    /// Takes lengths that both versions of IP allow.
    pub const fn new(bytes: u16) -> Option<Self> {
        if bytes < Self::LEAST {
            return None;
        }
        Some(Self(bytes))
    }

    /// The length in bytes.
    pub const fn bytes(self) -> u16 {
        self.0
    }
}

impl Default for Mtu {
    /// What WireGuard leaves of an Ethernet frame: 1500 bytes without 40 of IPv6, 8 of UDP and 32 of its own.
    fn default() -> Self {
        Self(1420)
    }
}

impl fmt::Display for Mtu {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_as_long_as_both_versions_of_ip_need() {
        assert_eq!(Mtu::new(1279), None);
        assert_eq!(Mtu::new(1280).map(Mtu::bytes), Some(1280));
        assert_eq!(Mtu::default().bytes(), 1420);
    }

    #[test]
    fn the_answer_of_a_deployment_tells_the_network() {
        let tunnel: TunnelConfig = serde_json::from_value(serde_json::json!({
            "publicKey": "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=",
            "allowedIPs": ["0.0.0.0/0"],
            "endpoint": "203.0.113.7:51820",
            "address": ["10.5.17.4", "fd00::4/64"],
            "dns": ["10.43.0.10", "svc.cluster.local"],
        }))
        .unwrap();

        assert_eq!(
            Network::from(&tunnel),
            Network {
                addresses: vec!["10.5.17.4".parse().unwrap(), "fd00::4/64".parse().unwrap()],
                mtu: Mtu::default(),
                resolver: Resolver {
                    servers: vec!["10.43.0.10".parse().unwrap()],
                    search: vec!["svc.cluster.local".parse().unwrap()],
                },
            }
        );
    }
}
