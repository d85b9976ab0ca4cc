//! Measurements of what Tier 1 does. Labels are one of a few words, never an identity.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry as Metrics;

use crate::circuits::CircuitMetrics;
use crate::deploy::Excluded;
use crate::registry::{Origin, Registry};

/// Counts deployments.
#[derive(Debug, Clone, Default)]
pub(crate) struct DeployMetrics {
    deploys: Family<OutcomeLabels, Counter>,
    tries: Family<OutcomeLabels, Counter>,
    fall_overs: Counter,
    /// Measurements of the circuits of cloudlets.
    pub(crate) circuits: CircuitMetrics,
    excluded: Family<RuleLabels, Counter>,
}

/// Counts scrapes of cloudlets' measurements.
#[derive(Debug, Clone, Default)]
pub(crate) struct ScrapeMetrics {
    scrapes: Family<OutcomeLabels, Counter>,
}

/// What a scrape of one cloudlet came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ScrapeOutcome {
    /// All questions were answered.
    Measured,
    /// Some questions were.
    Partly,
    /// They were, and none of what was asked for is measured there.
    Nothing,
    /// There was no answer.
    Failed,
}

/// What a deploy request came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// At least one cloudlet deployed.
    Deployed,
    /// It was one too many.
    Shed,
    /// No cloudlet may serve the client.
    NoCloudlet,
    /// There is no such recipe, or it cannot be read.
    NoRecipe,
    /// A cloudlet refused the request for all.
    Refused,
    /// Each cloudlet that was asked failed.
    Failed,
}

/// What a try at one cloudlet came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TryOutcome {
    /// It deployed.
    Deployed,
    /// It could or would not, for a reason that does not speak against it.
    Declined,
    /// It failed.
    Failed,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RuleLabels {
    rule: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OriginLabels {
    origin: &'static str,
}

/// Counts the cloudlets when somebody asks.
#[derive(Debug)]
struct Cloudlets(Registry);

impl DeployMetrics {
    /// Adds `deploys_total`, `cloudlet_tries_total`, `fall_overs_total`, `cloudlets_excluded_total` and what there is of circuits to the
    /// registry.
    pub(crate) fn register(metrics: &mut Metrics) -> Self {
        let new = Self {
            circuits: CircuitMetrics::register(metrics),
            ..Self::default()
        };
        metrics.register("deploys", "Deploy requests decided", new.deploys.clone());
        metrics.register(
            "cloudlet_tries",
            "Cloudlets asked to deploy",
            new.tries.clone(),
        );
        let help = "Cloudlets asked to deploy because another one had failed";
        metrics.register("fall_overs", help, new.fall_overs.clone());
        let help = "Cloudlets that deploy requests could not get, by the rule that excluded them";
        metrics.register("cloudlets_excluded", help, new.excluded.clone());
        new
    }

    /// Counts a deploy request.
    pub(crate) fn decided(&self, outcome: Outcome) {
        let outcome = match outcome {
            Outcome::Deployed => "deployed",
            Outcome::Shed => "shed",
            Outcome::NoCloudlet => "no_cloudlet",
            Outcome::NoRecipe => "no_recipe",
            Outcome::Refused => "refused",
            Outcome::Failed => "failed",
        };
        self.deploys.get_or_create(&OutcomeLabels { outcome }).inc();
    }

    /// Counts tries at cloudlets that came to the same.
    pub(crate) fn tried(&self, outcome: TryOutcome, tries: usize) {
        let outcome = match outcome {
            TryOutcome::Deployed => "deployed",
            TryOutcome::Declined => "declined",
            TryOutcome::Failed => "failed",
        };
        let counter = self.tries.get_or_create(&OutcomeLabels { outcome });
        counter.inc_by(tries as u64);
    }

    /// Counts the cloudlets that rules excluded from a request.
    pub(crate) fn excluded(&self, excluded: &Excluded) {
        for (rule, cloudlets) in excluded.iter() {
            let counter = self.excluded.get_or_create(&RuleLabels { rule });
            counter.inc_by(cloudlets as u64);
        }
    }

    /// Counts cloudlets that were asked in place of others.
    pub(crate) fn fell_over(&self, times: usize) {
        self.fall_overs.inc_by(times as u64);
    }
}

impl ScrapeMetrics {
    /// Adds `scrapes_total` to the registry.
    pub(crate) fn register(metrics: &mut Metrics) -> Self {
        let new = Self::default();
        let help = "Times that measurements of a cloudlet of the file were fetched";
        metrics.register("scrapes", help, new.scrapes.clone());
        new
    }

    /// Counts a scrape.
    pub(crate) fn scraped(&self, outcome: ScrapeOutcome) {
        let outcome = match outcome {
            ScrapeOutcome::Measured => "measured",
            ScrapeOutcome::Partly => "partly",
            ScrapeOutcome::Nothing => "nothing",
            ScrapeOutcome::Failed => "failed",
        };
        self.scrapes.get_or_create(&OutcomeLabels { outcome }).inc();
    }
}

/// Adds the gauge `cloudlets_known`, by origin, to the metrics.
pub(crate) fn register_cloudlets(metrics: &mut Metrics, cloudlets: Registry) {
    metrics.register_collector(Box::new(Cloudlets(cloudlets)));
}

impl Collector for Cloudlets {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let roster = self.0.roster();
        let known = Family::<OriginLabels, Gauge>::default();
        for origin in [Origin::File, Origin::Report, Origin::Joined] {
            let count = roster.count(origin);
            let labels = OriginLabels {
                origin: word(origin),
            };
            known
                .get_or_create(&labels)
                .set(count.try_into().unwrap_or(i64::MAX));
        }
        let descriptor = encoder.encode_descriptor(
            "cloudlets_known",
            "Cloudlets known, by how they became known",
            None,
            known.metric_type(),
        )?;
        known.encode(descriptor)
    }
}

const fn word(origin: Origin) -> &'static str {
    match origin {
        Origin::File => "file",
        Origin::Report => "report",
        Origin::Joined => "joined",
    }
}
