//! Which cloudlets are asked for a deployment, in which order.

use std::sync::Arc;

use sinfonia_core::client::ClientInfo;
use sinfonia_core::cloudlet::{CandidateInfo, Cloudlet};
use sinfonia_core::endpoint::Endpoint;
use sinfonia_core::key::PublicKey;
use sinfonia_core::policy::Policy;
use sinfonia_core::ranking::{self, Conditions, Matcher, Ranking, RankingRequest, RankingRules};
use uuid::Uuid;

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
}

/// Ranks the cloudlets of a snapshot for a wish.
pub(crate) fn rank<'a>(
    snapshot: &'a [Arc<Known>],
    wish: &Wish<'_>,
    rules: RankingRules<'_>,
) -> Ranking<'a> {
    let cloudlets = || snapshot.iter().map(|known| &known.cloudlet);
    let is_remembered = |cloudlet: &&Cloudlet| wish.remembered.contains(&cloudlet.endpoint);
    let remembered: Vec<Uuid> = if wish.remembered.is_empty() {
        Vec::new()
    } else {
        let remembered = cloudlets().filter(is_remembered);
        remembered.map(|cloudlet| cloudlet.uuid).collect()
    };
    let request = RankingRequest {
        recipe: wish.recipe,
        policy: wish.policy,
        key: wish.key,
        client: wish.client,
        remembered: &remembered,
    };
    let may_get_it = |cloudlet: &&Cloudlet| {
        wish.only.is_none_or(|only| only == cloudlet.uuid) && !wish.exclude.contains(&cloudlet.uuid)
    };
    let conditions = |cloudlet| (cloudlet, Conditions::default());
    ranking::rank(
        request,
        rules,
        cloudlets().filter(may_get_it).map(conditions),
    )
}

/// The first cloudlets of a ranking, best first, at most this many. `snapshot` is the one that was ranked, ordered by endpoint.
pub(crate) fn candidates(
    snapshot: &[Arc<Known>],
    ranking: &Ranking<'_>,
    most: usize,
) -> Vec<Candidate> {
    let best = ranking.candidates.iter().take(most);
    best.filter_map(|candidate| {
        let endpoint = &candidate.cloudlet.endpoint;
        let place = snapshot.binary_search_by(|known| known.cloudlet.endpoint.cmp(endpoint));
        Some(Candidate {
            known: Arc::clone(snapshot.get(place.ok()?)?),
            matcher: candidate.matcher,
            distance_km: candidate.distance_km,
        })
    })
    .collect()
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
