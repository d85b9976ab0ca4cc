//! What Kilo's agent writes on its node.

use std::time::{SystemTime, UNIX_EPOCH};

use ipnet::Ipv4Net;
use serde_json::{Value, json};
use sinfonia_core::key::PublicKey;

use super::GatewaySettings;
use crate::{Cluster, ClusterError};

/// The prefix of the network between nodes, which the agent notes beside its own address there.
const NODE_PREFIX: u8 = 24;

/// What the agent says of itself as long as it lives.
#[derive(Debug, Clone)]
pub(super) struct Annotations {
    node: String,
    lasting: Value,
}

impl Annotations {
    pub(super) fn new(settings: &GatewaySettings, key: PublicKey) -> Self {
        let internal = Ipv4Net::new_assert(*settings.endpoint.ip(), NODE_PREFIX);
        Self {
            node: settings.node.clone(),
            lasting: json!({
                "kilo.squat.ai/key": key.to_string(),
                "kilo.squat.ai/endpoint": settings.endpoint.to_string(),
                "kilo.squat.ai/wireguard-ip": settings.wireguard_ip.to_string(),
                "kilo.squat.ai/internal-ip": internal.to_string(),
                "kilo.squat.ai/persistent-keepalive": "0",
            }),
        }
    }

    /// Writes them all, with the present time as the last sign of life.
    pub(super) fn write(&self, cluster: &Cluster) -> Result<(), ClusterError> {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        annotate(cluster, &self.node, &self.at(now.as_secs()))
    }

    fn at(&self, now: u64) -> Value {
        let mut annotations = self.lasting.clone();
        annotations["kilo.squat.ai/last-seen"] = now.to_string().into();
        annotations
    }
}

/// Takes them off the node, as the agent does when it stops. The keepalive stays: with Kilo it is the operator's.
pub(super) fn remove(cluster: &Cluster, node: &str) -> Result<(), ClusterError> {
    let gone = json!({
        "kilo.squat.ai/key": null,
        "kilo.squat.ai/endpoint": null,
        "kilo.squat.ai/wireguard-ip": null,
        "kilo.squat.ai/internal-ip": null,
        "kilo.squat.ai/last-seen": null,
    });
    annotate(cluster, node, &gone)
}

fn annotate(cluster: &Cluster, node: &str, annotations: &Value) -> Result<(), ClusterError> {
    let patch = json!({"metadata": {"annotations": annotations}});
    cluster
        .patch(&format!("/api/v1/nodes/{node}"), &patch)
        .map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_annotated_as_kilo_does() {
        let settings = GatewaySettings::new("node", "netns", "192.0.2.7:51820".parse().unwrap());
        let annotations = Annotations::new(&settings, PublicKey::from_bytes([7; 32]));

        assert_eq!(
            annotations.at(1_800_000_000),
            json!({
                "kilo.squat.ai/key": "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=",
                "kilo.squat.ai/endpoint": "192.0.2.7:51820",
                "kilo.squat.ai/wireguard-ip": "10.4.0.1/16",
                "kilo.squat.ai/internal-ip": "192.0.2.7/24",
                "kilo.squat.ai/persistent-keepalive": "0",
                "kilo.squat.ai/last-seen": "1800000000",
            })
        );
    }
}
