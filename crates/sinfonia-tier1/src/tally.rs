//! How many deployments were placed at one cloudlet.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use sinfonia_core::load::Placed;

/// Counts what is placed at one cloudlet. Clones count together.
#[derive(Debug, Clone, Default)]
pub struct Tally(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    since_report: AtomicU32,
    alive: AtomicU32,
}

/// A deployment that is being placed, or is there: it counts until this is dropped.
#[derive(Debug)]
pub struct Counted {
    tally: Tally,
    /// Whether it is in the count since the last report, and leaves that one with this as well.
    is_tried: bool,
}

impl Tally {
    /// Counts a deployment from now on, before the cloudlet is asked for it. One that was there before counts as one that is there.
    #[must_use]
    pub fn count(&self, was_there: bool) -> Counted {
        self.0.alive.fetch_add(1, Ordering::Relaxed);
        if !was_there {
            self.0.since_report.fetch_add(1, Ordering::Relaxed);
        }
        Counted {
            tally: self.clone(),
            is_tried: !was_there,
        }
    }

    /// What was placed.
    pub fn placed(&self) -> Placed {
        Placed {
            since_report: self.0.since_report.load(Ordering::Relaxed),
            alive: self.0.alive.load(Ordering::Relaxed),
        }
    }

    /// What was placed until a report, whose successor counts anew.
    pub fn report(&self) -> Placed {
        Placed {
            since_report: self.0.since_report.swap(0, Ordering::Relaxed),
            ..self.placed()
        }
    }
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
        self.is_tried = false;
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
        if self.is_tried {
            // A report may have come in between, with which the count began anew.
            let one_less = |count: u32| count.checked_sub(1);
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
    fn what_fails_after_a_report_does_not_make_the_new_count_less_than_nothing() {
        let tally = Tally::default();
        let trying = tally.count(false);
        tally.report();

        drop(trying);

        assert_eq!(tally.placed(), placed(0, 0));
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
