//! Reports to Tier 1: who this cloudlet is and how busy, to each Tier 1 on a schedule of its own.

mod schedule;
mod token;

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use http::header::AUTHORIZATION;
use serde_json::Value;
use sinfonia_core::cloudlet::CloudletInfo;
use sinfonia_service::client::{ANSWER_BYTES, read_bounded};
use sinfonia_service::readiness::Readiness;
use sinfonia_service::recipes::RecipeRepository;
use sinfonia_service::reload::Reloaded;
use sinfonia_service::shutdown::CancellationToken;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use uuid::Uuid;

use self::schedule::pause;
pub(crate) use self::token::ReportToken;
pub use self::token::ReportTokenError;
use crate::cluster::Cluster;
use crate::metrics::Metrics;
use crate::settings::Tier1Url;

/// Time that a Tier 1 has to answer a report.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Time that a Tier 1 has to answer the last report, which must not hold up the end of the service.
const LAST_TIMEOUT: Duration = Duration::from_secs(2);
/// Time between two looks at whether Tier 2 is ready to be told of.
const READINESS_INTERVAL: Duration = Duration::from_millis(250);
/// Characters of a refusal's reason that are logged.
const LONGEST_REASON: usize = 300;

/// What reports are made of and sent with.
pub(crate) struct Reporter {
    /// What does not change from report to report.
    pub(crate) cloudlet: CloudletInfo,
    /// The identity that the operator gave it.
    pub(crate) uuid: Option<Uuid>,
    pub(crate) cluster: Arc<dyn Cluster>,
    pub(crate) recipes: RecipeRepository,
    pub(crate) token: Option<Reloaded<ReportToken>>,
    pub(crate) client: reqwest::Client,
    pub(crate) readiness: Readiness,
    pub(crate) metrics: Metrics,
    pub(crate) stopping: CancellationToken,
}

/// Why a report did not count.
#[derive(Debug, thiserror::Error)]
enum ReportError {
    #[error("Tier 1 does not answer")]
    Unreachable(#[source] reqwest::Error),
    #[error("Tier 1 does not take the report: {status} {reason}")]
    Refused { status: StatusCode, reason: String },
}

/// What a Tier 1 thinks of us; a change of it is worth a line in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Accepted,
    Unreachable,
    Refused(StatusCode),
}

impl Reporter {
    /// Reports to one Tier 1 as soon as and as long as Tier 2 is ready, until it stops.
    pub(crate) async fn run(self: Arc<Self>, tier1: Tier1Url) {
        tokio::select! {
            () = self.report_for_ever(&tier1) => {}
            () = self.stopping.cancelled() => {}
        }
        if self.readiness.report().ready {
            let last = CloudletInfo {
                draining: Some(true),
                ..self.current().await
            };
            // It will be missed soon enough if it does not hear this.
            let _ = timeout(LAST_TIMEOUT, self.send(&tier1, &last)).await;
        }
    }

    async fn report_for_ever(&self, tier1: &Tier1Url) {
        let mut standing = None;
        let mut failures = 0;
        let mut draining = self.cluster.draining();
        loop {
            while !self.readiness.report().ready {
                sleep(READINESS_INTERVAL).await;
            }
            draining.mark_unchanged();
            let result = self.send(tier1, &self.current().await).await;
            failures = if result.is_ok() { 0 } else { failures + 1 };
            let now = Standing::of(&result);
            if standing.replace(now) != Some(now) {
                log(tier1, &result);
            }
            self.metrics.reported(now.outcome());
            // Without randomness the pause is an average one.
            let random = getrandom::u32().unwrap_or(u32::MAX / 2);
            tokio::select! {
                () = sleep(pause(failures, random)) => {}
                () = changed(&mut draining) => {}
            }
        }
    }

    async fn current(&self) -> CloudletInfo {
        CloudletInfo {
            uuid: Some(self.identity()),
            resources: Some(self.cluster.resources().await),
            recipes: self.recipes.offered().await,
            draining: self.cluster.draining().borrow().is_yes().then_some(true),
            ..self.cloudlet.clone()
        }
    }

    /// Who this cloudlet is: what the operator says, else what its cluster and its endpoint make it.
    fn identity(&self) -> Uuid {
        let endpoint = &self.cloudlet.endpoint;
        let of_cluster = |uid| Uuid::new_v5(&uid, endpoint.to_string().as_bytes());
        self.uuid
            .or_else(|| self.cluster.uid().map(of_cluster))
            .unwrap_or_else(|| endpoint.uuid())
    }

    async fn send(&self, tier1: &Tier1Url, report: &CloudletInfo) -> Result<(), ReportError> {
        let mut request = self
            .client
            .post(tier1.reports())
            .timeout(TIMEOUT)
            .json(report);
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, token.load().header());
        }
        let response = request.send().await.map_err(ReportError::Unreachable)?;
        let status = response.status();
        if status.is_success() {
            return Ok(());
        }
        let body = read_bounded(response, ANSWER_BYTES)
            .await
            .unwrap_or_default();
        let reason = reason(&body);
        Err(ReportError::Refused { status, reason })
    }
}

impl Standing {
    fn of(result: &Result<(), ReportError>) -> Self {
        match result {
            Ok(()) => Self::Accepted,
            Err(ReportError::Unreachable(_)) => Self::Unreachable,
            Err(ReportError::Refused { status, .. }) => Self::Refused(*status),
        }
    }

    const fn outcome(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Unreachable => "unreachable",
            Self::Refused(_) => "refused",
        }
    }
}

/// Resolves when something changes; never, if nobody can change it any more.
async fn changed<T>(followed: &mut watch::Receiver<T>) {
    if followed.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}

fn log(tier1: &Tier1Url, result: &Result<(), ReportError>) {
    match result {
        Ok(()) => tracing::info!(%tier1, "reports are accepted"),
        Err(error) => {
            let error: &dyn std::error::Error = error;
            tracing::warn!(%tier1, error, "reports are not accepted, trying on");
        }
    }
}

/// The reason in a problem document, fit for the log.
fn reason(body: &[u8]) -> String {
    let document: Option<Value> = serde_json::from_slice(body).ok();
    let detail = document
        .as_ref()
        .and_then(|document| document.get("detail")?.as_str());
    let printable = detail.unwrap_or_default().escape_debug();
    printable.take(LONGEST_REASON).collect()
}
