//! How many deployments were placed at one cloudlet.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use sinfonia_core::load::Placed;

/// Counts what is placed at one cloudlet. Clones count together.
#[derive(Debug, Clone, Default)]
pub struct Tally(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    /// Those since the last report, and above them the number of that report: each only takes off itself.
    since_report: AtomicU64,
    alive: AtomicU32,
}

/// The first report, and the bits below.
const REPORT: u64 = 1 << 32;

/// A deployment that is being placed, or is there: it counts until this is dropped.
#[derive(Debug)]
pub struct Counted {
    tally: Tally,
    /// The report since which it counts, while it leaves that count with this as well.
    tried_since: Option<u64>,
}

impl Tally {
    /// Counts a deployment from now on, before the cloudlet is asked for it. One that was there before counts as one that is there.
    #[must_use]
    pub fn count(&self, was_there: bool) -> Counted {
        self.0.alive.fetch_add(1, Ordering::Relaxed);
        let count = || self.0.since_report.fetch_add(1, Ordering::Relaxed);
        Counted {
            tally: self.clone(),
            tried_since: (!was_there).then(|| report_of(count())),
        }
    }

    /// What was placed.
    pub fn placed(&self) -> Placed {
        Placed {
            since_report: placed_of(self.0.since_report.load(Ordering::Relaxed)),
            alive: self.0.alive.load(Ordering::Relaxed),
        }
    }

    /// What was placed until a report, whose successor counts anew.
    pub fn report(&self) -> Placed {
        let anew = |count| Some(report_of(count).wrapping_add(REPORT));
        let before = self
            .0
            .since_report
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, anew);
        Placed {
            since_report: before.map_or(0, placed_of),
            ..self.placed()
        }
    }
}

/// The report since which a count counts.
const fn report_of(count: u64) -> u64 {
    count & !(REPORT - 1)
}

/// How many a count says.
fn placed_of(count: u64) -> u32 {
    u32::try_from(count - report_of(count)).unwrap_or(u32::MAX)
}

impl PartialEq for Tally {
    /// Whether they count together.
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Counted {
    /// The cloudlet has deployed: whatever becomes of it, it was placed since the last report.
    #[must_use]
    pub fn keep(mut self) -> Self {
        self.tried_since = None;
        self
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let Counts {
            since_report,
            alive,
        } = &*self.tally.0;
        alive.fetch_sub(1, Ordering::Relaxed);
        if let Some(report) = self.tried_since {
            // A report may have come in between, with which the count began anew.
            let one_less = |count| (report_of(count) == report).then(|| count - 1);
            let _ = since_report.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deployment_counts_while_it_is_placed_and_while_it_is_there() {
        let tally = Tally::default();

        let trying = tally.count(false);
        let tried = tally.placed();
        let there = trying.keep();
        let kept = tally.report();
        let later = tally.placed();
        drop(there);

        assert_eq!(
            [tried, kept, later, tally.placed()],
            [placed(1, 1), placed(1, 1), placed(0, 1), placed(0, 0)]
        );
    }

    #[test]
    fn what_failed_was_never_placed() {
        let tally = Tally::default();
        let _other = tally.count(false).keep();

        drop(tally.count(false));

        assert_eq!(tally.placed(), placed(1, 1));
    }

    #[test]
    fn what_fails_after_a_report_takes_nothing_off_the_new_count() {
        let tally = Tally::default();
        let trying = [tally.count(false), tally.count(false)];
        let reported = tally.report();
        let [one, other] = trying;

        drop(one);
        let nothing = tally.placed();
        let _later = tally.count(false).keep();
        drop(other);

        assert_eq!(
            [reported, nothing, tally.placed()],
            [placed(2, 2), placed(0, 1), placed(1, 1)]
        );
    }

    #[test]
    fn a_renewal_is_no_placement() {
        let tally = Tally::default();

        let _renewed = tally.count(true).keep();

        assert_eq!(tally.placed(), placed(0, 1));
    }

    const fn placed(since_report: u32, alive: u32) -> Placed {
        Placed {
            since_report,
            alive,
        }
    }
}
