//! How long helm works.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

/// Upper bounds of the buckets in seconds: from a small chart on a quiet machine to far beyond the usual time-out.
const BUCKETS: [f64; 11] = [
    0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0,
];
/// What helm is run for.
const COMMANDS: [&str; 3] = ["install", "uninstall", "pull"];

/// Durations of helm's operations.
#[derive(Debug, Clone)]
pub(super) struct HelmMetrics {
    durations: Family<Operation, Histogram>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Operation {
    command: &'static str,
    outcome: &'static str,
}

impl HelmMetrics {
    /// Nothing was done yet.
    pub(super) fn new() -> Self {
        let durations =
            Family::new_with_constructor((|| Histogram::new(BUCKETS)) as fn() -> Histogram);
        for command in COMMANDS {
            for succeeded in [true, false] {
                drop(durations.get_or_create(&Operation::of(command, succeeded)));
            }
        }
        Self { durations }
    }

    /// Adds `helm_duration_seconds` to the registry.
    pub(super) fn register(&self, registry: &mut Registry) {
        let help = "Time that helm takes, from its start to its end";
        let durations = self.durations.clone();
        registry.register_with_unit("helm_duration", help, Unit::Seconds, durations);
    }

    /// Counts an operation that has ended by itself or by its time-out.
    pub(super) fn ended(&self, command: &'static str, succeeded: bool, duration: Duration) {
        debug_assert!(
            COMMANDS.contains(&command),
            "{command} is not counted from the start"
        );
        let operation = Operation::of(command, succeeded);
        let durations = self.durations.get_or_create(&operation);
        durations.observe(duration.as_secs_f64());
    }
}

impl Operation {
    const fn of(command: &'static str, succeeded: bool) -> Self {
        let outcome = if succeeded { "succeeded" } else { "failed" };
        Self { command, outcome }
    }
}
