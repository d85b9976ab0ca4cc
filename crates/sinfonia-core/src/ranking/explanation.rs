//! A ranking as `GET /explain` answers it.

use std::net::IpAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Candidate, Class, Matcher, OrderKey, Ranking, Refinement};
use crate::client::ClientInfo;
use crate::deployment::CloudletReference;
use crate::location::Location;

/// The client as Tier 1 saw it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ExplainedClient {
    /// Its address.
    pub address: IpAddr,
    /// Its place, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<Location>,
}

/// A candidate with its place and what decided it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ExplainedCandidate {
    /// Its place, 1 is tried first.
    pub rank: usize,
    /// The cloudlet.
    pub cloudlet: CloudletReference,
    /// The matcher that yielded it.
    pub matcher: Matcher,
    /// Kilometres to the client, where both places are known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distance_km: Option<f64>,
    /// The round trip that the client measured, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rtt_ms: Option<f64>,
    /// How willing it is.
    pub class: Class,
    /// The parts of its sort key.
    pub parts: ExplainedParts,
}

/// What decided a candidate's place: the first part that differs, where those of the refinement come before the distance.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ExplainedParts {
    /// Its place among all others.
    #[serde(flatten)]
    pub order: OrderKey,
    /// Its place within the shortlist; nothing where it did not come to that.
    #[serde(flatten)]
    pub refinement: Refinement,
}

/// A cloudlet that was left out, and why.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ExplainedExclusion {
    /// The cloudlet.
    pub cloudlet: CloudletReference,
    /// The rule that excluded it.
    pub rule: String,
    /// What the rule looked at.
    pub values: Map<String, Value>,
    /// The same in words, which complete "the cloudlet …".
    #[serde(default)]
    pub reason: String,
}

/// Who would get a client, and why not the others.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Explanation {
    /// The client.
    pub client: ExplainedClient,
    /// Best first.
    pub candidates: Vec<ExplainedCandidate>,
    /// How many there are in all; `candidates` may hold fewer. 0 where an older Tier 1 does not say it.
    #[serde(default)]
    pub candidates_total: usize,
    /// Those left out.
    pub excluded: Vec<ExplainedExclusion>,
    /// How many were left out in all; `excluded` may hold fewer.
    pub excluded_total: usize,
    /// Why it may not be the whole truth.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

impl Explanation {
    /// Tells a ranking, at most `limit` candidates and as many exclusions.
    pub fn new(client: &ClientInfo, ranking: &Ranking<'_>, limit: usize) -> Self {
        let candidates = ranking
            .candidates
            .iter()
            .zip(1..)
            .take(limit)
            .map(|(candidate, rank)| ExplainedCandidate::new(candidate, rank));
        let excluded = ranking
            .excluded
            .iter()
            .take(limit)
            .map(|(cloudlet, exclusion)| ExplainedExclusion {
                cloudlet: CloudletReference::from(*cloudlet),
                rule: exclusion.rule().to_owned(),
                values: exclusion.values(),
                reason: exclusion.to_string(),
            });
        Self {
            client: ExplainedClient {
                address: client.address(),
                location: client.location(),
            },
            candidates: candidates.collect(),
            candidates_total: ranking.candidates.len(),
            excluded: excluded.collect(),
            excluded_total: ranking.excluded.len(),
            note: None,
        }
    }
}

impl ExplainedCandidate {
    fn new(candidate: &Candidate<'_>, rank: usize) -> Self {
        Self {
            rank,
            cloudlet: CloudletReference::from(candidate.cloudlet),
            matcher: candidate.matcher,
            distance_km: candidate.distance_km,
            rtt_ms: candidate.conditions.rtt_ms,
            class: candidate.order.class,
            parts: ExplainedParts {
                order: candidate.order,
                refinement: candidate.refinement,
            },
        }
    }
}
