//! `/cloudlets`: reports of cloudlets, and the list of all that are known.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::Router;
use axum::extract::{ConnectInfo, DefaultBodyLimit, FromRequest, Request, State};
use axum::routing::get;
use http::StatusCode;
use jiff::Timestamp;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry as Metrics;
use serde::de::DeserializeOwned;
use serde_json::Value;
use sinfonia_core::cloudlet::CloudletInfo;
use sinfonia_core::endpoint::Endpoint;
use sinfonia_service::json::Json;
use sinfonia_service::problem::Problem;
use sinfonia_service::proxies::TrustedProxies;
use uuid::Uuid;

use crate::registry::{Known, Registry, ReportAuthority, ReportRefusal, Reported};
use crate::report_access::{AccessError, ReportAccess};

/// Longest report, in bytes. Those of today have less than 2 KiB.
const REPORT_BYTES: usize = 64 * 1024;

/// What these routes work on.
pub struct CloudletsState {
    /// The cloudlets.
    pub registry: Registry,
    /// Who may report.
    pub access: ReportAccess,
    /// Whose word about a caller's address counts.
    pub proxies: TrustedProxies,
    /// What counts the reports.
    pub metrics: ReportMetrics,
}

/// Counts reports by what came of them.
#[derive(Debug, Clone, Default)]
pub struct ReportMetrics(Family<ReportLabels, Counter>);

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReportLabels {
    outcome: &'static str,
}

impl ReportMetrics {
    /// Adds `reports_total` to the registry.
    pub fn register(metrics: &mut Metrics) -> Self {
        let new = Self::default();
        metrics.register("reports", "Reports of cloudlets received", new.0.clone());
        new
    }

    fn count(&self, result: &Result<StatusCode, Problem>) {
        let outcome = match result.as_ref().map_err(Problem::status) {
            Ok(_) => "taken",
            Err(StatusCode::UNAUTHORIZED) => "unauthorized",
            Err(StatusCode::FORBIDDEN) => "forbidden",
            Err(_) => "malformed",
        };
        self.0.get_or_create(&ReportLabels { outcome }).inc();
    }
}

/// The routes, complete with their state; to be merged with those of the rest of the API.
pub fn router(state: CloudletsState) -> Router {
    Router::new()
        .route("/api/v1/cloudlets", get(list).post(report))
        .layer(DefaultBodyLimit::max(REPORT_BYTES))
        .with_state(Arc::new(state))
}

/// All cloudlets: those of the file in its order, then the others by name.
async fn list(State(state): State<Arc<CloudletsState>>) -> Json<Vec<CloudletInfo>> {
    let snapshot = state.registry.snapshot();
    let mut cloudlets: Vec<&Known> = snapshot.iter().map(AsRef::as_ref).collect();
    cloudlets.sort_by(|a, b| order(a).cmp(&order(b)));
    Json(
        cloudlets
            .iter()
            .map(|known| known.cloudlet.info())
            .collect(),
    )
}

fn order(known: &Known) -> (usize, &str, &Endpoint) {
    let cloudlet = &known.cloudlet;
    let place = known.file_place().unwrap_or(usize::MAX);
    (place, &cloudlet.name, &cloudlet.endpoint)
}

async fn report(
    State(state): State<Arc<CloudletsState>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
) -> Result<StatusCode, Problem> {
    let caller = state.proxies.caller(peer.ip(), request.headers(), false);
    let reporter = caller.address;
    let result = take(&state, reporter, request).await;
    state.metrics.count(&result);
    if let Err(problem) = &result {
        let reason = problem.detail_text();
        tracing::info!(%reporter, reason, "report refused");
    }
    result
}

/// Who may not report learns that before anything of the report is looked at.
async fn take(
    state: &CloudletsState,
    reporter: IpAddr,
    request: Request,
) -> Result<StatusCode, Problem> {
    let authority = state.access.authority(request.headers(), reporter)?;
    let Json(body) = Json::<Value>::from_request(request, &()).await?;
    let now = Timestamp::now();
    check_identity(state, &body, &authority, now)?;
    let info = CloudletInfo::parse_report(body).map_err(Problem::bad_request)?;
    let endpoint = info.endpoint.clone();
    let reported = state.registry.report(info, &authority, now)?;
    if reported == Reported::First {
        tracing::info!(%endpoint, %reporter, "new cloudlet reported");
    }
    Ok(StatusCode::NO_CONTENT)
}

/// Judges whether the caller may report this cloudlet by as much of its identity as can be read, before other fields are.
fn check_identity(
    state: &CloudletsState,
    body: &Value,
    authority: &ReportAuthority,
    now: Timestamp,
) -> Result<(), ReportRefusal> {
    let uuid: Option<Uuid> = readable(body, "uuid");
    let endpoint: Option<Endpoint> = readable(body, "endpoint");
    authority.check_scope(uuid, endpoint.as_ref())?;
    let (Some(uuid), Some(endpoint)) = (uuid, endpoint) else {
        return Ok(());
    };
    if *authority == ReportAuthority::Anonymous && state.access.is_given_out(uuid, &endpoint) {
        return Err(ReportRefusal::NeedsToken { endpoint });
    }
    state.registry.check_report(uuid, &endpoint, authority, now)
}

fn readable<T: DeserializeOwned>(body: &Value, field: &str) -> Option<T> {
    T::deserialize(body.get(field)?).ok()
}

impl From<AccessError> for Problem {
    fn from(error: AccessError) -> Self {
        match error {
            AccessError::Nobody | AccessError::NoToken(_) => Self::unauthorized(error),
            AccessError::WrongToken => Self::forbidden(error),
        }
    }
}

impl From<ReportRefusal> for Problem {
    fn from(refusal: ReportRefusal) -> Self {
        Self::forbidden(refusal)
    }
}
