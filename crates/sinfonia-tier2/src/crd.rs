//! The custom resource that a deployment's record is kept in, `cld` for short (SPEC of the cluster objects: group
//! `findcloudlet.org/v1alpha1`).
//!
//! Its fields are those of `sinfonia_core::lifecycle::RecordSpec` and `RecordStatus` as text. They are parsed when a record is read, so
//! that one object that cannot be understood does not hide the others.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A UUID in its canonical form.
const UUID: &str = "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$";
/// 32 bytes in standard base64.
const KEY: &str = "^[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=$";

/// What was asked for; written by whoever serves the API.
#[derive(CustomResource, Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "findcloudlet.org",
    version = "v1alpha1",
    kind = "CloudletDeployment",
    singular = "cloudletdeployment",
    plural = "cloudletdeployments",
    shortname = "cld",
    namespaced,
    status = "CloudletDeploymentStatus",
    derive = "PartialEq",
    doc = "A device's deployment on this cloudlet. Namespace, Peer and Helm release are made from it; deleting it reclaims them.",
    printcolumn = r#"{"name":"Phase","type":"string","jsonPath":".status.phase"}"#,
    printcolumn = r#"{"name":"Deployment","type":"string","jsonPath":".status.deploymentName"}"#,
    printcolumn = r#"{"name":"Address","type":"string","jsonPath":".status.tunnelAddress"}"#,
    printcolumn = r#"{"name":"Recipe","type":"string","jsonPath":".spec.uuid"}"#,
    printcolumn = r#"{"name":"Lease End","type":"string","jsonPath":".status.leaseEnd"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#,
    printcolumn = r#"{"name":"Client","type":"string","jsonPath":".spec.clientAddress","priority":1}"#,
    printcolumn = r#"{"name":"Message","type":"string","jsonPath":".status.message","priority":1}"#
)]
#[serde(rename_all = "camelCase")]
pub struct CloudletDeploymentSpec {
    /// The recipe.
    #[schemars(regex(pattern = UUID))]
    pub uuid: String,
    /// The device's WireGuard public key, standard base64. The record is named after it.
    #[schemars(regex(pattern = KEY), extend("x-kubernetes-validations" = [{"rule": "self == oldSelf", "message": "the record is named after its key"}]))]
    pub public_key: String,
    /// The device's address outside the tunnel, as the creating request gave it; unspecified when nobody knows.
    #[schemars(length(max = 45))]
    pub client_address: String,
    /// When the creating request came.
    #[schemars(extend("format" = "date-time"))]
    pub created: String,
    /// The X-Request-ID of the creating request.
    #[schemars(length(max = 128))]
    pub created_by: String,
    /// When the last request came that was worth a write.
    #[schemars(extend("format" = "date-time"))]
    pub renewed: String,
    /// The X-Request-ID of the last request that renewed it and is not the creating one.
    #[schemars(length(max = 128))]
    pub renewed_by: String,
    /// How many requests were written.
    // Kubernetes knows no `uint64`, and warns about it.
    #[schemars(range(min = 1, max = 9_007_199_254_740_991_u64), extend("format" = "int64"))]
    pub renewals: u64,
}

/// How far it is; written by the controller alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CloudletDeploymentStatus {
    /// Initializing, Deployed, Expiring, Expired or Failed.
    #[schemars(extend("enum" = ["Initializing", "Deployed", "Expiring", "Expired", "Failed"]))]
    pub phase: String,
    /// When the phase was entered.
    #[schemars(extend("format" = "date-time"))]
    pub since: String,
    /// `spec.renewals` as it was then.
    #[schemars(extend("format" = "int64"))]
    pub renewals_seen: u64,
    /// Name of Namespace, Peer and Helm release.
    #[schemars(regex(pattern = "^[a-z0-9]([a-z0-9-]{0,51}[a-z0-9])?$"))]
    pub deployment_name: String,
    /// The device's address inside the tunnel.
    #[schemars(length(max = 45))]
    pub tunnel_address: String,
    /// When this run began.
    #[schemars(extend("format" = "date-time"))]
    pub started: String,
    /// When the lease ends, as of the last write.
    #[schemars(extend("format" = "date-time"))]
    pub lease_end: String,
    /// When this run was first seen ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "date-time"))]
    pub first_ready: Option<String>,
    /// Since when activity is unknown although the lease has passed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "date-time"))]
    pub unknown_since: Option<String>,
    /// Digest of the recipe and the chart that were installed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipe_digest: Option<String>,
    /// The kind of failure that ended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// How far it is or why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// More about a failure, such as what helm said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The same for tools that wait for conditions: Installed and Ready.
    #[serde(default)]
    pub conditions: Vec<Condition>,
}

/// A condition as tools such as `kubectl wait` read them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// Its name.
    pub r#type: String,
    /// True or False.
    #[schemars(extend("enum" = ["True", "False", "Unknown"]))]
    pub status: String,
    /// When it last changed.
    #[schemars(extend("format" = "date-time"))]
    pub last_transition_time: String,
    /// The phase.
    pub reason: String,
    /// Words for people; may be empty.
    pub message: String,
}

/// Kilo's resource for a device that is connected by WireGuard (`kilo.squat.ai/v1alpha1`); what Tier 2 writes of it.
#[derive(CustomResource, Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "kilo.squat.ai",
    version = "v1alpha1",
    kind = "Peer",
    plural = "peers",
    derive = "PartialEq"
)]
#[serde(rename_all = "camelCase")]
pub struct PeerSpec {
    /// The networks that are routed to the device.
    #[serde(default, rename = "allowedIPs")]
    pub allowed_ips: Vec<String>,
    /// The device's WireGuard public key, standard base64.
    #[serde(default)]
    pub public_key: String,
    /// Seconds between two keepalives; Kilo rewrites its interface again and again where this is 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub persistent_keepalive: Option<i64>,
}

/// The definition of [`CloudletDeployment`] as YAML, for `kubectl apply -f -`.
///
/// # Errors
/// None that is known; the definition is fixed.
pub fn definition_yaml() -> Result<String, sinfonia_core::diagnostic::Diagnostic> {
    use kube::CustomResourceExt;
    sinfonia_core::yaml::to_text(&CloudletDeployment::crd())
}
