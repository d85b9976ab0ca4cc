//! Waiting for what happens in the cluster, and doing there what an administrator does.

use std::process::Command;

use serde_json::Value;
use sinfonia_testbed::Programs;

use super::{Cloudlet, PATIENCE};

impl Cloudlet {
    /// Waits until the record of a key is as wanted, and gives it.
    pub(crate) fn record_when(&self, number: u8, mut wanted: impl FnMut(&Value) -> bool) -> Value {
        let path = self.record_path(number);
        self.when(&path, |record| record.is_some_and(&mut wanted))
            .unwrap()
    }

    /// Waits until a deployment is in this phase, and gives its record.
    pub(crate) fn record_in(&self, number: u8, phase: &str) -> Value {
        self.record_when(number, |record| phase_of(record) == phase)
    }

    /// Waits until what is at this path is as wanted, and gives it.
    pub(crate) fn when(
        &self,
        path: &str,
        wanted: impl FnMut(Option<&Value>) -> bool,
    ) -> Option<Value> {
        self.cluster().wait_for(path, PATIENCE, wanted).unwrap()
    }

    /// Waits until nothing is at this path.
    pub(crate) fn until_gone(&self, path: &str) {
        self.cluster().wait_until_gone(path, PATIENCE).unwrap();
    }

    /// Waits until the newest revision of the release in a Namespace has this status, or there is none.
    pub(crate) async fn until_release(&self, name: &str, status: Option<&str>) {
        super::eventually(async || {
            let found = self.release(name);
            if found.as_deref() == status {
                Ok(())
            } else {
                Err(format!("release of {name} is {found:?}"))
            }
        })
        .await;
    }

    /// Runs helm as the administrator, in a deployment's Namespace.
    pub(crate) fn helm(&self, namespace: &str, arguments: &[&str]) {
        let output = Command::new(Programs::find_or_hint().unwrap().helm4)
            .env_clear()
            .env("HOME", self.folder())
            .arg("--kubeconfig")
            .arg(self.cluster().kubeconfig())
            .args(["--namespace", namespace])
            .args(arguments)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
    }
}

/// The name of a deployment as it was answered.
pub(crate) fn name_of(deployment: &Value) -> &str {
    deployment["DeploymentName"].as_str().unwrap()
}

/// The phase of a record.
pub(crate) fn phase_of(record: &Value) -> &str {
    record["status"]["phase"].as_str().unwrap_or_default()
}
