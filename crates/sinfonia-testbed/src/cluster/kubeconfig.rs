//! Kubeconfigs: for the administrator, for ServiceAccounts, and for those who come through a proxy.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::{Cluster, ClusterError, KUBECONFIG_FILE};

/// Life of a ServiceAccount's token, in seconds: longer than any run.
const TOKEN_LIFE: u32 = 24 * 60 * 60;

impl Cluster {
    /// The administrator's kubeconfig.
    pub fn kubeconfig(&self) -> PathBuf {
        self.folder().join(KUBECONFIG_FILE)
    }

    /// Asks for a token of this ServiceAccount.
    ///
    /// # Errors
    /// The ServiceAccount does not exist, or the API server cannot be asked.
    pub fn token_of(&self, namespace: &str, service_account: &str) -> Result<String, ClusterError> {
        let path =
            format!("/api/v1/namespaces/{namespace}/serviceaccounts/{service_account}/token");
        let request = json!({
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"expirationSeconds": TOKEN_LIFE},
        });
        let answer = self.create(&path, &request)?;
        answer["status"]["token"]
            .as_str()
            .map(str::to_owned)
            .ok_or(ClusterError::Incomplete("/status/token"))
    }

    /// Writes a kubeconfig of this ServiceAccount into a folder. Its Namespace is the ServiceAccount's.
    ///
    /// # Errors
    /// The ServiceAccount does not exist, the API server cannot be asked, or the file cannot be written.
    pub fn kubeconfig_as(
        &self,
        namespace: &str,
        service_account: &str,
        folder: &Path,
    ) -> Result<PathBuf, ClusterError> {
        self.kubeconfig_as_through(self.url(), namespace, service_account, folder)
    }

    /// Writes a kubeconfig as [`Cluster::kubeconfig_as`] does, for another server, such as a fault proxy.
    ///
    /// # Errors
    /// As there.
    pub fn kubeconfig_as_through(
        &self,
        server: &str,
        namespace: &str,
        service_account: &str,
        folder: &Path,
    ) -> Result<PathBuf, ClusterError> {
        let token = self.token_of(namespace, service_account)?;
        let path = folder.join(format!("{namespace}-{service_account}.kubeconfig"));
        self.write_kubeconfig(&path, server, &token, namespace)?;
        Ok(path)
    }

    /// Writes a kubeconfig for this server, token and Namespace.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write_kubeconfig(
        &self,
        path: &Path,
        server: &str,
        token: &str,
        namespace: &str,
    ) -> Result<(), ClusterError> {
        let failed = |path: &Path, source| ClusterError::File {
            path: path.to_owned(),
            source,
        };
        let ca_file = self.ca_file();
        let ca = fs::read(&ca_file).map_err(|error| failed(&ca_file, error))?;
        let name = "testbed";
        let kubeconfig = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": name, "cluster": {
                "server": server,
                "certificate-authority-data": STANDARD.encode(ca),
            }}],
            "users": [{"name": name, "user": {"token": token}}],
            "contexts": [{"name": name, "context": {
                "cluster": name, "user": name, "namespace": namespace,
            }}],
            "current-context": name,
        });
        write_private(path, &format!("{kubeconfig:#}\n")).map_err(|error| failed(path, error))
    }
}

/// Writes a file that only its owner can read.
pub(crate) fn write_private(path: &Path, text: &str) -> io::Result<()> {
    let mut options = File::options();
    options.create(true).truncate(true).write(true).mode(0o600);
    options.open(path)?.write_all(text.as_bytes())
}
