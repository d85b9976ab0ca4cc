//! Which cloudlets serve a client, best first, and why.
//!
//! Each cloudlet is judged by itself: it is excluded, with the rule that did it, or becomes a candidate with a sort key, [`OrderKey`].
//! Candidates are ordered by their keys; the first of them, the shortlist, are then refined by what recipe and operator prefer and by
//! measured round trips. So every decision can be told from its parts: `GET` shows it, `POST` follows it, `/explain` prints it.

mod exclusion;
mod explanation;
mod matcher;
mod order;
mod refinement;

use std::cell::Cell;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use self::exclusion::{Exclusion, Owner};
pub use self::explanation::{
    ExplainedCandidate, ExplainedClient, ExplainedExclusion, ExplainedParts, Explanation,
};
pub use self::matcher::{Matcher, UnknownMatcher};
pub use self::order::OrderKey;
use self::order::order;
pub use self::refinement::Refinement;
use crate::client::ClientInfo;
use crate::cloudlet::Cloudlet;
use crate::key::PublicKey;
use crate::location::Location;
use crate::policy::{Facts, Policy};

/// How willing a cloudlet is; a worse class comes after every better one.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Default,
    Serialize,
    Deserialize,
    JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// Nothing speaks against it.
    #[default]
    Normal,
    /// It is busier than the operator wants a cloudlet to be.
    Overloaded,
    /// Requests to it keep failing, or it asked for a pause.
    CircuitOpen,
    /// It says that it takes no new deployments.
    Draining,
}

impl fmt::Display for Class {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Normal => "normal",
            Self::Overloaded => "overloaded",
            Self::CircuitOpen => "circuit open",
            Self::Draining => "draining",
        })
    }
}

/// How a cloudlet is at the moment, for one client. What is not known is neutral.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Conditions {
    /// How willing it is, as far as the ranker has to be told: that it drains it says itself.
    pub class: Class,
    /// The round trip that the client measured, in milliseconds.
    pub rtt_ms: Option<f64>,
    /// Deployments that were placed there since its last report.
    pub deployments: Option<f64>,
    /// Seconds since its last report; `None` where it never did, so that its measurements, if there are any, are always good.
    pub age_s: Option<f64>,
}

/// What is asked for, and by whom.
#[derive(Debug, Clone, Copy)]
pub struct RankingRequest<'a> {
    /// The recipe.
    pub recipe: Uuid,
    /// What the recipe requires and prefers.
    pub policy: &'a Policy,
    /// The device's key.
    pub key: &'a PublicKey,
    /// The device.
    pub client: ClientInfo,
    /// The cloudlets that serve this recipe and key already; they come first where they are eligible.
    pub remembered: &'a [Uuid],
}

/// How the operator wants requests to be ranked.
#[derive(Debug, Clone, Copy)]
pub struct RankingRules<'a> {
    /// The matchers in use, in their order.
    pub matchers: &'a [Matcher],
    /// What the operator requires and prefers.
    pub policy: &'a Policy,
    /// How many of the first candidates are refined.
    pub shortlist: usize,
}

/// A cloudlet that may serve the client, with what decided its place.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Candidate<'a> {
    /// The cloudlet.
    pub cloudlet: &'a Cloudlet,
    /// How it is.
    pub conditions: Conditions,
    /// The matcher that yielded it.
    pub matcher: Matcher,
    /// Kilometres from the client to its closest location, where both are known.
    pub distance_km: Option<f64>,
    /// Its place among all others.
    pub order: OrderKey,
    /// Its place within the shortlist.
    pub refinement: Refinement,
}

/// Who may serve a client, and why the others may not.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Ranking<'a> {
    /// Best first.
    pub candidates: Vec<Candidate<'a>>,
    /// Those left out, in the order in which they came.
    pub excluded: Vec<(&'a Cloudlet, Exclusion)>,
}

/// Judges cloudlets one by one for a request, and refines the first of them.
#[derive(Debug, Clone)]
pub struct Ranker<'a> {
    request: RankingRequest<'a>,
    rules: RankingRules<'a>,
    hash: order::RendezvousHash,
    /// The last distance, in kilometres: many cloudlets are at one place, and an index tells them in a row.
    last: Cell<Option<(Location, f64)>>,
}

/// Ranks cloudlets for a request. Each cloudlet is in exactly one of the two lists, once, whatever the order of the input.
pub fn rank<'a>(
    request: RankingRequest<'_>,
    rules: RankingRules<'_>,
    cloudlets: impl IntoIterator<Item = (&'a Cloudlet, Conditions)>,
) -> Ranking<'a> {
    let ranker = Ranker::new(request, rules);
    let mut ranking = Ranking::default();
    for (cloudlet, conditions) in cloudlets {
        match ranker.judge(cloudlet, conditions) {
            Ok(candidate) => ranking.candidates.push(candidate),
            Err(exclusion) => ranking.excluded.push((cloudlet, exclusion)),
        }
    }
    order(&mut ranking.candidates);
    ranker.refine(&mut ranking.candidates);
    ranking
}

impl<'a> Ranker<'a> {
    /// Prepares to judge cloudlets for a request.
    pub fn new(request: RankingRequest<'a>, rules: RankingRules<'a>) -> Self {
        let hash = order::RendezvousHash::new(request.recipe, request.key);
        Self {
            request,
            rules,
            hash,
            last: Cell::default(),
        }
    }

    /// Makes a cloudlet a candidate, or excludes it.
    ///
    /// # Errors
    /// The first rule that excludes it; those of expressions come last, because they take longest.
    pub fn judge<'c>(
        &self,
        cloudlet: &'c Cloudlet,
        conditions: Conditions,
    ) -> Result<Candidate<'c>, Exclusion> {
        exclusion::check_networks(self.request.client.address(), cloudlet)?;
        exclusion::check_recipes(self.request.recipe, cloudlet)?;
        let distance_km = self.distance_km(cloudlet);
        let (group, matcher) = self
            .yielded(cloudlet, distance_km)
            .ok_or(Exclusion::NoMatcher)?;
        self.check_policies(cloudlet, distance_km, conditions)?;
        let order = OrderKey {
            remembered: self.request.remembered.contains(&cloudlet.uuid),
            class: class(cloudlet, conditions),
            group,
            distance_km: distance_km.filter(|_| matcher != Matcher::Random),
            hash: self.hash.of(&cloudlet.endpoint),
        };
        Ok(Candidate {
            cloudlet,
            conditions,
            matcher,
            distance_km,
            order,
            refinement: Refinement::default(),
        })
    }

    /// Whether the recipe or the operator prefers some cloudlets. If not, and if no round trip was measured, refining changes nothing.
    pub fn has_preferences(&self) -> bool {
        self.request.policy.has_preference() || self.rules.policy.has_preference()
    }

    /// Sorts the first of ordered candidates anew, by what is preferred and measured. Takes all candidates or at least the shortlist.
    pub fn refine(&self, candidates: &mut [Candidate<'_>]) {
        let length = self.rules.shortlist.min(candidates.len());
        let (shortlist, _) = candidates.split_at_mut(length);
        let policies = [self.request.policy, self.rules.policy];
        refinement::refine(shortlist, policies, |policy, candidate| {
            policy.preference(&self.facts(
                candidate.cloudlet,
                candidate.distance_km,
                candidate.conditions,
            ))
        });
    }

    fn distance_km(&self, cloudlet: &Cloudlet) -> Option<f64> {
        let from = self.request.client.location()?;
        let distance = |to: &Location| {
            let last = self.last.get().filter(|(last, _)| last == to);
            let distance = last.map_or_else(|| from.distance_km(to), |(_, distance)| distance);
            self.last.set(Some((*to, distance)));
            distance
        };
        let distances = cloudlet.locations.iter().map(distance);
        distances.min_by(f64::total_cmp)
    }

    /// The first matcher that yields a cloudlet, with its place among those in use.
    fn yielded(&self, cloudlet: &Cloudlet, distance_km: Option<f64>) -> Option<(usize, Matcher)> {
        let yields = |matcher: Matcher| match matcher {
            Matcher::Network => exclusion::is_local(self.request.client.address(), cloudlet),
            Matcher::Location => distance_km.is_some(),
            Matcher::Random => true,
        };
        let mut matchers = self.rules.matchers.iter().copied().enumerate();
        matchers.find(|(_, matcher)| yields(*matcher))
    }

    fn check_policies(
        &self,
        cloudlet: &Cloudlet,
        distance_km: Option<f64>,
        conditions: Conditions,
    ) -> Result<(), Exclusion> {
        let policies = [
            (Owner::Recipe, self.request.policy),
            (Owner::Operator, self.rules.policy),
        ];
        policies.into_iter().try_for_each(|(owner, policy)| {
            let facts = self.facts(cloudlet, distance_km, conditions);
            policy.check(&facts).map_err(|unmet| Exclusion::Unmet {
                owner,
                unmet: Box::new(unmet),
            })
        })
    }

    fn facts<'f>(
        &'f self,
        cloudlet: &'f Cloudlet,
        distance_km: Option<f64>,
        conditions: Conditions,
    ) -> Facts<'f> {
        Facts {
            cloudlet,
            client: &self.request.client,
            distance_km,
            rtt_ms: conditions.rtt_ms,
            deployments: conditions.deployments,
            age_s: conditions.age_s,
        }
    }
}

fn class(cloudlet: &Cloudlet, conditions: Conditions) -> Class {
    if cloudlet.draining {
        Class::Draining
    } else {
        conditions.class
    }
}

#[cfg(test)]
mod tests;
