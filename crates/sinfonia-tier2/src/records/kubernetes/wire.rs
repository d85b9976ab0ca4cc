//! Records as the objects that hold them, and back.

use std::sync::Arc;

use jiff::Timestamp;
use kube::ResourceExt;
use kube::api::ObjectMeta;
use sinfonia_core::key::PublicKey;
use sinfonia_core::lifecycle::{Phase, Record, RecordSpec, RecordStatus};

use super::super::Seen;
use crate::crd::{CloudletDeployment, CloudletDeploymentSpec, CloudletDeploymentStatus, Condition};

/// Keeps a record until everything it holds is reclaimed.
pub(super) const FINALIZER: &str = "findcloudlet.org/reclaim";

/// Why an object is no record.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unreadable {
    /// A field cannot be understood.
    #[error("a field of the record cannot be understood")]
    Field(#[from] serde_json::Error),
    /// The name is not made of the key.
    #[error("the record of this key would be named {0}")]
    Name(String),
}

/// The object that creates a record.
pub(super) fn new_object(spec: &RecordSpec) -> Result<CloudletDeployment, Unreadable> {
    let mut object = CloudletDeployment::new(&spec.public_key.record_name(), spec_of(spec)?);
    object.metadata.finalizers = Some(vec![FINALIZER.to_owned()]);
    Ok(object)
}

/// The record in an object.
pub(super) fn read(object: &CloudletDeployment) -> Result<Seen, Unreadable> {
    let spec: RecordSpec = serde_json::from_value(serde_json::to_value(&object.spec)?)?;
    let name = spec.public_key.record_name();
    if object.name_any() != name {
        return Err(Unreadable::Name(name));
    }
    let status = object.status.as_ref();
    let status: Option<RecordStatus> = status
        .map(|status| serde_json::from_value(serde_json::to_value(status)?))
        .transpose()?;
    let record = Record {
        spec,
        status,
        deleting: object.metadata.deletion_timestamp.is_some(),
    };
    Ok(Seen {
        record: Arc::new(record),
        version: version_of(object),
        kept: object.finalizers().iter().any(|name| name == FINALIZER),
    })
}

/// The key whose record an object is or was, whether the rest of it can be understood or not.
pub(super) fn key_of(object: &CloudletDeployment) -> Option<PublicKey> {
    let key: PublicKey = object.spec.public_key.parse().ok()?;
    (object.name_any() == key.record_name()).then_some(key)
}

/// The object that replaces the status of a record that was seen.
pub(super) fn with_status(
    seen: &Seen,
    status: &RecordStatus,
) -> Result<CloudletDeployment, Unreadable> {
    let spec = &seen.record().spec;
    Ok(CloudletDeployment {
        metadata: ObjectMeta {
            name: Some(spec.public_key.record_name()),
            resource_version: Some(seen.version.to_string()),
            ..ObjectMeta::default()
        },
        spec: spec_of(spec)?,
        status: Some(status_of(status)?),
    })
}

/// The version of an object. The API server counts, and promises that the numbers can be compared.
pub(super) fn version_of(object: &CloudletDeployment) -> u64 {
    let version = object.metadata.resource_version.as_deref();
    version
        .and_then(|version| version.parse().ok())
        .unwrap_or_default()
}

fn spec_of(spec: &RecordSpec) -> Result<CloudletDeploymentSpec, Unreadable> {
    Ok(serde_json::from_value(serde_json::to_value(spec)?)?)
}

fn status_of(status: &RecordStatus) -> Result<CloudletDeploymentStatus, Unreadable> {
    let fields: CloudletDeploymentStatus = serde_json::from_value(serde_json::to_value(status)?)?;
    Ok(CloudletDeploymentStatus {
        conditions: conditions(status),
        ..fields
    })
}

fn conditions(status: &RecordStatus) -> Vec<Condition> {
    let condition = |name: &str, holds: bool, since: Timestamp| Condition {
        r#type: name.to_owned(),
        status: if holds { "True" } else { "False" }.to_owned(),
        last_transition_time: since.to_string(),
        reason: status.phase.to_string(),
        message: status.message.clone().unwrap_or_default(),
    };
    let installed = status.phase == Phase::Deployed;
    let ready_since = status.first_ready.filter(|_| installed);
    vec![
        condition("Installed", installed, status.since),
        condition(
            "Ready",
            ready_since.is_some(),
            ready_since.unwrap_or(status.since),
        ),
    ]
}
