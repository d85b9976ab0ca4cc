//! The node, with what Kilo's agent writes on it, and the Service of the cluster's name server.

use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::{Cluster, ClusterError};

/// The node's name.
pub const NODE_NAME: &str = "testbed";
/// The node's WireGuard key, as Kilo's agent writes it.
pub const NODE_PUBLIC_KEY: &str = "f6dXcHBw1p1X8J6yN0Xw9ZJ3m1Qk2uYt5v7L0aB4cDk=";
/// Where the node's WireGuard is reached.
pub const NODE_ENDPOINT: &str = "203.0.113.7:51820";
/// The node's address inside Kilo's network, which only a location's leader has.
pub const NODE_WIREGUARD_IP: &str = "10.4.0.1/16";
/// The network of the node's pods, as k3s gives it to its first node.
const NODE_POD_NETWORK: &str = "10.42.0.0/24";
/// The address of the Service `kube-dns`.
pub const KUBE_DNS_ADDRESS: &str = "10.43.0.10";

/// Time between two signs of life of Kilo's agent.
const REFRESH: Duration = Duration::from_secs(30);

/// Writes the node's signs of life until it is dropped.
#[derive(Debug)]
pub(super) struct Refresher {
    _stop: Sender<()>,
}

impl Refresher {
    /// Makes the node and keeps it fresh.
    pub(super) fn start(cluster: &Cluster) -> Result<Self, ClusterError> {
        make(cluster)?;
        let (stop, stopped) = mpsc::channel::<()>();
        let cluster = cluster.clone();
        thread::spawn(move || {
            while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(REFRESH) {
                // An API server that is stopped is asked again later; a node that a test deleted stays deleted.
                let _ = cluster.patch(&path(), &json!({"metadata": {"annotations": alive()}}));
            }
        });
        Ok(Self { _stop: stop })
    }
}

fn make(cluster: &Cluster) -> Result<(), ClusterError> {
    let mut annotations = json!({
        "kilo.squat.ai/key": NODE_PUBLIC_KEY,
        "kilo.squat.ai/endpoint": NODE_ENDPOINT,
        "kilo.squat.ai/wireguard-ip": NODE_WIREGUARD_IP,
        "kilo.squat.ai/internal-ip": "192.0.2.7/24",
        "kilo.squat.ai/persistent-keepalive": "0",
    });
    annotations["kilo.squat.ai/last-seen"] = alive()["kilo.squat.ai/last-seen"].take();
    let node = json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": NODE_NAME, "annotations": annotations},
        "spec": {"podCIDR": NODE_POD_NETWORK, "podCIDRs": [NODE_POD_NETWORK]},
    });
    cluster.apply(&node.to_string())?;
    let ready = json!({"status": {
        "addresses": [{"type": "InternalIP", "address": "192.0.2.7"}],
        "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady"}],
    }});
    cluster.patch(&format!("{}/status", path()), &ready)?;
    Ok(())
}

fn path() -> String {
    format!("/api/v1/nodes/{NODE_NAME}")
}

fn alive() -> Value {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs();
    json!({"kilo.squat.ai/last-seen": now.to_string()})
}
