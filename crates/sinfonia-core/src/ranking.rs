//! Which cloudlets serve a client, best first, and why.
//!
//! First cloudlets are excluded, each with the rule that did it; then those left are ordered. The order is that of one sort key,
//! [`OrderKey`], so that every decision can be told from its parts: `GET` shows it, `POST` follows it, `/explain` prints it.

mod exclusion;
mod explanation;
mod order;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use self::exclusion::Exclusion;
pub use self::explanation::{ExplainedCandidate, ExplainedClient, ExplainedExclusion, Explanation};
pub use self::order::OrderKey;
use crate::client::ClientInfo;
use crate::cloudlet::Cloudlet;
use crate::key::PublicKey;

/// What orders cloudlets. The answer is the concatenation of what each yields of those that earlier ones left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Matcher {
    /// Yields the cloudlets whose `local_networks` hold the client.
    Network,
    /// Yields the cloudlets whose distance to the client is known, nearest first.
    Location,
    /// Yields every cloudlet, in an order that is random between requests and equal for equal ones.
    Random,
}

impl Matcher {
    /// All matchers, in the order of `--list-matchers`, which is the default order too.
    pub const ALL: [Self; 3] = [Self::Network, Self::Location, Self::Random];

    /// What it does, in a line.
    pub const fn description(self) -> &'static str {
        match self {
            Self::Network => "cloudlets whose local_networks hold the client",
            Self::Location => "cloudlets by distance from the client, nearest first",
            Self::Random => "whatever is left, in an order that is the same for the same request",
        }
    }
}

impl fmt::Display for Matcher {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Network => "network",
            Self::Location => "location",
            Self::Random => "random",
        })
    }
}

/// A name that is none of a matcher.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a matcher: expected network, location or random")]
pub struct UnknownMatcher(String);

impl FromStr for Matcher {
    type Err = UnknownMatcher;

    fn from_str(text: &str) -> Result<Self, UnknownMatcher> {
        let found = Self::ALL
            .into_iter()
            .find(|matcher| matcher.to_string() == text);
        found.ok_or_else(|| UnknownMatcher(text.escape_default().take(40).collect()))
    }
}

/// How willing a cloudlet is; a worse class comes after every better one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// Nothing speaks against it.
    Normal,
    /// Requests to it keep failing, or it asked for a pause.
    CircuitOpen,
    /// It says that it takes no new deployments.
    Draining,
}

impl Class {
    /// The class of a cloudlet by what it says of itself.
    pub const fn of(cloudlet: &Cloudlet) -> Self {
        if cloudlet.draining {
            Self::Draining
        } else {
            Self::Normal
        }
    }
}

/// What is asked for, and by whom.
#[derive(Debug, Clone, Copy)]
pub struct RankingRequest<'a> {
    /// The recipe.
    pub recipe: Uuid,
    /// The device's key.
    pub key: &'a PublicKey,
    /// The device.
    pub client: ClientInfo,
    /// The cloudlets that serve this recipe and key already; they come first where they are eligible.
    pub remembered: &'a [Uuid],
}

/// A cloudlet that may serve the client, with what decided its place.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Candidate<'a> {
    /// The cloudlet.
    pub cloudlet: &'a Cloudlet,
    /// The matcher that yielded it.
    pub matcher: Matcher,
    /// Kilometres from the client to its closest location, where both are known.
    pub distance_km: Option<f64>,
    /// Its place among the others.
    pub order: OrderKey,
}

/// Who may serve a client, and why the others may not.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Ranking<'a> {
    /// Best first.
    pub candidates: Vec<Candidate<'a>>,
    /// Those left out, in the order in which they came.
    pub excluded: Vec<(&'a Cloudlet, Exclusion)>,
}

/// Ranks cloudlets for a request, each in the class that it says itself.
pub fn rank<'a>(
    request: &RankingRequest<'_>,
    cloudlets: impl IntoIterator<Item = &'a Cloudlet>,
    matchers: &[Matcher],
) -> Ranking<'a> {
    rank_in_classes(request, cloudlets, matchers, Class::of)
}

/// Ranks cloudlets for a request, each in the class that `class` tells. Each cloudlet is in exactly one of the two lists, once, whatever
/// the order of the input.
pub fn rank_in_classes<'a>(
    request: &RankingRequest<'_>,
    cloudlets: impl IntoIterator<Item = &'a Cloudlet>,
    matchers: &[Matcher],
    class: impl Fn(&Cloudlet) -> Class,
) -> Ranking<'a> {
    let hash = order::RendezvousHash::new(request.recipe, request.key);
    let mut ranking = Ranking::default();
    for cloudlet in cloudlets {
        match judge(request, cloudlet, matchers, &hash, &class) {
            Ok(candidate) => ranking.candidates.push(candidate),
            Err(exclusion) => ranking.excluded.push((cloudlet, exclusion)),
        }
    }
    ranking.candidates.sort_unstable_by(|a, b| {
        a.order
            .cmp(&b.order)
            .then_with(|| a.cloudlet.endpoint.cmp(&b.cloudlet.endpoint))
    });
    ranking
}

fn judge<'a>(
    request: &RankingRequest<'_>,
    cloudlet: &'a Cloudlet,
    matchers: &[Matcher],
    hash: &order::RendezvousHash,
    class: impl Fn(&Cloudlet) -> Class,
) -> Result<Candidate<'a>, Exclusion> {
    exclusion::check(request.client.address(), cloudlet)?;
    let distance_km = request
        .client
        .location()
        .and_then(|location| cloudlet.distance_km(&location));
    let yields = |matcher: &Matcher| match matcher {
        Matcher::Network => exclusion::is_local(request.client.address(), cloudlet),
        Matcher::Location => distance_km.is_some(),
        Matcher::Random => true,
    };
    let group = matchers
        .iter()
        .position(yields)
        .ok_or(Exclusion::NoMatcher)?;
    let matcher = matchers[group];
    let order = OrderKey {
        remembered: request.remembered.contains(&cloudlet.uuid),
        class: class(cloudlet),
        group,
        distance_km: distance_km.filter(|_| matcher != Matcher::Random),
        hash: hash.of(&cloudlet.endpoint),
    };
    Ok(Candidate {
        cloudlet,
        matcher,
        distance_km,
        order,
    })
}

#[cfg(test)]
mod tests;
