//! Measurements of what Tier 1 does. Labels are one of a few words, never an identity.

use std::fmt;

use jiff::Timestamp;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry as Metrics;
use sinfonia_core::ranking::Exclusion;
use sinfonia_service::metrics::{write_counter, write_gauge, zeroed};

use crate::circuits::CircuitMetrics;
use crate::deploy::Excluded;
use crate::registry::{Origin, Registry};

/// Counts deployments.
#[derive(Debug, Clone)]
pub(crate) struct DeployMetrics {
    deploys: Family<OutcomeLabels, Counter>,
    tries: Family<OutcomeLabels, Counter>,
    fall_overs: Counter,
    /// Measurements of the circuits of cloudlets.
    pub(crate) circuits: CircuitMetrics,
    excluded: Family<RuleLabels, Counter>,
}

/// Counts scrapes of cloudlets' measurements.
#[derive(Debug, Clone)]
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
            deploys: zeroed(Outcome::ALL.map(|outcome| labels(outcome.word()))),
            tries: zeroed(TryOutcome::ALL.map(|outcome| labels(outcome.word()))),
            fall_overs: Counter::default(),
            circuits: CircuitMetrics::register(metrics),
            excluded: zeroed(Exclusion::RULES.map(|rule| RuleLabels { rule })),
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
        self.deploys.get_or_create(&labels(outcome.word())).inc();
    }

    /// Counts tries at cloudlets that came to the same.
    pub(crate) fn tried(&self, outcome: TryOutcome, tries: usize) {
        let counter = self.tries.get_or_create(&labels(outcome.word()));
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
        let new = Self {
            scrapes: zeroed(ScrapeOutcome::ALL.map(|outcome| labels(outcome.word()))),
        };
        let help = "Times that measurements of a cloudlet of the file were fetched";
        metrics.register("scrapes", help, new.scrapes.clone());
        new
    }

    /// Counts a scrape.
    pub(crate) fn scraped(&self, outcome: ScrapeOutcome) {
        self.scrapes.get_or_create(&labels(outcome.word())).inc();
    }
}

impl Outcome {
    const ALL: [Self; 6] = [
        Self::Deployed,
        Self::Shed,
        Self::NoCloudlet,
        Self::NoRecipe,
        Self::Refused,
        Self::Failed,
    ];

    const fn word(self) -> &'static str {
        match self {
            Self::Deployed => "deployed",
            Self::Shed => "shed",
            Self::NoCloudlet => "no_cloudlet",
            Self::NoRecipe => "no_recipe",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}

impl TryOutcome {
    const ALL: [Self; 3] = [Self::Deployed, Self::Declined, Self::Failed];

    const fn word(self) -> &'static str {
        match self {
            Self::Deployed => "deployed",
            Self::Declined => "declined",
            Self::Failed => "failed",
        }
    }
}

impl ScrapeOutcome {
    const ALL: [Self; 4] = [Self::Measured, Self::Partly, Self::Nothing, Self::Failed];

    const fn word(self) -> &'static str {
        match self {
            Self::Measured => "measured",
            Self::Partly => "partly",
            Self::Nothing => "nothing",
            Self::Failed => "failed",
        }
    }
}

/// Adds `cloudlets_known`, by origin, `cloudlets_stale`, `cloudlets_silent`, `cloudlets_lost_total` and `oldest_news_seconds` to the
/// metrics.
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
            known.get_or_create(&labels).set(as_gauge(count));
        }
        let descriptor = encoder.encode_descriptor(
            "cloudlets_known",
            "Cloudlets known, by how they became known",
            None,
            known.metric_type(),
        )?;
        known.encode(descriptor)?;
        self.encode_news(&mut encoder)
    }
}

impl Cloudlets {
    /// How fresh what cloudlets tell is. There may be a million of them, so none has a series of its own.
    fn encode_news(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let news = self.0.news(Timestamp::now());
        let help = "Cloudlets heard of within 5 minutes, but not within 45 s: what was measured there counts no more";
        write_gauge(encoder, "cloudlets_stale", help, as_gauge(news.stale))?;
        let help = "Cloudlets of the file that reported and fell silent without having said that they drain";
        write_gauge(encoder, "cloudlets_silent", help, as_gauge(news.silent))?;
        let help = "Cloudlets not of the file that are no longer known: they fell silent without having said that they drain";
        write_counter(encoder, "cloudlets_lost", help, news.lost)?;
        let help = "Time since the cloudlet of which nothing was heard for longest was heard of; those silent for 5 minutes do not count";
        let oldest = news.oldest.as_secs_f64();
        write_gauge(encoder, "oldest_news_seconds", help, oldest)
    }
}

const fn labels(outcome: &'static str) -> OutcomeLabels {
    OutcomeLabels { outcome }
}

/// A gauge holds 63 bits.
fn as_gauge(count: usize) -> i64 {
    count.try_into().unwrap_or(i64::MAX)
}

const fn word(origin: Origin) -> &'static str {
    match origin {
        Origin::File => "file",
        Origin::Report => "report",
        Origin::Joined => "joined",
    }
}
