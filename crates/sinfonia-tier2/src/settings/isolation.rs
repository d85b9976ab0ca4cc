//! How deployments are kept apart from each other and from the cluster.

use std::str::FromStr;

use clap::Args;
use sinfonia_core::isolation::{Allowance, Quota, ResourceName, ResourceNameError};
use sinfonia_core::network::Network;
use sinfonia_core::quantity::{Quantity, QuantityError};
use sinfonia_service::settings::{List, flatten};
use uuid::Uuid;

/// What every deployment may use, unless the operator says otherwise: enough for a backend with one GPU that works for one device. No
/// Service of it is reached but through the tunnel.
const USUAL: [(&str, &str); 10] = [
    ("cpu", "4"),
    ("memory", "8Gi"),
    ("ephemeral-storage", "16Gi"),
    ("storage", "16Gi"),
    ("pods", "20"),
    ("persistentvolumeclaims", "4"),
    ("services.loadbalancers", "0"),
    ("services.nodeports", "0"),
    ("nvidia.com/gpu", "1"),
    ("amd.com/gpu", "1"),
];
/// What a recipe may ask for, unless the operator says otherwise: twice as much.
const MOST: [(&str, &str); 8] = [
    ("cpu", "8"),
    ("memory", "16Gi"),
    ("ephemeral-storage", "32Gi"),
    ("storage", "32Gi"),
    ("pods", "40"),
    ("persistentvolumeclaims", "8"),
    ("nvidia.com/gpu", "2"),
    ("amd.com/gpu", "2"),
];

/// How deployments are kept apart; the sandbox makes no use of these.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(next_help_heading = "Isolation")]
pub struct IsolationArgs {
    /// Networks of the cluster's Services and Pods, which no deployment reaches [default: its ServiceCIDRs and the podCIDRs of its nodes]
    #[arg(long, env = "SINFONIA_CLUSTER_CIDRS", value_name = "CIDR")]
    pub cluster_cidrs: Vec<List<Network>>,
    /// What each deployment may use [default: cpu=4, memory=8Gi, ephemeral-storage=16Gi, storage=16Gi, pods=20, persistentvolumeclaims=4,
    /// services.loadbalancers=0, services.nodeports=0, nvidia.com/gpu=1, amd.com/gpu=1; those that are not named stay as they are]
    #[arg(long, env = "SINFONIA_QUOTA", value_name = "NAME=QUANTITY")]
    pub quota: Vec<List<Amount>>,
    /// How much of it a recipe may ask for [default: cpu=8, memory=16Gi, ephemeral-storage=32Gi, storage=32Gi, pods=40,
    /// persistentvolumeclaims=8, nvidia.com/gpu=2, amd.com/gpu=2; those that are not named stay as they are, never less than --quota]
    #[arg(long, env = "SINFONIA_MAX_QUOTA", value_name = "NAME=QUANTITY")]
    pub max_quota: Vec<List<Amount>>,
    /// Recipes that may have privileged pods, if they ask for them
    #[arg(long, env = "SINFONIA_PRIVILEGED_RECIPES", value_name = "UUID")]
    pub privileged_recipes: Vec<List<Uuid>>,
}

/// How much of a resource, `name=quantity`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Amount {
    /// The resource.
    pub resource: ResourceName,
    /// How much of it.
    pub quantity: Quantity,
}

/// Why a text does not say how much of a resource.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AmountError {
    /// It has no `=`.
    #[error("expected NAME=QUANTITY, such as memory=8Gi")]
    NoAmount,
    /// It names no resource.
    #[error(transparent)]
    Resource(#[from] ResourceNameError),
    /// What follows is no quantity.
    #[error(transparent)]
    Quantity(#[from] QuantityError),
    /// It is a part of something that cannot be divided.
    #[error("{0} can only be limited to a whole number")]
    NotWhole(ResourceName),
}

impl IsolationArgs {
    /// What these options allow.
    pub fn allowance(&self) -> Allowance {
        let Self {
            cluster_cidrs: _,
            quota,
            max_quota,
            privileged_recipes,
        } = self;
        Allowance {
            quota: changed(&USUAL, quota),
            most: changed(&MOST, max_quota),
            privileged: flatten(privileged_recipes).into_iter().collect(),
        }
    }

    /// The networks of Services and Pods, where the operator names them.
    pub fn cluster_networks(&self) -> Option<Vec<Network>> {
        let networks = flatten(&self.cluster_cidrs);
        (!networks.is_empty()).then_some(networks)
    }
}

impl FromStr for Amount {
    type Err = AmountError;

    fn from_str(text: &str) -> Result<Self, AmountError> {
        let (resource, quantity) = text.split_once('=').ok_or(AmountError::NoAmount)?;
        let resource: ResourceName = resource.trim().parse()?;
        let quantity = quantity.trim().parse()?;
        if !resource.takes(&quantity) {
            return Err(AmountError::NotWhole(resource));
        }
        Ok(Self { resource, quantity })
    }
}

/// What is usual, with the operator's changes.
fn changed(usual: &[(&str, &str)], changes: &[List<Amount>]) -> Quota {
    let usual = usual
        .iter()
        .filter_map(|(resource, quantity)| Some((resource.parse().ok()?, quantity.parse().ok()?)));
    let changes = flatten(changes)
        .into_iter()
        .map(|Amount { resource, quantity }| (resource, quantity));
    usual.chain(changes).collect()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[test]
    fn what_is_usual_can_be_read() {
        assert_eq!(changed(&USUAL, &[]).len(), USUAL.len());
        assert_eq!(changed(&MOST, &[]).len(), MOST.len());
    }

    #[test]
    fn an_operator_changes_what_is_named_and_nothing_else() {
        let list: List<Amount> = "cpu=500m, example.com/tpu=2".parse().unwrap();

        let quota = changed(&USUAL, &[list]);

        let of = |name: &str| quota.get(&name.parse().unwrap()).map(ToString::to_string);
        assert_eq!(of("cpu").as_deref(), Some("500m"));
        assert_eq!(of("memory").as_deref(), Some("8Gi"));
        assert_eq!(of("example.com/tpu").as_deref(), Some("2"));
    }

    #[rstest]
    #[case("cpu", "expected NAME=QUANTITY, such as memory=8Gi")]
    #[case(
        "cpu=lots",
        "`lots` is not a quantity: expected an amount such as 4, 500m or 16Gi"
    )]
    #[case("pods=1.5", "pods can only be limited to a whole number")]
    fn what_is_no_amount_is_refused(#[case] text: &str, #[case] expected: &str) {
        assert_eq!(text.parse::<Amount>().unwrap_err().to_string(), expected);
    }
}
