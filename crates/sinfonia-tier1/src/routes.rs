//! The HTTP API of Tier 1.

pub mod cloudlets;
mod deploy;
mod deployments;
pub mod description;
mod explain;
mod recipe;

use std::sync::Arc;

use axum::Router;
use axum::extract::FromRef;
use axum::routing::get;
use serde_json::{Value, json};
use sinfonia_service::json::Json;
use sinfonia_service::openapi;
use sinfonia_service::recipes::RecipeRepository;

use self::cloudlets::CloudletsState;
use crate::callers::Callers;
use crate::dashboard::{self, Dashboard};
use crate::deploy::Deployer;

const RECIPE: &str = "/api/v1/recipe/{uuid}";
const DEPLOY: &str = "/api/v1/deploy/{uuid}/{*application_key}";
const DEPLOYMENTS: &str = "/api/v1/deployments/{uuid}/{*application_key}";
const EXPLAIN: &str = "/api/v1/explain";
/// What devices ask for. Reports, lists and the dashboard ask all the time, and would drown it in traces.
pub(crate) const OF_DEVICES: &[&str] = &[RECIPE, DEPLOY, DEPLOYMENTS, EXPLAIN];

/// What the routes answer from.
#[derive(Clone)]
pub(crate) struct AppState {
    /// Who asks.
    pub(crate) callers: Callers,
    /// What deploys.
    pub(crate) deployer: Arc<Deployer>,
    /// What can be deployed.
    pub(crate) recipes: RecipeRepository,
}

/// The routes of the API and the root, which existing charts probe and where the dashboard is if there is one.
pub(crate) fn router(
    state: AppState,
    cloudlets: CloudletsState,
    dashboard: Option<Dashboard>,
) -> Router {
    let deploy = get(deploy::candidates).post(deploy::deploy);
    let deployments = get(deployments::show).delete(deployments::delete);
    let root = match dashboard {
        Some(dashboard) => dashboard::router(dashboard),
        None => Router::new().route("/", get(root)),
    };
    Router::new()
        .route(RECIPE, get(recipe::recipe))
        .route(DEPLOY, deploy)
        .route(DEPLOYMENTS, deployments)
        .route(EXPLAIN, get(explain::explain))
        .with_state(state)
        .merge(cloudlets::router(cloudlets))
        .merge(openapi::router(&description::description()))
        .merge(root)
}

impl FromRef<AppState> for Callers {
    fn from_ref(state: &AppState) -> Self {
        state.callers.clone()
    }
}

impl FromRef<AppState> for Arc<Deployer> {
    fn from_ref(state: &AppState) -> Self {
        Arc::clone(&state.deployer)
    }
}

impl FromRef<AppState> for RecipeRepository {
    fn from_ref(state: &AppState) -> Self {
        state.recipes.clone()
    }
}

/// `GET`: that it is there.
#[utoipa::path(
    get,
    path = "/",
    operation_id = "root",
    tag = "Service",
    summary = "Answers as long as the service runs",
    responses((
        status = 200,
        description = "It runs: the dashboard for those whose Accept names text/html, where there is one, and an empty object for all others",
        content((Object = "application/json"), (String = "text/html")),
    )),
)]
async fn root() -> Json<Value> {
    Json(json!({}))
}
