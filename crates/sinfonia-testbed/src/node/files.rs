//! The configuration of a node's programs.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::NodeError;
use super::images::PAUSE;
use crate::NodePrograms;

/// The node's name.
pub(super) const NODE_NAME: &str = "cloudlet";
/// The addresses of its Pods.
pub(super) const POD_NETWORK: &str = "10.42.0.0/24";
/// Where containerd listens, on the machine.
pub(super) const CONTAINERD_SOCKET: &str = "/run/containerd/containerd.sock";
/// The address of the Service `kube-dns`.
const NAME_SERVER: &str = "10.43.0.10";

const PLUGIN_FOLDER: &str = "cni";
const CONTAINERD: &str = "containerd.toml";
const KUBELET: &str = "kubelet.json";

/// The files of a node, in a folder of its own.
#[derive(Debug)]
pub(super) struct Files {
    folder: PathBuf,
}

impl Files {
    /// Writes them.
    pub(super) fn write(
        folder: &Path,
        programs: &NodePrograms,
        control_group: &str,
    ) -> Result<Self, NodeError> {
        let files = Self {
            folder: folder.to_owned(),
        };
        let plugins = folder.join(PLUGIN_FOLDER);
        fs::create_dir_all(&plugins).map_err(NodeError::writing(&plugins))?;
        let network = plugins.join("10-pods.conflist");
        put(&network, &pod_network())?;
        put(
            &files.containerd(),
            &containerd(folder, &plugins, &programs.plugins),
        )?;
        files.write_kubelet(control_group, false)?;
        Ok(files)
    }

    /// Writes kubelet's, for which the disk is full or not.
    pub(super) fn write_kubelet(
        &self,
        control_group: &str,
        is_disk_full: bool,
    ) -> Result<(), NodeError> {
        put(&self.kubelet(), &kubelet(control_group, is_disk_full))
    }

    pub(super) fn containerd(&self) -> PathBuf {
        self.folder.join(CONTAINERD)
    }

    pub(super) fn kubelet(&self) -> PathBuf {
        self.folder.join(KUBELET)
    }
}

fn put(path: &Path, text: &str) -> Result<(), NodeError> {
    fs::write(path, text).map_err(NodeError::writing(path))
}

/// Pods on a bridge, with addresses that leave the node masqueraded.
fn pod_network() -> String {
    let network = json!({
        "cniVersion": "1.0.0",
        "name": "pods",
        "plugins": [
            {
                "type": "bridge",
                "bridge": "cni0",
                "isGateway": true,
                "ipMasq": true,
                "hairpinMode": true,
                "ipam": {
                    "type": "host-local",
                    "ranges": [[{"subnet": POD_NETWORK}]],
                    "routes": [{"dst": "0.0.0.0/0"}],
                    "dataDir": "/run/cni",
                },
            },
            {"type": "portmap", "capabilities": {"portMappings": true}},
        ],
    });
    network.to_string()
}

fn containerd(folder: &Path, plugins: &Path, programs: &Path) -> String {
    let root = folder.join("containerd");
    // Without restrict_oom_score_adj runc ends where even root may not lower a process's score.
    format!(
        r#"version = 3
root = {root:?}
state = "/run/containerd"
[grpc]
address = "{CONTAINERD_SOCKET}"
[plugins."io.containerd.cri.v1.runtime"]
restrict_oom_score_adj = true
[plugins."io.containerd.cri.v1.runtime".cni]
bin_dirs = [{programs:?}]
conf_dir = {plugins:?}
[plugins."io.containerd.cri.v1.images".pinned_images]
sandbox = "{PAUSE}"
"#
    )
}

fn kubelet(control_group: &str, is_disk_full: bool) -> String {
    let mut configuration = json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        // Version 1 is all that some machines have.
        "failCgroupV1": false,
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": format!("/{control_group}"),
        "failSwapOn": false,
        "clusterDNS": [NAME_SERVER],
        "clusterDomain": "cluster.local",
        "containerRuntimeEndpoint": format!("unix://{CONTAINERD_SOCKET}"),
        "evictionHard": {
            "memory.available": "1Mi",
            "nodefs.available": "100Mi",
            "imagefs.available": "100Mi",
        },
        "evictionPressureTransitionPeriod": "5s",
        "authentication": {"anonymous": {"enabled": true}, "webhook": {"enabled": false}},
        "authorization": {"mode": "AlwaysAllow"},
        "resolvConf": "",
        "nodeStatusUpdateFrequency": "2s",
        "nodeLeaseDurationSeconds": 8,
        // Images that are not there cannot be had; a test need not wait long to see it.
        "maxParallelImagePulls": 4,
        "serializeImagePulls": false,
    });
    if is_disk_full {
        // No disk has that much room. A soft limit leaves alone what the scheduler may give away.
        configuration["evictionSoft"] = json!({"nodefs.available": "99.9%"});
        configuration["evictionSoftGracePeriod"] = json!({"nodefs.available": "1s"});
    }
    configuration.to_string()
}

/// The cluster's own objects, for a node at this address.
pub(super) fn cluster_objects(node: Ipv4Addr) -> String {
    include_str!("cluster.yaml").replace("{node}", &node.to_string())
}
