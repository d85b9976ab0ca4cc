//! The HTTP API of Tier 2.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Query, State};
use axum::routing::get;
use axum::{Extension, Router};
use http::{HeaderMap, HeaderName, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use sinfonia_core::client::prefer_wait;
use sinfonia_core::deployment::CloudletDeployment;
use sinfonia_core::lifecycle::Request;
use sinfonia_core::schema;
use sinfonia_service::deploy_path::DeployPath;
use sinfonia_service::json::Json;
use sinfonia_service::openapi;
use sinfonia_service::problem::Problem;
use sinfonia_service::reload::causes;
use sinfonia_service::request_id::{RequestId, RequestIds};
use tokio::time::Instant;
use utoipa::OpenApi;

use crate::access::{Access, Authorised};
use crate::deployments::{Deployments, Refusal};
use crate::metrics::Metrics;

/// Header in which a caller says how long it waits (RFC 7240).
const PREFER: HeaderName = HeaderName::from_static("prefer");

/// What devices ask for, by way of Tier 1 or directly.
pub(crate) const DEPLOY: &str = "/api/v1/deploy/{uuid}/{*application_key}";
/// Whose ids requests have: Tier 1's, so that it can take back what its requests created.
pub(crate) const REQUEST_IDS: RequestIds = RequestIds::TakeOver;

/// Longest time that a caller can ask to wait.
pub(crate) const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// What the handlers work with.
pub(crate) struct Api {
    pub(crate) access: Access,
    pub(crate) deployments: Deployments,
    /// How long a request waits that does not say.
    pub(crate) ready_timeout: Duration,
    pub(crate) metrics: Metrics,
}

/// The handlers' share of [`Api`].
#[derive(Clone)]
struct Shared(Arc<Api>);

#[derive(Debug, Deserialize)]
struct DeleteQuery {
    #[serde(rename = "created-by")]
    created_by: Option<String>,
}

/// The routes of Tier 2.
pub(crate) fn router(api: Arc<Api>) -> Router {
    let deployment = get(read).post(deploy).delete(release);
    Router::new()
        .route("/", get(root))
        .route(DEPLOY, deployment)
        .with_state(Shared(api))
        .merge(openapi::router(&description()))
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Sinfonia Tier 2",
        description = "Deploys backends of clients into one cloudlet and connects them with WireGuard. Every path works with and without a slash at its end."
    ),
    paths(root, deploy, read, release)
)]
struct Tier2;

/// The description of the API: an OpenAPI document.
pub fn description() -> Value {
    openapi::complete(&Tier2::openapi(), schema::of_tier2(), REQUEST_IDS)
}

/// Says that it is there.
#[utoipa::path(
    get,
    path = "/",
    operation_id = "root",
    tag = "Service",
    summary = "Answers as long as the service runs",
    responses((status = 200, description = "It runs", body = Object)),
)]
async fn root() -> Json<Value> {
    Json(json!({}))
}

/// Deploys, or renews.
#[utoipa::path(
    post,
    path = "/api/v1/deploy/{uuid}/{application_key}",
    operation_id = "deploy",
    tag = "Deployments",
    summary = "Deploys a client's backend, or extends its lease",
    params(
        ("uuid" = String, Path),
        ("application_key" = String, Path),
        ("Prefer" = Option<String>, Header, description = "wait=<seconds>: how long to wait until it is ready (RFC 7240), at most 60.", example = "wait=8"),
        ("X-ClientIP" = Option<String>, Header),
    ),
    responses(
        (status = 200, description = "The deployment, in a list of one; its Status may be Initializing still", body = ref("#/components/schemas/Deployments")),
        (status = 400, description = "The uuid or the key is malformed"),
        (status = 401, description = "Deploying needs a token"),
        (status = 403, description = "The token is wrong, or the client is not served here"),
        (status = 404, description = "There is no such recipe"),
        (status = 409, description = "The key holds a deployment of another application here, or the request was withdrawn"),
        (status = 429, description = "The client has, or asks for, too much"),
        (status = 500, description = "The installation failed (class says how), or the service did"),
        (status = 503, description = "The cloudlet cannot take it now"),
    ),
    security((), ("token" = [])),
)]
async fn deploy(
    State(Shared(api)): State<Shared>,
    caller: Authorised,
    path: DeployPath,
    Extension(id): Extension<RequestId>,
    headers: HeaderMap,
) -> Result<Json<[CloudletDeployment; 1]>, Problem> {
    let Authorised(caller) = caller;
    api.access.admit(caller.address)?;
    let request = Request {
        uuid: path.uuid,
        public_key: path.key,
        client_address: caller.address,
        id: id.to_string(),
    };
    let deadline = Instant::now() + patience(&headers, api.ready_timeout);
    let result = api.deployments.deploy(&request, deadline).await;
    api.metrics.deployed(&result);
    match result {
        Ok(deployment) => {
            tracing::info!(recipe = %path.uuid, key = %path.key.short(), client = %caller.address, status = %deployment.status, ready = deployment.is_ready(), "deployment given");
            Ok(Json([deployment]))
        }
        Err(refusal) => Err(told(refusal, &path, caller.has_token)),
    }
}

/// Tells how a deployment is.
#[utoipa::path(
    get,
    path = "/api/v1/deploy/{uuid}/{application_key}",
    operation_id = "deployment",
    tag = "Deployments",
    summary = "Tells how a deployment is",
    params(
        ("uuid" = String, Path),
        ("application_key" = String, Path),
    ),
    responses(
        (status = 200, description = "The deployment", body = ref("#/components/schemas/CloudletDeployment")),
        (status = 400, description = "The uuid or the key is malformed"),
        (status = 404, description = "There is none; class and detail say why one that failed or expired is not there any more"),
        (status = 503, description = "The deployments are not known at present, or too many requests are running"),
    ),
    security((), ("token" = [])),
)]
async fn read(
    State(Shared(api)): State<Shared>,
    path: DeployPath,
    headers: HeaderMap,
) -> Result<Json<CloudletDeployment>, Problem> {
    let deployment = api.deployments.get(path.uuid, &path.key).await;
    let has_token = api.access.shows_token(&headers);
    let fit = |refusal: Refusal| {
        if has_token {
            refusal.in_detail()
        } else {
            refusal
        }
    };
    Ok(Json(deployment.map_err(fit)?))
}

/// Ends a deployment.
#[utoipa::path(
    delete,
    path = "/api/v1/deploy/{uuid}/{application_key}",
    operation_id = "end_deployment",
    tag = "Deployments",
    summary = "Ends a deployment, also one that is not there any more",
    params(
        ("uuid" = String, Path),
        ("application_key" = String, Path),
        ("created-by" = Option<String>, Query, pattern = "^[A-Za-z0-9._-]{1,128}$", description = "Ends only what the request with this X-Request-ID created."),
        ("X-ClientIP" = Option<String>, Header),
    ),
    responses(
        (status = 204, description = "It is gone, or soon will be"),
        (status = 400, description = "The uuid, the key or the query is malformed"),
        (status = 401, description = "It needs a token"),
        (status = 403, description = "The token is wrong, or another client created it"),
        (status = 503, description = "The deployments are not known at present, or too many requests are running"),
    ),
    security((), ("token" = [])),
)]
async fn release(
    State(Shared(api)): State<Shared>,
    caller: Authorised,
    path: DeployPath,
    Query(query): Query<DeleteQuery>,
) -> Result<StatusCode, Problem> {
    let created_by = query.created_by.as_deref().map(request_id).transpose()?;
    api.deployments
        .delete(
            path.uuid,
            &path.key,
            created_by.as_ref().map(RequestId::as_str),
            |creator| caller.may_delete(creator),
        )
        .await
        .map_err(|refusal| told(refusal, &path, caller.0.has_token))?;
    Ok(StatusCode::NO_CONTENT)
}

/// How long a request waits: as its `Prefer` header says, at most a minute, else as usual.
fn patience(headers: &HeaderMap, usual: Duration) -> Duration {
    let preferences = headers.get_all(PREFER).iter();
    let wait = preferences
        .filter_map(|value| value.to_str().ok())
        .find_map(prefer_wait);
    wait.map_or(usual, |seconds| {
        Duration::from_secs(seconds).min(LONGEST_WAIT)
    })
}

fn request_id(text: &str) -> Result<RequestId, Problem> {
    RequestId::parse(text).ok_or_else(|| {
        Problem::bad_request(
            "created-by: a request id has 1 to 128 letters, digits, dots, underscores and hyphens",
        )
    })
}

/// Writes a refusal to the log, once and with all that is known, and makes the answer of it. What helm said is for those with a token.
fn told(refusal: Refusal, path: &DeployPath, has_token: bool) -> Problem {
    tracing::info!(error = %refusal, cause = causes(&refusal), recipe = %path.uuid, key = %path.key.short(), "deployment refused");
    if has_token {
        return refusal.in_detail().into();
    }
    refusal.into()
}

impl AsRef<Access> for Shared {
    fn as_ref(&self) -> &Access {
        &self.0.access
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_tells_its_answers() {
        insta::assert_snapshot!(openapi::answers(&description()), @r"
        get /: 200 414 500 503 504
        delete /api/v1/deploy/{uuid}/{application_key}: 204 400 401 403 414 500 503 504
        get /api/v1/deploy/{uuid}/{application_key}: 200 400 404 414 500 503 504
        post /api/v1/deploy/{uuid}/{application_key}: 200 400 401 403 404 409 414 429 500 503 504
        get /api/v1/openapi.json: 200 414 500 503 504
        get /api/v1/ui/: 200 414 500 503 504
        ");
    }
}
