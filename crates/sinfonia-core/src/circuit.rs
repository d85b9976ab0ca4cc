//! When a cloudlet is asked only after others, because it keeps failing or asked for a pause: a circuit breaker (Nygard, *Release It!*,
//! 2007) as a value.
//!
//! A circuit opens when requests fail in a row, or when the cloudlet asks for a pause. It stays open for a while; then exactly one request
//! at a time probes whether the cloudlet is back. An answer closes the circuit, a failure opens it again for twice as long as before.
//! Requests may go through an open circuit where there is nothing better to ask; what comes of them says nothing about the circuit.

use std::time::{Duration, Instant};

/// Failures in a row that open a circuit.
///
/// A row, and no share of failures in a window, because it is one number to keep, and rows find shares too: of a cloudlet that fails every
/// other request a circuit opens after some 60 requests, of one that fails one in ten after some 100,000. Five, because one or two clients
/// whose requests fail for reasons of their own must not take the cloudlet from all others.
const FAILURES: u32 = 5;
/// How long a circuit is open first: about what a Tier 2 takes to restart.
const FIRST_PAUSE: Duration = Duration::from_secs(10);
/// How long a circuit is open at most after a failure: the longest that a cloudlet which is back waits for new clients.
const LONGEST_PAUSE: Duration = Duration::from_secs(120);

/// Whether a cloudlet is asked before or after others, by how requests to it ended. A new circuit is closed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Circuit(State);

/// A request that is on its way through a circuit; its end has to be told with [`Circuit::end`].
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub struct Passage(Kind);

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The cloudlet answered in a way that does not speak against it.
    Answered,
    /// It failed.
    Failed,
    /// It answered that it wants no requests for this long.
    Pause(Duration),
    /// The request was not sent, or broken off before it came to anything.
    Unknown,
}

/// What the end of a request did to the circuit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It opened, for this long.
    Opened(Duration),
    /// It was open, and stays so for this long.
    StaysOpen(Duration),
    /// It closed.
    Closed,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    /// Requests go through. What began before `since` does not count.
    Closed {
        failures: u32,
        since: Option<Instant>,
    },
    /// Requests go elsewhere until a time, then one may probe. `next` is the pause if that fails.
    Open { until: Instant, next: Duration },
    /// One request probes, others go elsewhere.
    Probing { next: Duration },
}

#[derive(Debug, PartialEq, Eq)]
enum Kind {
    Usual { begun: Instant },
    Probe,
    Regardless,
}

impl Default for State {
    fn default() -> Self {
        Self::Closed {
            failures: 0,
            since: None,
        }
    }
}

impl Passage {
    /// Whether the request goes through an open circuit, and not as its probe.
    pub const fn is_regardless(&self) -> bool {
        matches!(self.0, Kind::Regardless)
    }
}

impl Circuit {
    /// Whether requests better go elsewhere. False as soon as somebody may probe.
    pub fn is_avoided(&self, now: Instant) -> bool {
        match self.0 {
            State::Closed { .. } => false,
            State::Open { until, .. } => now < until,
            State::Probing { .. } => true,
        }
    }

    /// Whether it is open, though somebody may probe.
    pub const fn is_open(&self) -> bool {
        !matches!(self.0, State::Closed { .. })
    }

    /// Whether it can be forgotten, provided that no request takes longer than `longest`: it is closed, nothing has failed since, and
    /// all requests that began before have ended.
    pub fn is_forgettable(&self, longest: Duration, now: Instant) -> bool {
        match self.0 {
            State::Closed { failures: 0, since } => {
                since.is_none_or(|since| now.saturating_duration_since(since) > longest)
            }
            _ => false,
        }
    }

    /// Begins a request. The first one after an open circuit's time becomes its probe.
    pub fn begin(&mut self, now: Instant) -> Passage {
        match self.0 {
            State::Closed { .. } => Passage(Kind::Usual { begun: now }),
            State::Open { until, next } if until <= now => {
                self.0 = State::Probing { next };
                Passage(Kind::Probe)
            }
            State::Open { .. } | State::Probing { .. } => Passage(Kind::Regardless),
        }
    }

    /// Takes in how a request ended.
    pub fn end(&mut self, passage: Passage, outcome: Outcome, now: Instant) -> Option<Change> {
        match (&self.0, passage.0) {
            (&State::Closed { failures, since }, Kind::Usual { begun })
                if since.is_none_or(|since| since <= begun) =>
            {
                self.end_usual(failures, since, outcome, now)
            }
            (&State::Probing { next }, Kind::Probe) => Some(self.end_probe(next, outcome, now)),
            _ => None,
        }
    }

    fn end_usual(
        &mut self,
        failures: u32,
        since: Option<Instant>,
        outcome: Outcome,
        now: Instant,
    ) -> Option<Change> {
        let failures = match outcome {
            Outcome::Unknown => failures,
            Outcome::Answered => 0,
            Outcome::Pause(pause) => {
                self.open(pause, FIRST_PAUSE, now);
                return Some(Change::Opened(pause));
            }
            Outcome::Failed if failures + 1 >= FAILURES => {
                self.open(FIRST_PAUSE, FIRST_PAUSE * 2, now);
                return Some(Change::Opened(FIRST_PAUSE));
            }
            Outcome::Failed => failures + 1,
        };
        self.0 = State::Closed { failures, since };
        None
    }

    fn end_probe(&mut self, next: Duration, outcome: Outcome, now: Instant) -> Change {
        let (pause, next) = match outcome {
            Outcome::Answered => {
                self.0 = State::Closed {
                    failures: 0,
                    since: Some(now),
                };
                return Change::Closed;
            }
            Outcome::Failed => (next, (next * 2).min(LONGEST_PAUSE)),
            // It answers, so what fails later is something new.
            Outcome::Pause(pause) => (pause, FIRST_PAUSE),
            Outcome::Unknown => (Duration::ZERO, next),
        };
        self.open(pause, next, now);
        Change::StaysOpen(pause)
    }

    fn open(&mut self, pause: Duration, next: Duration, now: Instant) {
        let until = now.checked_add(pause).unwrap_or(now + LONGEST_PAUSE);
        self.0 = State::Open { until, next };
    }
}

#[cfg(test)]
mod tests;
