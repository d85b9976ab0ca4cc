//! All cloudlets at once, found by what a request asks for: uuid, endpoint, the client's network, and places near the client.
//!
//! A [`Fleet`] is persistent: a clone costs nothing and shares everything, and a change copies only what leads to the changed cloudlet, in
//! steps that grow with the logarithm of the size. So a writer changes a clone and hands it out, readers keep the one that they have, and
//! neither ever waits for the other. What a cloudlet measures is not looked up by and is not in here, but in its [`Member`].

mod networks;
mod space;
mod tree;
mod walk;

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use uuid::Uuid;

use self::networks::Networks;
use self::space::Point;
use self::tree::Tree;
pub use self::walk::{Search, Standing, Walk};
use crate::cloudlet::{Cloudlet, Placement};
use crate::endpoint::Endpoint;

/// A cloudlet as a fleet holds it. Clones are cheap and the same cloudlet.
///
/// Identity and placement never change: a cloudlet for which they did is another member.
pub trait Member: Clone {
    /// The cloudlet with its measurements of the moment.
    type Now;

    /// Who it is.
    fn uuid(&self) -> Uuid;

    /// Where it is and whom it serves.
    fn placement(&self) -> &Placement;

    /// The cloudlet as it is at the moment. Its identity and placement are the member's.
    fn now(&self) -> Self::Now;
}

/// A cloudlet that measures nothing new.
impl Member for Arc<Cloudlet> {
    type Now = Self;

    fn uuid(&self) -> Uuid {
        self.uuid
    }

    fn placement(&self) -> &Placement {
        &self.placement
    }

    fn now(&self) -> Self {
        Self::clone(self)
    }
}

/// Cloudlets with distinct endpoints.
#[derive(Debug, Clone)]
pub struct Fleet<T> {
    by_endpoint: Tree<T>,
    by_uuid: Tree<T>,
    /// By the cell of each of their locations; see [`space`].
    by_place: Tree<T>,
    /// Those without a location, by endpoint.
    placeless: Tree<T>,
    by_network: Networks<T>,
}

/// Some of a fleet's cloudlets.
#[derive(Debug, Clone, PartialEq)]
pub struct Page<'a, T> {
    /// The cloudlets.
    pub members: Vec<&'a T>,
    /// The place after which the others come; `None` when there are no others.
    pub next: Option<u64>,
}

impl<T> Default for Fleet<T> {
    fn default() -> Self {
        Self {
            by_endpoint: Tree::default(),
            by_uuid: Tree::default(),
            by_place: Tree::default(),
            placeless: Tree::default(),
            by_network: Networks::default(),
        }
    }
}

impl<T: Member> Fleet<T> {
    /// How many there are.
    pub const fn len(&self) -> usize {
        self.by_endpoint.len()
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All of them, in an order of no meaning that depends on their endpoints alone.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.by_endpoint.iter()
    }

    /// So many cloudlets after a place in the order of [`Fleet::iter`], or from its beginning, and one or the other more where several are
    /// at one place. Whoever asks for one page after the other sees each cloudlet that is there all the time exactly once.
    pub fn page(&self, after: Option<u64>, length: usize) -> Page<'_, T> {
        let from = match after {
            None => Some(0),
            Some(after) => after.checked_add(1),
        };
        let from = from.filter(|from| *from <= tree::LARGEST_KEY);
        let rest = from
            .into_iter()
            .flat_map(|from| self.by_endpoint.from(from));
        let mut members = Vec::new();
        let mut last = None;
        for (key, member) in rest {
            if members.len() >= length && last != Some(key) {
                return Page {
                    members,
                    next: last,
                };
            }
            members.push(member);
            last = Some(key);
        }
        Page {
            members,
            next: None,
        }
    }

    /// The cloudlet at this endpoint.
    pub fn at(&self, endpoint: &Endpoint) -> Option<&T> {
        let mut same_key = self.by_endpoint.get(key(endpoint));
        same_key.find(|member| member.placement().endpoint == *endpoint)
    }

    /// The cloudlets that go by this uuid, which are more than one only where somebody put them in.
    pub fn of_uuid(&self, uuid: Uuid) -> impl Iterator<Item = &T> {
        let same_key = self.by_uuid.get(key(&uuid));
        same_key.filter(move |member| member.uuid() == uuid)
    }

    /// Adds a cloudlet; the one at its endpoint, if any, makes way for it and is given back.
    pub fn insert(&mut self, member: T) -> Option<T> {
        let before = self.remove(&member.placement().endpoint);
        let placement = member.placement();
        for cell in cells(placement) {
            self.by_place.insert(cell, member.clone());
        }
        for network in &placement.local_networks {
            self.by_network.insert(*network, member.clone());
        }
        let by_endpoint = key(&placement.endpoint);
        if placement.locations.is_empty() {
            self.placeless.insert(by_endpoint, member.clone());
        }
        self.by_uuid.insert(key(&member.uuid()), member.clone());
        self.by_endpoint.insert(by_endpoint, member);
        before
    }

    /// Takes the cloudlet at this endpoint out.
    pub fn remove(&mut self, endpoint: &Endpoint) -> Option<T> {
        let by_endpoint = key(endpoint);
        let member = self.at(endpoint)?.clone();
        let placement = member.placement();
        for cell in cells(placement) {
            self.by_place.remove(cell, endpoint);
        }
        for network in &placement.local_networks {
            self.by_network.remove(*network, endpoint);
        }
        if placement.locations.is_empty() {
            self.placeless.remove(by_endpoint, endpoint);
        }
        self.by_uuid.remove(key(&member.uuid()), endpoint);
        self.by_endpoint.remove(by_endpoint, endpoint);
        Some(member)
    }
}

impl<T: Member> FromIterator<T> for Fleet<T> {
    fn from_iter<I: IntoIterator<Item = T>>(members: I) -> Self {
        let mut fleet = Self::default();
        for member in members {
            fleet.insert(member);
        }
        fleet
    }
}

/// A key that spreads well, equal for equal values. Lookups compare the values, so that two of one key do no harm.
fn key(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish() & tree::LARGEST_KEY
}

fn cells(placement: &Placement) -> impl Iterator<Item = u64> {
    placement
        .locations
        .iter()
        .map(|location| Point::of(location).cell())
}

#[cfg(test)]
mod tests;
