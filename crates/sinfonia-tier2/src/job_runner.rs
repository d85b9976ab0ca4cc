//! The job runner: once per round it looks at every record's lease, deadline and retention.

use std::sync::Arc;
use std::time::Duration;

use sinfonia_core::lifecycle::{Phase, Policy, Verdict, lease};
use tokio::time::MissedTickBehavior;

use crate::clock::Clock;
use crate::cluster::{Activities, Cluster};
use crate::metrics::Metrics;
use crate::records::{Records, Seen};

/// What ends leases.
pub(crate) struct JobRunner {
    pub(crate) records: Arc<Records>,
    pub(crate) cluster: Arc<dyn Cluster>,
    pub(crate) policy: Policy,
    pub(crate) clock: Clock,
    pub(crate) metrics: Metrics,
}

impl JobRunner {
    /// Makes a round every `interval`, for ever.
    pub(crate) async fn run(&self, interval: Duration) {
        let mut rounds = tokio::time::interval(interval);
        rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            rounds.tick().await;
            let activities = self.cluster.activities().await;
            let records = self.records.all();
            self.count(&records, &activities);
            for seen in records {
                self.look(&seen, &activities).await;
            }
        }
    }

    /// Tells how many leases depend on what.
    fn count(&self, records: &[Seen], activities: &Activities) {
        let mut leases = self.metrics.count_leases();
        for record in records.iter().map(Seen::record) {
            let phase = record.status.as_ref().map(|status| status.phase);
            if phase == Some(Phase::Deployed) && !record.deleting {
                leases.add(activities.of(&record.spec.public_key));
            }
        }
        leases.told();
    }

    /// Looks at one record. If somebody writes it at the same moment, or it cannot be written, the next round will do.
    async fn look(&self, seen: &Seen, activities: &Activities) {
        let record = seen.record();
        let key = record.spec.public_key;
        let verdict = lease(record, activities.of(&key), self.clock.now(), &self.policy);
        match verdict {
            Verdict::Keep => {}
            Verdict::Write(status) => {
                let before = record.status.as_ref().map(|status| status.phase);
                let (phase, failure) = (status.phase, status.failure);
                let written = self.records.write_status(seen, *status).await.is_ok();
                if written && before != Some(phase) {
                    if let Some(class) = failure {
                        self.metrics.failed(class);
                    }
                    tracing::info!(key = %key.short(), %phase, class = failure.map(tracing::field::display), "deployment ran out of time");
                }
            }
            Verdict::Remove => {
                let _ = self.records.delete(seen).await;
            }
        }
    }
}
