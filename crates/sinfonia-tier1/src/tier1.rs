//! A running Tier 1: put together from its settings, and served until it is told to stop.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use prometheus_client::registry::Registry as Metrics;
use sinfonia_core::diagnostic::Diagnostic;
use sinfonia_core::load::ThresholdError;
use sinfonia_core::policy::Policy;
use sinfonia_service::admin;
use sinfonia_service::client::{self, ClientError, ClientSettings};
use sinfonia_service::front::{Front, RequestLimits};
use sinfonia_service::listen::{ListenError, Listeners};
use sinfonia_service::metrics::{HttpMetrics, register_build, register_readiness, registry};
use sinfonia_service::outbound_guard::OutboundGuard;
use sinfonia_service::path::App;
use sinfonia_service::proxies::TrustedProxies;
use sinfonia_service::readiness::Readiness;
use sinfonia_service::recipes::{RecipeRepository, RecipeSource};
use sinfonia_service::reload::{INTERVAL, ReloadError, Reloaded};
use sinfonia_service::request_id::RequestIds;
use sinfonia_service::server::ServerLimits;
use sinfonia_service::settings::{ClientArgs, flatten};
use sinfonia_service::shutdown::CancellationToken;
use sinfonia_service::tokens::{TokenFileError, Tokens};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::background::{expire, tidy_circuits, watch_folder};
use crate::callers::{Callers, Rules};
use crate::cloudlets_file::{CloudletsError, CloudletsFollower, UnreadableCloudlets};
use crate::dashboard::Dashboard;
use crate::deploy::{Budget, Deployer, Rules as RankingRules};
use crate::forward::Forward;
use crate::geoip::{GeoIp, GeoIpError};
use crate::metrics::{DeployMetrics, ScrapeMetrics, register_cloudlets};
use crate::placements::Placements;
use crate::policy_file::{self, UnreadablePolicy};
use crate::registry::Registry;
use crate::report_access::{ReportAccess, ReportTokens};
use crate::routes::cloudlets::{CloudletsState, ReportMetrics};
use crate::routes::{AppState, OF_DEVICES, router};
use crate::scrape::Scraper;
use crate::settings::{
    CloudletLimitArgs, EndpointArgs, OperatorArgs, RankingArgs, ReportArgs, Settings,
};
use crate::surroundings::{survey, system_lookup};

/// The name that others see.
const PROGRAM: &str = "sinfonia-tier1";
/// Whose ids requests have: who knows one may take back what the request created, so nobody else makes them up.
pub(crate) const REQUEST_IDS: RequestIds = RequestIds::Always;
/// How long it is remembered who serves a client: a lease of Tier 2.
const LEASE: SignedDuration = SignedDuration::from_secs(300);
/// Most clients for whom it is remembered; some ten MiB.
const MOST_PLACEMENTS: usize = 100_000;
/// Time for a request beyond the longest budget, so that the budget decides and not this.
const BEYOND_BUDGET: Duration = Duration::from_secs(5);
/// Least time at shutdown for the release of deployments that nobody gets.
const LEAST_RELEASE_TIME: Duration = Duration::from_secs(2);

/// Why Tier 1 does not start. The user can do something about each.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The cloudlet file, or a file that it names, cannot be used.
    #[error(transparent)]
    Cloudlets(#[from] CloudletsError),
    /// The GeoIP database that was asked for cannot be used.
    #[error(transparent)]
    GeoIp(#[from] GeoIpError),
    /// A file of tokens cannot be used.
    #[error("cannot use the tokens of {option}")]
    Tokens {
        /// The option that names the file.
        option: &'static str,
        /// What is wrong with it.
        #[source]
        source: ReloadError<TokenFileError>,
    },
    /// The policy cannot be used.
    #[error("cannot use the policy of --policy")]
    Policy(#[source] ReloadError<UnreadablePolicy>),
    /// The thresholds of load do not go together.
    #[error("cannot use --overload")]
    Overload(#[source] ThresholdError),
    /// The certificates that were given cannot be used.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// A port cannot be listened on.
    #[error(transparent)]
    Listen(#[from] ListenError),
}

impl StartError {
    /// What is wrong within a file, and the file, where that is the trouble: it can be shown with its place.
    pub fn within_file(&self) -> Option<(&Path, &Diagnostic)> {
        match self {
            Self::Policy(ReloadError::Parse {
                path,
                source: UnreadablePolicy::Content(diagnostic),
            })
            | Self::Cloudlets(CloudletsError::File(ReloadError::Parse {
                path,
                source: UnreadableCloudlets::Content(diagnostic),
            })) => Some((path, diagnostic)),
            _ => None,
        }
    }
}

/// A Tier 1 that listens and waits to be served.
pub struct Tier1 {
    listeners: Listeners,
    app: App,
    admin: App,
    limits: ServerLimits,
    deployer: Arc<Deployer>,
    /// Ends what would be sent for ever.
    streams_end: CancellationToken,
    background: JoinSet<()>,
}

impl Tier1 {
    /// Reads the files that the settings name, and listens. Must be called within a runtime.
    ///
    /// # Errors
    /// A file cannot be used, or a port cannot be listened on.
    pub async fn start(settings: Settings) -> Result<Self, StartError> {
        let Settings {
            ranking,
            reports,
            operators,
            proxies,
            listen,
            client,
            endpoints,
            limits,
            cloudlet_limits,
            log: _,
            traces: _,
            task: _,
            build,
        } = settings;
        let mut background = JoinSet::new();
        let readiness = Readiness::new();
        let mut metrics = registry("tier1");
        register_readiness(&mut metrics, readiness.clone());
        register_build(&mut metrics, build);
        let proxies = TrustedProxies::new(flatten(&proxies.trusted_proxies));
        let asking = asking(&client);

        let geoip = GeoIp::load(ranking.geoip.as_deref())?;
        let thresholds = ranking.order.thresholds().map_err(StartError::Overload)?;
        let registry = Registry::with_thresholds(thresholds);
        let placements = Arc::new(Placements::new(LEASE, MOST_PLACEMENTS));
        let file = ranking.cloudlets.as_deref();
        let scraper = Scraper::new(
            asking.clone(),
            registry.clone(),
            ScrapeMetrics::register(&mut metrics),
        )?;
        let is_insecure = client.insecure_http;
        cloudlets(file, is_insecure, &registry, scraper, &mut background).await?;
        background.spawn(survey(registry.clone(), geoip.clone(), system_lookup));
        background.spawn(expire(registry.clone(), Arc::clone(&placements)));
        register_cloudlets(&mut metrics, registry.clone());

        let recipes = recipes(&ranking.recipes, &asking, &readiness, &mut background)?;
        let deployer = Arc::new(Deployer::new(
            registry.clone(),
            placements,
            recipes.clone(),
            ranking_rules(&ranking, &mut background).await?,
            forward(&asking, &endpoints, &cloudlet_limits)?,
            DeployMetrics::register(&mut metrics),
            limits.max_requests,
        ));
        background.spawn(tidy_circuits(deployer.circuits.clone(), registry.clone()));
        let rules = rules(&operators, proxies.clone(), geoip, &mut background).await?;
        let callers = Callers::new(rules);
        let streams_end = CancellationToken::new();
        let dashboard = (!operators.no_dashboard)
            .then(|| Dashboard::new(callers.clone(), &deployer, streams_end.clone()));
        let state = AppState {
            callers,
            deployer: Arc::clone(&deployer),
            recipes,
        };
        let reporting = CloudletsState {
            registry,
            access: report_access(reports, &mut background).await?,
            proxies,
            metrics: ReportMetrics::register(&mut metrics),
        };
        let router = router(state, reporting, dashboard);
        let app = front(limits.max_requests, &mut metrics).before(router);
        Ok(Self {
            listeners: Listeners::bind(&listen)?,
            app,
            admin: admin::app(readiness, Arc::new(metrics)),
            limits: ServerLimits::from(&limits),
            deployer,
            streams_end,
            background,
        })
    }

    /// Where the API is served.
    pub fn address(&self) -> SocketAddr {
        self.listeners.address()
    }

    /// Where the admin port listens, if it does.
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.listeners.admin_address()
    }

    /// Serves until `shutdown` resolves, lets running requests finish, and releases what was deployed and nobody gets.
    pub async fn serve(self, shutdown: impl Future<Output = ()>) {
        let Self {
            listeners,
            app,
            admin,
            limits,
            deployer,
            streams_end,
            mut background,
        } = self;
        let mut stopped = Instant::now();
        let stopping = async {
            tokio::select! {
                () = shutdown => {}
                Some(ended) = background.join_next() => {
                    tracing::error!(?ended, "background task ended, shutting down");
                }
            }
            stopped = Instant::now();
            streams_end.cancel();
        };
        listeners.serve(app, admin, limits, stopping).await;
        let left = limits.drain.saturating_sub(stopped.elapsed());
        deployer.finish(left.max(LEAST_RELEASE_TIME)).await;
        tracing::info!("stopped");
    }
}

/// Follows the cloudlet file, and fetches the measurements that it names. Without one, cloudlets have to report.
async fn cloudlets(
    file: Option<&Path>,
    insecure_http: bool,
    registry: &Registry,
    scraper: Scraper,
    background: &mut JoinSet<()>,
) -> Result<(), CloudletsError> {
    match file {
        Some(path) => {
            let registry = registry.clone();
            let follower = CloudletsFollower::open(path, insecure_http, registry, scraper).await?;
            background.spawn(follower.run(INTERVAL));
        }
        None => tracing::info!("no cloudlet file (--cloudlets), cloudlets have to report"),
    }
    Ok(())
}

/// The recipes. A folder that is missing makes this Tier 1 not ready, because others may have theirs. A web server that is down does
/// not: it is down for all of them, and good copies are served meanwhile.
fn recipes(
    source: &RecipeSource,
    asking: &ClientSettings,
    readiness: &Readiness,
    background: &mut JoinSet<()>,
) -> Result<RecipeRepository, ClientError> {
    let recipes = RecipeRepository::new(source.clone(), client::build(asking)?).with_policies();
    if let RecipeSource::Folder(folder) = source {
        let condition = readiness.condition("recipes");
        background.spawn(watch_folder(recipes.clone(), folder.clone(), condition));
    }
    Ok(recipes)
}

/// How cloudlets are ranked, with the operator's policy, which is read again when it changes.
async fn ranking_rules(
    ranking: &RankingArgs,
    background: &mut JoinSet<()>,
) -> Result<RankingRules, StartError> {
    let policy = match &ranking.policy {
        None => Reloaded::fixed(Policy::default()),
        Some(path) => {
            let opened = Reloaded::open(path, policy_file::parse).await;
            let (policy, follower) = opened.map_err(StartError::Policy)?;
            background.spawn(follower.run(INTERVAL, |_| ()));
            policy
        }
    };
    Ok(RankingRules {
        matchers: ranking.order.matchers().into(),
        policy,
        shortlist: ranking.order.shortlist,
    })
}

/// How cloudlets and repositories are asked.
fn asking(client: &ClientArgs) -> ClientSettings {
    ClientSettings {
        ca_file: client.ca_file.clone(),
        ..ClientSettings::new(PROGRAM)
    }
}

/// What asks cloudlets. Endpoints that were reported and lead inside are refused.
fn forward(
    asking: &ClientSettings,
    endpoints: &EndpointArgs,
    limits: &CloudletLimitArgs,
) -> Result<Forward, ClientError> {
    let guard = OutboundGuard::new(flatten(&endpoints.allow_endpoints));
    Forward::new(asking, guard, limits.max_in_flight_per_cloudlet)
}

/// By what callers are judged.
async fn rules(
    operators: &OperatorArgs,
    proxies: TrustedProxies,
    geoip: GeoIp,
    background: &mut JoinSet<()>,
) -> Result<Rules, StartError> {
    let path = operators.operator_tokens.as_deref();
    let parse = Tokens::parse_bytes;
    Ok(Rules {
        proxies,
        operators: tokens("--operator-tokens", path, parse, background).await?,
        geoip,
        public_explain: operators.public_explain,
    })
}

async fn report_access(
    reports: ReportArgs,
    background: &mut JoinSet<()>,
) -> Result<ReportAccess, StartError> {
    let path = reports.report_tokens.as_deref();
    let parse = ReportTokens::parse_bytes;
    Ok(ReportAccess {
        tokens: tokens("--report-tokens", path, parse, background).await?,
        anonymous: reports.allow_anonymous_reports,
    })
}

/// The tokens of a file, if one is named, which is read again when it changes.
async fn tokens<T: Send + Sync + 'static>(
    option: &'static str,
    path: Option<&Path>,
    parse: fn(&[u8]) -> Result<T, TokenFileError>,
    background: &mut JoinSet<()>,
) -> Result<Option<Reloaded<T>>, StartError> {
    let Some(path) = path else { return Ok(None) };
    let (tokens, follower) = Reloaded::open(path, parse)
        .await
        .map_err(|source| StartError::Tokens { option, source })?;
    background.spawn(follower.run(INTERVAL, |_| ()));
    Ok(Some(tokens))
}

fn front(max_requests: usize, metrics: &mut Metrics) -> Front {
    Front {
        limits: RequestLimits {
            concurrent: max_requests,
            time: Budget::longest() + BEYOND_BUDGET,
            ..RequestLimits::default()
        },
        request_ids: REQUEST_IDS,
        metrics: HttpMetrics::register(metrics),
        traced: OF_DEVICES,
    }
}
