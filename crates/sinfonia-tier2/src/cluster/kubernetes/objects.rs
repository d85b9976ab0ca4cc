//! The objects that a deployment is made of in the cluster, exactly as other programs expect them.

use kube::Client;
use kube::api::{Api, DynamicObject, GroupVersionKind, Patch, PatchParams};
use kube::core::ApiResource;
use serde_json::{Value, json};
use sinfonia_core::deployment::DeploymentName;
use sinfonia_core::lifecycle::{Peer, Record, RecordStatus};

use super::FIELD_MANAGER;

/// Label of everything that is a deployment's, with [`DEPLOYMENT`] for its value.
pub(crate) const KIND_LABEL: &str = "findcloudlet.org";
pub(crate) const DEPLOYMENT: &str = "deployment";
/// Label with the recipe.
pub(super) const UUID_LABEL: &str = "findcloudlet.org/uuid";
/// Label with the device's key, [`sinfonia_core::key::PublicKey::label_value`]; older Peers have the bare key.
pub(super) const KEY_LABEL: &str = "findcloudlet.org/key";
/// Label with the device's address inside the tunnel.
pub(crate) const CLIENT_LABEL: &str = "findcloudlet.org/client";
/// Label that tells ours from those of another program.
pub(super) const MANAGED_BY_LABEL: &str = "app.kubernetes.io/managed-by";
pub(super) const MANAGED_BY: &str = "sinfonia-tier2";
/// Annotation with the time at which the deployment was created.
pub(super) const CREATED_ANNOTATION: &str = "findcloudlet.org/created";
/// The ServiceAccount that helm acts as in a deployment's Namespace, and the ClusterRole that it is bound to there.
pub(super) const DEPLOYER: &str = "sinfonia-deployer";
/// Seconds between two keepalives of the cloudlet's end. Kilo rewrites its interface again and again where this is 0.
const PERSISTENT_KEEPALIVE: u32 = 10;

/// The user that helm acts as for a deployment.
pub(super) fn deployer_account(name: &DeploymentName) -> String {
    format!("system:serviceaccount:{name}:{DEPLOYER}")
}

/// A deployment's Namespace, with these labels besides.
pub(super) fn namespace(
    name: &DeploymentName,
    record: &Record,
    status: &RecordStatus,
    labels: impl IntoIterator<Item = (&'static str, String)>,
) -> Value {
    let mut metadata = metadata(name, record, status);
    for (label, value) in labels {
        metadata["labels"][label] = value.into();
    }
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
}

/// The ServiceAccount in a deployment's Namespace.
pub(super) fn service_account() -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": DEPLOYER, "labels": {MANAGED_BY_LABEL: MANAGED_BY}},
        "automountServiceAccountToken": false,
    })
}

/// The rights of that ServiceAccount, which end at the Namespace.
pub(super) fn role_binding(name: &DeploymentName) -> Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": DEPLOYER, "labels": {MANAGED_BY_LABEL: MANAGED_BY}},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": DEPLOYER},
        "subjects": [{"kind": "ServiceAccount", "name": DEPLOYER, "namespace": name.as_str()}],
    })
}

/// A device's Peer.
pub(super) fn peer(
    name: &DeploymentName,
    record: &Record,
    status: &RecordStatus,
    peer: Peer,
) -> Value {
    let host_bits = if peer.address.is_ipv4() { 32 } else { 128 };
    json!({
        "apiVersion": "kilo.squat.ai/v1alpha1",
        "kind": "Peer",
        "metadata": metadata(name, record, status),
        "spec": {
            "publicKey": peer.public_key.to_string(),
            "allowedIPs": [format!("{}/{host_bits}", peer.address)],
            "persistentKeepalive": PERSISTENT_KEEPALIVE,
        },
    })
}

/// Creates an object or makes it what it should be, leaving alone what others wrote in it.
///
/// # Errors
/// The API server does not answer or refuses it.
pub(super) async fn apply(
    client: &Client,
    namespace: Option<&DeploymentName>,
    object: &Value,
) -> Result<(), kube::Error> {
    let text = |pointer: &str| {
        object
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    let api = api(client, namespace, text("/apiVersion"), text("/kind"));
    let parameters = PatchParams::apply(FIELD_MANAGER).force();
    api.patch(text("/metadata/name"), &parameters, &Patch::Apply(object))
        .await?;
    Ok(())
}

/// An object in a deployment's Namespace, if it is there.
///
/// # Errors
/// The API server does not answer.
pub(super) async fn get(
    client: &Client,
    namespace: &DeploymentName,
    version: &str,
    kind: &str,
    name: &str,
) -> Result<Option<DynamicObject>, kube::Error> {
    api(client, Some(namespace), version, kind)
        .get_opt(name)
        .await
}

fn api(
    client: &Client,
    namespace: Option<&DeploymentName>,
    version: &str,
    kind: &str,
) -> Api<DynamicObject> {
    let (group, version) = version.rsplit_once('/').unwrap_or(("", version));
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
    match namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace.as_str(), &resource),
        None => Api::all_with(client.clone(), &resource),
    }
}

fn metadata(name: &DeploymentName, record: &Record, status: &RecordStatus) -> Value {
    let spec = &record.spec;
    json!({
        "name": name.as_str(),
        "labels": {
            KIND_LABEL: DEPLOYMENT,
            UUID_LABEL: spec.uuid.to_string(),
            KEY_LABEL: spec.public_key.label_value(),
            // A label's value may hold no colon, which IPv6 addresses have; the guard of the node reads it again.
            CLIENT_LABEL: status.tunnel_address.to_string().replace(':', "-"),
            MANAGED_BY_LABEL: MANAGED_BY,
        },
        "annotations": {CREATED_ANNOTATION: sinfonia_core::time::format(spec.created)},
    })
}
