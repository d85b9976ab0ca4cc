//! What Tier 1 knows, and what it makes of it.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use sinfonia_core::circuit::{Circuit, Outcome};
use sinfonia_core::cloudlet::{Cloudlet, Measurement, Resources};
use sinfonia_core::endpoint::Endpoint;
use sinfonia_core::load::Load;
use sinfonia_core::policy::Policy;
use sinfonia_core::ranking::{self, Class, Conditions, RankingRequest};
use sinfonia_tier1::placements::Placements;
use sinfonia_tier1::tally::{Counted, Tally};
use uuid::Uuid;

use super::site::{Holder, Report};
use super::{REPORT_INTERVAL_S, Request, Rules, Site};

/// Seconds for which Tier 1 remembers who serves a device.
pub(super) const LEASE_S: u32 = 300;
/// The `Retry-After` of a Tier 2 that is full, for which Tier 1 asks others first.
const FULL_PAUSE: Duration = Duration::from_secs(60);

/// A cloudlet that may be asked.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Candidate {
    /// Its place in the fleet.
    pub(super) site: usize,
    /// Kilometres to its closest location, where both places are known.
    pub(super) distance_km: Option<f64>,
    /// Whether it serves the device already, as far as Tier 1 knows.
    pub(super) is_remembered: bool,
}

/// Tier 1's state. Cloudlets go by their places in the fleet.
pub(super) struct Tier1<'a> {
    rules: Rules<'a>,
    known: Vec<Known>,
    places: HashMap<Endpoint, usize>,
    placements: Placements,
    /// The start, by the clock of circuits, of which only differences count.
    start: Instant,
}

/// A cloudlet as of its last report, and what counts the placements since then.
struct Known {
    cloudlet: Cloudlet,
    load: Load,
    tally: Tally,
    circuit: Circuit,
    reported_s: f64,
}

impl<'a> Tier1<'a> {
    /// Knows what the file says.
    pub(super) fn new(fleet: &[Site], rules: Rules<'a>) -> Self {
        let endpoints = fleet.iter().map(|site| site.cloudlet.endpoint.clone());
        let known = fleet.iter().map(|site| Known {
            cloudlet: site.cloudlet.clone(),
            load: Load::default(),
            tally: Tally::default(),
            circuit: Circuit::default(),
            reported_s: 0.0,
        });
        Self {
            rules,
            known: known.collect(),
            places: endpoints.zip(0..).collect(),
            placements: Placements::new(SignedDuration::from_secs(LEASE_S.into()), usize::MAX),
            start: Instant::now(),
        }
    }

    /// Takes what a cloudlet measures; what its file says besides stays.
    pub(super) fn take_report(&mut self, site: usize, report: Report, now_s: f64) {
        // What nobody renewed counts no more.
        self.placements.expire(time(now_s));
        let known = &mut self.known[site];
        let measured = [
            ("cpu_ratio", report.cpu_ratio),
            ("deployments", report.deployments),
        ];
        let mut resources = Resources::from(&known.cloudlet.resources);
        for (name, value) in measured {
            if let Ok(value) = Measurement::try_from(value) {
                resources.insert(name.to_owned(), value);
            }
        }
        known.cloudlet.resources = resources.into();
        known.load = known.load.reported(
            self.rules.thresholds,
            &known.cloudlet.resources,
            known.tally.report(),
            Some(REPORT_INTERVAL_S),
        );
        known.reported_s = now_s;
    }

    /// The cloudlets to ask, best first.
    pub(super) fn candidates(&self, request: &Request, now_s: f64) -> Vec<Candidate> {
        let remembered: Vec<Uuid> = self
            .placements
            .remembered(request.recipe, &request.key, time(now_s))
            .iter()
            .map(|endpoint| self.known[self.places[endpoint]].cloudlet.uuid)
            .collect();
        let wish = RankingRequest {
            recipe: request.recipe,
            policy: &Policy::default(),
            key: &request.key,
            client: request.client,
            remembered: &remembered,
        };
        let known = self.known.iter();
        let known = known.map(|known| (&known.cloudlet, self.conditions(known, now_s)));
        let ranking = ranking::rank(wish, self.rules.ranking, known);
        let best = ranking.candidates.iter();
        best.take(self.rules.ranking.shortlist)
            .map(|candidate| Candidate {
                site: self.places[&candidate.cloudlet.endpoint],
                distance_km: candidate.distance_km,
                is_remembered: candidate.order.remembered,
            })
            .collect()
    }

    /// Takes in what a cloudlet answered at once. No passage is refused: who is asked at an open circuit was ranked with it open just now.
    pub(super) fn answered(&mut self, site: usize, is_full: bool, now_s: f64) {
        let at = self.instant(now_s);
        let circuit = &mut self.known[site].circuit;
        let outcome = if is_full {
            Outcome::Pause(FULL_PAUSE)
        } else {
            Outcome::Answered
        };
        let passage = circuit.begin(at);
        circuit.end(passage, outcome, at);
    }

    /// Counts a deployment from now on, before the cloudlet is asked for it.
    pub(super) fn count(&self, site: usize, was_there: bool) -> Counted {
        self.known[site].tally.count(was_there)
    }

    /// Remembers that a cloudlet has just agreed to serve.
    pub(super) fn remember(&self, holder: Holder, site: usize, counted: Counted, now_s: f64) {
        let endpoint = self.known[site].cloudlet.endpoint.clone();
        let served = [(endpoint, counted.keep())];
        self.placements
            .remember(holder.recipe, &holder.key, served, time(now_s));
    }

    /// Forgets that a cloudlet serves, because it refused.
    pub(super) fn forget(&self, holder: Holder, site: usize) {
        let endpoint = &self.known[site].cloudlet.endpoint;
        self.placements.forget(holder.recipe, &holder.key, endpoint);
    }

    fn conditions(&self, known: &Known, now_s: f64) -> Conditions {
        let placed = known.tally.placed().since_report;
        let age_s = now_s - known.reported_s;
        let mut conditions = known.load.conditions(placed, Some(age_s));
        if known.circuit.is_avoided(self.instant(now_s)) {
            conditions.class = conditions.class.max(Class::CircuitOpen);
        }
        conditions
    }

    fn instant(&self, now_s: f64) -> Instant {
        self.start + Duration::from_secs_f64(now_s)
    }
}

fn time(seconds: f64) -> Timestamp {
    Timestamp::UNIX_EPOCH + SignedDuration::from_secs_f64(seconds)
}
