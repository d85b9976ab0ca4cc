//! A node with devices, pods and an outside world around it, each a network namespace, and the objects of the cluster that say whose pods
//! they are. Nobody runs pods here: their addresses are written by hand.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use sinfonia_core::yaml;
use sinfonia_testbed::{ControlPlane, SharedCluster, command, unique_name};
use tokio::process::Child;
use tokio::task::spawn_blocking;

use super::super::local_network::Host;
use super::super::support::{Ran, World, eventually, run};

/// What the operator applies.
const MANIFEST: &str = include_str!("../../../../../deploy/tier2/guard.yaml");
/// The Namespace and the ServiceAccount there.
const GUARD: &str = "sinfonia-guard";
/// Time in which a Namespace gets its ServiceAccount.
const PATIENCE: Duration = Duration::from_secs(30);

/// Tells sites apart: they share a cluster, and addresses are to be one site's alone.
static SITES: AtomicU8 = AtomicU8::new(200);

/// A node and all that is around it.
pub(super) struct Site {
    /// The number that its addresses have in common.
    number: u8,
    pub(super) node: Host,
    /// The device whose deployment [`Site::own_pod`] is.
    pub(super) device: Host,
    pub(super) other_device: Host,
    pub(super) own_pod: Host,
    pub(super) other_pod: Host,
    pub(super) name_server: Host,
    /// A pod of the operator's.
    pub(super) system_pod: Host,
    /// A host of the internet, of the operator's network, and the metadata service of a cloud.
    pub(super) outside: Host,
    pub(super) cluster: SharedCluster,
    pub(super) world: World,
    deployments: [String; 2],
    name_server_pod: String,
}

/// A guard of the node.
pub(super) struct Guard {
    child: Child,
    log: PathBuf,
}

impl Site {
    pub(super) async fn new() -> Self {
        spawn_blocking(Self::build).await.unwrap()
    }

    fn build() -> Self {
        let site = Self {
            number: SITES.fetch_add(1, Ordering::Relaxed),
            node: Host::new(),
            device: Host::new(),
            other_device: Host::new(),
            own_pod: Host::new(),
            other_pod: Host::new(),
            name_server: Host::new(),
            system_pod: Host::new(),
            outside: Host::new(),
            cluster: ControlPlane::shared(),
            world: World::new(),
            deployments: ["otter", "heron"].map(unique_name),
            name_server_pod: unique_name("coredns"),
        };
        site.connect_devices();
        site.connect_pods();
        site.connect_outside();
        site.translate_services();
        site.make_objects();
        site
    }

    /// An address of a device.
    pub(super) fn device_address(&self, last: u8) -> String {
        format!("10.5.{}.{last}", self.number)
    }

    /// An address of a pod, or the node's among them (1).
    pub(super) fn pod_address(&self, last: u8) -> String {
        format!("10.42.{}.{last}", self.number)
    }

    /// Makes the objects of a pod of the device's deployment, as if a kubelet ran it.
    pub(super) fn run_pod(&self, name: &str, last: u8) {
        self.make_pod(&self.deployments[0], name, last, &json!({}));
    }

    /// Deletes the object of a pod of the device's deployment.
    pub(super) fn delete_pod(&self, name: &str) {
        let path = format!("/api/v1/namespaces/{}/pods/{name}", self.deployments[0]);
        self.cluster.delete(&path).unwrap();
    }

    /// Starts a guard of the node and waits until its rules are in force.
    pub(super) async fn guard(&self, options: &[&str]) -> Guard {
        let guard = self.begin_to_guard(options);
        guard.logged("the table is in force").await;
        guard
    }

    fn begin_to_guard(&self, options: &[&str]) -> Guard {
        let log = self
            .world
            .path()
            .join(format!("{}.log", unique_name("guard")));
        let mut command = self.guarding(options);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log).unwrap());
        let mut command = tokio::process::Command::from(command);
        let child = command.kill_on_drop(true).spawn().unwrap();
        Guard { child, log }
    }

    /// Takes the rules of the node away.
    pub(super) async fn remove_rules(&self) -> Ran {
        run(self.guarding(&["--remove"])).await
    }

    /// The program runs here, where it reaches the API server, its `nft` on the node.
    fn guarding(&self, options: &[&str]) -> Command {
        let nft = self.world.path().join("nft");
        let script = format!(
            "#!/bin/sh\nexec ip netns exec {} nft \"$@\"\n",
            self.node.name()
        );
        if !nft.exists() {
            fs::write(&nft, script).unwrap();
            fs::set_permissions(&nft, fs::Permissions::from_mode(0o755)).unwrap();
        }
        let kubeconfig = self.cluster.kubeconfig_as(GUARD, GUARD, self.world.path());
        let mut command = command(&self.world.binaries().tier2);
        command
            .args([
                "guard",
                "--admin-listen",
                "127.0.0.1:0",
                "--log-format",
                "json",
            ])
            .arg("--kubeconfig")
            .arg(kubeconfig.unwrap())
            .arg("--nft")
            .arg(nft)
            .args(options);
        command
    }

    fn connect_devices(&self) {
        let node = &self.node;
        for setting in ["net.ipv4.ip_forward=1", "net.ipv4.conf.all.rp_filter=0"] {
            node.does("sysctl", &["-q", "-w", setting]);
        }
        let devices = [(&self.device, "kilo0", 2), (&self.other_device, "kilo1", 3)];
        for (device, interface, last) in devices {
            let address = self.device_address(last);
            node.plug(interface, device, "wg0");
            node.does(
                "sysctl",
                &[
                    "-q",
                    "-w",
                    &format!("net.ipv4.conf.{interface}.rp_filter=0"),
                ],
            );
            node.ip(&["address", "add", "10.4.0.1/32", "dev", interface]);
            node.ip(&["route", "add", &address, "dev", interface]);
            device.ip(&["address", "add", &address, "dev", "wg0"]);
            device.ip(&["route", "add", "10.4.0.1", "dev", "wg0"]);
            device.ip(&["route", "add", "default", "via", "10.4.0.1"]);
        }
    }

    fn connect_pods(&self) {
        let node = &self.node;
        let gateway = self.pod_address(1);
        node.ip(&["link", "add", "cni0", "type", "bridge"]);
        node.ip(&["address", "add", &format!("{gateway}/24"), "dev", "cni0"]);
        node.ip(&["link", "set", "cni0", "up"]);
        let pods = [
            (&self.own_pod, 7),
            (&self.other_pod, 8),
            (&self.system_pod, 9),
            (&self.name_server, 53),
        ];
        for (pod, last) in pods {
            let interface = format!("pod{last}");
            node.plug(&interface, pod, "eth0");
            node.ip(&["link", "set", &interface, "master", "cni0"]);
            pod.ip(&[
                "address",
                "add",
                &format!("{}/24", self.pod_address(last)),
                "dev",
                "eth0",
            ]);
            pod.ip(&["route", "add", "default", "via", &gateway]);
        }
    }

    /// The outside has an address of the whole internet, one of a private network and the metadata service's.
    fn connect_outside(&self) {
        let (node, outside) = (&self.node, &self.outside);
        node.plug("wan", outside, "lan");
        node.does("sysctl", &["-q", "-w", "net.ipv4.conf.wan.rp_filter=0"]);
        node.ip(&["address", "add", "1.0.0.1/24", "dev", "wan"]);
        outside.ip(&["address", "add", "1.0.0.2/24", "dev", "lan"]);
        outside.ip(&["route", "add", "default", "via", "1.0.0.1"]);
        for address in ["192.168.7.2", "169.254.169.254"] {
            outside.ip(&["address", "add", address, "dev", "lo"]);
            node.ip(&["route", "add", address, "via", "1.0.0.2"]);
        }
    }

    /// Does what kube-proxy does for Services: of the name servers, of the device's own pod, of another's pod, and of the API server.
    fn translate_services(&self) {
        let [own, other, names] = [7, 8, 53].map(|last| self.pod_address(last));
        let script = format!(
            "table ip services {{\n chain prerouting {{\n type nat hook prerouting priority dstnat;\n\
             ip daddr 10.43.0.10 meta l4proto {{ tcp, udp }} dnat to {names}\n\
             ip daddr 10.43.0.80 meta l4proto tcp dnat to {own}\n\
             ip daddr 10.43.0.81 meta l4proto tcp dnat to {other}\n\
             ip daddr 10.43.0.1 tcp dport 443 dnat to 1.0.0.1:10250\n }}\n}}\n"
        );
        let file = self.world.file("services.nft", &script);
        self.node.does("nft", &["-f", &file]);
    }

    fn make_objects(&self) {
        self.cluster.apply(&without_workload()).unwrap();
        for (name, last) in self.deployments.iter().zip([2, 3]) {
            let labels = json!({"findcloudlet.org": "deployment", "findcloudlet.org/client": self.device_address(last)});
            let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}});
            self.cluster
                .create("/api/v1/namespaces", &namespace)
                .unwrap();
            let account = format!("/api/v1/namespaces/{name}/serviceaccounts/default");
            self.cluster
                .wait_for(&account, PATIENCE, |account| account.is_some())
                .unwrap();
        }
        self.make_pod(&self.deployments[0], "web", 7, &json!({}));
        self.make_pod(&self.deployments[1], "web", 8, &json!({}));
        let labels = json!({"k8s-app": "kube-dns"});
        self.make_pod("kube-system", &self.name_server_pod, 53, &labels);
    }

    fn make_pod(&self, namespace: &str, name: &str, last: u8, labels: &Value) {
        let pods = format!("/api/v1/namespaces/{namespace}/pods");
        let address = self.pod_address(last);
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": labels},
            "spec": {"containers": [{"name": "web", "image": "registry.example/web"}]},
        });
        let status =
            json!({"status": {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}]}});
        self.cluster.create(&pods, &pod).unwrap();
        self.cluster
            .patch(&format!("{pods}/{name}/status"), &status)
            .unwrap();
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let pod = format!(
            "/api/v1/namespaces/kube-system/pods/{}",
            self.name_server_pod
        );
        let namespaces = self
            .deployments
            .iter()
            .map(|name| format!("/api/v1/namespaces/{name}"));
        for path in namespaces.chain([pod]) {
            // A control plane that is gone has taken it along.
            let _ = self.cluster.delete(&path);
        }
    }
}

impl Guard {
    /// Waits until it has logged this text.
    pub(super) async fn logged(&self, text: &str) {
        eventually(&format!("the guard's log says {text:?}"), async || {
            self.log_text().contains(text).then_some(())
        })
        .await;
    }

    pub(super) fn log_text(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    /// Ends it at once (SIGKILL).
    pub(super) async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }
}

/// What the operator applies but for the workload, which nobody runs here.
fn without_workload() -> String {
    let documents = MANIFEST.split("\n---\n");
    let others = documents.filter(|document| !document.contains("kind: DaemonSet\n"));
    others.collect::<Vec<_>>().join("\n---\n")
}

/// The pod that the manifest has run on each node.
pub(super) fn pod_of_manifest() -> Value {
    let documents = yaml::documents::<Value>(MANIFEST).unwrap();
    let mut objects = documents.into_iter().flatten();
    let workload = objects
        .find(|object| object["kind"] == "DaemonSet")
        .unwrap();
    let mut pod = workload["spec"]["template"].clone();
    pod["apiVersion"] = json!("v1");
    pod["kind"] = json!("Pod");
    pod["metadata"]["name"] = json!(unique_name("guard"));
    pod
}
