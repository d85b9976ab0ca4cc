//! The HTTP API of Tier 2.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Query, State};
use axum::routing::get;
use axum::{Extension, Router};
use http::{HeaderMap, HeaderName, StatusCode};
use serde::Deserialize;
use serde_json::json;
use sinfonia_core::client::prefer_wait;
use sinfonia_core::deployment::CloudletDeployment;
use sinfonia_core::lifecycle::Request;
use sinfonia_service::deploy_path::DeployPath;
use sinfonia_service::json::Json;
use sinfonia_service::problem::Problem;
use sinfonia_service::reload::causes;
use sinfonia_service::request_id::RequestId;
use tokio::time::Instant;

use crate::access::{Access, Authorised};
use crate::deployments::{Deployments, Refusal};
use crate::metrics::Metrics;

/// Header in which a caller says how long it waits (RFC 7240).
const PREFER: HeaderName = HeaderName::from_static("prefer");

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
        .route("/", get(async || Json(json!({}))))
        .route("/api/v1/deploy/{uuid}/{*application_key}", deployment)
        .with_state(Shared(api))
}

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
