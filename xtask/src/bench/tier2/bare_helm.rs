//! The least that a deploy takes: helm alone, with the arguments, rights and values that Tier 2 gives it, in a Namespace that is there.

use std::fs;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde_json::json;
use sinfonia_testbed::{Cluster, unique_name};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::world::{VALUES, World};

/// The ServiceAccount that helm acts as, and its ClusterRole, as Tier 2 has them.
const DEPLOYER: &str = "sinfonia-deployer";

/// A helm that nobody stands before.
pub(super) struct BareHelm {
    program: PathBuf,
    chart: PathBuf,
    kubeconfig: PathBuf,
    home: PathBuf,
    cluster: Cluster,
}

impl BareHelm {
    pub(super) fn new(world: &World) -> anyhow::Result<Self> {
        let home = world.folder().join("bare-helm");
        fs::create_dir_all(&home)?;
        Ok(Self {
            program: world.helm().to_owned(),
            chart: world.chart(),
            kubeconfig: world.cloudlet().kubeconfig().to_owned(),
            home,
            cluster: world.cloudlet().cluster().clone(),
        })
    }

    /// Makes a Namespace with all that helm needs there.
    pub(super) fn prepare(&self) -> anyhow::Result<String> {
        let name = unique_name("bare");
        let objects = [
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}),
            json!({
                "apiVersion": "v1", "kind": "ServiceAccount",
                "metadata": {"name": DEPLOYER, "namespace": name},
            }),
            json!({
                "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
                "metadata": {"name": DEPLOYER, "namespace": name},
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": DEPLOYER},
                "subjects": [{"kind": "ServiceAccount", "name": DEPLOYER, "namespace": name}],
            }),
        ];
        for object in objects {
            self.cluster.apply(&object.to_string())?;
        }
        Ok(name)
    }

    /// Installs the chart; gives the time that it took.
    pub(super) async fn install(&self, name: &str) -> anyhow::Result<Duration> {
        let begun = Instant::now();
        let mut helm = Command::new(&self.program)
            .args(["install", name])
            .arg(&self.chart)
            .args(["--namespace", name, "--kube-as-user"])
            .arg(format!("system:serviceaccount:{name}:{DEPLOYER}"))
            .args(["--timeout", "300s", "--skip-crds", "-f", "-"])
            .arg("--kubeconfig")
            .arg(&self.kubeconfig)
            .env_clear()
            .env("HOME", &self.home)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("cannot run helm")?;
        if let Some(mut stdin) = helm.stdin.take() {
            stdin.write_all(VALUES.as_bytes()).await?;
        }
        let output = helm.wait_with_output().await?;
        let took = begun.elapsed();
        let text = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "helm alone failed: {text}");
        Ok(took)
    }
}
