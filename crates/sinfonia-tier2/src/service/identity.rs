//! Who this cloudlet is: what reports say besides measurements.

use std::collections::{BTreeMap, BTreeSet};

use sinfonia_core::cloudlet::CloudletInfo;
use sinfonia_core::endpoint::Endpoint;
use sinfonia_core::network::Network;
use sinfonia_service::settings::flatten;

use crate::access::Clients;
use crate::settings::{CallerArgs, CloudletArgs};

/// The clients that the settings serve; all, where nothing is said.
pub(super) fn clients(cloudlet: &CloudletArgs, callers: &CallerArgs) -> Clients {
    let accepted = flatten(&callers.accepted_clients);
    Clients {
        local: flatten(&cloudlet.local_networks),
        accepted: if accepted.is_empty() {
            everybody()
        } else {
            accepted
        },
        rejected: flatten(&callers.rejected_clients),
    }
}

/// The cloudlet that is reached at this endpoint. What says no more than Tier 1 assumes anyway is left out, because the older Tier 1
/// understands some of it differently.
pub(super) fn cloudlet_info(
    endpoint: &Endpoint,
    cloudlet: &CloudletArgs,
    clients: &Clients,
) -> CloudletInfo {
    let locations = cloudlet
        .location
        .iter()
        .flat_map(|locations| locations.0.iter().copied());
    let labels: BTreeMap<_, _> = flatten(&cloudlet.labels)
        .into_iter()
        .map(|label| (label.name, label.value))
        .collect();
    let accepts_all = {
        let accepted: BTreeSet<_> = clients.accepted.iter().copied().collect();
        everybody().iter().all(|network| accepted.contains(network))
    };
    let accepted = clients.accepted.iter().copied();
    CloudletInfo {
        name: cloudlet.name.clone(),
        locations: unless_empty(locations.collect()),
        local_networks: unless_empty(clients.local.clone()),
        accepted_clients: unless_empty(accepted.filter(|_| !accepts_all).collect()),
        rejected_clients: unless_empty(clients.rejected.clone()),
        labels: (!labels.is_empty()).then_some(labels),
        ..CloudletInfo::at(endpoint.clone())
    }
}

fn everybody() -> Vec<Network> {
    vec![Network::ALL_IPV4, Network::ALL_IPV6]
}

fn unless_empty<T>(items: Vec<T>) -> Option<Vec<T>> {
    (!items.is_empty()).then_some(items)
}
