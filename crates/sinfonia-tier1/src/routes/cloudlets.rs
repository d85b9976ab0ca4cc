//! `/cloudlets`: reports of cloudlets, and the list of all that are known.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::Router;
use axum::extract::{ConnectInfo, DefaultBodyLimit, RawQuery, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::StatusCode;
use http::header::LINK;
use jiff::Timestamp;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry as Metrics;
use serde_json::Value;
use sinfonia_core::cloudlet::CloudletInfo;
use sinfonia_core::endpoint::Endpoint;
use sinfonia_core::fleet::Member;
use sinfonia_service::json::{self, Json, JsonList};
use sinfonia_service::metrics::zeroed;
use sinfonia_service::problem::Problem;
use sinfonia_service::proxies::TrustedProxies;
use uuid::Uuid;

use crate::aside::aside;
use crate::deploy::{count, malformed, pairs};
use crate::registry::{Entry, Registry, ReportAuthority, ReportRefusal, Reported, Roster};
use crate::report_access::{AccessError, ReportAccess};

/// Longest report, in bytes. Those of today have less than 2 KiB.
const REPORT_BYTES: usize = 64 * 1024;
/// Most cloudlets of a page: a few MiB.
const LONGEST_PAGE: usize = 10_000;

/// What may come of a report.
const REPORT_OUTCOMES: [&str; 4] = ["taken", "unauthorized", "forbidden", "malformed"];

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
#[derive(Debug, Clone)]
pub struct ReportMetrics(Family<ReportLabels, Counter>);

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReportLabels {
    outcome: &'static str,
}

impl ReportMetrics {
    /// Adds `reports_total` to the registry.
    pub fn register(metrics: &mut Metrics) -> Self {
        let new = Self(zeroed(
            REPORT_OUTCOMES.map(|outcome| ReportLabels { outcome }),
        ));
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
        debug_assert!(
            REPORT_OUTCOMES.contains(&outcome),
            "{outcome} is counted from the start"
        );
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

/// All cloudlets: those of the file in its order, then the others by name. With `limit` so many, in an order of no meaning, and a link to
/// the next ones.
#[utoipa::path(
    get,
    path = "/api/v1/cloudlets/",
    operation_id = "cloudlets",
    tag = "Cloudlets",
    summary = "Lists the cloudlets",
    description = "All of them, or with `limit` so many, in an order of no meaning, and a link to the next ones.",
    params(
        ("limit" = Option<u64>, Query, minimum = 1, description = "Most cloudlets of a page, at most 10,000."),
        ("after" = Option<String>, Query, pattern = "^[0-9a-fA-F]{16}$", description = "Where the page begins, as the header Link of the page before says."),
    ),
    responses(
        (status = 200, description = "The cloudlets", body = ref("#/components/schemas/Cloudlets"), headers(
            ("Link" = String, description = "The next page (rel=next), where there is one"),
        )),
        (status = 400, description = "The query is malformed"),
    ),
)]
pub(super) async fn list(
    State(state): State<Arc<CloudletsState>>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let roster = state.registry.roster();
    if let Some(page) = PageQuery::parse(query.as_deref())? {
        return Ok(page.of(&roster));
    }
    let entries = aside(move || sorted(&roster)).await?;
    let infos = entries.into_iter().map(|entry| entry.now().cloudlet.info());
    Ok(JsonList(infos).into_response())
}

/// A part of the list that is asked for.
#[derive(Debug, PartialEq)]
struct PageQuery {
    limit: usize,
    after: Option<u64>,
}

impl PageQuery {
    /// Reads `?limit=` and `?after=`; `None` when it says neither.
    fn parse(query: Option<&str>) -> Result<Option<Self>, Problem> {
        let (mut limit, mut after) = (None, None);
        for (name, value) in pairs(query) {
            match &*name {
                "limit" => limit = Some(count("limit", &value)?),
                "after" => after = Some(place(&value)?),
                _ => {}
            }
        }
        if limit.is_none() && after.is_none() {
            return Ok(None);
        }
        Ok(Some(Self {
            limit: limit.map_or(LONGEST_PAGE, |limit| limit.get().min(LONGEST_PAGE)),
            after,
        }))
    }

    fn of(&self, roster: &Roster) -> Response {
        let page = roster.cloudlets.page(self.after, self.limit);
        let infos = page
            .members
            .into_iter()
            .map(|entry| entry.now().cloudlet.info());
        let infos = Json(infos.collect::<Vec<_>>());
        match page.next {
            None => infos.into_response(),
            Some(next) => {
                let link = format!("<?limit={}&after={next:016x}>; rel=\"next\"", self.limit);
                ([(LINK, link)], infos).into_response()
            }
        }
    }
}

fn place(value: &str) -> Result<u64, Problem> {
    let is_hex = value.len() == 16 && value.bytes().all(|byte| byte.is_ascii_hexdigit());
    let place = is_hex
        .then(|| u64::from_str_radix(value, 16).ok())
        .flatten();
    place.ok_or_else(|| {
        malformed(
            "after",
            value,
            "a place that the header Link of a page named",
        )
    })
}

fn sorted(roster: &Roster) -> Vec<Entry> {
    let place = |entry: &Entry| entry.now().file_place().unwrap_or(u32::MAX);
    let entries = roster.cloudlets.iter();
    let mut placed: Vec<(u32, Entry)> =
        entries.map(|entry| (place(entry), entry.clone())).collect();
    placed.sort_unstable_by(|(a, one), (b, other)| {
        let (one, other) = (one.placement(), other.placement());
        let by_name = || one.name.cmp(&other.name);
        let by_endpoint = || one.endpoint.cmp(&other.endpoint);
        a.cmp(b).then_with(by_name).then_with(by_endpoint)
    });
    placed.into_iter().map(|(_, entry)| entry).collect()
}

/// Takes what a cloudlet says of itself.
#[utoipa::path(
    post,
    path = "/api/v1/cloudlets/",
    operation_id = "report",
    tag = "Cloudlets",
    summary = "Reports a cloudlet",
    description = "Creates or replaces it. Unknown fields are ignored; a malformed one changes nothing.",
    request_body(content = ref("#/components/schemas/Report"), content_type = "application/json"),
    responses(
        (status = 204, description = "The report is taken"),
        (status = 400, description = "It is no object, or a field is missing or malformed"),
        (status = 401, description = "Reporting needs a token"),
        (status = 403, description = "The token is wrong, or not for this cloudlet"),
        (status = 413, description = "The report is too long"),
    ),
    security((), ("token" = [])),
)]
pub(super) async fn report(
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

/// Who may not report learns that, and not what else is wrong with the report.
async fn take(
    state: &CloudletsState,
    reporter: IpAddr,
    request: Request,
) -> Result<StatusCode, Problem> {
    let authority = state.access.authority(request.headers(), reporter)?;
    let body = json::body_of(request).await?;
    let now = Timestamp::now();
    let info = match CloudletInfo::read_plain_report(&body) {
        Some(info) => info,
        None => read(state, json::parse(&body)?, &authority, now)?,
    };
    let endpoint = info.endpoint.clone();
    let uuid = info.uuid.unwrap_or_else(|| endpoint.uuid());
    check_given_out(state, uuid, &endpoint, &authority)?;
    let reported = state.registry.report(info, &authority, now)?;
    if reported == Reported::First {
        tracing::info!(%endpoint, %reporter, "new cloudlet reported");
    }
    Ok(StatusCode::NO_CONTENT)
}

/// Reads a report that is not a plain one.
fn read(
    state: &CloudletsState,
    body: Value,
    authority: &ReportAuthority,
    now: Timestamp,
) -> Result<CloudletInfo, Problem> {
    let identity = ["uuid", "endpoint"].map(|field| body.get(field).cloned().unwrap_or_default());
    match CloudletInfo::parse_report(body) {
        Ok(info) => Ok(info),
        Err(malformed) => {
            check_identity(state, identity, authority, now)?;
            Err(Problem::bad_request(malformed))
        }
    }
}

/// Judges whether the caller may report this cloudlet by as much of its identity, uuid and endpoint, as can be read.
fn check_identity(
    state: &CloudletsState,
    [uuid, endpoint]: [Value; 2],
    authority: &ReportAuthority,
    now: Timestamp,
) -> Result<(), ReportRefusal> {
    let uuid: Option<Uuid> = serde_json::from_value(uuid).ok();
    let endpoint: Option<Endpoint> = serde_json::from_value(endpoint).ok();
    authority.check_scope(uuid, endpoint.as_ref())?;
    let (Some(uuid), Some(endpoint)) = (uuid, endpoint) else {
        return Ok(());
    };
    check_given_out(state, uuid, &endpoint, authority)?;
    state.registry.check_report(uuid, &endpoint, authority, now)
}

/// Nobody without a token reports what somebody has one for.
fn check_given_out(
    state: &CloudletsState,
    uuid: Uuid,
    endpoint: &Endpoint,
    authority: &ReportAuthority,
) -> Result<(), ReportRefusal> {
    if *authority == ReportAuthority::Anonymous && state.access.is_given_out(uuid, endpoint) {
        let endpoint = endpoint.clone();
        return Err(ReportRefusal::NeedsToken { endpoint });
    }
    Ok(())
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
