//! How busy a cloudlet is: whether it counts as overloaded, and what Tier 1 has placed there that its measurements do not show yet.
//!
//! Measurements are 15 s old at most when all goes well, and those of Prometheus are means of a minute. A burst of clients that all meet the
//! same measurements must not all be sent to the same cloudlet. So each placement counts as load from the moment it is tried, as much as
//! placements there were seen to cost before, and less and less of it as reports come in that may show it.
//!
//! A cloudlet is overloaded as soon as a measurement is above its threshold, and is so until that is below 0.9 of the threshold.

mod cost;
mod thresholds;

use self::cost::Cost;
pub use self::thresholds::{Threshold, ThresholdError, Thresholds};
use crate::cloudlet::Measurements;
use crate::ranking::{Class, Conditions};

/// Seconds after which a measurement is no longer believed: three intervals of reports.
pub const MEASUREMENT_LIFE_S: f64 = 45.0;

/// The part of a threshold that a measurement has to fall below for the cloudlet to be no longer overloaded.
const LEAVING: f64 = 0.9;

/// The largest multiple of a threshold that a measurement counts for, and the least is 0: what a cloudlet tells is a number and nothing more
/// is known of it, and one nonsensical number must not spoil what is learned of the cloudlet from then on.
const MOST_USED: f64 = 10.0;

/// The part of a placement's load that a report does not show: of those since the report before, of those before that, and so on. A mean of
/// a minute shows nothing of what began just now, and all of what began four reports ago.
const HIDDEN: [f64; 4] = [0.875, 0.625, 0.375, 0.125];

/// What Tier 1 has placed at a cloudlet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Placed {
    /// Deployments that were placed since the last report.
    pub since_report: u32,
    /// Deployments that are known to be there.
    pub alive: u32,
}

/// The load of a cloudlet as of its last report. Its holder keeps it with the measurements, makes a new one of it at each report, and counts
/// the placements since then.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Load {
    /// With how many placements since the report the cloudlet is overloaded; `None` for any number.
    room: Option<u32>,
    /// The thresholds that are exceeded, a bit for each.
    exceeded: u32,
    /// Placements in the intervals between the last reports, the newest first.
    placements: [u32; HIDDEN.len()],
    /// What a placement costs by each threshold; nothing before there was one.
    costs: Option<Box<[Cost]>>,
}

impl Load {
    /// The load after a report. `placed` says what had been placed by then, `silence_s` how many seconds ago the report before was, if there
    /// was one; after more than [`MEASUREMENT_LIFE_S`] the two have nothing to do with each other.
    #[must_use]
    pub fn reported(
        &self,
        thresholds: &Thresholds,
        resources: &Measurements,
        placed: Placed,
        silence_s: Option<f64>,
    ) -> Self {
        let is_continued = silence_s.is_some_and(|seconds| seconds <= MEASUREMENT_LIFE_S);
        let [newest, second, third, _] = self.placements;
        let mut next = Self {
            placements: if is_continued {
                [placed.since_report, newest, second, third]
            } else {
                Default::default()
            },
            costs: self.costs.clone(),
            ..Self::default()
        };
        let hidden = next.hidden();
        if placed.alive > 0 && next.costs.is_none() {
            next.costs = Some(vec![Cost::default(); thresholds.len()].into());
        }
        for (index, threshold) in thresholds.iter().enumerate() {
            let Some(measurement) = resources.get(&threshold.resource) else {
                continue;
            };
            let used = (measurement.value() / threshold.limit).clamp(0.0, MOST_USED);
            let cost = next.costs.as_mut().and_then(|costs| costs.get_mut(index));
            let cost = cost.map_or_else(Cost::default, |cost| {
                cost.observe(f64::from(placed.alive) - hidden, used);
                *cost
            });
            let was_exceeded = is_continued && self.exceeded & 1 << index != 0;
            let used = used + hidden * cost.of_one();
            let room = room(used, cost.of_one(), was_exceeded);
            next.exceeded |= u32::from(room == 0) << index;
            next.room = Some(next.room.map_or(room, |least| least.min(room)));
        }
        next
    }

    /// Whether the cloudlet is overloaded with this many placements since its report, if that was `age_s` seconds ago. What is too old to be
    /// known does not speak against it, and neither does what it never measured. Without an age the measurements are those of somebody who
    /// does not report, which placements never change.
    pub fn is_overloaded(&self, placed: u32, age_s: Option<f64>) -> bool {
        match (self.room, age_s) {
            (None, _) => false,
            (Some(room), None) => room == 0,
            (Some(room), Some(age_s)) => age_s <= MEASUREMENT_LIFE_S && placed >= room,
        }
    }

    /// How the cloudlet is with this many placements since its report, `age_s` seconds ago, for a client that measured nothing.
    pub fn conditions(&self, placed: u32, age_s: Option<f64>) -> Conditions {
        Conditions {
            class: if self.is_overloaded(placed, age_s) {
                Class::Overloaded
            } else {
                Class::Normal
            },
            rtt_ms: None,
            deployments: age_s.map(|_| f64::from(placed)),
            age_s,
        }
    }

    /// As many placements as the last report does not show.
    fn hidden(&self) -> f64 {
        let parts = self.placements.iter().zip(HIDDEN);
        parts.map(|(count, part)| f64::from(*count) * part).sum()
    }
}

/// With how many placements a threshold is exceeded, by the part of it that is used and the part that each placement uses.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a conversion of f64 stays in the range of the target, and the number is at least 0"
)]
fn room(used: f64, cost: f64, was_exceeded: bool) -> u32 {
    if used > 1.0 || (was_exceeded && used >= LEAVING) {
        return 0;
    }
    ((1.0 - used) / cost) as u32 + 1
}

#[cfg(test)]
mod tests;
