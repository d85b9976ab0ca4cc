//! A cloudlet as it really is: what it holds, and how much of it was in use.

use std::collections::{HashMap, VecDeque};

use sinfonia_core::key::PublicKey;
use uuid::Uuid;

use super::{REPORT_INTERVAL_S, Request};

/// Intervals of reports over which a report takes the mean: a minute.
const REPORTS_IN_MEAN: usize = 4;

/// Whose deployment it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Holder {
    /// What was deployed.
    pub(super) recipe: Uuid,
    /// The device's key.
    pub(super) key: PublicKey,
}

/// What a cloudlet says to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// It holds a deployment more.
    Taken,
    /// It holds the deployment already, for longer now.
    Renewed,
    /// It has no room.
    Full,
}

/// What a cloudlet reports.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Report {
    /// The share of it that was in use, 0 to 1, the mean of the last minute: so Prometheus tells a real one.
    pub(super) cpu_ratio: f64,
    /// Deployments that it holds.
    pub(super) deployments: f64,
}

/// A cloudlet's deployments.
#[derive(Debug, Clone)]
pub(super) struct SiteState {
    capacity: u32,
    /// The second at which each deployment ends.
    held: HashMap<Holder, f64>,
    /// Deployments times the seconds for which each was there, up to `since_s`.
    used: f64,
    since_s: f64,
    /// `used` at the last reports, the oldest first: as many as are in the time over which a report takes the mean.
    used_before: VecDeque<f64>,
}

impl Holder {
    pub(super) const fn of(request: &Request) -> Self {
        Self {
            recipe: request.recipe,
            key: request.key,
        }
    }
}

impl SiteState {
    pub(super) fn new(capacity: u32) -> Self {
        Self {
            capacity,
            held: HashMap::new(),
            used: 0.0,
            since_s: 0.0,
            used_before: VecDeque::from([0.0; REPORTS_IN_MEAN]),
        }
    }

    /// Whether it holds a deployment.
    pub(super) fn holds(&self, holder: &Holder) -> bool {
        self.held.contains_key(holder)
    }

    /// What it reports now. To be asked once in an interval of reports.
    pub(super) fn report(&mut self, now_s: f64) -> Report {
        self.count_until(now_s);
        self.used_before.push_back(self.used);
        let before = self.used_before.pop_front().unwrap_or(0.0);
        let time_s = REPORT_INTERVAL_S * REPORTS_IN_MEAN as f64;
        Report {
            cpu_ratio: (self.used - before) / (f64::from(self.capacity) * time_s),
            deployments: self.held.len() as f64,
        }
    }

    /// The share of it that is in use, 0 to 1.
    pub(super) fn utilisation(&self) -> f64 {
        self.held.len() as f64 / f64::from(self.capacity)
    }

    /// The share of it that was in use, averaged over the time from the start to `end_s`; that of this moment, if there was no time.
    pub(super) fn average_utilisation(mut self, end_s: f64) -> f64 {
        if end_s <= 0.0 {
            return self.utilisation();
        }
        self.count_until(end_s);
        self.used / (f64::from(self.capacity) * end_s)
    }

    /// Takes a deployment or extends the one there is, where it can.
    pub(super) fn ask(&mut self, holder: Holder, now_s: f64, until_s: f64) -> Answer {
        if let Some(end_s) = self.held.get_mut(&holder) {
            *end_s = end_s.max(until_s);
            return Answer::Renewed;
        }
        if self.held.len() as f64 >= f64::from(self.capacity) {
            return Answer::Full;
        }
        self.count_until(now_s);
        self.held.insert(holder, until_s);
        Answer::Taken
    }

    /// Ends a deployment whose time is over; one that was extended meanwhile stays.
    pub(super) fn end(&mut self, holder: &Holder, now_s: f64) {
        let is_over = |until_s: &f64| *until_s <= now_s;
        if self.held.get(holder).is_some_and(is_over) {
            self.count_until(now_s);
            self.held.remove(holder);
        }
    }

    fn count_until(&mut self, now_s: f64) {
        self.used += self.held.len() as f64 * (now_s - self.since_s);
        self.since_s = now_s;
    }
}
