//! What is in the cluster, and playing the parts of those who are not there.

use std::collections::BTreeMap;

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

    /// The name of the deployment of a key, once it has one.
    pub(crate) fn name_of(&self, number: u8) -> String {
        let name = |record: &Value| {
            let name = record["status"]["deploymentName"].as_str();
            name.map(str::to_owned)
        };
        let path = self.record_path(number);
        let record = self
            .cluster()
            .wait_for(&path, PATIENCE, |record| record.and_then(name).is_some());
        name(&record.unwrap().unwrap()).unwrap()
    }

    /// Waits until the record of a key is in a phase.
    pub(crate) fn wait_for_phase(&self, number: u8, phase: &str) {
        let reached = |record: Option<&Value>| {
            record.is_some_and(|record| record["status"]["phase"] == phase)
        };
        let path = self.record_path(number);
        self.cluster().wait_for(&path, PATIENCE, reached).unwrap();
    }

    /// Waits until neither Namespace nor Peer of a deployment are left.
    pub(crate) fn wait_until_reclaimed(&self, name: &str) {
        for path in [namespace_path(name), peer_path(name)] {
            self.cluster().wait_until_gone(&path, PATIENCE).unwrap();
        }
    }

    /// The names of all Peers and Namespaces that are there for these keys, whoever made them, with how many of them there are.
    pub(crate) fn made_for(&self, keys: impl IntoIterator<Item = u8>) -> BTreeMap<String, usize> {
        let labels: Vec<_> = keys
            .into_iter()
            .map(|number| key(number).label_value())
            .collect();
        let mut names = BTreeMap::new();
        for path in ["/api/v1/namespaces", "/apis/kilo.squat.ai/v1alpha1/peers"] {
            for object in items(&self.cluster().get_json(path).unwrap()) {
                let metadata = &object["metadata"];
                let label = metadata["labels"]["findcloudlet.org/key"].as_str();
                if label.is_some_and(|label| labels.iter().any(|wanted| wanted == label)) {
                    let name = metadata["name"].as_str().unwrap();
                    *names.entry(name.to_owned()).or_default() += 1;
                }
            }
        }
        names
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
        let ready = if ready { "True" } else { "False" };
        let conditions = [json!({"type": "Ready", "status": ready})];
        self.play_pods(name, &json!({"phase": "Running", "conditions": conditions}));
    }

    /// Plays kubelet: what was to run in a Namespace has ended, in this phase.
    pub(crate) fn end_pods(&self, name: &str, phase: &str) {
        self.play_pods(name, &json!({"phase": phase}));
    }

    fn play_pods(&self, name: &str, status: &Value) {
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
            self.cluster()
                .patch(&path, &json!({"status": status}))
                .unwrap();
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
