//! What the dashboard answers.

use std::convert::Infallible;

use axum::Router;
use axum::extract::{FromRef, Path, State};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures_util::stream::{self, Stream};
use http::header::{ACCEPT, CACHE_CONTROL};
use http::{HeaderMap, HeaderName};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::json;
use sinfonia_core::cloudlet::CloudletInfo;
use sinfonia_core::recipe::HELLOWORLD;
use sinfonia_service::json::Json;
use sinfonia_service::problem::Problem;
use sinfonia_service::recipes::RecipeRepository;
use uuid::Uuid;

use super::Dashboard;
use super::assets::{Asset, PAGE};
use super::board;
use super::feed::{Feed, Listener};
use crate::callers::{Callers, Sender};
use crate::registry::Origin;

/// Seconds after which one may ask again where too many look.
const RETRY: u64 = 10;
/// Most recipes that are suggested.
const MOST_RECIPES: usize = 100;
/// Tells proxies to pass on what they get at once.
const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// One cloudlet with all that is known of it.
#[derive(Debug, Serialize)]
struct Detail {
    #[serde(flatten)]
    info: CloudletInfo,
    state: board::State,
    /// Whether it is of the cloudlet file, reports, or both.
    origin: &'static str,
    /// Deployments that this Tier 1 has placed there, in all and since its last report.
    placed: u32,
    placed_since_report: u32,
    /// Now, so that ages can be told by a clock that is wrong.
    now: i64,
}

/// A recipe that may be asked about.
#[derive(Debug, Serialize)]
struct Suggestion {
    uuid: Uuid,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
}

/// The routes of the dashboard, the root among them.
pub(crate) fn router(dashboard: Dashboard) -> Router {
    Router::new()
        .route("/", get(page))
        .route("/dashboard/events", get(events))
        .route("/dashboard/recipes", get(recipes))
        .route("/dashboard/cloudlets/{uuid}", get(cloudlet))
        .route("/dashboard/{file}", get(file))
        .with_state(dashboard)
}

impl FromRef<Dashboard> for Callers {
    fn from_ref(dashboard: &Dashboard) -> Self {
        dashboard.callers.clone()
    }
}

impl FromRef<Dashboard> for Feed {
    fn from_ref(dashboard: &Dashboard) -> Self {
        dashboard.feed.clone()
    }
}

impl FromRef<Dashboard> for RecipeRepository {
    fn from_ref(dashboard: &Dashboard) -> Self {
        dashboard.recipes.clone()
    }
}

/// The page for browsers, which say that they take HTML; the probes of existing charts do not, and compare what they get.
async fn page(headers: HeaderMap) -> Response {
    if takes_html(&headers) {
        PAGE.answer(&headers)
    } else {
        Json(json!({})).into_response()
    }
}

async fn file(Path(name): Path<String>, headers: HeaderMap) -> Result<Response, Problem> {
    let asset = Asset::named(&name);
    let asset = asset.ok_or_else(|| Problem::not_found("the dashboard has no such file"))?;
    Ok(asset.answer(&headers))
}

/// All cloudlets, then what changes of them, at most once per second.
async fn events(State(feed): State<Feed>, sender: Sender) -> Result<Response, Problem> {
    sender.may_explain()?;
    let listener = feed
        .listen(sender.address())
        .map_err(|none| Problem::unavailable(none, RETRY))?;
    let passed_on = [(CACHE_CONTROL, "no-store"), (X_ACCEL_BUFFERING, "no")];
    let events = Sse::new(events_of(listener)).keep_alive(KeepAlive::default());
    Ok((passed_on, events).into_response())
}

fn events_of(listener: Listener) -> impl Stream<Item = Result<Event, Infallible>> {
    stream::unfold(listener, async |mut listener| {
        let update = listener.next().await?;
        Some((Ok(Event::default().data(update)), listener))
    })
}

async fn cloudlet(
    State(feed): State<Feed>,
    Path(uuid): Path<Uuid>,
    sender: Sender,
) -> Result<Json<Detail>, Problem> {
    sender.may_explain()?;
    let known = feed.source.registry.get(uuid);
    let known = known.ok_or_else(|| Problem::not_found("there is no such cloudlet any more"))?;
    let placed = known.tally().placed();
    Ok(Json(Detail {
        info: known.cloudlet.info(),
        state: feed.source.state(&known),
        origin: match known.origin() {
            Origin::File => "file",
            Origin::Report => "report",
            Origin::Joined => "file and report",
        },
        placed: placed.alive,
        placed_since_report: placed.since_report,
        now: Timestamp::now().as_millisecond(),
    }))
}

/// Recipes to ask about: those of a folder. A repository on the web cannot be listed.
async fn recipes(
    State(recipes): State<RecipeRepository>,
    sender: Sender,
) -> Result<Json<Vec<Suggestion>>, Problem> {
    sender.may_explain()?;
    let offered = recipes.offered().await;
    let offered = offered.unwrap_or_else(|| [HELLOWORLD].into());
    let mut suggestions = Vec::new();
    for uuid in offered.into_iter().take(MOST_RECIPES) {
        let recipe = recipes.get(uuid).await.ok();
        let description = recipe.and_then(|recipe| recipe.description.clone());
        suggestions.push(Suggestion { uuid, description });
    }
    Ok(Json(suggestions))
}

fn takes_html(headers: &HeaderMap) -> bool {
    let named = headers.get_all(ACCEPT).iter();
    named
        .filter_map(|value| value.to_str().ok())
        .any(|value| value.contains("text/html"))
}
