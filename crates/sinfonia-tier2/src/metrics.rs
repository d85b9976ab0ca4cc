//! Measurements of Tier 2 beside those of its requests.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::registry::Registry;
use sinfonia_core::deployment::CloudletDeployment;
use sinfonia_core::lifecycle::{Activity, AddressPool, FailureClass, Phase, Record};
use sinfonia_service::metrics::{write_gauge, zeroed};
use tokio::sync::watch;

use crate::cluster::Cluster;
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

/// What a deploy request that is granted comes to.
const GRANTED: [&str; 2] = ["ready", "not_ready_yet"];
/// What reports come to.
const REPORTED: [&str; 3] = ["accepted", "unreachable", "refused"];
/// What is known of the traffic of a tunnel.
const ACTIVITIES: [Activity; 4] = [
    Activity::Active,
    Activity::Idle,
    Activity::Unknown,
    Activity::NotAsked,
];

/// What requests, reports and the work on deployments came to.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    deploys: Family<Outcome, Counter>,
    reports: Family<Outcome, Counter>,
    failures: Family<Class, Counter>,
    leases: Family<Known, Gauge>,
}

/// Counts the leases of one round of the job runner by what is known of their tunnels.
pub(crate) struct LeaseCount<'a> {
    metrics: &'a Metrics,
    counts: [i64; ACTIVITIES.len()],
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Class {
    class: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Known {
    activity: &'static str,
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
    leading: watch::Receiver<bool>,
}

impl Metrics {
    /// Adds `deploys_total`, `reports_total`, `deployment_failures_total`, `leases`, `deployments`, `tunnel_addresses_used`,
    /// `tunnel_addresses_free`, `draining` and `leading` to the registry.
    pub(crate) fn register(
        registry: &mut Registry,
        records: Arc<Records>,
        pool: AddressPool,
        cluster: &dyn Cluster,
    ) -> Self {
        let outcome = |outcome| Outcome { outcome };
        let metrics = Self {
            deploys: zeroed(GRANTED.into_iter().chain(Refusal::OUTCOMES).map(outcome)),
            reports: zeroed(REPORTED.map(outcome)),
            failures: zeroed(FailureClass::ALL.map(Class::of)),
            leases: Family::default(),
        };
        metrics.count_leases().told();
        registry.register(
            "deploys",
            "Deploy requests answered",
            metrics.deploys.clone(),
        );
        registry.register("reports", "Reports sent to Tier 1", metrics.reports.clone());
        let help = "Deployments that failed for good, by class";
        registry.register("deployment_failures", help, metrics.failures.clone());
        let help = "Leases that run here, by what the last round knew of their tunnels' traffic";
        registry.register("leases", help, metrics.leases.clone());
        registry.register_collector(Box::new(Census {
            records,
            pool,
            draining: cluster.draining(),
            leading: cluster.leadership(),
        }));
        cluster.register(registry);
        metrics
    }

    /// Counts an answered deploy request.
    pub(crate) fn deployed(&self, result: &Result<CloudletDeployment, Refusal>) {
        let outcome = match result {
            Ok(deployment) if deployment.is_ready() => "ready",
            Ok(_) => "not_ready_yet",
            Err(refusal) => refusal.outcome(),
        };
        debug_assert!(
            GRANTED.contains(&outcome) || Refusal::OUTCOMES.contains(&outcome),
            "{outcome} is counted from the start"
        );
        self.deploys.get_or_create(&Outcome { outcome }).inc();
    }

    /// Counts a deployment that failed for good.
    pub(crate) fn failed(&self, class: FailureClass) {
        self.failures.get_or_create(&Class::of(class)).inc();
    }

    /// Begins to count leases. Until that is told, and after it is dropped without, there are none.
    pub(crate) const fn count_leases(&self) -> LeaseCount<'_> {
        LeaseCount {
            metrics: self,
            counts: [0; ACTIVITIES.len()],
        }
    }

    /// Counts a report that was sent.
    pub(crate) fn reported(&self, outcome: &'static str) {
        debug_assert!(
            REPORTED.contains(&outcome),
            "{outcome} is counted from the start"
        );
        self.reports.get_or_create(&Outcome { outcome }).inc();
    }
}

impl LeaseCount<'_> {
    /// Counts a lease.
    pub(crate) fn add(&mut self, activity: Activity) {
        let counts = ACTIVITIES.iter().zip(&mut self.counts);
        for (_, count) in counts.filter(|(known, _)| **known == activity) {
            *count += 1;
        }
    }

    /// Tells what was counted.
    pub(crate) fn told(self) {
        for (activity, count) in ACTIVITIES.into_iter().zip(self.counts) {
            let gauge = self.metrics.leases.get_or_create(&Known::of(activity));
            gauge.set(count);
        }
    }
}

impl Class {
    const fn of(class: FailureClass) -> Self {
        let class = class.name();
        Self { class }
    }
}

impl Known {
    const fn of(activity: Activity) -> Self {
        let activity = match activity {
            Activity::Active => "active",
            Activity::Idle => "idle",
            Activity::Unknown => "unknown",
            Activity::NotAsked => "not_asked",
        };
        Self { activity }
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
        let held = all.iter().filter(|seen| holds_of(&self.pool, seen)).count() as u128;
        let help = "Addresses of tunnels that records hold";
        let used = as_gauge(held);
        write_gauge(&mut encoder, "tunnel_addresses_used", help, used)?;
        let help = "Addresses that no record holds";
        let free = as_gauge(self.pool.size() - held);
        write_gauge(&mut encoder, "tunnel_addresses_free", help, free)?;
        let help = "Whether no new deployments are taken because the operator says so";
        let draining = i64::from(self.draining.borrow().is_yes());
        write_gauge(&mut encoder, "draining", help, draining)?;
        let help = "Whether this process is the one that works on deployments";
        let leading = i64::from(*self.leading.borrow());
        write_gauge(&mut encoder, "leading", help, leading)
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
