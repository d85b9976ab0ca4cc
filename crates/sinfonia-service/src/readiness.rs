//! Whether a service can do its work, and what is missing if not.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;

/// Reason of a condition before its component has said anything.
const STARTING: &str = "starting";

/// Collects named conditions; the service is ready while all of them are. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Readiness(Arc<Mutex<BTreeMap<&'static str, Option<String>>>>);

/// One condition, held by the component that knows about it.
#[derive(Debug, Clone)]
pub struct Condition {
    readiness: Readiness,
    name: &'static str,
}

/// What `/readyz` answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReadinessReport {
    /// Whether nothing is missing.
    pub ready: bool,
    /// The conditions that do not hold, each with its reason.
    pub missing: BTreeMap<&'static str, String>,
}

impl Readiness {
    /// No conditions, hence ready.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a condition, which does not hold until its holder says so.
    pub fn condition(&self, name: &'static str) -> Condition {
        self.set(name, Some(STARTING.to_owned()));
        Condition {
            readiness: self.clone(),
            name,
        }
    }

    /// What holds at the moment.
    pub fn report(&self) -> ReadinessReport {
        let conditions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let missing: BTreeMap<_, _> = conditions
            .iter()
            .filter_map(|(name, reason)| Some((*name, reason.clone()?)))
            .collect();
        ReadinessReport {
            ready: missing.is_empty(),
            missing,
        }
    }

    fn set(&self, name: &'static str, reason: Option<String>) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(name, reason);
    }
}

impl Condition {
    /// The condition holds.
    pub fn ready(&self) {
        self.readiness.set(self.name, None);
    }

    /// The condition does not hold, for this reason.
    pub fn not_ready(&self, reason: impl Display) {
        self.readiness.set(self.name, Some(reason.to_string()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_is_ready_once_every_condition_holds() {
        let readiness = Readiness::new();
        let cloudlets = readiness.condition("cloudlets");
        let recipes = readiness.condition("recipes");
        cloudlets.ready();
        recipes.not_ready("RECIPES is no folder");

        let before = readiness.report();
        recipes.ready();
        let after = readiness.report();

        let missing = BTreeMap::from([("recipes", "RECIPES is no folder".to_owned())]);
        assert_eq!(
            before,
            ReadinessReport {
                ready: false,
                missing
            }
        );
        assert_eq!(
            after,
            ReadinessReport {
                ready: true,
                missing: BTreeMap::new()
            }
        );
    }

    #[test]
    fn a_new_condition_does_not_hold_yet() {
        let readiness = Readiness::new();
        let _cluster = readiness.condition("cluster");

        let missing = BTreeMap::from([("cluster", "starting".to_owned())]);
        assert_eq!(
            readiness.report(),
            ReadinessReport {
                ready: false,
                missing
            }
        );
    }
}
