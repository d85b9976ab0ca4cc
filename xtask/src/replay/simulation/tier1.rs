//! What Tier 1 knows, and what it makes of it.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};
use sinfonia_core::cloudlet::{Cloudlet, Measurement};
use sinfonia_core::endpoint::Endpoint;
use sinfonia_core::ranking::{self, RankingRequest};
use sinfonia_tier1::placements::Placements;
use uuid::Uuid;

use super::site::{Answer, SiteState};
use super::{Request, Rules, Site};

/// Most cloudlets that one request falls over to.
const SHORTLIST: usize = 64;
/// How long Tier 1 remembers who serves a device.
const LEASE: SignedDuration = SignedDuration::from_secs(300);

/// A cloudlet that may be asked.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Candidate {
    /// Its place in the fleet.
    pub(super) site: usize,
    /// Kilometres to its closest location, where both places are known.
    pub(super) distance_km: Option<f64>,
}

/// Tier 1's state. Cloudlets go by their places in the fleet.
pub(super) struct Tier1<'a> {
    rules: Rules<'a>,
    known: Vec<Cloudlet>,
    places: HashMap<Endpoint, usize>,
    placements: Placements,
}

impl<'a> Tier1<'a> {
    pub(super) fn new(fleet: &[Site], rules: Rules<'a>) -> Self {
        let known: Vec<Cloudlet> = fleet.iter().map(|site| site.cloudlet.clone()).collect();
        let endpoints = known.iter().map(|cloudlet| cloudlet.endpoint.clone());
        Self {
            rules,
            places: endpoints.zip(0..).collect(),
            known,
            placements: Placements::new(LEASE, usize::MAX),
        }
    }

    /// Takes what a cloudlet measures; what its file says besides stays.
    pub(super) fn take_report(&mut self, site: usize, state: &SiteState, _now_s: f64) {
        let measured = [
            ("cpu_ratio", state.utilisation()),
            ("deployments", state.deployments() as f64),
        ];
        for (name, value) in measured {
            if let Ok(value) = Measurement::try_from(value) {
                self.known[site].resources.insert(name.to_owned(), value);
            }
        }
    }

    /// The cloudlets to ask, best first.
    pub(super) fn candidates(&self, request: &Request, now_s: f64) -> Vec<Candidate> {
        let remembered: Vec<Uuid> = self
            .placements
            .remembered(request.recipe, &request.key, time(now_s))
            .iter()
            .map(|endpoint| self.known[self.places[endpoint]].uuid)
            .collect();
        let wish = RankingRequest {
            recipe: request.recipe,
            key: &request.key,
            client: request.client,
            remembered: &remembered,
        };
        let ranking = ranking::rank(&wish, &self.known, self.rules.matchers);
        let best = ranking.candidates.iter().take(SHORTLIST);
        best.map(|candidate| Candidate {
            site: self.places[&candidate.cloudlet.endpoint],
            distance_km: candidate.distance_km,
        })
        .collect()
    }

    /// Whether a cloudlet of which so much is in use takes new devices after all others only.
    pub(super) fn is_overloaded(&self, utilisation: f64) -> bool {
        utilisation > 0.9
    }

    /// Remembers who serves a device. It renews its lease as long as it is served, until `until_s`.
    pub(super) fn note_placement(
        &mut self,
        site: usize,
        request: &Request,
        _answer: Answer,
        until_s: f64,
    ) {
        let endpoint = self.known[site].endpoint.clone();
        self.placements
            .remember(request.recipe, &request.key, &[endpoint], time(until_s));
    }
}

fn time(seconds: f64) -> Timestamp {
    Timestamp::UNIX_EPOCH + SignedDuration::from_secs_f64(seconds)
}
