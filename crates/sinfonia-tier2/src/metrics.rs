//! Measurements of Tier 2 beside those of its requests.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use sinfonia_core::deployment::CloudletDeployment;
use sinfonia_core::lifecycle::{AddressPool, Phase, Record};
use tokio::sync::watch;

use crate::cluster::draining::Draining;
use crate::deployments::Refusal;
use crate::records::{Records, Seen};

/// Every phase that a deployment is counted in; one without a status waits.
const PHASES: [&str; 7] = [
    "Waiting",
    "Initializing",
    "Deployed",
    "Expiring",
    "Expired",
    "Failed",
    "Deleting",
];

/// Counters of what requests and reports came to.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    deploys: Family<Outcome, Counter>,
    reports: Family<Outcome, Counter>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    outcome: &'static str,
}

/// Counts the records when somebody reads the metrics.
struct Census {
    records: Arc<Records>,
    pool: AddressPool,
    draining: watch::Receiver<Draining>,
}

impl Metrics {
    /// Adds `deploys_total`, `reports_total`, `deployments`, `tunnel_addresses_free` and `draining` to the registry.
    pub(crate) fn register(
        registry: &mut Registry,
        records: Arc<Records>,
        pool: AddressPool,
        draining: watch::Receiver<Draining>,
    ) -> Self {
        let metrics = Self {
            deploys: Family::default(),
            reports: Family::default(),
        };
        registry.register(
            "deploys",
            "Deploy requests answered",
            metrics.deploys.clone(),
        );
        registry.register("reports", "Reports sent to Tier 1", metrics.reports.clone());
        registry.register_collector(Box::new(Census {
            records,
            pool,
            draining,
        }));
        metrics
    }

    /// Counts an answered deploy request.
    pub(crate) fn deployed(&self, result: &Result<CloudletDeployment, Refusal>) {
        let outcome = match result {
            Ok(deployment) if deployment.is_ready() => "ready",
            Ok(_) => "not_ready_yet",
            Err(refusal) => refusal.outcome(),
        };
        self.deploys.get_or_create(&Outcome { outcome }).inc();
    }

    /// Counts a report that was sent.
    pub(crate) fn reported(&self, outcome: &'static str) {
        self.reports.get_or_create(&Outcome { outcome }).inc();
    }
}

impl Collector for Census {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        let all = self.records.all();
        let mut deployments =
            encoder.encode_descriptor("deployments", "Deployments", None, MetricType::Gauge)?;
        for phase in PHASES {
            let count = all
                .iter()
                .filter(|seen| phase_of(seen.record()) == phase)
                .count();
            let label = [("phase", phase)];
            let family = deployments.encode_family(&label)?;
            ConstGauge::new(as_gauge(count as u128)).encode(family)?;
        }
        let held = all.iter().filter(|seen| holds_of(&self.pool, seen)).count();
        let free = encoder.encode_descriptor(
            "tunnel_addresses_free",
            "Addresses that no record holds",
            None,
            MetricType::Gauge,
        )?;
        ConstGauge::new(as_gauge(self.pool.size() - held as u128)).encode(free)?;
        let draining = encoder.encode_descriptor(
            "draining",
            "Whether no new deployments are taken because the operator says so",
            None,
            MetricType::Gauge,
        )?;
        ConstGauge::new(i64::from(self.draining.borrow().is_yes())).encode(draining)
    }
}

impl fmt::Debug for Census {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Census")
    }
}

fn phase_of(record: &Record) -> &'static str {
    match &record.status {
        _ if record.deleting => "Deleting",
        None => "Waiting",
        Some(status) => match status.phase {
            Phase::Initializing => "Initializing",
            Phase::Deployed => "Deployed",
            Phase::Expiring => "Expiring",
            Phase::Expired => "Expired",
            Phase::Failed => "Failed",
        },
    }
}

/// Whether a record holds an address of the pool.
fn holds_of(pool: &AddressPool, seen: &Seen) -> bool {
    let status = seen.record().status.as_ref();
    status.is_some_and(|status| pool.contains(status.tunnel_address))
}

/// A gauge holds 63 bits; nobody has more addresses in use than that.
fn as_gauge(number: u128) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
