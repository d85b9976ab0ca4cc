//! The key that all candidates are sorted by.

use std::cmp::Ordering;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{Candidate, Class};
use crate::endpoint::Endpoint;
use crate::key::PublicKey;

/// What decides a candidate's place, in the order of the fields; smaller comes first.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct OrderKey {
    /// Whether it serves this recipe and key already; true comes first.
    pub remembered: bool,
    /// How willing it is.
    pub class: Class,
    /// The place of its matcher among those in use, from 0.
    pub group: usize,
    /// Kilometres to the client where the matcher orders by them; unknown comes last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distance_km: Option<f64>,
    /// The rendezvous hash of request and cloudlet; larger comes first.
    pub hash: u64,
}

impl Eq for OrderKey {}

impl PartialOrd for OrderKey {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for OrderKey {
    fn cmp(&self, other: &Self) -> Ordering {
        let distance = |key: &Self| key.distance_km.unwrap_or(f64::INFINITY);
        other
            .remembered
            .cmp(&self.remembered)
            .then(self.class.cmp(&other.class))
            .then(self.group.cmp(&other.group))
            .then(distance(self).total_cmp(&distance(other)))
            .then(other.hash.cmp(&self.hash))
    }
}

/// Sorts candidates by their keys. A collision of hashes leaves the order to their endpoints, so that it never depends on the input's.
pub(super) fn order(candidates: &mut [Candidate<'_>]) {
    candidates.sort_unstable_by(|a, b| {
        let by_endpoint = || a.cloudlet.endpoint.cmp(&b.cloudlet.endpoint);
        a.order.cmp(&b.order).then_with(by_endpoint)
    });
}

/// Rendezvous hashing (Thaler and Ravishankar, 1996) of a request over endpoints: equal requests get equal orders, also after a restart
/// and at another replica, and a cloudlet that comes or goes moves nobody else's placement.
#[derive(Debug, Clone)]
pub(super) struct RendezvousHash(Sha256);

impl RendezvousHash {
    pub(super) fn new(recipe: Uuid, key: &PublicKey) -> Self {
        Self(
            Sha256::new()
                .chain_update(recipe.as_bytes())
                .chain_update(key.as_bytes()),
        )
    }

    /// The first 8 bytes of SHA-256(uuid ‖ key ‖ normalised endpoint), big-endian.
    pub(super) fn of(&self, endpoint: &Endpoint) -> u64 {
        let digest = self.0.clone().chain_update(endpoint.as_str()).finalize();
        digest
            .iter()
            .take(8)
            .fold(0, |hash, byte| hash << 8 | u64::from(*byte))
    }
}
