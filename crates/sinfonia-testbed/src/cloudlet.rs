//! What an operator sets up in a cluster for a Tier 2: the records' definition, a Namespace, and exactly the rights of `deploy/tier2`.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cluster::TestNamespace;
use crate::{Cluster, ClusterError, command};

/// The definition of the records.
const DEFINITION: &str = include_str!("../../../deploy/tier2/crd.yaml");
/// The rights of a Tier 2, and of helm for a deployment.
const RIGHTS: &str = include_str!("../../../deploy/tier2/rbac.yaml");
/// The ServiceAccount of Tier 2.
const SERVICE_ACCOUNT: &str = "sinfonia-tier2";

/// A cluster that is prepared for one Tier 2. Others may have theirs in the same cluster, each in a Namespace of its own; what Tier 2 has
/// deployed stays when this is dropped.
#[derive(Debug)]
pub struct Cloudlet {
    cluster: Cluster,
    namespace: TestNamespace,
    kubeconfig: PathBuf,
}

impl Cloudlet {
    /// Prepares a cluster, and writes the credentials of its Tier 2 into a folder.
    ///
    /// # Errors
    /// The API server cannot be asked or refuses, or the folder cannot be written.
    pub fn on(cluster: &Cluster, folder: &Path) -> Result<Self, ClusterError> {
        cluster.apply(DEFINITION)?;
        let namespace = cluster.namespace("sinfonia")?;
        cluster.apply(&rights_in(namespace.name()))?;
        let kubeconfig = cluster.kubeconfig_as(namespace.name(), SERVICE_ACCOUNT, folder)?;
        Ok(Self {
            cluster: cluster.clone(),
            namespace,
            kubeconfig,
        })
    }

    /// The administrator's view of the cluster.
    pub const fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// The Namespace of the records.
    pub fn namespace(&self) -> &str {
        self.namespace.name()
    }

    /// The credentials of Tier 2.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// Writes Tier 2's credentials for another URL of the API server, such as a fault proxy's, into a folder.
    ///
    /// # Errors
    /// The API server cannot be asked, or the folder cannot be written.
    pub fn kubeconfig_through(&self, url: &str, folder: &Path) -> Result<PathBuf, ClusterError> {
        self.cluster
            .kubeconfig_as_through(url, self.namespace(), SERVICE_ACCOUNT, folder)
    }

    /// A command that runs Tier 2 with this helm, and with its credentials unless `--kubeconfig` follows. It keeps charts and helm's files
    /// in `cache`.
    pub fn tier2(&self, program: &Path, helm: &Path, cache: &Path) -> Command {
        let mut command = command(program);
        command
            .env("SINFONIA_KUBECONFIG", &self.kubeconfig)
            .arg("--helm")
            .arg(helm)
            .arg("--cache")
            .arg(cache);
        command
    }

    /// The path of the records in the API.
    pub fn records_path(&self) -> String {
        format!(
            "/apis/findcloudlet.org/v1alpha1/namespaces/{}/cloudletdeployments",
            self.namespace()
        )
    }
}

/// The rights for another Namespace than the usual one; bindings outside of it get names of their own.
fn rights_in(namespace: &str) -> String {
    let documents = RIGHTS.split("\n---\n");
    let adapted = documents
        .filter(|document| !document.contains("kind: Namespace\n"))
        .map(|document| {
            let moved = format!("{document}\n").replace(
                "namespace: sinfonia\n",
                &format!("namespace: {namespace}\n"),
            );
            let reaches_beyond = moved.contains("kind: ClusterRoleBinding\n")
                || (moved.contains("kind: RoleBinding\n")
                    && moved.contains("namespace: kube-system\n"));
            if reaches_beyond {
                let name = format!("name: sinfonia-tier2-{namespace}\n");
                moved.replacen("name: sinfonia-tier2\n", &name, 1)
            } else {
                moved
            }
        });
    adapted.collect::<Vec<_>>().join("---\n")
}
