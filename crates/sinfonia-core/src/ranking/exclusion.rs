//! Which cloudlets may not serve a client. A rule may only exclude; what is left is ordered elsewhere.

use std::net::IpAddr;

use serde_json::{Map, Value, json};

use crate::cloudlet::Cloudlet;
use crate::network::Network;

/// The rule that excluded a cloudlet, with its values.
#[derive(Debug, Clone, PartialEq, Eq)]
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
    /// None of the matchers in use yields it.
    NoMatcher,
}

impl Exclusion {
    /// The rule's name, one of a fixed few; fit for a metric's label.
    pub const fn rule(&self) -> &'static str {
        match self {
            Self::Rejected { .. } => "rejected_clients",
            Self::NotAccepted { .. } => "accepted_clients",
            Self::NoMatcher => "matchers",
        }
    }

    /// What the rule looked at.
    pub fn values(&self) -> Map<String, Value> {
        let pairs = match self {
            Self::Rejected { client, network } => {
                vec![("client", json!(client)), ("network", json!(network))]
            }
            Self::NotAccepted { client } => vec![("client", json!(client))],
            Self::NoMatcher => vec![],
        };
        pairs
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect()
    }
}

/// Whether the client is at the cloudlet.
pub(super) fn is_local(client: IpAddr, cloudlet: &Cloudlet) -> bool {
    cloudlet
        .local_networks
        .iter()
        .any(|network| network.contains(client))
}

/// Lets a cloudlet pass, or names the first rule that excludes it. `rejected_clients` win over everything.
pub(super) fn check(client: IpAddr, cloudlet: &Cloudlet) -> Result<(), Exclusion> {
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
