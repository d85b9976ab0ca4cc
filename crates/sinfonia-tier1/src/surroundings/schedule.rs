//! When which host is looked up.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use sinfonia_core::cloudlet::Surroundings;
use tokio::time::Instant;

/// Time after which a name is looked up again: resolvers cache for about as long.
const REFRESH: Duration = Duration::from_secs(300);

/// Time after which a name is looked up again that could not be, the first time; it doubles up to [`REFRESH`].
const RETRY: Duration = Duration::from_secs(5);

/// The part of a time that chance takes from it.
const JITTER: f64 = 0.2;

/// All hosts that are of interest, with what was found out about each.
#[derive(Debug, Default)]
pub(super) struct Schedule(HashMap<String, State>);

#[derive(Debug)]
struct State {
    /// When it is looked up; `None` while it is being, and for what never changes.
    due: Option<Instant>,
    failures: u32,
    found: Option<Arc<Surroundings>>,
}

impl Schedule {
    /// Makes these the hosts of interest: new ones are due at once, others are forgotten.
    pub(super) fn follow<'a>(&mut self, hosts: impl Iterator<Item = &'a String>, now: Instant) {
        let hosts: HashSet<&String> = hosts.collect();
        self.0.retain(|host, _| hosts.contains(host));
        for host in hosts {
            if !self.0.contains_key(host) {
                let state = State {
                    due: Some(now),
                    failures: 0,
                    found: None,
                };
                self.0.insert(host.clone(), state);
            }
        }
    }

    /// Takes what is known of a host for good: it is not looked up.
    pub(super) fn settle(&mut self, host: &str, found: Arc<Surroundings>) {
        if let Some(state) = self.0.get_mut(host) {
            state.due = None;
            state.found = Some(found);
        }
    }

    /// Takes up to `most` hosts that are due, those that wait longest first; they are not due again until their answer is told.
    pub(super) fn start(&mut self, most: usize, now: Instant) -> Vec<String> {
        let mut due: Vec<(Instant, &String)> = self
            .0
            .iter()
            .filter_map(|(host, state)| Some((state.due.filter(|due| *due <= now)?, host)))
            .collect();
        due.sort_unstable();
        let started: Vec<String> = due
            .into_iter()
            .take(most)
            .map(|(_, host)| host.clone())
            .collect();
        for host in &started {
            if let Some(state) = self.0.get_mut(host) {
                state.due = None;
            }
        }
        started
    }

    /// When the next host is due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.0.values().filter_map(|state| state.due).min()
    }

    /// What was found out about a host last.
    pub(super) fn found(&self, host: &str) -> Option<&Arc<Surroundings>> {
        self.0.get(host)?.found.as_ref()
    }

    /// Records what was found out. `jitter` is 0 to 1.
    pub(super) fn succeeded(
        &mut self,
        host: &str,
        found: Arc<Surroundings>,
        now: Instant,
        jitter: f64,
    ) {
        if let Some(state) = self.0.get_mut(host) {
            state.due = Some(now + shortened(REFRESH, jitter));
            state.failures = 0;
            state.found = Some(found);
        }
    }

    /// Records that nothing could be found out; tells how many times in a row. `jitter` is 0 to 1.
    pub(super) fn failed(&mut self, host: &str, now: Instant, jitter: f64) -> u32 {
        let Some(state) = self.0.get_mut(host) else {
            return 0;
        };
        let doubled = RETRY.saturating_mul(2u32.saturating_pow(state.failures));
        state.due = Some(now + shortened(doubled.min(REFRESH), jitter));
        state.failures = state.failures.saturating_add(1);
        state.failures
    }
}

fn shortened(time: Duration, jitter: f64) -> Duration {
    time.mul_f64(1.0 - JITTER * jitter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_host_is_due_at_once_and_only_once() {
        let (mut schedule, now) = following(&["a.example", "b.example"]);

        let mut started = schedule.start(5, now);

        started.sort_unstable();
        assert_eq!(started, ["a.example", "b.example"]);
        assert_eq!(schedule.start(5, now + REFRESH), Vec::<String>::new());
    }

    #[test]
    fn no_more_are_started_than_may_run() {
        let (mut schedule, now) = following(&["a.example", "b.example", "c.example"]);

        assert_eq!(schedule.start(2, now).len(), 2);
        assert_eq!(schedule.start(2, now).len(), 1);
    }

    #[test]
    fn what_was_found_is_looked_up_again_after_some_minutes() {
        let (mut schedule, now) = following(&["a.example"]);
        schedule.start(1, now);

        schedule.succeeded("a.example", Arc::default(), now, 0.0);

        assert_eq!(schedule.found("a.example"), Some(&Arc::default()));
        assert_eq!(schedule.next(), Some(now + REFRESH));
    }

    #[test]
    fn failures_are_tried_again_after_a_growing_while_and_what_was_found_stays() {
        let (mut schedule, now) = following(&["a.example"]);
        schedule.succeeded("a.example", Arc::default(), now, 0.0);

        let seconds: Vec<u64> = (0..8)
            .map(|_| {
                schedule.failed("a.example", now, 0.0);
                (schedule.next().unwrap() - now).as_secs()
            })
            .collect();

        assert_eq!(seconds, [5, 10, 20, 40, 80, 160, 300, 300]);
        assert_eq!(schedule.found("a.example"), Some(&Arc::default()));
    }

    #[test]
    fn a_success_ends_a_row_of_failures() {
        let (mut schedule, now) = following(&["a.example"]);
        schedule.failed("a.example", now, 0.0);
        schedule.failed("a.example", now, 0.0);

        schedule.succeeded("a.example", Arc::default(), now, 0.0);

        assert_eq!(schedule.failed("a.example", now, 0.0), 1);
        assert_eq!(schedule.next(), Some(now + RETRY));
    }

    #[test]
    fn chance_makes_times_shorter_and_never_longer() {
        let (mut schedule, now) = following(&["a.example"]);

        schedule.succeeded("a.example", Arc::default(), now, 1.0);

        assert_eq!(schedule.next(), Some(now + Duration::from_secs(240)));
    }

    #[test]
    fn what_is_settled_is_never_due() {
        let (mut schedule, now) = following(&["192.0.2.1"]);

        schedule.settle("192.0.2.1", Arc::default());

        assert_eq!(schedule.start(1, now), Vec::<String>::new());
        assert_eq!(schedule.next(), None);
    }

    #[test]
    fn what_nobody_wants_any_more_is_forgotten() {
        let (mut schedule, now) = following(&["a.example"]);

        schedule.follow([].into_iter(), now);
        let failures = schedule.failed("a.example", now, 0.0);

        assert_eq!((failures, schedule.next()), (0, None));
    }

    fn following(hosts: &[&str]) -> (Schedule, Instant) {
        let now = Instant::now();
        let hosts: Vec<String> = hosts.iter().map(ToString::to_string).collect();
        let mut schedule = Schedule::default();
        schedule.follow(hosts.iter(), now);
        (schedule, now)
    }
}
