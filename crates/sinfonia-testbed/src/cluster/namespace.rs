//! Names of a test's own.

use serde_json::json;

use super::{Cluster, ClusterError};

/// Bytes that make a name unique.
const UNIQUE_BYTES: usize = 5;

/// A Namespace of one test. Its deletion is asked for when this is dropped.
#[derive(Debug)]
pub struct TestNamespace {
    name: String,
    cluster: Cluster,
}

impl TestNamespace {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl Drop for TestNamespace {
    fn drop(&mut self) {
        // A control plane that is gone has taken it along.
        let _ = self
            .cluster
            .delete(&format!("/api/v1/namespaces/{}", self.name));
    }
}

impl Cluster {
    /// Makes a Namespace with a name of its own, and waits for nothing else.
    ///
    /// # Errors
    /// The API server cannot be asked, or refuses.
    pub fn namespace(&self, prefix: &str) -> Result<TestNamespace, ClusterError> {
        let name = unique_name(prefix);
        let namespace = json!({
            "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name},
        });
        self.create("/api/v1/namespaces", &namespace)?;
        Ok(TestNamespace {
            name,
            cluster: self.clone(),
        })
    }
}

/// A name that nobody else has: the prefix and random hex digits.
pub fn unique_name(prefix: &str) -> String {
    format!("{prefix}-{}", random_hex::<UNIQUE_BYTES>())
}

/// Random bytes as hex digits.
pub(crate) fn random_hex<const BYTES: usize>() -> String {
    let mut bytes = [0; BYTES];
    // Where the system has no randomness, nothing that a test starts would run.
    let _ = getrandom::fill(&mut bytes);
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
