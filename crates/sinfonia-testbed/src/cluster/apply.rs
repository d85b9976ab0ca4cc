//! Server-side apply of manifests.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use sinfonia_core::yaml;

use super::{Cluster, ClusterError, FIELD_MANAGER, POLL};

/// Time that the API server has to serve a kind whose definition it has just been given.
const DISCOVERY: Duration = Duration::from_secs(20);
/// The content type of a server-side apply.
const APPLY: &str = "application/apply-patch+yaml";

impl Cluster {
    /// Applies all objects of a manifest, in their order, and returns them as the API server has them now. Objects that name no Namespace
    /// go into `default`. A definition is followed by objects of its kind without further ado.
    ///
    /// # Errors
    /// The manifest is malformed, names an unknown kind, or the API server refuses one of the objects; those before it are applied.
    pub fn apply(&self, manifest: &str) -> Result<Vec<Value>, ClusterError> {
        yaml::documents::<Value>(manifest)
            .map_err(|error| ClusterError::Manifest(Box::new(error)))?
            .into_iter()
            .flatten()
            .map(|object| self.apply_object(&object))
            .collect()
    }

    /// What the API server would make of an object that is applied; nothing is changed. A field that it does not know is refused, and so is
    /// what admission refuses. An object that names no Namespace would go into this one.
    ///
    /// # Errors
    /// The object is incomplete, of an unknown kind, or the API server refuses it.
    pub fn dry_run(&self, object: &Value, namespace: &str) -> Result<Value, ClusterError> {
        let path = self.path_of(object, namespace)?;
        let query = format!(
            "{path}?dryRun=All&fieldValidation=Strict&fieldManager={FIELD_MANAGER}&force=true"
        );
        self.accepted("PATCH", &query, APPLY, object)
    }

    fn apply_object(&self, object: &Value) -> Result<Value, ClusterError> {
        let path = self.path_of(object, "default")?;
        let query = format!("{path}?fieldManager={FIELD_MANAGER}&force=true");
        self.accepted("PATCH", &query, APPLY, object)
    }

    /// The path of an object, from its `apiVersion`, `kind` and `metadata`; in this Namespace, if it names none and has to be in one.
    fn path_of(&self, object: &Value, namespace: &str) -> Result<String, ClusterError> {
        let text = |value: &'static str| {
            object
                .pointer(value)
                .and_then(Value::as_str)
                .ok_or(ClusterError::Incomplete(value))
        };
        let (api_version, kind) = (text("/apiVersion")?, text("/kind")?);
        let name = text("/metadata/name")?;
        let group = match api_version.contains('/') {
            true => format!("/apis/{api_version}"),
            false => format!("/api/{api_version}"),
        };
        let (plural, namespaced) = self.resource(&group, api_version, kind)?;
        if namespaced {
            let namespace = text("/metadata/namespace").unwrap_or(namespace);
            Ok(format!("{group}/namespaces/{namespace}/{plural}/{name}"))
        } else {
            Ok(format!("{group}/{plural}/{name}"))
        }
    }

    fn resource(
        &self,
        group: &str,
        api_version: &str,
        kind: &str,
    ) -> Result<(String, bool), ClusterError> {
        let begun = Instant::now();
        loop {
            let served = self.find(group)?.unwrap_or_default();
            if let Some(found) = find_kind(&served, kind) {
                return Ok(found);
            }
            if !self.is_defined(group, kind)? || begun.elapsed() > DISCOVERY {
                return Err(ClusterError::UnknownKind {
                    kind: kind.to_owned(),
                    api_version: api_version.to_owned(),
                });
            }
            thread::sleep(POLL);
        }
    }

    /// Whether a custom resource definition promises this kind.
    fn is_defined(&self, group: &str, kind: &str) -> Result<bool, ClusterError> {
        let definitions =
            self.get_json("/apis/apiextensions.k8s.io/v1/customresourcedefinitions")?;
        let of_kind = |definition: &Value| {
            let group_name = definition["spec"]["group"].as_str().unwrap_or_default();
            group.starts_with(&format!("/apis/{group_name}/"))
                && definition["spec"]["names"]["kind"] == kind
        };
        Ok(definitions["items"]
            .as_array()
            .is_some_and(|items| items.iter().any(of_kind)))
    }
}

fn find_kind(served: &Value, kind: &str) -> Option<(String, bool)> {
    let resource = served["resources"].as_array()?.iter().find(|resource| {
        let name = resource["name"].as_str().unwrap_or_default();
        resource["kind"] == kind && !name.contains('/')
    })?;
    let plural = resource["name"].as_str()?.to_owned();
    Some((plural, resource["namespaced"] == true))
}
