//! The command lines of a control plane's programs.

use std::path::Path;
use std::process::Command;

use super::certificates::{ACCOUNT_KEY_FILE, ACCOUNT_PUBLIC_KEY_FILE};
use super::site::Site;
use crate::cluster::{CA_FILE, CERTIFICATE_FILE, CERTIFICATE_KEY_FILE};
use crate::{Cluster, Programs};

/// The file of static tokens.
pub(super) const TOKEN_FILE: &str = "users.csv";
/// What the API server of a real node tells about requests, and where: who asked for what, for tests of what was granted.
pub(super) const AUDIT_POLICY_FILE: &str = "audit-policy.yaml";
pub(crate) const AUDIT_LOG_FILE: &str = "audit.log";
/// Time after which a node that says nothing counts as not ready; the default is 50 s.
const NODE_GRACE: &str = "12s";
/// The addresses of Services, as k3s has them.
const SERVICE_NETWORK: &str = "10.43.0.0/16";
/// What runs of the controller manager: all that a chart of Pods needs, but not what expects a kubelet to report for a node.
const CONTROLLERS: [&str; 18] = [
    "namespace-controller",
    "serviceaccount-controller",
    "serviceaccount-token-controller",
    "root-ca-certificate-publisher-controller",
    "garbage-collector-controller",
    "clusterrole-aggregation-controller",
    "resourcequota-controller",
    "deployment-controller",
    "replicaset-controller",
    "replicationcontroller-controller",
    "statefulset-controller",
    "daemonset-controller",
    "job-controller",
    "cronjob-controller",
    "disruption-controller",
    "endpoints-controller",
    "endpointslice-controller",
    "ttl-after-finished-controller",
];

pub(super) fn etcd(programs: &Programs, folder: &Path, clients: &str, peers: &str) -> Command {
    let mut command = Command::new(&programs.etcd);
    command
        .arg("--data-dir")
        .arg(folder.join("etcd"))
        .args(["--listen-client-urls", clients])
        .args(["--advertise-client-urls", clients])
        .args(["--listen-peer-urls", peers])
        .args(["--initial-advertise-peer-urls", peers])
        .args(["--initial-cluster", &format!("default={}", peers)])
        // What is written need not survive a crash of the machine.
        .arg("--unsafe-no-fsync")
        .args(["--log-level", "warn"]);
    command
}

pub(super) fn api_server(
    programs: &Programs,
    cluster: &Cluster,
    site: &Site,
    prefix: &str,
) -> Command {
    let folder = cluster.folder();
    let address = site.api_server();
    let mut command = Command::new(&programs.kube_apiserver);
    command
        .args(["--etcd-servers", &cluster.access().etcd])
        .arg(format!("--etcd-prefix=/{prefix}"))
        .arg(format!("--secure-port={}", address.port()))
        .arg("--tls-cert-file")
        .arg(folder.join(CERTIFICATE_FILE))
        .arg("--tls-private-key-file")
        .arg(folder.join(CERTIFICATE_KEY_FILE))
        .arg("--token-auth-file")
        .arg(folder.join(TOKEN_FILE))
        .arg("--service-account-key-file")
        .arg(folder.join(ACCOUNT_PUBLIC_KEY_FILE))
        .arg("--service-account-signing-key-file")
        .arg(folder.join(ACCOUNT_KEY_FILE))
        .args(["--service-account-issuer", "https://kubernetes.default.svc"])
        .args(["--service-cluster-ip-range", SERVICE_NETWORK])
        .args(["--authorization-mode", "RBAC"])
        // As every distribution has it: who may have privileged pods is said elsewhere.
        .arg("--allow-privileged")
        .arg("--profiling=false");
    match site {
        // A loopback address cannot be advertised.
        Site::Loopback(_) => command
            .args(["--bind-address", "127.0.0.1"])
            .args(["--endpoint-reconciler-type", "none"]),
        Site::Machine(_) => command
            .arg(format!("--advertise-address={}", address.ip()))
            // `kubectl logs` and `exec` ask kubelet, and no name server knows the node.
            .arg("--kubelet-preferred-address-types=InternalIP")
            .arg("--audit-policy-file")
            .arg(folder.join(AUDIT_POLICY_FILE))
            .arg("--audit-log-path")
            .arg(folder.join(AUDIT_LOG_FILE)),
    };
    command
}

pub(super) fn controller_manager(programs: &Programs, cluster: &Cluster, site: &Site) -> Command {
    let folder = cluster.folder();
    let mut command = Command::new(&programs.kube_controller_manager);
    command
        .arg("--kubeconfig")
        .arg(cluster.kubeconfig())
        .arg("--service-account-private-key-file")
        .arg(folder.join(ACCOUNT_KEY_FILE))
        .arg("--root-ca-file")
        .arg(folder.join(CA_FILE))
        .arg("--leader-elect=false")
        .arg("--secure-port=0")
        .args(["--kube-api-qps", "500", "--kube-api-burst", "1000"])
        .arg("--profiling=false");
    match site {
        Site::Loopback(_) => command.arg(format!("--controllers={}", CONTROLLERS.join(","))),
        Site::Machine(_) => command.args(["--node-monitor-grace-period", NODE_GRACE]),
    };
    command
}
