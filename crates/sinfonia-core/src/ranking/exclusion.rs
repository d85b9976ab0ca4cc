//! Which cloudlets may not serve a client. A rule may only exclude; what is left is ordered elsewhere.

use std::fmt;
use std::net::IpAddr;

use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::cloudlet::Cloudlet;
use crate::network::Network;
use crate::policy::Unmet;

/// The rule that excluded a cloudlet, with its values.
#[derive(Debug, Clone, PartialEq)]
pub enum Exclusion {
    /// Its `rejected_clients` hold the client.
    Rejected {
        /// The client.
        client: IpAddr,
        /// The entry that holds it.
        network: Network,
    },
    /// Neither its `local_networks` nor its `accepted_clients` hold the client.
    NotAccepted {
        /// The client.
        client: IpAddr,
    },
    /// It says which recipes it offers, and this is none of them.
    NotOffered {
        /// The recipe.
        recipe: Uuid,
    },
    /// None of the matchers in use yields it.
    NoMatcher,
    /// It does not meet a requirement.
    Unmet {
        /// Who requires it.
        owner: Owner,
        /// The requirement and why it is not met.
        unmet: Box<Unmet>,
    },
}

/// Who says what is required and preferred.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// The recipe.
    Recipe,
    /// The operator.
    Operator,
}

impl Exclusion {
    /// The names of all rules.
    pub const RULES: [&'static str; 6] = [
        "rejected_clients",
        "accepted_clients",
        "recipes",
        "matchers",
        "recipe_requires",
        "operator_requires",
    ];

    /// The rule's name, one of a fixed few; fit for a metric's label.
    pub const fn rule(&self) -> &'static str {
        match self {
            Self::Rejected { .. } => "rejected_clients",
            Self::NotAccepted { .. } => "accepted_clients",
            Self::NotOffered { .. } => "recipes",
            Self::NoMatcher => "matchers",
            Self::Unmet {
                owner: Owner::Recipe,
                ..
            } => "recipe_requires",
            Self::Unmet {
                owner: Owner::Operator,
                ..
            } => "operator_requires",
        }
    }

    /// What the rule looked at.
    pub fn values(&self) -> Map<String, Value> {
        let pairs = match self {
            Self::Rejected { client, network } => {
                vec![("client", json!(client)), ("network", json!(network))]
            }
            Self::NotAccepted { client } => vec![("client", json!(client))],
            Self::NotOffered { recipe } => vec![("recipe", json!(recipe))],
            Self::NoMatcher => vec![],
            Self::Unmet { unmet, .. } => {
                let mut values = unmet.values().clone();
                values.insert("requires".to_owned(), json!(unmet.requirement()));
                return values;
            }
        };
        pairs
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect()
    }
}

impl fmt::Display for Exclusion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rejected { client, network } => {
                write!(formatter, "rejects {network}, which holds {client}")
            }
            Self::NotAccepted { client } => {
                write!(formatter, "accepts other clients than {client}")
            }
            Self::NotOffered { recipe } => write!(formatter, "does not offer {recipe}"),
            Self::NoMatcher => formatter.write_str("is yielded by none of the matchers"),
            Self::Unmet { unmet, .. } => unmet.fmt(formatter),
        }
    }
}

/// Whether the client is at the cloudlet.
pub(super) fn is_local(client: IpAddr, cloudlet: &Cloudlet) -> bool {
    cloudlet
        .local_networks
        .iter()
        .any(|network| network.contains(client))
}

/// Lets a cloudlet pass that offers the recipe or does not say what it offers.
pub(super) fn check_recipes(recipe: Uuid, cloudlet: &Cloudlet) -> Result<(), Exclusion> {
    match &cloudlet.recipes {
        Some(offered) if !offered.contains(&recipe) => Err(Exclusion::NotOffered { recipe }),
        _ => Ok(()),
    }
}

/// Lets a cloudlet pass that serves clients of this address. `rejected_clients` win over everything.
pub(super) fn check_networks(client: IpAddr, cloudlet: &Cloudlet) -> Result<(), Exclusion> {
    if let Some(network) = cloudlet
        .rejected_clients
        .iter()
        .find(|network| network.contains(client))
    {
        return Err(Exclusion::Rejected {
            client,
            network: *network,
        });
    }
    if !is_local(client, cloudlet)
        && !cloudlet
            .accepted_clients
            .iter()
            .any(|network| network.contains(client))
    {
        return Err(Exclusion::NotAccepted { client });
    }
    Ok(())
}
