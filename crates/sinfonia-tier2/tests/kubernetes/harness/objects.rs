//! What is in the cluster, and playing the parts of those who are not there.

use serde_json::{Value, json};

use super::{Cloudlet, PATIENCE, key};

impl Cloudlet {
    /// The record of a key.
    pub(crate) fn record(&self, number: u8) -> Option<Value> {
        self.cluster().find(&self.record_path(number)).unwrap()
    }

    /// The records.
    pub(crate) fn records(&self) -> Vec<Value> {
        let path = format!(
            "/apis/findcloudlet.org/v1alpha1/namespaces/{}/cloudletdeployments",
            self.namespace()
        );
        items(&self.cluster().get_json(&path).unwrap())
    }

    /// The path of the record of a key.
    pub(crate) fn record_path(&self, number: u8) -> String {
        let name = key(number).record_name();
        format!(
            "/apis/findcloudlet.org/v1alpha1/namespaces/{}/cloudletdeployments/{name}",
            self.namespace()
        )
    }

    /// A Namespace.
    pub(crate) fn find_namespace(&self, name: &str) -> Option<Value> {
        self.cluster().find(&namespace_path(name)).unwrap()
    }

    /// A Peer.
    pub(crate) fn find_peer(&self, name: &str) -> Option<Value> {
        self.cluster().find(&peer_path(name)).unwrap()
    }

    /// The status of the newest revision of the release in a Namespace.
    pub(crate) fn release(&self, name: &str) -> Option<String> {
        let path = format!("/api/v1/namespaces/{name}/secrets?labelSelector=owner%3Dhelm");
        let secrets = items(&self.cluster().get_json(&path).unwrap());
        let newest = secrets.last()?;
        Some(
            newest["metadata"]["labels"]["status"]
                .as_str()
                .unwrap()
                .to_owned(),
        )
    }

    /// Plays kubelet: everything in a Namespace that has to run, runs, or does not.
    pub(crate) fn run_pods(&self, name: &str, ready: bool) {
        let pods = self
            .cluster()
            .wait_for(
                &format!("/api/v1/namespaces/{name}/pods"),
                PATIENCE,
                |pods| pods.is_some_and(|pods| !items(pods).is_empty()),
            )
            .unwrap();
        for pod in items(&pods.unwrap()) {
            let pod = pod["metadata"]["name"].as_str().unwrap();
            let path = format!("/api/v1/namespaces/{name}/pods/{pod}/status");
            let ready = if ready { "True" } else { "False" };
            let status = json!({"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": ready}]}});
            self.cluster().patch(&path, &status).unwrap();
        }
    }
}

/// The path of a Namespace.
pub(crate) fn namespace_path(name: &str) -> String {
    format!("/api/v1/namespaces/{name}")
}

/// The path of a Peer.
pub(crate) fn peer_path(name: &str) -> String {
    format!("/apis/kilo.squat.ai/v1alpha1/peers/{name}")
}

/// The items of a list.
pub(crate) fn items(list: &Value) -> Vec<Value> {
    list["items"].as_array().cloned().unwrap_or_default()
}
