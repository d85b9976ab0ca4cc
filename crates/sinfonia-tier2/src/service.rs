//! Tier 2 put together: from settings to a running service.

mod error;
mod foundation;
mod identity;
mod kubernetes;

use std::sync::Arc;
use std::time::Duration;

use sinfonia_service::admin;
use sinfonia_service::front::{Front, RequestLimits};
use sinfonia_service::listen::Listeners;
use sinfonia_service::metrics::{HttpMetrics, register_build, register_readiness, registry};
use sinfonia_service::path::App;
use sinfonia_service::recipes::RecipeRepository;
use sinfonia_service::server::ServerLimits;
use sinfonia_service::shutdown::CancellationToken;
use tokio::task::JoinSet;

pub use self::error::RunError;
use self::foundation::Foundation;
pub use self::foundation::Ground;
use crate::announcement::Announcement;
use crate::api::{DEPLOY, LONGEST_WAIT, REQUEST_IDS, router};
use crate::clock::Clock;
use crate::cluster::Cluster;
use crate::cluster::sandbox::{Sandbox, TunnelSocket, default_tunnel_endpoint, local_address};
use crate::settings::{ClusterKind, Settings};

/// Time that a request has beyond the longest that it can ask to wait.
const ANSWERING: Duration = Duration::from_secs(10);

/// A Tier 2 at work. Dropping it ends its work at once.
pub struct Service {
    app: App,
    admin: App,
    limits: ServerLimits,
    stopping: CancellationToken,
    tasks: Tasks,
    cluster: Arc<dyn Cluster>,
    is_announced: bool,
}

/// What runs beside requests.
struct Tasks {
    /// What has to run as long as the service does; each gives its name when it ends all the same.
    essential: JoinSet<&'static str>,
    /// What ends by itself, at the latest when the service stops.
    passing: JoinSet<()>,
}

/// Runs Tier 2 until `stopping` is cancelled, then lets running requests finish.
///
/// # Errors
/// It cannot start with these settings, or a part of it fails.
pub async fn run(settings: Settings, stopping: CancellationToken) -> Result<(), RunError> {
    if settings.cluster.cluster == ClusterKind::Sandbox {
        let listeners = bind(&settings)?;
        return run_on(listeners, settings, stopping).await;
    }
    let clock = Clock::system();
    let ground = kubernetes::ground(&settings, &clock).await?;
    let listeners = bind(&settings)?;
    let service = Service::start(&settings, ground, clock, stopping).await?;
    service.serve(listeners).await
}

/// Runs a sandbox as [`run`] does, on sockets that listen already.
///
/// # Errors
/// As there.
pub async fn run_on(
    listeners: Listeners,
    settings: Settings,
    stopping: CancellationToken,
) -> Result<(), RunError> {
    let clock = Clock::system();
    let ground = sandbox(&settings, &listeners)?;
    let service = Service::start(&settings, ground, clock, stopping).await?;
    service.serve(listeners).await
}

impl Service {
    /// Starts to work on a cluster, without listening for requests.
    ///
    /// # Errors
    /// A file that the settings name cannot be used, or they contradict each other.
    pub async fn start(
        settings: &Settings,
        mut ground: Ground,
        clock: Clock,
        stopping: CancellationToken,
    ) -> Result<Self, RunError> {
        let mut tasks = Tasks {
            essential: std::mem::take(&mut ground.tasks),
            passing: JoinSet::new(),
        };
        let mut registry = registry("tier2");
        register_build(&mut registry, settings.build);
        let http_metrics = HttpMetrics::register(&mut registry);
        let cluster = Arc::clone(&ground.cluster);
        let foundation = Foundation::lay(settings, ground, clock, stopping.clone(), &mut registry)?;
        register_readiness(&mut registry, foundation.readiness.clone());
        let admin = admin::app(foundation.readiness.clone(), Arc::new(registry));
        foundation.watch_readiness(&mut tasks);
        foundation.control(settings.life.job_interval.unsigned_abs(), &mut tasks);
        let access = foundation.access(settings, &mut tasks).await?;
        if settings.cloudlet.zeroconf && access.tokens.is_some() {
            tracing::warn!(
                "devices that find this cloudlet on the local network (--zeroconf) have no token (--deploy-tokens), and are refused"
            );
        }
        foundation
            .report(settings, &access.clients, &mut tasks)
            .await?;
        let api = foundation.api(settings, access);
        let front = Front {
            limits: RequestLimits {
                concurrent: settings.limits.max_requests,
                time: api.ready_timeout.max(LONGEST_WAIT) + ANSWERING,
                ..RequestLimits::default()
            },
            request_ids: REQUEST_IDS,
            metrics: http_metrics,
            traced: &[DEPLOY],
        };
        Ok(Self {
            app: front.before(router(Arc::new(api))),
            admin,
            limits: ServerLimits::from(&settings.limits),
            stopping,
            tasks,
            cluster,
            is_announced: settings.cloudlet.zeroconf,
        })
    }

    /// What answers requests.
    pub fn app(&self) -> App {
        self.app.clone()
    }

    /// What answers on the admin port.
    pub fn admin(&self) -> App {
        self.admin.clone()
    }

    /// Answers requests on these sockets until the service is stopped and the running ones have finished.
    ///
    /// # Errors
    /// A part of the service that has to run as long as it does has ended.
    pub async fn serve(self, listeners: Listeners) -> Result<(), RunError> {
        let Self {
            app,
            admin,
            limits,
            stopping,
            mut tasks,
            cluster,
            is_announced,
        } = self;
        let announcement = if is_announced {
            match Announcement::start(listeners.address()) {
                Ok(announcement) => Some(announcement),
                Err(error) => {
                    tasks.essential.shutdown().await;
                    cluster.resign().await;
                    return Err(error.into());
                }
            }
        } else {
            None
        };
        let farewell = async {
            stopping.cancelled().await;
            if let Some(announcement) = announcement {
                announcement.withdraw().await;
            }
        };
        let serving = listeners.serve(app, admin, limits, stopping.cancelled());
        let ended = async {
            let ended = tasks.essential.join_next().await;
            stopping.cancel();
            ended
        };
        let finished = async {
            // Nobody is to find what no longer takes requests.
            tokio::join!(serving, farewell);
            while tasks.passing.join_next().await.is_some() {}
        };
        tokio::pin!(finished);
        let result = tokio::select! {
            () = &mut finished => Ok(()),
            Some(ended) = ended => {
                let error = RunError::part_ended(ended);
                finished.await;
                Err(error)
            }
        };
        // Another process may begin only when nothing works here any more.
        tasks.essential.shutdown().await;
        cluster.resign().await;
        result
    }
}

/// Listens where the settings say; an announcement has to make sense there.
fn bind(settings: &Settings) -> Result<Listeners, RunError> {
    let listeners = Listeners::bind(&settings.listen)?;
    if settings.cloudlet.zeroconf {
        Announcement::check(listeners.address())?;
    }
    Ok(listeners)
}

fn sandbox(settings: &Settings, listeners: &Listeners) -> Result<Ground, RunError> {
    let tunnel = &settings.tunnel;
    let socket = TunnelSocket::bind(tunnel.tunnel_listen)?;
    let endpoint = match &tunnel.tunnel_endpoint {
        Some(endpoint) => endpoint.clone(),
        None => {
            let tier2 = settings.cloudlet.tier2_url.as_ref();
            let others = settings.cloudlet.zeroconf.then(local_address).flatten();
            default_tunnel_endpoint(tier2, socket.address(), listeners.address(), others)?
        }
    };
    tracing::warn!(%endpoint, "this is a sandbox: it installs nothing, and its deployments end with it");
    let cluster = &settings.cluster;
    if cluster.kubeconfig.is_some() || cluster.kubecontext.is_some() {
        tracing::info!("the sandbox makes no use of --kubeconfig and --kubecontext");
    }
    let client = foundation::client(settings)?;
    let recipes = RecipeRepository::new(cluster.recipes.clone(), client.clone());
    let sandbox = Sandbox::start(socket, endpoint, tunnel.client_network, recipes.clone())?;
    let ended = sandbox.tunnel_ended();
    let mut ground = Ground::in_memory(Arc::new(sandbox), recipes, client);
    ground.tasks.spawn(async move {
        ended.await;
        "tunnel of the sandbox"
    });
    Ok(ground)
}
