//! Which cloudlets are asked for a deployment, in which order.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use sinfonia_core::client::ClientInfo;
use sinfonia_core::cloudlet::CandidateInfo;
use sinfonia_core::endpoint::Endpoint;
use sinfonia_core::key::PublicKey;
use sinfonia_core::policy::Policy;
use sinfonia_core::ranking::{
    self, Conditions, Matcher, OrderKey, Ranking, RankingRequest, RankingRules,
};
use uuid::Uuid;

use crate::circuits::{self, Circuits};
use crate::registry::Known;

/// Whom a deployment is for, and where it may go.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wish<'a> {
    /// The recipe.
    pub(crate) recipe: Uuid,
    /// What the recipe requires and prefers.
    pub(crate) policy: &'a Policy,
    /// The device's key.
    pub(crate) key: &'a PublicKey,
    /// The device.
    pub(crate) client: ClientInfo,
    /// The only cloudlet that may get it, where there is but one.
    pub(crate) only: Option<Uuid>,
    /// The cloudlets that must not get it.
    pub(crate) exclude: &'a [Uuid],
    /// The endpoints that serve this recipe and key already.
    pub(crate) remembered: &'a [Endpoint],
    /// Which cloudlets are asked after others.
    pub(crate) circuits: &'a Circuits,
}

/// A cloudlet that may get the deployment.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Candidate {
    /// The cloudlet.
    pub(crate) known: Arc<Known>,
    /// The matcher that yielded it.
    pub(crate) matcher: Matcher,
    /// Kilometres to the client, where both places are known.
    pub(crate) distance_km: Option<f64>,
    /// What decided its place.
    pub(crate) order: OrderKey,
}

/// Who may get a deployment.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Choice {
    /// Those that may, best first.
    pub(crate) candidates: Vec<Candidate>,
    /// How many may not.
    pub(crate) excluded: Excluded,
}

/// How many cloudlets each rule excluded from a request.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Excluded(BTreeMap<&'static str, usize>);

impl Excluded {
    /// Counts the exclusions of a ranking.
    fn of(ranking: &Ranking<'_>) -> Self {
        let mut counts = BTreeMap::new();
        for (_, exclusion) in &ranking.excluded {
            *counts.entry(exclusion.rule()).or_default() += 1;
        }
        Self(counts)
    }

    /// The rules with their counts.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&'static str, usize)> {
        self.0.iter().map(|(rule, count)| (*rule, *count))
    }
}

impl fmt::Display for Excluded {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts: Vec<String> = self
            .iter()
            .map(|(rule, count)| format!("{rule}={count}"))
            .collect();
        formatter.write_str(&counts.join(" "))
    }
}

/// Ranks the cloudlets of a snapshot, as they are now, for a wish.
pub(crate) fn rank<'a>(
    snapshot: &'a [Arc<Known>],
    wish: &Wish<'_>,
    rules: RankingRules<'_>,
    now: Timestamp,
) -> Ranking<'a> {
    let is_remembered = |known: &&Arc<Known>| wish.remembered.contains(&known.cloudlet.endpoint);
    let remembered: Vec<Uuid> = if wish.remembered.is_empty() {
        Vec::new()
    } else {
        let remembered = snapshot.iter().filter(is_remembered);
        remembered.map(|known| known.cloudlet.uuid).collect()
    };
    let request = RankingRequest {
        recipe: wish.recipe,
        policy: wish.policy,
        key: wish.key,
        client: wish.client,
        remembered: &remembered,
    };
    let may_get_it = |known: &&Arc<Known>| {
        let uuid = known.cloudlet.uuid;
        wish.only.is_none_or(|only| only == uuid) && !wish.exclude.contains(&uuid)
    };
    let (cloudlets, instant) = (snapshot.iter().filter(may_get_it), circuits::now());
    let cloudlets = cloudlets.map(|known| {
        let conditions = known.conditions(now);
        let endpoint = &known.cloudlet.endpoint;
        let class = wish.circuits.class(conditions.class, endpoint, instant);
        (
            &known.cloudlet,
            Conditions {
                class,
                ..conditions
            },
        )
    });
    ranking::rank(request, rules, cloudlets)
}

impl Choice {
    /// The first cloudlets of a ranking, at most this many. `snapshot` is the one that was ranked, ordered by endpoint.
    pub(crate) fn new(snapshot: &[Arc<Known>], ranking: &Ranking<'_>, most: usize) -> Self {
        let best = ranking.candidates.iter().take(most);
        let candidates = best.filter_map(|candidate| {
            let endpoint = &candidate.cloudlet.endpoint;
            let place = snapshot.binary_search_by(|known| known.cloudlet.endpoint.cmp(endpoint));
            Some(Candidate {
                known: Arc::clone(snapshot.get(place.ok()?)?),
                matcher: candidate.matcher,
                distance_km: candidate.distance_km,
                order: candidate.order,
            })
        });
        Self {
            candidates: candidates.collect(),
            excluded: Excluded::of(ranking),
        }
    }
}

impl Candidate {
    /// The candidate as a list shows it, with its place counted from 1.
    pub(crate) fn info(&self, rank: usize) -> CandidateInfo {
        CandidateInfo {
            cloudlet: self.known.cloudlet.info(),
            rank: Some(rank),
            matcher: Some(self.matcher.to_string()),
            distance_km: self.distance_km,
        }
    }
}
