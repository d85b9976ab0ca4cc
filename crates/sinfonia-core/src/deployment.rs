//! A deployment as Tier 2 answers it and Tier 1 passes it on.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::cloudlet::Cloudlet;
use crate::endpoint::Endpoint;
use crate::key::PublicKey;
use crate::text;
use crate::time;
use crate::tunnel::TunnelConfig;

/// Longest release name that helm takes; a Namespace's may have 63.
const MAX_DEPLOYMENT_NAME: usize = 53;

/// What a generated name is made of; 64 each, so that a name takes 6 bits per word.
const ADJECTIVES: [&str; 64] = [
    "able", "agile", "airy", "amber", "ample", "azure", "bold", "brave", "brief", "bright",
    "brisk", "calm", "civic", "clear", "clever", "cosmic", "crisp", "deft", "eager", "early",
    "easy", "fair", "fancy", "fast", "fine", "fond", "frank", "fresh", "gentle", "glad", "golden",
    "grand", "green", "happy", "hardy", "humble", "ideal", "jolly", "keen", "kind", "lively",
    "loyal", "lucid", "lucky", "merry", "mild", "modern", "neat", "nimble", "noble", "plain",
    "polite", "proud", "quick", "quiet", "rapid", "ready", "royal", "sharp", "silent", "smart",
    "solid", "sunny", "swift",
];
const ANIMALS: [&str; 64] = [
    "adder", "ant", "ape", "auk", "badger", "bat", "bear", "beaver", "bee", "bison", "boar",
    "bream", "camel", "carp", "cat", "cobra", "cod", "crab", "crane", "crow", "deer", "dingo",
    "dove", "duck", "eagle", "eel", "egret", "elk", "falcon", "ferret", "finch", "fox", "frog",
    "gecko", "goat", "goose", "grouse", "gull", "hare", "hawk", "heron", "horse", "ibis", "jackal",
    "jay", "kite", "koala", "lark", "lemur", "lion", "llama", "lynx", "mole", "moose", "moth",
    "newt", "otter", "owl", "panda", "puffin", "quail", "raven", "seal", "wren",
];
const ALPHABET: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";

/// Why a deployment was refused.
#[derive(Debug, thiserror::Error)]
pub enum DeploymentError {
    /// The name is no DNS label, or longer than helm allows.
    #[error(
        "`{0}` is not a deployment name: at most {MAX_DEPLOYMENT_NAME} of a-z, 0-9 and -, beginning and ending with a letter or digit"
    )]
    Name(String),
    /// An answer does not hold a list of deployments.
    #[error("the answer is not a list of deployments: {0}")]
    Answer(#[source] serde_json::Error),
    /// An answer holds no deployment.
    #[error("the answer is an empty list")]
    Empty,
}

/// The name of a deployment, which is also that of its Namespace, Peer and Helm release: a DNS label of at most 53 characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeploymentName(String);

text::written_as!(DeploymentName, "DeploymentName", {
    "type": "string",
    "description": "The name of a deployment's Namespace, Peer and Helm release.",
    "pattern": "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$",
    "maxLength": MAX_DEPLOYMENT_NAME,
    "examples": ["brave-otter-x7k2p"],
});

impl DeploymentName {
    /// Makes a name of 64 bits of the caller's entropy: two words and 5 random characters of `[a-z0-9]`.
    pub fn generate(entropy: u64) -> Self {
        let adjective = pick(&ADJECTIVES, entropy);
        let animal = pick(&ANIMALS, entropy >> 6);
        let mut rest = entropy >> 12;
        let mut suffix = String::with_capacity(5);
        for _ in 0..5 {
            suffix.push(char::from(pick(ALPHABET, rest)));
            rest /= 36;
        }
        Self(format!("{adjective}-{animal}-{suffix}"))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for DeploymentName {
    type Err = DeploymentError;

    fn from_str(text: &str) -> Result<Self, DeploymentError> {
        let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let fits = (1..=MAX_DEPLOYMENT_NAME).contains(&text.len()) && text.bytes().all(inner);
        if !fits || text.starts_with('-') || text.ends_with('-') {
            return Err(DeploymentError::Name(
                text.escape_default().take(80).collect(),
            ));
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for DeploymentName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl Serialize for DeploymentName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for DeploymentName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text::deserialize(deserializer, "a deployment name as text")
    }
}

/// How far a deployment is; clients compare it ignoring case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, JsonSchema)]
pub enum Status {
    /// Being made, or being brought back.
    Initializing,
    /// Helm has installed it.
    Deployed,
    /// Its lease has passed; a request brings it back.
    Expiring,
    /// Reclaimed.
    Expired,
}

impl fmt::Display for Status {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Initializing => "Initializing",
            Self::Deployed => "Deployed",
            Self::Expiring => "Expiring",
            Self::Expired => "Expired",
        })
    }
}

impl<'de> Deserialize<'de> for Status {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let known = [
            Self::Initializing,
            Self::Deployed,
            Self::Expiring,
            Self::Expired,
        ];
        let found = known
            .into_iter()
            .find(|status| status.to_string().eq_ignore_ascii_case(&text));
        found.ok_or_else(|| {
            serde::de::Error::unknown_variant(
                &text,
                &["Initializing", "Deployed", "Expiring", "Expired"],
            )
        })
    }
}

/// Which cloudlet an answer came from; Tier 1 adds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CloudletReference {
    /// The cloudlet's uuid.
    pub uuid: Uuid,
    /// Its name.
    pub name: String,
    /// Its deploy endpoint.
    pub endpoint: Endpoint,
}

impl From<&Cloudlet> for CloudletReference {
    fn from(cloudlet: &Cloudlet) -> Self {
        Self {
            uuid: cloudlet.uuid,
            name: cloudlet.name.clone(),
            endpoint: cloudlet.endpoint.clone(),
        }
    }
}

/// A deployment on the wire. Absent fields are left out, nothing is ever null; fields that we do not know are kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct CloudletDeployment {
    /// Name of Namespace, Peer and release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployment_name: Option<DeploymentName>,
    /// The recipe.
    #[serde(rename = "UUID")]
    pub uuid: Uuid,
    /// The device's public key.
    pub application_key: PublicKey,
    /// How far it is.
    pub status: Status,
    /// When it was first asked for.
    #[serde(
        default,
        with = "time::optional",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(with = "Option<Timestamp>")]
    pub created: Option<Timestamp>,
    /// How the device connects.
    pub tunnel_config: TunnelConfig,
    /// Whether what was installed runs; absent in the answers of older servers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready: Option<bool>,
    /// When its lease ends.
    #[serde(
        default,
        with = "time::optional",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(with = "Option<Timestamp>")]
    pub expires: Option<Timestamp>,
    /// How far it is, or why it failed, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Whether it lives in a sandbox instead of a cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sandbox: Option<bool>,
    /// Where it was placed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cloudlet: Option<CloudletReference>,
    /// Whatever else a server said.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

impl CloudletDeployment {
    /// Whether the backend runs. An older server does not say; there, being deployed has to count.
    pub fn is_ready(&self) -> bool {
        self.ready.unwrap_or(self.status == Status::Deployed)
    }

    /// Parses the answer of a Tier 2 to a deploy request; nulls in it count as absent.
    ///
    /// # Errors
    /// It is not JSON, not a list of at least one deployment, or a deployment lacks a field or holds a malformed one.
    pub fn parse_answer(body: &[u8]) -> Result<Vec<Self>, DeploymentError> {
        let deployments: Vec<Self> = parse(body)?;
        if deployments.is_empty() {
            return Err(DeploymentError::Empty);
        }
        Ok(deployments.into_iter().map(Self::without_nulls).collect())
    }

    /// Parses a single deployment, the answer to `GET`; nulls in it count as absent.
    ///
    /// # Errors
    /// It is not JSON, or lacks a field, or holds a malformed one.
    pub fn parse(body: &[u8]) -> Result<Self, DeploymentError> {
        parse(body).map(Self::without_nulls)
    }

    /// Drops the nulls of fields that we do not know.
    fn without_nulls(mut self) -> Self {
        self.other = without_nulls(self.other);
        self
    }
}

/// Reads a text in one go, as most can be, or else after all nulls were taken out.
fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, DeploymentError> {
    if let Ok(answer) = serde_json::from_slice(body) {
        return Ok(answer);
    }
    let value = serde_json::from_slice(body).map_err(DeploymentError::Answer)?;
    serde_json::from_value(drop_nulls(value)).map_err(DeploymentError::Answer)
}

/// Removes every null from objects and lists, at any depth.
pub fn drop_nulls(value: Value) -> Value {
    match value {
        Value::Object(fields) => Value::Object(without_nulls(fields)),
        Value::Array(items) => Value::Array(
            items
                .into_iter()
                .filter(|item| !item.is_null())
                .map(drop_nulls)
                .collect(),
        ),
        other => other,
    }
}

fn without_nulls(fields: Map<String, Value>) -> Map<String, Value> {
    let kept = fields.into_iter().filter(|(_, value)| !value.is_null());
    kept.map(|(name, value)| (name, drop_nulls(value)))
        .collect()
}

fn pick<T: Copy>(choices: &[T], entropy: u64) -> T {
    choices[(entropy % choices.len() as u64) as usize]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    #[test]
    fn the_documented_answer_survives_a_round_trip() {
        let answer = documented();

        let deployment = CloudletDeployment::parse(answer.to_string().as_bytes()).unwrap();

        assert_eq!(serde_json::to_value(&deployment).unwrap(), answer);
        assert!(deployment.is_ready());
    }

    #[test]
    fn nulls_are_dropped_and_unknown_fields_kept() {
        let mut answer = documented();
        answer["Created"] = Value::Null;
        answer["Extra"] = json!({"kept": 1, "dropped": null});
        answer["TunnelConfig"]["allowedIPs"] = json!([null, "0.0.0.0/0"]);

        let deployments =
            CloudletDeployment::parse_answer(json!([answer]).to_string().as_bytes()).unwrap();

        let printed = serde_json::to_value(&deployments[0]).unwrap();
        assert_eq!(printed["Extra"], json!({"kept": 1}));
        assert_eq!(printed["TunnelConfig"], documented()["TunnelConfig"]);
        assert!(printed.get("Created").is_none());
    }

    #[test]
    fn nulls_are_dropped_where_they_do_no_harm_as_well() {
        let mut answer = documented();
        answer["Extra"] = json!([1, null]);
        answer["Nothing"] = Value::Null;

        let deployment = CloudletDeployment::parse(answer.to_string().as_bytes()).unwrap();

        assert_eq!(Value::Object(deployment.other), json!({"Extra": [1]}));
    }

    #[rstest]
    #[case("UUID")]
    #[case("ApplicationKey")]
    #[case("Status")]
    #[case("TunnelConfig")]
    fn an_answer_without_a_required_field_is_refused(#[case] field: &str) {
        let mut answer = documented();
        answer.as_object_mut().unwrap().remove(field);

        let error = CloudletDeployment::parse(answer.to_string().as_bytes()).unwrap_err();

        assert!(
            std::error::Error::source(&error)
                .unwrap()
                .to_string()
                .contains(field)
        );
    }

    #[test]
    fn status_is_read_in_any_case() {
        assert_eq!(
            serde_json::from_value::<Status>(json!("DEPLOYED")).unwrap(),
            Status::Deployed
        );
    }

    #[test]
    fn an_older_server_is_ready_when_it_is_deployed() {
        let mut deployment =
            CloudletDeployment::parse(documented().to_string().as_bytes()).unwrap();
        deployment.ready = None;
        assert!(deployment.is_ready());

        deployment.status = Status::Initializing;
        assert!(!deployment.is_ready());
    }

    #[rstest]
    #[case("Brave-otter")]
    #[case("-otter")]
    #[case("otter-")]
    #[case("")]
    #[case("an-otter-with-a-name-that-is-much-longer-than-helm-allows")]
    fn what_helm_would_refuse_is_no_deployment_name(#[case] text: &str) {
        assert!(text.parse::<DeploymentName>().is_err());
    }

    proptest! {
        #[test]
        fn generated_names_are_names(entropy: u64) {
            let name = DeploymentName::generate(entropy);

            prop_assert_eq!(name.as_str().split('-').count(), 3);
            prop_assert_eq!(name.as_str().rsplit('-').next().map(str::len), Some(5));
            prop_assert_eq!(name.as_str().parse::<DeploymentName>().unwrap(), name);
        }
    }

    fn documented() -> Value {
        json!({
            "DeploymentName": "brave-otter-x7k2p",
            "UUID": "00000000-0000-0000-0000-000000000000",
            "ApplicationKey": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
            "Status": "Deployed",
            "Created": "2026-11-22T15:09:00+00:00",
            "TunnelConfig": {
                "publicKey": "//////////////////////////////////////////8=",
                "allowedIPs": ["0.0.0.0/0"],
                "endpoint": "203.0.113.7:51820",
                "address": ["10.5.17.4"],
                "dns": ["10.43.0.10", "brave-otter-x7k2p.svc.cluster.local", "svc.cluster.local", "cluster.local"],
            },
        })
    }
}
