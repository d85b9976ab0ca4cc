//! Who a cloudlet is, where it is and whom it serves: what hardly ever changes, and what cloudlets are looked up by.

use std::sync::{Arc, LazyLock};

use smallvec::SmallVec;

use super::{CloudletInfo, Surroundings};
use crate::endpoint::Endpoint;
use crate::location::Location;
use crate::network::{Network, is_global};

/// Everyone: the `accepted_clients` of cloudlets that name none.
static EVERYONE: LazyLock<Arc<[Network]>> =
    LazyLock::new(|| Arc::new([Network::ALL_IPV4, Network::ALL_IPV6]));

/// The part of a cloudlet that its reports seldom change, with every hole filled. Most have one location and one network.
#[derive(Debug, Clone, PartialEq)]
pub struct Placement {
    /// Where Tier 2 takes deploy requests.
    pub endpoint: Endpoint,
    /// Its name for people; the endpoint's host when nothing else was said.
    pub name: String,
    /// Where it is; empty when unknown.
    pub locations: SmallVec<[Location; 1]>,
    /// Clients in one of these are at the cloudlet.
    pub local_networks: SmallVec<[Network; 1]>,
    /// Clients it serves.
    pub accepted_clients: Arc<[Network]>,
    /// Clients it does not serve.
    pub rejected_clients: Box<[Network]>,
    /// Whether the locations were left to be found out.
    finds_locations: bool,
    /// Whether the local networks were left to be found out.
    finds_networks: bool,
}

impl Placement {
    /// Takes what was said, and fills the rest: the name from the endpoint, everyone for `accepted_clients`, places from GeoIP and local
    /// networks from the host's global addresses.
    pub(super) fn new(info: &CloudletInfo, surroundings: &Surroundings) -> Self {
        let name = info.name.as_ref().map(|name| name.as_str());
        let unknown = Self {
            name: name.unwrap_or(info.endpoint.host_str()).into(),
            locations: info.locations.as_deref().unwrap_or_default().into(),
            local_networks: info.local_networks.as_deref().unwrap_or_default().into(),
            accepted_clients: info
                .accepted_clients
                .as_deref()
                .map_or_else(|| Arc::clone(&EVERYONE), Arc::from),
            rejected_clients: info.rejected_clients.as_deref().unwrap_or_default().into(),
            finds_locations: info.locations.is_none(),
            finds_networks: info.local_networks.is_none(),
            endpoint: info.endpoint.clone(),
        };
        unknown.within(surroundings)
    }

    /// Whether its place or its networks have to be found out from its endpoint.
    pub const fn wants_surroundings(&self) -> bool {
        self.finds_locations || self.finds_networks
    }

    /// The same with other surroundings, as far as places and networks were left to them.
    #[must_use]
    pub fn within(mut self, surroundings: &Surroundings) -> Self {
        if self.finds_locations {
            self.locations = surroundings.locations.as_slice().into();
        }
        if self.finds_networks {
            let addresses = surroundings.addresses.iter();
            let global = addresses.filter(|address| is_global(**address));
            self.local_networks = global.map(|address| Network::host(*address)).collect();
        }
        self
    }

    /// The distance in kilometres from this place to the closest location; `None` when there is none.
    pub fn distance_km(&self, from: &Location) -> Option<f64> {
        self.locations
            .iter()
            .map(|location| from.distance_km(location))
            .min_by(f64::total_cmp)
    }
}
