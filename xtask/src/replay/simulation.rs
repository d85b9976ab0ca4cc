//! What becomes of a trace on a fleet: the ranking that Tier 1 does, on a clock of its own. The same input gives the same result.

mod site;
mod tier1;

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use sinfonia_core::load::Thresholds;
use sinfonia_core::ranking::RankingRules;

use self::site::{Answer, Holder, SiteState};
use self::tier1::{Candidate, LEASE_S, Tier1};
use super::fleet::Site;
use super::trace::Request;

/// Seconds between two reports of a cloudlet.
const REPORT_INTERVAL_S: f64 = 15.0;
/// Points in time at which the utilisation is noted, besides the start: more than a drawing can show, and few enough for any trace.
const SAMPLES: u32 = 240;

/// How Tier 1 decides.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules<'a> {
    /// What orders the cloudlets.
    pub(crate) ranking: RankingRules<'a>,
    /// What makes them overloaded.
    pub(crate) thresholds: &'a Thresholds,
    /// The utilisation above which one is really overloaded, whatever Tier 1 knows of it.
    pub(crate) utilisation_limit: f64,
}

/// What happened.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Record {
    /// What became of each request, in the trace's order.
    pub(crate) outcomes: Vec<Outcome>,
    /// The share of each cloudlet that was in use, 0 to 1, averaged over the time from the start to the last request; in the fleet's order.
    pub(crate) utilisation: Vec<f64>,
    /// How the utilisation went, from the start to the last request.
    pub(crate) course: Vec<Sample>,
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Outcome {
    /// Where it was placed; `None` where it was rejected.
    pub(crate) placement: Option<Placement>,
    /// How many cloudlets were asked.
    pub(crate) tries: usize,
}

/// Where a request was placed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Placement {
    /// The cloudlet's place in the fleet.
    pub(crate) site: usize,
    /// Kilometres to its closest location, where both places are known.
    pub(crate) distance_km: Option<f64>,
    /// Whether it was overloaded already and got a deployment more.
    pub(crate) is_overload: bool,
}

/// The utilisation at one moment, each 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Sample {
    /// Seconds from the start.
    pub(crate) time_s: f64,
    /// The mean over all cloudlets.
    pub(crate) mean: f64,
    /// That of the cloudlet with the highest one.
    pub(crate) highest: f64,
}

impl Record {
    /// The placements, in the order of their requests.
    pub(crate) fn placements(&self) -> impl Iterator<Item = &Placement> {
        self.outcomes
            .iter()
            .filter_map(|outcome| outcome.placement.as_ref())
    }

    /// The known distances of the placements, in kilometres, shortest first.
    pub(crate) fn distances_km(&self) -> Vec<f64> {
        let mut distances: Vec<f64> = self
            .placements()
            .filter_map(|placement| placement.distance_km)
            .collect();
        distances.sort_by(f64::total_cmp);
        distances
    }
}

/// Something that happens. The earlier comes first; of one moment, what makes room before what takes it.
#[derive(Debug, Clone, Copy)]
struct Event {
    time_s: f64,
    what: What,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    /// The time of a deployment may be over.
    Departure(usize, Holder),
    /// A device that is still served asks its cloudlet to go on.
    Renewal(usize, Holder),
    /// A cloudlet reports.
    Report(usize),
    /// A device asks: the request's place in the trace.
    Arrival(usize),
    /// The utilisation is noted.
    Sample,
}

/// Plays a trace, whose requests are ordered by time, on a fleet.
pub(crate) fn simulate(trace: &[Request], fleet: &[Site], rules: Rules<'_>) -> Record {
    let end_s = trace.last().map_or(0.0, |request| request.time_s);
    let mut world = World::new(trace, fleet, rules, end_s);
    while let Some(Reverse(event)) = world.events.pop()
        && event.time_s <= end_s
    {
        world.happen(event);
    }
    Record {
        outcomes: world.outcomes,
        utilisation: world
            .sites
            .into_iter()
            .map(|site| site.average_utilisation(end_s))
            .collect(),
        course: world.course,
    }
}

struct World<'a> {
    trace: &'a [Request],
    sites: Vec<SiteState>,
    tier1: Tier1<'a>,
    utilisation_limit: f64,
    events: BinaryHeap<Reverse<Event>>,
    outcomes: Vec<Outcome>,
    course: Vec<Sample>,
}

impl<'a> World<'a> {
    /// All cloudlets are idle, and each has said so within the last interval, one after the other.
    fn new(trace: &'a [Request], fleet: &[Site], rules: Rules<'a>, end_s: f64) -> Self {
        let mut world = Self {
            trace,
            sites: fleet
                .iter()
                .map(|site| SiteState::new(site.capacity))
                .collect(),
            tier1: Tier1::new(fleet, rules),
            utilisation_limit: rules.utilisation_limit,
            events: BinaryHeap::new(),
            outcomes: Vec::with_capacity(trace.len()),
            course: Vec::new(),
        };
        for site in 0..fleet.len() {
            let first_s = REPORT_INTERVAL_S * site as f64 / fleet.len() as f64;
            world.report(site, first_s - REPORT_INTERVAL_S);
        }
        for (place, request) in trace.iter().enumerate() {
            world.schedule(request.time_s, What::Arrival(place));
        }
        for sample in 0..=SAMPLES {
            let share = f64::from(sample) / f64::from(SAMPLES);
            world.schedule(share * end_s, What::Sample);
        }
        world
    }

    fn schedule(&mut self, time_s: f64, what: What) {
        self.events.push(Reverse(Event { time_s, what }));
    }

    fn happen(&mut self, event: Event) {
        let now_s = event.time_s;
        match event.what {
            What::Departure(site, holder) => self.sites[site].end(&holder, now_s),
            What::Renewal(site, holder) => self.renew(site, holder, now_s),
            What::Report(site) => self.report(site, now_s),
            What::Arrival(place) => self.arrive(&self.trace[place], now_s),
            What::Sample => self.course.push(self.sample(now_s)),
        }
    }

    fn report(&mut self, site: usize, now_s: f64) {
        let report = self.sites[site].report(now_s);
        self.tier1.take_report(site, report, now_s);
        self.schedule(now_s + REPORT_INTERVAL_S, What::Report(site));
    }

    /// Asks cloudlet after cloudlet, as Tier 1 does, until one has room.
    fn arrive(&mut self, request: &Request, now_s: f64) {
        let holder = Holder::of(request);
        let candidates = self.tier1.candidates(request, now_s);
        let mut tried = candidates.iter();
        let placement = tried.find_map(|candidate| self.ask(candidate, request, now_s));
        let tries = candidates.len() - tried.len();
        if placement.is_some() {
            let refused = candidates.iter().take(tries - 1);
            refused.for_each(|candidate| self.tier1.forget(holder, candidate.site));
        }
        self.outcomes.push(Outcome { placement, tries });
    }

    /// Asks a cloudlet; `None` where it is full.
    fn ask(&mut self, candidate: &Candidate, request: &Request, now_s: f64) -> Option<Placement> {
        let Candidate {
            site,
            distance_km,
            is_remembered,
        } = *candidate;
        let (holder, until_s) = (Holder::of(request), now_s + request.duration_s);
        let counted = self.tier1.count(site, is_remembered);
        let utilisation = self.sites[site].utilisation();
        let answer = self.sites[site].ask(holder, now_s, until_s);
        self.tier1.answered(site, answer == Answer::Full, now_s);
        if answer == Answer::Full {
            return None;
        }
        self.tier1.remember(holder, site, counted, now_s);
        self.schedule(until_s, What::Departure(site, holder));
        if answer == Answer::Taken {
            self.schedule(now_s + f64::from(LEASE_S), What::Renewal(site, holder));
        }
        Some(Placement {
            site,
            distance_km,
            is_overload: answer == Answer::Taken && utilisation > self.utilisation_limit,
        })
    }

    /// Renews a lease when it is about to end, so that Tier 1 remembers a device as long as it is served.
    fn renew(&mut self, site: usize, holder: Holder, now_s: f64) {
        if self.sites[site].holds(&holder) {
            let counted = self.tier1.count(site, true);
            self.tier1.remember(holder, site, counted, now_s);
            self.schedule(now_s + f64::from(LEASE_S), What::Renewal(site, holder));
        }
    }

    fn sample(&self, time_s: f64) -> Sample {
        let utilisation = || self.sites.iter().map(SiteState::utilisation);
        Sample {
            time_s,
            mean: utilisation().sum::<f64>() / self.sites.len() as f64,
            highest: utilisation().fold(0.0, f64::max),
        }
    }
}

impl PartialEq for Event {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Event {}

impl PartialOrd for Event {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Event {
    fn cmp(&self, other: &Self) -> Ordering {
        let by_time = self.time_s.total_cmp(&other.time_s);
        by_time.then_with(|| self.what.cmp(&other.what))
    }
}

#[cfg(test)]
mod tests;
