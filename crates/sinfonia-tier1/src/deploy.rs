//! From a deploy request to deployments: candidates, tries at cloudlets within a budget, and the release of what nobody gets.

mod attempt;
mod budget;
mod candidates;
mod delivery;
mod query;
mod race;
mod release;
mod shares;
mod verdict;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use sinfonia_core::client::ClientInfo;
use sinfonia_core::deployment::CloudletDeployment;
use sinfonia_core::endpoint::Endpoint;
use sinfonia_core::key::PublicKey;
use sinfonia_core::policy::Policy;
use sinfonia_core::ranking::{Matcher, Ranking, RankingRules};
use sinfonia_core::recipe::Recipe;
use sinfonia_core::round_trip::RoundTrips;
use sinfonia_service::problem::Problem;
use sinfonia_service::recipes::{RecipeLookupError, RecipeRepository};
use sinfonia_service::reload::Reloaded;
use sinfonia_service::request_id::RequestId;
use sinfonia_service::shutdown::CancellationToken;
use sinfonia_service::trace_parent::TraceParent;
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::time::Instant;
use tokio_util::task::TaskTracker;
use tracing::Instrument;
use uuid::Uuid;

pub(crate) use self::budget::Budget;
pub(crate) use self::candidates::{Choice, Excluded, Wish};
pub(crate) use self::delivery::Decision;
use self::delivery::Delivery;
pub(crate) use self::query::{DeployQuery, count, identity, malformed, pairs};
use self::race::{Race, Rules as RaceRules, race};
use self::release::Releases;
use self::shares::Shares;
use crate::aside::aside;
use crate::circuits::Circuits;
use crate::forward::Forward;
use crate::metrics::{DeployMetrics, Outcome};
use crate::placements::Placements;
use crate::registry::{Known, Registry, Roster};

/// Most deployments that one request gets.
const MOST_RESULTS: usize = 3;
/// Candidates that are looked for beside those that are wanted before any was asked; the others only when so many have failed.
const SPARE: usize = 1;
/// Cloudlets that take more than some milliseconds to be judged.
const MANY: usize = 10_000;
/// Seconds after which another cloudlet may have reported.
const REPORTS_APART: u64 = 15;

/// A request for a deployment.
#[derive(Debug, Clone)]
pub(crate) struct DeployRequest {
    /// The recipe.
    pub(crate) recipe: Uuid,
    /// The device's key.
    pub(crate) key: PublicKey,
    /// The device.
    pub(crate) client: ClientInfo,
    /// The round trips that it measured.
    pub(crate) round_trips: RoundTrips,
    /// What its query says.
    pub(crate) query: DeployQuery,
    /// The time that it has.
    pub(crate) budget: Budget,
    /// Since when it is there.
    pub(crate) started: Instant,
    /// Its identity.
    pub(crate) request_id: RequestId,
    /// The trace that it belongs to.
    pub(crate) trace: TraceParent,
}

/// How the operator wants cloudlets to be ranked. Clones share it.
#[derive(Clone)]
pub(crate) struct Rules {
    /// What orders the cloudlets.
    pub(crate) matchers: Arc<[Matcher]>,
    /// What is required of them and preferred.
    pub(crate) policy: Reloaded<Policy>,
    /// How many of the first are refined, and asked at most.
    pub(crate) shortlist: usize,
}

/// Has cloudlets deploy.
pub(crate) struct Deployer {
    /// The cloudlets.
    pub(crate) registry: Registry,
    /// Which of them serve whom.
    pub(crate) placements: Arc<Placements>,
    /// What can be deployed.
    pub(crate) recipes: RecipeRepository,
    /// How they are ranked.
    pub(crate) rules: Rules,
    /// Which of them are asked after others.
    pub(crate) circuits: Circuits,
    /// What asks them.
    pub(crate) forward: Forward,
    releases: Releases,
    metrics: DeployMetrics,
    running: TaskTracker,
    shares: Shares,
    stopping: CancellationToken,
}

impl Rules {
    fn with<'a>(&'a self, policy: &'a Policy) -> RankingRules<'a> {
        RankingRules {
            matchers: &self.matchers,
            policy,
            shortlist: self.shortlist,
        }
    }
}

impl DeployRequest {
    /// What to say where there is no candidate.
    pub(crate) fn without_candidates(&self) -> String {
        let client = self.client.address();
        match self.query.cloudlet {
            Some(only) => format!("the cloudlet {only} is not known or does not serve {client}"),
            None => format!("no cloudlet serves {client}"),
        }
    }
}

impl Deployer {
    /// Deploys to the cloudlets of the registry, as ordered by the matchers, where this many requests of any kind may run at once. Must be
    /// called within a runtime.
    pub(crate) fn new(
        registry: Registry,
        placements: Arc<Placements>,
        recipes: RecipeRepository,
        rules: Rules,
        forward: Forward,
        metrics: DeployMetrics,
        requests: usize,
    ) -> Self {
        Self {
            registry,
            placements,
            recipes,
            rules,
            circuits: Circuits::new(metrics.circuits.clone()),
            releases: Releases::new(forward.clone()),
            forward,
            metrics,
            running: TaskTracker::new(),
            shares: Shares::of(requests),
            stopping: CancellationToken::new(),
        }
    }

    /// The cloudlets that a request for this recipe would try, this many and perhaps more, and what became of the others.
    ///
    /// # Errors
    /// 500: it cannot be worked out.
    pub(crate) async fn choose(
        self: &Arc<Self>,
        request: &DeployRequest,
        recipe: &Arc<Recipe>,
        most: usize,
    ) -> Result<Choice, Problem> {
        let known = self.registry.roster().cloudlets.len();
        if known < MANY || (most < MANY && self.looks_at_few(request, recipe)) {
            return Ok(self.choose_here(request, recipe, most));
        }
        let (deployer, request, recipe) = (Arc::clone(self), request.clone(), Arc::clone(recipe));
        aside(move || deployer.choose_here(&request, &recipe, most)).await
    }

    /// Whether those that are near the client, or whose network it is in, will do: most cloudlets are not judged then.
    fn looks_at_few(&self, request: &DeployRequest, recipe: &Recipe) -> bool {
        request.client.location().is_some()
            && self.rules.matchers.first() != Some(&Matcher::Random)
            && !recipe.policy.has_requirement()
            && !self.rules.policy.load().has_requirement()
    }

    fn choose_here(&self, request: &DeployRequest, recipe: &Recipe, most: usize) -> Choice {
        let remembered = self.remembered(request.recipe, &request.key);
        let wish = Wish {
            recipe: request.recipe,
            policy: &recipe.policy,
            key: &request.key,
            client: request.client,
            round_trips: &request.round_trips,
            only: request.query.cloudlet,
            exclude: &request.query.exclude,
            remembered: &remembered,
            circuits: &self.circuits,
        };
        let policy = self.rules.policy.load();
        let rules = self.rules.with(&policy);
        let roster = self.registry.roster();
        Choice::new(&roster, &wish, rules, Timestamp::now(), most)
    }

    /// Ranks all cloudlets of a roster, which the snapshot holds, by the rules of the moment.
    pub(crate) fn rank<'a>(
        &self,
        roster: &Roster,
        snapshot: &'a [Arc<Known>],
        wish: &Wish<'_>,
    ) -> Ranking<'a> {
        let policy = self.rules.policy.load();
        let rules = self.rules.with(&policy);
        candidates::rank(roster, snapshot, wish, rules, Timestamp::now())
    }

    /// The endpoints of the cloudlets that serve a recipe and key, the one renewed last first.
    pub(crate) fn remembered(&self, recipe: Uuid, key: &PublicKey) -> Vec<Endpoint> {
        self.placements.remembered(recipe, key, Timestamp::now())
    }

    /// A place for a call to the cloudlet of a deployment.
    ///
    /// # Errors
    /// 503: too many of them are under way.
    pub(crate) fn relay(&self) -> Result<OwnedSemaphorePermit, Problem> {
        self.shares.relay()
    }

    /// Deploys, on a task of its own: a client that goes does not leave a cloudlet half asked.
    pub(crate) async fn deploy(
        self: &Arc<Self>,
        request: DeployRequest,
    ) -> Decision<Vec<CloudletDeployment>> {
        let place = match self.shares.deploy() {
            Ok(place) => place,
            Err(problem) => {
                self.metrics.decided(Outcome::Shed);
                return Decision::refused(problem);
            }
        };
        let (told, waiting) = oneshot::channel();
        let (deployer, wanted) = (Arc::clone(self), request.clone());
        // In a box it is moved no more on its way to the task.
        let work = Box::pin(async move {
            let decision = deployer.place(&wanted, || !told.is_closed()).await;
            drop(place);
            if told.send(decision).is_err() {
                tracing::info!("client has gone, what was deployed for it is released");
            }
        });
        let stopping = self.stopping.clone();
        self.running
            .spawn(stopping.run_until_cancelled_owned(work).in_current_span());
        let broken_off = |_| Decision::refused(Problem::internal("the deployment was broken off"));
        let decision = waiting.await.unwrap_or_else(broken_off);
        decision.map(|delivery| self.deliver(&request, delivery))
    }

    /// Breaks off what still runs, and waits for the release of what nobody gets, at most this long.
    pub(crate) async fn finish(&self, time: Duration) {
        self.stopping.cancel();
        self.running.close();
        self.running.wait().await;
        self.releases.finish(time).await;
    }

    async fn place(
        self: &Arc<Self>,
        request: &DeployRequest,
        is_awaited: impl Fn() -> bool,
    ) -> Decision<Delivery> {
        let recipe = match self.recipe(request).await {
            Ok(recipe) => recipe,
            Err(problem) => {
                self.metrics.decided(Outcome::NoRecipe);
                return Decision::refused(problem);
            }
        };
        self.avoid_excluded(request);
        let wanted = request.query.results;
        let wanted = wanted.map_or(1, |wanted| wanted.get().min(MOST_RESULTS));
        let (first, most) = (wanted + SPARE, self.rules.shortlist);
        let choice = match self.choose(request, &recipe, first.min(most)).await {
            Ok(choice) => choice,
            Err(problem) => return Decision::refused(problem),
        };
        if choice.candidates.is_empty() {
            self.metrics.excluded(&choice.excluded);
            self.metrics.decided(Outcome::NoCloudlet);
            self.tell(request, &choice, &Race::default());
            let detail = request.without_candidates();
            return Decision::refused(Problem::unavailable(detail, REPORTS_APART));
        }
        let rules = RaceRules {
            wanted,
            budget: request.budget,
            started: request.started,
        };
        let candidates = choice.candidates.clone();
        let (known, choice) = (candidates.len(), Mutex::new(choice));
        let more = async {
            if known < first || known >= most {
                return Vec::new();
            }
            let later = self.choose(request, &recipe, most).await;
            let mut choice = choice.lock().unwrap_or_else(PoisonError::into_inner);
            // It was worked out once already; what cannot be worked out anew leaves the race those that it has.
            later.map_or_else(|_| Vec::new(), |later| choice.add(later, most))
        };
        let attempt = |candidate, turn| Box::pin(self.attempt(request, candidate, turn));
        let race = race(candidates, more, rules, is_awaited, attempt).await;
        let choice = choice.into_inner().unwrap_or_else(PoisonError::into_inner);
        self.metrics.excluded(&choice.excluded);
        self.count(&race);
        self.tell(request, &choice, &race);
        Decision {
            tries: race.tried,
            result: self.conclude(race, &choice.candidates),
        }
    }

    /// Looks the recipe up, before a cloudlet is asked for it.
    async fn recipe(&self, request: &DeployRequest) -> Result<Arc<Recipe>, Problem> {
        let left = request.budget.left(request.started.elapsed());
        match tokio::time::timeout(left, self.recipes.get(request.recipe)).await {
            Ok(found) => found.map_err(Problem::from),
            Err(_) => Err(RecipeLookupError::Unavailable {
                recipe: request.recipe,
                retry_after: 1,
            }
            .into()),
        }
    }

    fn avoid_excluded(&self, request: &DeployRequest) {
        for excluded in &request.query.exclude {
            if let Some(known) = self.registry.get(*excluded) {
                let endpoint = &known.cloudlet.endpoint;
                self.placements
                    .forget(request.recipe, &request.key, endpoint);
            }
        }
    }
}
