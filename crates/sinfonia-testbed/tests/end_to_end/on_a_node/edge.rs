//! The cloudlet that the tests share, and what they do with it.

use std::fs;
use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use sinfonia_testbed::{Binaries, Cluster, Node, TestFolder, command};
use tokio::sync::{Mutex, MutexGuard};

use crate::end_to_end::support::{HELLOWORLD, Ran, eventually, run};

/// The Namespace of both tiers.
pub(super) const NAMESPACE: &str = "sinfonia";
/// The releases of both tiers.
const TIER1: &str = "tier1";
pub(super) const TIER2: &str = "tier2";
/// Where the node lets them be reached.
const TIER1_PORT: u16 = 30500;
const TIER2_PORT: u16 = 30501;
/// The Namespaces of deployments.
const DEPLOYMENTS: &str = "/api/v1/namespaces?labelSelector=findcloudlet.org%3Ddeployment";
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
}

/// The cloudlet, for as long as a test holds it.
pub(super) struct Held(MutexGuard<'static, Option<Edge>>);

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
        Held(shared)
    }

    fn start() -> Self {
        let folder = TestFolder::new().unwrap();
        let node = Node::start(folder.path(), |_| {}).unwrap_or_else(|error| panic!("{error}"));
        let binaries = Binaries::of_this_build().unwrap_or_else(|missing| panic!("{missing}"));
        let edge = Self {
            node,
            folder,
            binaries,
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
    pub(super) const fn node(&mut self) -> &mut Node {
        &mut self.node
    }

    /// Its cluster, as the administrator sees it.
    pub(super) fn cluster(&self) -> Cluster {
        self.node.cluster()
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

    fn tier2_values(&self) -> [String; 6] {
        [
            format!("sinfoniaTier1Url=http://{TIER1}-sinfonia.{NAMESPACE}:5000"),
            format!("sinfoniaTier2Url={}", self.tier2_url()),
            "service.type=NodePort".to_owned(),
            format!("service.nodePort={TIER2_PORT}"),
            // Tier 1 shows no token.
            "tier2.trustedProxies={10.42.0.0/24}".to_owned(),
            "tier2.name=edge".to_owned(),
        ]
    }

    /// Serves the recipes, with their charts, as a repository on the web.
    fn serve_recipes(&self) {
        let charts = self.folder.path().join("charts");
        let chart = repository().join("charts/helloworld");
        self.helm(&["package", &text(&chart), "--destination", &text(&charts)]);
        let mut image = self.node.web_server(RECIPES_IMAGE);
        for entry in fs::read_dir(&charts).unwrap().flatten() {
            let name = entry.file_name().into_string().unwrap();
            let path = format!("/usr/share/nginx/html/charts/{name}");
            image = image.file(&path, fs::read(entry.path()).unwrap());
        }
        let recipe = format!("{HELLOWORLD}.yaml");
        let content = fs::read(repository().join("examples/recipes").join(&recipe)).unwrap();
        image = image.file(&format!("/usr/share/nginx/html/{recipe}"), content);
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
