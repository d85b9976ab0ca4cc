//! Both tiers on a node, by their chart, with a repository of recipes that is served there.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use sinfonia_core::recipe::HELLOWORLD;

use super::{Node, NodeError};
use crate::{Binaries, Cluster, ClusterError, MissingBinary, command, write_chart};

/// The releases of both tiers.
const TIER1: &str = "tier1";
const TIER2: &str = "tier2";
/// Where the node lets them be reached.
const TIER1_PORT: u16 = 30500;
const TIER2_PORT: u16 = 30501;
/// A full node evicts deployments, not what serves them.
const PRIORITY: &str = "priorityClassName=system-cluster-critical";
/// The Namespaces and the Peers of deployments, and where helm keeps releases, which only deployments have outside of the tiers' Namespace.
const DEPLOYMENTS: &str = "/api/v1/namespaces?labelSelector=findcloudlet.org%3Ddeployment";
const PEERS: &str = "/apis/kilo.squat.ai/v1alpha1/peers";
const RELEASES: &str = "/api/v1/secrets?labelSelector=owner%3Dhelm";
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
      priorityClassName: system-cluster-critical
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

/// Why Sinfonia is not installed, or does not tell.
#[derive(Debug, thiserror::Error)]
pub enum InstallationError {
    /// There is no node, or it does not do what it should.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// A program of ours was not built.
    #[error(transparent)]
    Binaries(#[from] MissingBinary),
    /// The API server cannot be asked, or refuses.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// A file of the repository of recipes cannot be read or written.
    #[error("cannot use {}", path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// helm failed.
    #[error("helm {arguments}: {said}")]
    Helm {
        /// What it was asked.
        arguments: String,
        /// What it said, and then the Pods of both tiers.
        said: String,
    },
}

impl InstallationError {
    fn using(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { path, source }
    }
}

/// An application that a repository offers besides helloworld.
#[derive(Debug, Clone, Copy)]
pub struct Application<'a> {
    /// The uuid of its recipe.
    pub uuid: &'a str,
    /// The name of its chart.
    pub chart: &'a str,
    /// The files of its chart, besides `Chart.yaml`.
    pub files: &'a [(&'a str, &'a str)],
}

/// A node with both tiers on it, installed by their chart, and a repository of recipes.
#[derive(Debug)]
pub struct Installation {
    node: Node,
    folder: PathBuf,
    binaries: Binaries,
}

impl Installation {
    /// The Namespace of both tiers.
    pub const NAMESPACE: &str = "sinfonia";
    /// The version of the applications' charts.
    const CHART_VERSION: &str = "0.1.0";

    /// Starts a node, with the files of everything in this folder, and installs both tiers of a build on it. Tier 2 is run with these
    /// further options. `report` is told what is waited for.
    ///
    /// # Errors
    /// A part does not come to run.
    pub fn start(
        folder: &Path,
        binaries: Binaries,
        applications: &[Application<'_>],
        tier2_options: &[String],
        mut report: impl FnMut(&str),
    ) -> Result<Self, InstallationError> {
        let installation = Self {
            node: Node::start(folder, &mut report)?,
            folder: folder.to_owned(),
            binaries,
        };
        report("both tiers");
        installation.node.import_sinfonia(&installation.binaries)?;
        installation.serve_recipes(applications)?;
        installation.install(TIER1, &installation.tier1_values())?;
        installation.install(TIER2, &installation.tier2_values(tier2_options))?;
        Ok(installation)
    }

    /// The node.
    pub const fn node(&self) -> &Node {
        &self.node
    }

    /// The node, to break something.
    pub const fn node_mut(&mut self) -> &mut Node {
        &mut self.node
    }

    /// Its cluster, as the administrator sees it.
    pub fn cluster(&self) -> Cluster {
        self.node.cluster()
    }

    /// The folder of its files, and of the devices'.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where devices reach Tier 1.
    pub fn tier1_url(&self) -> String {
        format!("http://{}:{TIER1_PORT}", self.node.machine().address())
    }

    /// Where Tier 1 reaches Tier 2.
    pub fn tier2_url(&self) -> String {
        format!("http://{}:{TIER2_PORT}", self.node.machine().address())
    }

    /// A command that runs Tier 3 as a device beside the cloudlet, with keys of this name.
    pub fn tier3_command(&self, device: &str, arguments: &[&str]) -> Command {
        let mut command = command(&self.binaries.tier3);
        command
            .args(arguments)
            .current_dir(&self.folder)
            .env("SINFONIA_TIER1_URL", self.tier1_url())
            .env("XDG_CACHE_HOME", self.folder.join(device));
        command
    }

    /// The path of the records in the API.
    pub fn records_path(&self) -> String {
        format!(
            "/apis/findcloudlet.org/v1alpha1/namespaces/{}/cloudletdeployments",
            Self::NAMESPACE
        )
    }

    /// The names of all deployments.
    ///
    /// # Errors
    /// The API server cannot be asked, or refuses.
    pub fn deployments(&self) -> Result<Vec<String>, InstallationError> {
        self.names(DEPLOYMENTS)
    }

    /// What there is of deployments in the cluster, as `<kind> <name>`: Namespaces, Peers, and releases of helm. Records are not told: those
    /// of deployments that have come to an end by themselves stay for some minutes.
    ///
    /// # Errors
    /// The API server cannot be asked, or refuses.
    pub fn remains(&self) -> Result<Vec<String>, InstallationError> {
        let mut remains = Vec::new();
        for (kind, path) in [("Namespace", DEPLOYMENTS), ("Peer", PEERS)] {
            let names = self.names(path)?.into_iter();
            remains.extend(names.map(|name| format!("{kind} {name}")));
        }
        let list = self.cluster().get_json(RELEASES)?;
        let releases = list["items"].as_array().into_iter().flatten();
        let foreign =
            releases.filter(|release| release["metadata"]["namespace"] != Self::NAMESPACE);
        remains.extend(foreign.map(|release| format!("release {}", name_of(release))));
        Ok(remains)
    }

    /// Runs helm in the Namespace of both tiers, and returns what it printed.
    ///
    /// # Errors
    /// It cannot be run, or fails.
    pub fn helm(&self, arguments: &[&str]) -> Result<String, InstallationError> {
        let programs = &self.node.programs;
        let ran = Command::new(&programs.helm4)
            .arg("--kubeconfig")
            .arg(self.cluster().kubeconfig())
            .args(["--namespace", Self::NAMESPACE])
            .args(arguments)
            .env("HOME", &self.folder)
            .output()
            .map_err(InstallationError::using(&programs.helm4))?;
        let told = String::from_utf8_lossy(&ran.stdout).into_owned();
        if ran.status.success() {
            return Ok(told);
        }
        let said = String::from_utf8_lossy(&ran.stderr);
        Err(InstallationError::Helm {
            arguments: arguments.join(" "),
            said: format!("{told}{said}{}", self.pods()),
        })
    }

    fn names(&self, path: &str) -> Result<Vec<String>, InstallationError> {
        let list = self.cluster().get_json(path)?;
        let items = list["items"].as_array().into_iter().flatten();
        Ok(items.map(name_of).collect())
    }

    /// What the Pods of both tiers say of themselves, for somebody who looks for what went wrong.
    fn pods(&self) -> String {
        let path = format!("/api/v1/namespaces/{}/pods", Self::NAMESPACE);
        let pods = self.cluster().get_json(&path).unwrap_or_default();
        let items = pods["items"].as_array().cloned().unwrap_or_default();
        let told = items.iter().map(|pod| {
            let name = name_of(pod);
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

    fn install(&self, release: &str, values: &[String]) -> Result<(), InstallationError> {
        let chart = repository().join("charts/sinfonia");
        let chart = chart.to_string_lossy();
        let install = ["upgrade", "--install", release, &chart];
        let wait = ["--create-namespace", "--wait", "--timeout", "90s"];
        let recipes = format!("sinfoniaRecipes={RECIPES}");
        let values = [recipes.as_str()]
            .into_iter()
            .chain(values.iter().map(String::as_str))
            .flat_map(|value| ["--set", value]);
        let arguments: Vec<_> = install.into_iter().chain(wait).chain(values).collect();
        self.helm(&arguments).map(drop)
    }

    fn tier1_values(&self) -> Vec<String> {
        vec![
            "sinfoniaTier1=true".to_owned(),
            "service.type=NodePort".to_owned(),
            format!("service.nodePort={TIER1_PORT}"),
            "tier1.allowAnonymousReports={10.42.0.0/24}".to_owned(),
            PRIORITY.to_owned(),
        ]
    }

    fn tier2_values(&self, options: &[String]) -> Vec<String> {
        vec![
            format!(
                "sinfoniaTier1Url=http://{TIER1}-sinfonia.{}:5000",
                Self::NAMESPACE
            ),
            format!("sinfoniaTier2Url={}", self.tier2_url()),
            "service.type=NodePort".to_owned(),
            format!("service.nodePort={TIER2_PORT}"),
            // Tier 1 shows no token.
            "tier2.trustedProxies={10.42.0.0/24}".to_owned(),
            "tier2.name=edge".to_owned(),
            PRIORITY.to_owned(),
            format!("extraArgs={{{}}}", options.join(",")),
            format!(
                "clientGuard.tunnelInterface={}",
                self.node.tunnel_interface()
            ),
            "clientGuard.clientEgress=internet".to_owned(),
        ]
    }

    /// Serves the recipes, with their charts, as a repository on the web.
    fn serve_recipes(&self, applications: &[Application<'_>]) -> Result<(), InstallationError> {
        let charts = self.folder.join("charts");
        let chart = repository().join("charts/helloworld");
        let [from, to] = [&chart, &charts].map(|path| path.to_string_lossy());
        self.helm(&["package", &from, "--destination", &to])?;
        let web = "/usr/share/nginx/html";
        let recipe = format!("{HELLOWORLD}.yaml");
        let path = repository().join("examples/recipes").join(&recipe);
        let content = std::fs::read(&path).map_err(InstallationError::using(&path))?;
        let mut image = self.node.web_server(RECIPES_IMAGE);
        image = image.file(&format!("{web}/{recipe}"), content);
        for application in applications {
            let (chart, version) = (application.chart, Self::CHART_VERSION);
            write_chart(&charts, chart, version, application.files)
                .map_err(InstallationError::using(&charts))?;
            let recipe = format!("chart: charts/{chart}\nversion: {version}\n");
            image = image.file(&format!("{web}/{}.yaml", application.uuid), recipe);
        }
        let entries = std::fs::read_dir(&charts).map_err(InstallationError::using(&charts))?;
        for entry in entries.flatten() {
            let path = entry.path();
            let content = std::fs::read(&path).map_err(InstallationError::using(&path))?;
            let name = entry.file_name();
            image = image.file(&format!("{web}/charts/{}", name.to_string_lossy()), content);
        }
        self.node.import(&image)?;
        self.cluster().apply(RECIPES_POD)?;
        self.node.wait_for_deployment("recipes", "recipes")?;
        Ok(())
    }
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn name_of(object: &Value) -> String {
    let name = object["metadata"]["name"].as_str();
    name.unwrap_or_default().to_owned()
}
