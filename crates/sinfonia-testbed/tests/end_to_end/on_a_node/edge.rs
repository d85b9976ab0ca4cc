//! The cloudlet that the tests share, and what they do with it.

use std::fs;
use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use sinfonia_testbed::{Binaries, Cluster, Node, NodeProgram, TestFolder, command, write_chart};
use tokio::sync::{Mutex, MutexGuard};

use super::device::Device;
use crate::end_to_end::support::{HELLOWORLD, Ran, eventually, run};

/// The Namespace of both tiers.
pub(super) const NAMESPACE: &str = "sinfonia";
/// The releases of both tiers.
const TIER1: &str = "tier1";
pub(super) const TIER2: &str = "tier2";
/// Where the node lets them be reached.
const TIER1_PORT: u16 = 30500;
const TIER2_PORT: u16 = 30501;
/// The API of the records.
const RECORDS: &str = "/apis/findcloudlet.org/v1alpha1";
/// The Namespaces of deployments.
pub(super) const DEPLOYMENTS: &str =
    "/api/v1/namespaces?labelSelector=findcloudlet.org%3Ddeployment";
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
/// The repository of recipes, as the tiers reach it, and its image.
const RECIPES: &str = "http://recipes.recipes";
const RECIPES_IMAGE: &str = "sinfonia.test/recipes:1";
const RECIPES_POD: &str = "
apiVersion: v1
kind: Namespace
metadata: {name: recipes}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: recipes, namespace: recipes}
spec:
  selector: {matchLabels: {app: recipes}}
  template:
    metadata: {labels: {app: recipes}}
    spec:
      containers:
        - {name: recipes, image: 'sinfonia.test/recipes:1', imagePullPolicy: Never, readinessProbe: {tcpSocket: {port: 8080}, periodSeconds: 1}}
---
apiVersion: v1
kind: Service
metadata: {name: recipes, namespace: recipes}
spec:
  selector: {app: recipes}
  ports: [{port: 80, targetPort: 8080}]
";

static SHARED: Mutex<Option<Edge>> = Mutex::const_new(None);

/// A cloudlet with both tiers on it.
pub(super) struct Edge {
    node: Node,
    folder: TestFolder,
    binaries: Binaries,
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
            *shared = Some(tokio::task::spawn_blocking(Self::start).await.unwrap());
        }
        let mut held = Held(shared);
        if held.is_broken {
            held.mend().await;
        }
        held
    }

    /// Makes everything as it was before a test failed.
    async fn mend(&mut self) {
        self.node.revive(NodeProgram::Containerd).unwrap();
        self.node.set_disk_pressure(false).unwrap();
        if let Some(gateway) = self.node.gateway() {
            gateway.kill();
            gateway.restart().unwrap();
        }
        self.node
            .import(&self.node.web_server(&self.node.helloworld_image()))
            .unwrap();
        self.node.wait_until_ready().unwrap();
        for (namespace, name, replicas) in [
            ("kube-system", "coredns", 1),
            ("monitoring", "prometheus", 1),
            (NAMESPACE, "tier2-sinfonia", 2),
        ] {
            self.scale(namespace, name, replicas).await;
        }
        let records = format!("{RECORDS}/namespaces/{NAMESPACE}/cloudletdeployments");
        self.cluster().delete(&records).unwrap();
        self.wait_until_nothing_is_left().await;
        self.is_broken = false;
    }

    fn start() -> Self {
        let folder = TestFolder::new().unwrap();
        let node = Node::start(folder.path(), |_| {}).unwrap_or_else(|error| panic!("{error}"));
        let binaries = Binaries::of_this_build().unwrap_or_else(|missing| panic!("{missing}"));
        let edge = Self {
            node,
            folder,
            binaries,
            is_broken: false,
        };
        edge.node.import_sinfonia(&edge.binaries).unwrap();
        edge.serve_recipes();
        let own = edge.tier1_values();
        edge.install(TIER1, &own.each_ref().map(String::as_str));
        let own = edge.tier2_values();
        edge.install(TIER2, &own.each_ref().map(String::as_str));
        edge
    }

    /// The node.
    pub(super) const fn node(&self) -> &Node {
        &self.node
    }

    /// The node, to break something.
    pub(super) const fn node_mut(&mut self) -> &mut Node {
        &mut self.node
    }

    /// Its cluster, as the administrator sees it.
    pub(super) fn cluster(&self) -> Cluster {
        self.node.cluster()
    }

    /// The folder of the devices' files.
    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Where devices reach Tier 1.
    pub(super) fn tier1_url(&self) -> String {
        format!("http://{}:{TIER1_PORT}", self.node.machine().address())
    }

    /// Where Tier 1 reaches Tier 2.
    pub(super) fn tier2_url(&self) -> String {
        format!("http://{}:{TIER2_PORT}", self.node.machine().address())
    }

    /// A command that runs Tier 3 as a device beside the cloudlet, with keys of this name.
    pub(super) fn tier3_command(&self, device: &str, arguments: &[&str]) -> Command {
        let mut command = command(&self.binaries.tier3);
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .env("SINFONIA_TIER1_URL", self.tier1_url())
            .env("XDG_CACHE_HOME", self.folder.path().join(device));
        command
    }

    /// Runs Tier 3 to its end.
    pub(super) async fn tier3(&self, device: &str, arguments: &[&str]) -> Ran {
        run(self.tier3_command(device, arguments)).await
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
        let list = self.cluster().get_json(DEPLOYMENTS).unwrap();
        let names = list["items"].as_array().unwrap().iter();
        names
            .map(|item| item["metadata"]["name"].as_str().unwrap().to_owned())
            .collect()
    }

    /// The ids of the processes of a program on the node.
    pub(super) fn processes(&self, program: &str) -> Vec<u32> {
        self.node.machine().processes(program)
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
        let pods = format!("/api/v1/namespaces/{namespace}/pods");
        eventually(&format!("{name} has {replicas} pods"), async || {
            let deployment = self.cluster().get_json(&path).ok()?;
            let ready = deployment["status"]["readyReplicas"].as_u64().unwrap_or(0);
            let list = self.cluster().get_json(&pods).ok()?;
            let of_it = |pod: &&Value| {
                let pod = pod["metadata"]["name"].as_str().unwrap_or_default();
                pod.starts_with(&format!("{name}-"))
            };
            let pods = list["items"].as_array()?.iter().filter(of_it).count() as u64;
            (ready == replicas && pods == replicas).then_some(())
        })
        .await;
    }

    /// Waits until all Pods of a Deployment are ready.
    pub(super) fn wait_for_deployment(&self, namespace: &str, name: &str) {
        self.node.wait_for_deployment(namespace, name).unwrap();
    }

    /// Whether a condition of the node holds.
    pub(super) fn node_is(&self, condition: &str) -> bool {
        let path = format!("/api/v1/nodes/{}", self.node.name());
        let node = self.cluster().get_json(&path).unwrap_or_default();
        let conditions = node["status"]["conditions"].as_array();
        conditions
            .into_iter()
            .flatten()
            .any(|found| found["type"] == condition && found["status"] == "True")
    }

    /// Waits until no deployment is left in the cluster: no Namespace and no Peer.
    pub(super) async fn wait_until_nothing_is_left(&self) {
        eventually("no deployment is left", async || {
            let lists = [DEPLOYMENTS, "/apis/kilo.squat.ai/v1alpha1/peers"];
            let is_empty = |path: &str| {
                let list = self.cluster().get_json(path).ok()?;
                list["items"].as_array()?.is_empty().then_some(())
            };
            lists.into_iter().try_for_each(is_empty)
        })
        .await;
    }

    /// Runs helm in the Namespace of both tiers; it has to end well.
    pub(super) fn helm(&self, arguments: &[&str]) -> String {
        let (programs, _) = self.node.programs();
        let ran = Command::new(&programs.helm4)
            .args(["--kubeconfig", &text(&self.cluster().kubeconfig())])
            .args(["--namespace", NAMESPACE])
            .args(arguments)
            .env("HOME", self.folder.path())
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&ran.stdout).into_owned();
        assert!(
            ran.status.success(),
            "helm {}: {told}{}{}",
            arguments.join(" "),
            String::from_utf8_lossy(&ran.stderr),
            self.pods()
        );
        told
    }

    /// What the Pods of both tiers say of themselves, for somebody who looks for what went wrong.
    fn pods(&self) -> String {
        let path = format!("/api/v1/namespaces/{NAMESPACE}/pods");
        let pods = self.cluster().get_json(&path).unwrap_or_default();
        let items = pods["items"].as_array().cloned().unwrap_or_default();
        let told = items.iter().map(|pod| {
            let name = pod["metadata"]["name"].as_str().unwrap_or_default();
            let log = self
                .cluster()
                .request("GET", &format!("{path}/{name}/log?tailLines=20"), "", "")
                .map_or(Value::Null, |(_, log)| log);
            format!(
                "\n{name}: {}\n{}",
                pod["status"],
                log.as_str().unwrap_or_default()
            )
        });
        told.collect()
    }

    fn install(&self, release: &str, values: &[&str]) {
        let chart = repository().join("charts/sinfonia");
        let install = ["upgrade", "--install", release, &text(&chart)];
        let wait = ["--create-namespace", "--wait", "--timeout", "90s"];
        let recipes = format!("sinfoniaRecipes={RECIPES}");
        let values = [recipes.as_str()]
            .into_iter()
            .chain(values.iter().copied())
            .flat_map(|value| ["--set", value]);
        let arguments: Vec<_> = install.into_iter().chain(wait).chain(values).collect();
        self.helm(&arguments);
    }

    fn tier1_values(&self) -> [String; 4] {
        [
            "sinfoniaTier1=true".to_owned(),
            "service.type=NodePort".to_owned(),
            format!("service.nodePort={TIER1_PORT}"),
            "tier1.allowAnonymousReports={10.42.0.0/24}".to_owned(),
        ]
    }

    fn tier2_values(&self) -> [String; 9] {
        [
            format!("sinfoniaTier1Url=http://{TIER1}-sinfonia.{NAMESPACE}:5000"),
            format!("sinfoniaTier2Url={}", self.tier2_url()),
            "service.type=NodePort".to_owned(),
            format!("service.nodePort={TIER2_PORT}"),
            // Tier 1 shows no token.
            "tier2.trustedProxies={10.42.0.0/24}".to_owned(),
            "tier2.name=edge".to_owned(),
            format!(
                "clientGuard.tunnelInterface={}",
                self.node.tunnel_interface()
            ),
            "clientGuard.clientEgress=internet".to_owned(),
            format!(
                "extraArgs={{--lease={}s,--grace={}s,--job-interval=2s}}",
                LEASE.as_secs(),
                GRACE.as_secs()
            ),
        ]
    }

    /// Serves the recipes, with their charts, as a repository on the web.
    fn serve_recipes(&self) {
        let charts = self.folder.path().join("charts");
        let chart = repository().join("charts/helloworld");
        self.helm(&["package", &text(&chart), "--destination", &text(&charts)]);
        write_chart(&charts, "slow", "0.1.0", &SLOW_CHART).unwrap();
        let mut image = self.node.web_server(RECIPES_IMAGE);
        for entry in fs::read_dir(&charts).unwrap().flatten() {
            let name = entry.file_name().into_string().unwrap();
            let path = format!("/usr/share/nginx/html/charts/{name}");
            image = image.file(&path, fs::read(entry.path()).unwrap());
        }
        let recipe = format!("{HELLOWORLD}.yaml");
        let content = fs::read(repository().join("examples/recipes").join(&recipe)).unwrap();
        image = image
            .file(&format!("/usr/share/nginx/html/{recipe}"), content)
            .file(
                &format!("/usr/share/nginx/html/{SLOW}.yaml"),
                "chart: charts/slow\nversion: 0.1.0\n",
            );
        self.node.import(&image).unwrap();
        self.cluster().apply(RECIPES_POD).unwrap();
        self.node.wait_for_deployment("recipes", "recipes").unwrap();
    }
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}
