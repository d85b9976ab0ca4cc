//! Which cloudlets are asked only after others, because requests to them keep failing or they asked for a pause.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry as Metrics;
use sinfonia_core::circuit::{Change, Circuit, Outcome, Passage};
use sinfonia_core::endpoint::Endpoint;
use sinfonia_core::ranking::Class;

/// Measurements of circuits.
#[derive(Debug, Clone, Default)]
pub(crate) struct CircuitMetrics {
    open: Gauge,
    openings: Counter,
}

/// The circuits of the cloudlets. Clones share them.
///
/// Those of cloudlets with which all is well are not kept. While that is so of all, nobody who looks takes a lock.
#[derive(Debug, Clone)]
pub(crate) struct Circuits(Arc<Shared>);

/// A request that goes through a circuit. Dropping it tells the circuit that the request came to nothing.
#[derive(Debug)]
#[must_use]
pub(crate) struct Crossing<'a> {
    circuits: &'a Circuits,
    endpoint: &'a Endpoint,
    passage: Option<Passage>,
}

#[derive(Debug)]
struct Shared {
    /// Those that differ from a new one.
    circuits: RwLock<HashMap<Endpoint, Circuit>>,
    /// How many those are, changed under their lock.
    number: AtomicUsize,
    metrics: CircuitMetrics,
}

impl CircuitMetrics {
    /// Adds `circuits_open` and `circuit_openings_total` to the registry.
    pub(crate) fn register(metrics: &mut Metrics) -> Self {
        let new = Self::default();
        let help = "Cloudlets that keep failing or asked for a pause";
        metrics.register("circuits_open", help, new.open.clone());
        let help = "Times that a cloudlet began to be asked only after others";
        metrics.register("circuit_openings", help, new.openings.clone());
        new
    }
}

impl Circuits {
    /// Has all circuits closed.
    pub(crate) fn new(metrics: CircuitMetrics) -> Self {
        Self(Arc::new(Shared {
            circuits: RwLock::default(),
            number: AtomicUsize::new(0),
            metrics,
        }))
    }

    /// Whether a cloudlet is asked only after others.
    pub(crate) fn is_avoided(&self, endpoint: &Endpoint, now: Instant) -> bool {
        self.kept().is_some_and(|circuits| {
            let circuit = circuits.get(endpoint);
            circuit.is_some_and(|circuit| circuit.is_avoided(now))
        })
    }

    /// The class in which a cloudlet is ranked that would be in this one by its load.
    pub(crate) fn class(&self, own: Class, endpoint: &Endpoint, now: Instant) -> Class {
        if self.is_avoided(endpoint, now) {
            own.max(Class::CircuitOpen)
        } else {
            own
        }
    }

    /// Begins a request to a cloudlet.
    pub(crate) fn begin<'a>(&'a self, endpoint: &'a Endpoint) -> Crossing<'a> {
        let kept = self
            .is_kept(endpoint)
            .then(|| Some(self.write().get_mut(endpoint)?.begin(now())));
        let passage = kept.flatten();
        Crossing {
            circuits: self,
            endpoint,
            passage: passage.or_else(|| Some(Circuit::default().begin(now()))),
        }
    }

    /// Forgets those that have nothing to tell any more where no request takes longer than `longest`, and those of cloudlets that are not
    /// known.
    pub(crate) fn tidy(&self, longest: Duration, is_known: impl Fn(&Endpoint) -> bool) {
        let kept: Vec<Endpoint> = self.read().keys().cloned().collect();
        let unknown: Vec<Endpoint> = kept.into_iter().filter(|one| !is_known(one)).collect();
        let mut circuits = self.write();
        for endpoint in &unknown {
            if circuits.remove(endpoint).is_some_and(|one| one.is_open()) {
                self.0.metrics.open.dec();
            }
        }
        let now = now();
        circuits.retain(|_, circuit| !circuit.is_forgettable(longest, now));
        self.0.number.store(circuits.len(), Ordering::Relaxed);
    }

    fn end(&self, endpoint: &Endpoint, passage: Passage, outcome: Outcome) {
        let is_well = matches!(outcome, Outcome::Answered | Outcome::Unknown);
        if is_well && !self.is_kept(endpoint) {
            return;
        }
        let mut circuits = self.write();
        let circuit = circuits.entry(endpoint.clone()).or_default();
        let change = circuit.end(passage, outcome, now());
        if *circuit == Circuit::default() {
            circuits.remove(endpoint);
        }
        self.0.number.store(circuits.len(), Ordering::Relaxed);
        if let Some(change) = change {
            self.0.metrics.changed(change);
            drop(circuits);
            log(endpoint, change);
        }
    }

    fn is_kept(&self, endpoint: &Endpoint) -> bool {
        self.kept()
            .is_some_and(|circuits| circuits.contains_key(endpoint))
    }

    /// Those that are kept, if there are any.
    fn kept(&self) -> Option<RwLockReadGuard<'_, HashMap<Endpoint, Circuit>>> {
        (self.0.number.load(Ordering::Relaxed) > 0).then(|| self.read())
    }

    fn read(&self) -> RwLockReadGuard<'_, HashMap<Endpoint, Circuit>> {
        self.0
            .circuits
            .read()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, HashMap<Endpoint, Circuit>> {
        self.0
            .circuits
            .write()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Crossing<'_> {
    /// Whether the request goes through an open circuit.
    pub(crate) fn is_regardless(&self) -> bool {
        self.passage.as_ref().is_some_and(Passage::is_regardless)
    }

    /// Tells the circuit how the request ended.
    pub(crate) fn end(mut self, outcome: Outcome) {
        self.tell(outcome);
    }

    fn tell(&mut self, outcome: Outcome) {
        if let Some(passage) = self.passage.take() {
            self.circuits.end(self.endpoint, passage, outcome);
        }
    }
}

impl Drop for Crossing<'_> {
    fn drop(&mut self) {
        self.tell(Outcome::Unknown);
    }
}

impl CircuitMetrics {
    /// Counts a change. Called while the circuits are locked, so that the gauge is that of the last change.
    fn changed(&self, change: Change) {
        match change {
            Change::Opened(_) => {
                self.open.inc();
                self.openings.inc();
            }
            Change::StaysOpen(_) => {}
            Change::Closed => {
                self.open.dec();
            }
        }
    }
}

/// Now, by the clock of the runtime, which tests can stop.
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

fn log(cloudlet: &Endpoint, change: Change) {
    match change {
        Change::Opened(pause) => {
            let seconds = pause.as_secs();
            tracing::info!(%cloudlet, seconds, "circuit opened, the cloudlet is asked after others");
        }
        Change::StaysOpen(pause) => {
            let seconds = pause.as_secs();
            tracing::debug!(%cloudlet, seconds, "circuit stays open");
        }
        Change::Closed => tracing::info!(%cloudlet, "circuit closed, the cloudlet is back"),
    }
}

#[cfg(test)]
mod tests;
