//! The cloudlet that the tests share, and what they do with it.

use std::collections::BTreeSet;
use std::ops::{Deref, DerefMut};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use sinfonia_testbed::{
    Application, Binaries, Cluster, Habits, Installation, Node, NodeProgram, RunFolder,
};
use tokio::sync::{Mutex, MutexGuard};

use super::device::Device;
use crate::end_to_end::support::{Ran, eventually, run, run_within};

/// The Namespace of both tiers.
pub(super) const NAMESPACE: &str = Installation::NAMESPACE;
/// An application that takes some seconds to install, and its chart, whose hook does nothing for so long.
pub(super) const SLOW: &str = "00000000-0000-0000-0000-00000000000a";
const SLOW_CHART: [(&str, &str); 1] = [(
    "templates/hook.yaml",
    "
apiVersion: batch/v1
kind: Job
metadata:
  name: slow
  annotations: {helm.sh/hook: pre-install, helm.sh/hook-delete-policy: 'before-hook-creation,hook-succeeded'}
spec:
  template:
    spec:
      restartPolicy: Never
      containers:
        - {name: slow, image: 'sinfonia.test/pause:1', imagePullPolicy: Never, command: [/bin/busybox, sleep, '4']}
",
)];
/// The times of Tier 2's deployments, far shorter than usual.
pub(super) const LEASE: Duration = Duration::from_secs(20);
pub(super) const GRACE: Duration = Duration::from_secs(5);
/// Time that a device may need for its backend, on a node that has just lost something.
const PATIENCE: Duration = Duration::from_secs(120);
static SHARED: Mutex<Option<Edge>> = Mutex::const_new(None);

/// A cloudlet with both tiers on it.
pub(super) struct Edge {
    installation: Installation,
    _folder: RunFolder,
    /// Whether a test has failed and left things as they were.
    is_broken: bool,
}

/// The cloudlet, for as long as a test holds it.
pub(super) struct Held(MutexGuard<'static, Option<Edge>>);

impl Drop for Held {
    fn drop(&mut self) {
        if std::thread::panicking()
            && let Some(edge) = self.0.as_mut()
        {
            edge.is_broken = true;
            // In the folder `runs` of the user's cache.
            RunFolder::keep(edge.path());
        }
    }
}

impl Deref for Held {
    type Target = Edge;

    fn deref(&self) -> &Edge {
        self.0.as_ref().unwrap()
    }
}

impl DerefMut for Held {
    fn deref_mut(&mut self) -> &mut Edge {
        self.0.as_mut().unwrap()
    }
}

impl Edge {
    /// Waits for the tests that use it, and starts it for the first.
    pub(super) async fn hold() -> Held {
        let mut shared = SHARED.lock().await;
        if shared.is_none() {
            let edge = tokio::task::spawn_blocking(Self::start).await.unwrap();
            edge.wait_until_served().await;
            *shared = Some(edge);
        }
        let mut held = Held(shared);
        if held.is_broken {
            held.mend().await;
        }
        held
    }

    /// Makes everything as it was before a test failed.
    async fn mend(&mut self) {
        let node = self.node_mut();
        node.revive(NodeProgram::Containerd).unwrap();
        node.set_disk_pressure(false).unwrap();
        if let Some(gateway) = node.gateway() {
            gateway.kill();
            gateway.restart().unwrap();
            gateway.set_habits(Habits::default());
        }
        node.import(&node.web_server(&node.helloworld_image()))
            .unwrap();
        node.wait_until_ready().unwrap();
        for (namespace, name, replicas) in [
            ("kube-system", "coredns", 1),
            ("monitoring", "prometheus", 1),
            (NAMESPACE, "tier1-sinfonia", 1),
            (NAMESPACE, "tier2-sinfonia", 2),
        ] {
            self.scale(namespace, name, replicas).await;
        }
        self.wait_until_served().await;
        self.delete_records().await;
        self.is_broken = false;
    }

    /// Waits until the node forwards to both tiers, and Tier 1 knows Tier 2: their Pods are ready before that.
    pub(super) async fn wait_until_served(&self) {
        let tier2 = self.installation.tier2_url();
        eventually("both tiers are reached", async || {
            let mut ask = Command::new("curl");
            ask.args(["--silent", "--fail", "--max-time", "2", &tier2]);
            let known = self.tier3("nobody", &["candidates", "helloworld"]).await;
            (run(ask).await.code == 0 && known.code == 0).then_some(())
        })
        .await;
    }

    fn start() -> Self {
        let folder = RunFolder::new().unwrap();
        let binaries = Binaries::of_this_build().unwrap_or_else(|missing| panic!("{missing}"));
        let slow = Application {
            uuid: SLOW,
            chart: "slow",
            files: &SLOW_CHART,
        };
        let options = [
            format!("--lease={}s", LEASE.as_secs()),
            format!("--grace={}s", GRACE.as_secs()),
            "--job-interval=2s".to_owned(),
        ];
        let installation = Installation::start(folder.path(), binaries, &[slow], &options, |_| {})
            .unwrap_or_else(|error| panic!("{error}"));
        Self {
            installation,
            _folder: folder,
            is_broken: false,
        }
    }

    /// The node.
    pub(super) const fn node(&self) -> &Node {
        self.installation.node()
    }

    /// The node, to break something.
    pub(super) const fn node_mut(&mut self) -> &mut Node {
        self.installation.node_mut()
    }

    /// Its cluster, as the administrator sees it.
    pub(super) fn cluster(&self) -> Cluster {
        self.installation.cluster()
    }

    /// The folder of the devices' files.
    pub(super) fn path(&self) -> &Path {
        self.installation.folder()
    }

    /// A command that runs Tier 3 as a device beside the cloudlet, with keys of this name.
    pub(super) fn tier3_command(&self, device: &str, arguments: &[&str]) -> Command {
        self.installation.tier3_command(device, arguments)
    }

    /// Runs Tier 3 to its end.
    pub(super) async fn tier3(&self, device: &str, arguments: &[&str]) -> Ran {
        run_within(PATIENCE, self.tier3_command(device, arguments)).await
    }

    /// Lets a device give everything back, and deletes the helloworlds of others, until nothing is left.
    pub(super) async fn clean_up(&self, device: Device, others: &[&str]) {
        tokio::task::spawn_blocking(move || drop(device))
            .await
            .unwrap();
        for other in others {
            let deleted = self.tier3(other, &["delete", "helloworld"]).await;
            assert_eq!(deleted.code, 0, "{}", deleted.stderr);
        }
        self.wait_until_nothing_is_left().await;
    }

    /// Ends a device, and takes back what all have, as an operator does.
    pub(super) async fn reclaim(&self, device: Device) {
        tokio::task::spawn_blocking(move || drop(device))
            .await
            .unwrap();
        self.delete_records().await;
    }

    async fn delete_records(&self) {
        let records = self.installation.records_path();
        self.cluster().delete(&records).unwrap();
        self.wait_until_nothing_is_left().await;
    }

    /// What both tiers and the guard asked of the API server and may not have. helm asks for others.
    pub(super) fn refused(&self) -> Vec<String> {
        let log = std::fs::read_to_string(self.node().audit_log()).unwrap();
        let events = log
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let own = format!("system:serviceaccount:{NAMESPACE}:");
        let refused = events.filter(|event| {
            let user = event["user"]["username"].as_str().unwrap_or_default();
            user.starts_with(&own)
                && event["impersonatedUser"].is_null()
                && event["annotations"]["authorization.k8s.io/decision"] == "forbid"
        });
        refused
            .map(|event| format!("{} {}", event["verb"], event["requestURI"]))
            .collect()
    }

    /// Deletes the helloworld of a device, until nothing is left.
    pub(super) async fn delete(&self, device: &str) {
        let deleted = self.tier3(device, &["delete", "helloworld"]).await;
        assert_eq!(deleted.code, 0, "{}", deleted.stderr);
        self.wait_until_nothing_is_left().await;
    }

    /// What a device is told of its deployment.
    pub(super) async fn message(&self, device: &str, application: &str) -> String {
        let status = self
            .tier3(device, &["status", application, "--output", "json"])
            .await;
        let status: Value = serde_json::from_str(&status.stdout).unwrap_or_default();
        status["Message"].as_str().unwrap_or_default().to_owned()
    }

    /// The names of all deployments.
    pub(super) fn deployments(&self) -> Vec<String> {
        self.installation.deployments().unwrap()
    }

    /// The identities of all Peers: one that went and came again has another, and its device was without it meanwhile.
    pub(super) fn peers(&self) -> BTreeSet<String> {
        let peers = self
            .cluster()
            .get_json("/apis/kilo.squat.ai/v1alpha1/peers");
        let peers = peers.unwrap()["items"].as_array().cloned();
        let identity = |peer: Value| peer["metadata"]["uid"].as_str().map(str::to_owned);
        peers.into_iter().flatten().filter_map(identity).collect()
    }

    /// The ids of the processes of a program on the node.
    pub(super) fn processes(&self, program: &str) -> Vec<u32> {
        self.node().machine().processes(program)
    }

    /// Kills all processes of a program on the node, and returns their ids.
    pub(super) fn kill_all(&self, program: &str) -> Vec<u32> {
        let processes = self.processes(program);
        for id in &processes {
            // One that has ended meanwhile need not be killed.
            let _ = kill(Pid::from_raw(id.cast_signed()), Signal::SIGKILL);
        }
        processes
    }

    /// Gives a Deployment so many Pods, and waits until they are ready or gone.
    pub(super) async fn scale(&self, namespace: &str, name: &str, replicas: u64) {
        let path = format!("/apis/apps/v1/namespaces/{namespace}/deployments/{name}");
        let patch = json!({"spec": {"replicas": replicas}});
        self.cluster().patch(&path, &patch).unwrap();
        eventually(&format!("{name} has {replicas} pods"), async || {
            let deployment = self.cluster().get_json(&path).ok()?;
            let ready = deployment["status"]["readyReplicas"].as_u64().unwrap_or(0);
            let selector = deployment["spec"]["selector"]["matchLabels"].as_object()?;
            let labels = selector.iter().map(|(label, value)| {
                let value = value.as_str().unwrap_or_default();
                format!("{}%3D{value}", label.replace('/', "%2F"))
            });
            let labels = labels.collect::<Vec<_>>().join(",");
            let pods = format!("/api/v1/namespaces/{namespace}/pods?labelSelector={labels}");
            let list = self.cluster().get_json(&pods).ok()?;
            // Pods that were evicted are left to be looked at.
            let lives = |pod: &&Value| pod["status"]["phase"] != "Failed";
            let pods = list["items"].as_array()?.iter().filter(lives).count() as u64;
            (ready == replicas && pods == replicas).then_some(())
        })
        .await;
    }

    /// The address of a Pod with these labels, as a query of the API has them.
    pub(super) fn pod_address(&self, namespace: &str, labels: &str) -> String {
        let path = format!("/api/v1/namespaces/{namespace}/pods?labelSelector={labels}");
        let pods = self.cluster().get_json(&path).unwrap();
        pods["items"][0]["status"]["podIP"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    /// The address of a Service.
    pub(super) fn service_address(&self, namespace: &str, name: &str) -> String {
        let path = format!("/api/v1/namespaces/{namespace}/services/{name}");
        let service = self.cluster().get_json(&path).unwrap();
        service["spec"]["clusterIP"].as_str().unwrap().to_owned()
    }

    /// Waits until all Pods of a Deployment are ready.
    pub(super) fn wait_for_deployment(&self, namespace: &str, name: &str) {
        self.node().wait_for_deployment(namespace, name).unwrap();
    }

    /// Whether a condition of the node holds.
    pub(super) fn node_is(&self, condition: &str) -> bool {
        let path = format!("/api/v1/nodes/{}", self.node().name());
        let node = self.cluster().get_json(&path).unwrap_or_default();
        let conditions = node["status"]["conditions"].as_array();
        conditions
            .into_iter()
            .flatten()
            .any(|found| found["type"] == condition && found["status"] == "True")
    }

    /// Waits until no deployment is left in the cluster.
    pub(super) async fn wait_until_nothing_is_left(&self) {
        eventually("no deployment is left", async || {
            let remains = self.installation.remains().ok()?;
            remains.is_empty().then_some(())
        })
        .await;
    }

    /// Runs helm in the Namespace of both tiers; it has to end well.
    pub(super) fn helm(&self, arguments: &[&str]) -> String {
        let told = self.installation.helm(arguments);
        told.unwrap_or_else(|error| panic!("{error}"))
    }
}
