//! What Tier 1 knows, and what it makes of it.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};
use sinfonia_core::cloudlet::{Cloudlet, Measurement};
use sinfonia_core::endpoint::Endpoint;
use sinfonia_core::policy::Policy;
use sinfonia_core::ranking::{self, Conditions, RankingRequest, RankingRules};
use sinfonia_tier1::placements::Placements;
use uuid::Uuid;

use super::site::{Answer, SiteState};
use super::{Request, Site};

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

/// When a cloudlet reported last, and what it got since then.
#[derive(Debug, Clone, Copy, Default)]
struct LastReport {
    time_s: f64,
    placed: u32,
}

/// Tier 1's state. Cloudlets go by their places in the fleet.
pub(super) struct Tier1<'a> {
    rules: RankingRules<'a>,
    known: Vec<Cloudlet>,
    reports: Vec<LastReport>,
    places: HashMap<Endpoint, usize>,
    placements: Placements,
}

impl<'a> Tier1<'a> {
    pub(super) fn new(fleet: &[Site], rules: RankingRules<'a>) -> Self {
        let known: Vec<Cloudlet> = fleet.iter().map(|site| site.cloudlet.clone()).collect();
        let endpoints = known.iter().map(|cloudlet| cloudlet.endpoint.clone());
        Self {
            rules,
            places: endpoints.zip(0..).collect(),
            reports: vec![LastReport::default(); known.len()],
            known,
            placements: Placements::new(LEASE, usize::MAX),
        }
    }

    /// Takes what a cloudlet measures; what its file says besides stays.
    pub(super) fn take_report(&mut self, site: usize, state: &SiteState, now_s: f64) {
        self.reports[site] = LastReport {
            time_s: now_s,
            placed: 0,
        };
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
            policy: &Policy::default(),
            key: &request.key,
            client: request.client,
            remembered: &remembered,
        };
        let conditions = self.reports.iter().map(|report| report.conditions(now_s));
        let ranking = ranking::rank(wish, self.rules, self.known.iter().zip(conditions));
        let best = ranking.candidates.iter().take(self.rules.shortlist);
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
        answer: Answer,
        until_s: f64,
    ) {
        if answer == Answer::Taken {
            self.reports[site].placed += 1;
        }
        let endpoint = self.known[site].endpoint.clone();
        self.placements
            .remember(request.recipe, &request.key, &[endpoint], time(until_s));
    }
}

impl LastReport {
    fn conditions(self, now_s: f64) -> Conditions {
        Conditions {
            deployments: Some(f64::from(self.placed)),
            age_s: Some(now_s - self.time_s),
            ..Conditions::default()
        }
    }
}

fn time(seconds: f64) -> Timestamp {
    Timestamp::UNIX_EPOCH + SignedDuration::from_secs_f64(seconds)
}
