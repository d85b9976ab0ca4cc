//! How a deployment is kept apart from the others on a cloudlet: what a recipe wishes, what the operator allows, and what comes of both.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

use crate::quantity::Quantity;
use crate::text;

/// Resources that can be counted, beside those of vendors.
const COUNTED: [&str; 11] = [
    "cpu",
    "memory",
    "ephemeral-storage",
    "storage",
    "pods",
    "persistentvolumeclaims",
    "services",
    "services.loadbalancers",
    "services.nodeports",
    "configmaps",
    "secrets",
];
/// Those of them of which there may be a part of one.
const DIVISIBLE: [&str; 4] = ["cpu", "memory", "ephemeral-storage", "storage"];
/// Longest name of a resource: 253 for the vendor's domain, 63 behind the slash.
const LONGEST_NAME: usize = 253 + 1 + 63;

/// A text that names no resource.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no resource that can be limited: expected {list} or one of a vendor such as nvidia.com/gpu",
    list = COUNTED.join(", ")
)]
pub struct ResourceNameError(String);

/// Why a recipe does not get what it wishes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WishError {
    /// More than any recipe may have here.
    #[error("the recipe asks for {asked} of {resource}, this cloudlet gives at most {most}")]
    TooMuch {
        /// The resource.
        resource: ResourceName,
        /// What the recipe asks for.
        asked: Quantity,
        /// What it may ask for.
        most: Quantity,
    },
    /// A resource of which no recipe may have any.
    #[error("the recipe asks for {0}, of which this cloudlet gives none")]
    NotGiven(ResourceName),
    /// A part of something that cannot be divided.
    #[error("the recipe asks for {asked} of {resource}, of which there are whole ones only")]
    NotWhole {
        /// The resource.
        resource: ResourceName,
        /// What the recipe asks for.
        asked: Quantity,
    },
    /// Privileges that only recipes have which the operator names.
    #[error("the recipe asks for privileged pods, which this cloudlet does not allow it")]
    Privileges,
}

/// A resource that can be limited: `cpu`, `memory`, `pods`, `nvidia.com/gpu`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ResourceName(String);

/// How much of each resource.
pub type Quota = BTreeMap<ResourceName, Quantity>;

/// What the pods of a deployment may do, as the Pod Security Standards of Kubernetes have it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PodSecurity {
    /// Everything, the node's own network, files and devices included.
    Privileged,
    /// Nothing that reaches the node.
    #[default]
    Baseline,
    /// What hardened programs need.
    Restricted,
}

/// What a recipe wishes: its field `isolation`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Wishes {
    /// How much it needs, of what it needs another amount of than every deployment gets.
    #[serde(default)]
    pub quota: Quota,
    /// What its pods have to do.
    #[serde(default)]
    pub pod_security: PodSecurity,
}

/// What the operator of a cloudlet allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allowance {
    /// What every deployment gets.
    pub quota: Quota,
    /// What a recipe may ask for, where that is more than what every deployment gets.
    pub most: Quota,
    /// The recipes that may have privileged pods.
    pub privileged: BTreeSet<Uuid>,
}

/// The limits of a deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// How much it may use.
    pub quota: Quota,
    /// What its pods may do.
    pub pod_security: PodSecurity,
}

impl Allowance {
    /// The limits of a recipe's deployments.
    ///
    /// # Errors
    /// It wishes more than it may have.
    pub fn grant(&self, recipe: Uuid, wishes: &Wishes) -> Result<Limits, WishError> {
        if wishes.pod_security == PodSecurity::Privileged && !self.privileged.contains(&recipe) {
            return Err(WishError::Privileges);
        }
        for (resource, asked) in &wishes.quota {
            self.check(resource, asked)?;
        }
        let mut quota = self.quota.clone();
        quota.extend(wishes.quota.clone());
        Ok(Limits {
            quota,
            pod_security: wishes.pod_security,
        })
    }

    /// The limits of a recipe that wishes nothing.
    pub fn usual(&self) -> Limits {
        Limits {
            quota: self.quota.clone(),
            pod_security: PodSecurity::default(),
        }
    }

    fn check(&self, resource: &ResourceName, asked: &Quantity) -> Result<(), WishError> {
        match self.quota.get(resource).max(self.most.get(resource)) {
            None => Err(WishError::NotGiven(resource.clone())),
            Some(most) if asked > most => Err(WishError::TooMuch {
                resource: resource.clone(),
                asked: asked.clone(),
                most: most.clone(),
            }),
            Some(_) if !resource.takes(asked) => Err(WishError::NotWhole {
                resource: resource.clone(),
                asked: asked.clone(),
            }),
            Some(_) => Ok(()),
        }
    }
}

text::written_as!(ResourceName, "LimitedResource", {
    "type": "string",
    "description": "A resource that can be limited: cpu, memory, pods, …, or one of a vendor such as nvidia.com/gpu.",
    "pattern": "^([a-z]+(-[a-z]+)?(\\.[a-z]+)?|[a-z0-9.-]+/[A-Za-z0-9._-]+)$",
});

impl ResourceName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether there can be so much of it: most things cannot be divided.
    pub fn takes(&self, amount: &Quantity) -> bool {
        DIVISIBLE.contains(&self.as_str()) || amount.is_whole()
    }

    /// Whether it is a vendor's, such as a GPU.
    pub fn is_extended(&self) -> bool {
        self.0.contains('/')
    }
}

impl FromStr for ResourceName {
    type Err = ResourceNameError;

    fn from_str(text: &str) -> Result<Self, ResourceNameError> {
        if COUNTED.contains(&text) || is_extended(text) {
            Ok(Self(text.to_owned()))
        } else {
            Err(ResourceNameError(text.escape_default().take(80).collect()))
        }
    }
}

impl fmt::Display for ResourceName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl Serialize for ResourceName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ResourceName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text::deserialize(deserializer, "the name of a resource")
    }
}

impl fmt::Display for PodSecurity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Privileged => "privileged",
            Self::Baseline => "baseline",
            Self::Restricted => "restricted",
        })
    }
}

/// Whether a text names a vendor's resource: a domain, which Kubernetes does not keep for itself, and a name.
fn is_extended(text: &str) -> bool {
    let Some((domain, name)) = text.split_once('/') else {
        return false;
    };
    let is_lower = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let is_label = |label: &str| {
        label.starts_with(|first: char| first.is_ascii_alphanumeric())
            && label.ends_with(|last: char| last.is_ascii_alphanumeric())
            && label.bytes().all(|byte| is_lower(byte) || byte == b'-')
    };
    let is_name = |name: &str| {
        name.starts_with(|first: char| first.is_ascii_alphanumeric())
            && name.ends_with(|last: char| last.is_ascii_alphanumeric())
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
    };
    text.len() <= LONGEST_NAME
        && name.len() <= 63
        && domain.contains('.')
        && domain.split('.').all(is_label)
        && domain != "kubernetes.io"
        && !domain.ends_with(".kubernetes.io")
        && is_name(name)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_recipe_that_wishes_nothing_gets_what_every_deployment_gets() {
        let allowance = allowance();

        let limits = allowance.grant(Uuid::nil(), &Wishes::default());

        assert_eq!(limits, Ok(allowance.usual()));
        assert_eq!(allowance.usual().pod_security, PodSecurity::Baseline);
    }

    #[test]
    fn what_a_recipe_wishes_takes_the_place_of_what_every_deployment_gets() {
        let wishes = wishes(
            json!({"quota": {"cpu": 8, "pods": 5, "nvidia.com/gpu": 1}, "podSecurity": "restricted"}),
        );

        let limits = allowance().grant(Uuid::nil(), &wishes).unwrap();

        assert_eq!(
            limits.quota,
            quota(&[
                ("cpu", "8"),
                ("memory", "8Gi"),
                ("pods", "5"),
                ("nvidia.com/gpu", "1")
            ])
        );
        assert_eq!(limits.pod_security, PodSecurity::Restricted);
    }

    #[rstest]
    #[case::above_the_maximum(json!({"quota": {"cpu": 8.5}}), "the recipe asks for 8.5 of cpu, this cloudlet gives at most 8")]
    #[case::in_other_units(json!({"quota": {"cpu": "8001m"}}), "the recipe asks for 8001m of cpu, this cloudlet gives at most 8")]
    #[case::without_a_maximum(json!({"quota": {"memory": "8193Mi"}}), "the recipe asks for 8193Mi of memory, this cloudlet gives at most 8Gi")]
    #[case::a_maximum_below_the_usual(json!({"quota": {"pods": 21}}), "the recipe asks for 21 of pods, this cloudlet gives at most 20")]
    #[case::unheard_of(json!({"quota": {"amd.com/gpu": 1}}), "the recipe asks for amd.com/gpu, of which this cloudlet gives none")]
    #[case::half_a_gpu(json!({"quota": {"nvidia.com/gpu": 0.5}}), "the recipe asks for 0.5 of nvidia.com/gpu, of which there are whole ones only")]
    #[case::privileges(json!({"podSecurity": "privileged"}), "the recipe asks for privileged pods, which this cloudlet does not allow it")]
    fn a_recipe_never_gets_more_than_it_may_have(
        #[case] asked: serde_json::Value,
        #[case] expected: &str,
    ) {
        let error = allowance().grant(Uuid::nil(), &wishes(asked)).unwrap_err();

        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn privileges_are_for_the_recipes_that_the_operator_names() {
        let wishes = wishes(json!({"podSecurity": "privileged"}));

        let limits = allowance().grant(Uuid::max(), &wishes).unwrap();

        assert_eq!(limits.pod_security, PodSecurity::Privileged);
        assert_eq!(
            allowance().grant(Uuid::max(), &Wishes::default()),
            Ok(allowance().usual())
        );
    }

    #[rstest]
    #[case("cpu", true)]
    #[case("services.nodeports", true)]
    #[case("nvidia.com/gpu", true)]
    #[case("nvidia.com/mig-1g.5gb", true)]
    #[case("gpu", false)]
    #[case("requests.cpu", false)]
    #[case("count/pods", false)]
    #[case("kubernetes.io/cpu", false)]
    #[case("node.kubernetes.io/cpu", false)]
    #[case("nvidia.com/", false)]
    #[case("nvidia..com/gpu", false)]
    #[case("nvidia.com/gpu/1", false)]
    #[case("Nvidia.com/gpu", false)]
    fn resources_are_those_of_kubernetes_and_of_vendors(
        #[case] name: &str,
        #[case] expected: bool,
    ) {
        assert_eq!(name.parse::<ResourceName>().is_ok(), expected);
    }

    fn allowance() -> Allowance {
        Allowance {
            quota: quota(&[("cpu", "4"), ("memory", "8Gi"), ("pods", "20")]),
            most: quota(&[("cpu", "8"), ("pods", "10"), ("nvidia.com/gpu", "1")]),
            privileged: [Uuid::max()].into(),
        }
    }

    fn quota(entries: &[(&str, &str)]) -> Quota {
        entries
            .iter()
            .map(|(name, amount)| (name.parse().unwrap(), amount.parse().unwrap()))
            .collect()
    }

    fn wishes(value: serde_json::Value) -> Wishes {
        serde_json::from_value(value).unwrap()
    }
}
