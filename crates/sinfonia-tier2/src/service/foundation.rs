//! What the parts of Tier 2 stand on, and each part made of it.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use prometheus_client::registry::Registry;
use sinfonia_core::lifecycle::{AddressPool, Policy};
use sinfonia_core::recipe::HELLOWORLD;
use sinfonia_service::client::{self, ClientSettings, may_carry_token};
use sinfonia_service::limits::ClientLimiter;
use sinfonia_service::proxies::TrustedProxies;
use sinfonia_service::readiness::{Condition, Readiness};
use sinfonia_service::recipes::{RecipeLookupError, RecipeRepository};
use sinfonia_service::reload::{INTERVAL, Reloaded};
use sinfonia_service::settings::flatten;
use sinfonia_service::shutdown::CancellationToken;
use sinfonia_service::tokens::Tokens;
use tokio::sync::Mutex as AsyncMutex;
use tokio::task::JoinSet;

use super::identity::{clients, cloudlet_info};
use super::{RunError, Tasks};
use crate::access::{Access, Clients};
use crate::api::Api;
use crate::clock::Clock;
use crate::cluster::Cluster;
use crate::controller::Controller;
use crate::deployments::{Admission, Deployments};
use crate::job_runner::JobRunner;
use crate::leading::Work;
use crate::metrics::Metrics;
use crate::records::Records;
use crate::reports::{ReportToken, Reporter};
use crate::settings::{ClusterKind, Settings};

/// Name of the program, as the services that it asks see it.
const PROGRAM: &str = "sinfonia-tier2";

/// What a cluster of either kind provides to the parts, and what it needed itself.
pub struct Ground {
    pub(crate) cluster: Arc<dyn Cluster>,
    pub(crate) records: Records,
    pub(crate) recipes: RecipeRepository,
    pub(crate) client: reqwest::Client,
    pub(crate) readiness: Readiness,
    /// What follows the cluster; each gives its name when it ends all the same.
    pub(crate) tasks: JoinSet<&'static str>,
}

impl Ground {
    /// A cluster whose records are kept in memory.
    pub fn in_memory(
        cluster: Arc<dyn Cluster>,
        recipes: RecipeRepository,
        client: reqwest::Client,
    ) -> Self {
        Self {
            cluster,
            records: Records::in_memory(),
            recipes,
            client,
            readiness: Readiness::new(),
            tasks: JoinSet::new(),
        }
    }
}

/// What asks other services.
pub(super) fn client(settings: &Settings) -> Result<reqwest::Client, RunError> {
    Ok(client::build(&ClientSettings {
        ca_file: settings.client.ca_file.clone(),
        ..ClientSettings::new(PROGRAM)
    })?)
}

/// What several parts share.
pub(super) struct Foundation {
    records: Arc<Records>,
    cluster: Arc<dyn Cluster>,
    clock: Clock,
    policy: Policy,
    pool: AddressPool,
    recipes: RecipeRepository,
    client: reqwest::Client,
    metrics: Metrics,
    stopping: CancellationToken,
    pub(super) readiness: Readiness,
}

impl Foundation {
    /// Makes what the parts share.
    pub(super) fn lay(
        settings: &Settings,
        ground: Ground,
        clock: Clock,
        stopping: CancellationToken,
        registry: &mut Registry,
    ) -> Result<Self, RunError> {
        let Ground {
            cluster,
            records,
            recipes,
            client,
            readiness,
            tasks: _,
        } = ground;
        let pool = AddressPool::new(settings.tunnel.client_network)?;
        let records = Arc::new(records);
        Ok(Self {
            metrics: Metrics::register(registry, Arc::clone(&records), pool, &*cluster),
            recipes,
            policy: settings.life.policy(),
            readiness,
            records,
            cluster,
            clock,
            pool,
            client,
            stopping,
        })
    }

    /// Keeps the conditions of readiness up to date.
    pub(super) fn watch_readiness(&self, tasks: &mut Tasks) {
        let (recipes, condition) = (self.recipes.clone(), self.readiness.condition("recipes"));
        let stopping = self.stopping.clone();
        tasks.passing.spawn(async move {
            tokio::select! {
                () = reach(recipes, condition) => {}
                () = stopping.cancelled() => {}
            }
        });
        let (cluster, condition) = (
            Arc::clone(&self.cluster),
            self.readiness.condition("cluster"),
        );
        tasks.essential.spawn(async move {
            follow_tunnel(&*cluster, &condition).await;
            "watch on the tunnel"
        });
    }

    /// Starts the controller and the job runner, which work whenever this process leads.
    pub(super) fn control(&self, job_interval: Duration, tasks: &mut Tasks) {
        let controller = Controller {
            records: Arc::clone(&self.records),
            cluster: Arc::clone(&self.cluster),
            policy: self.policy.clone(),
            pool: self.pool,
            clock: self.clock.clone(),
            metrics: self.metrics.clone(),
            placing: AsyncMutex::default(),
            wakers: Mutex::new(HashMap::new()),
        };
        let job_runner = JobRunner {
            records: Arc::clone(&self.records),
            cluster: Arc::clone(&self.cluster),
            policy: self.policy.clone(),
            clock: self.clock.clone(),
            metrics: self.metrics.clone(),
        };
        let work = Work {
            controller: Arc::new(controller),
            job_runner,
            job_interval,
        };
        tasks.essential.spawn(async move {
            work.whenever_leading().await;
            "work on deployments"
        });
    }

    /// The rules by which callers are judged; follows the file of their tokens.
    pub(super) async fn access(
        &self,
        settings: &Settings,
        tasks: &mut Tasks,
    ) -> Result<Access, RunError> {
        let tokens = match &settings.callers.deploy_tokens {
            None => None,
            Some(path) => {
                let (tokens, follower) = Reloaded::open(path, Tokens::parse_bytes)
                    .await
                    .map_err(RunError::DeployTokens)?;
                tasks.essential.spawn(async move {
                    follower.run(INTERVAL, |_| {}).await;
                    "watch on the deploy tokens"
                });
                Some(tokens)
            }
        };
        Ok(Access {
            proxies: TrustedProxies::new(flatten(&settings.proxies.trusted_proxies)),
            tokens,
            clients: clients(&settings.cloudlet, &settings.callers),
            limiter: NonZeroU32::new(settings.callers.client_rate).map(ClientLimiter::per_minute),
        })
    }

    /// Starts to report to each Tier 1; follows the file of the token.
    pub(super) async fn report(
        &self,
        settings: &Settings,
        clients: &Clients,
        tasks: &mut Tasks,
    ) -> Result<(), RunError> {
        let tier1_urls = &settings.tier1.tier1_urls;
        let token = self.report_token(settings, tasks).await?;
        let Some(endpoint) = &settings.cloudlet.tier2_url else {
            if tier1_urls.is_empty() {
                tracing::info!("no --tier1-url, nothing is reported");
            } else {
                tracing::warn!(
                    "no --tier2-url, so Tier 1 could not send anybody here: nothing is reported"
                );
            }
            return Ok(());
        };
        let reporter = Arc::new(Reporter {
            cloudlet: cloudlet_info(endpoint, &settings.cloudlet, clients),
            uuid: settings.cloudlet.uuid,
            cluster: Arc::clone(&self.cluster),
            recipes: self.recipes.clone(),
            token,
            client: self.client.clone(),
            readiness: self.readiness.clone(),
            metrics: self.metrics.clone(),
            stopping: self.stopping.clone(),
        });
        for tier1 in tier1_urls {
            tasks
                .passing
                .spawn(Arc::clone(&reporter).run(tier1.clone()));
        }
        Ok(())
    }

    async fn report_token(
        &self,
        settings: &Settings,
        tasks: &mut Tasks,
    ) -> Result<Option<Reloaded<ReportToken>>, RunError> {
        let Some(path) = &settings.report.report_token else {
            return Ok(None);
        };
        let insecure = settings.client.insecure_http;
        let mut tier1_urls = settings.tier1.tier1_urls.iter();
        if let Some(tier1) = tier1_urls.find(|tier1| !may_carry_token(tier1.url(), insecure)) {
            return Err(RunError::TokenInTheOpen(tier1.clone()));
        }
        let (token, follower) = Reloaded::open(path, ReportToken::parse)
            .await
            .map_err(RunError::ReportToken)?;
        tasks.essential.spawn(async move {
            follower.run(INTERVAL, |_| {}).await;
            "watch on the report token"
        });
        Ok(Some(token))
    }

    /// What the handlers work with.
    pub(super) fn api(self, settings: &Settings, access: Access) -> Api {
        let limits = &settings.deployments;
        let deployments = Deployments {
            records: self.records,
            cluster: self.cluster,
            recipes: self.recipes,
            policy: self.policy,
            admission: Admission {
                most: limits.max_deployments.map(usize::from),
                most_per_client: limits.max_deployments_per_client.into(),
                most_pending: settings.most_pending(),
                pool: self.pool,
            },
            clock: self.clock,
            sandbox: settings.cluster.cluster == ClusterKind::Sandbox,
            stopping: self.stopping,
            withdrawn: AsyncMutex::default(),
        };
        Api {
            access,
            deployments,
            ready_timeout: settings.life.ready_timeout.unsigned_abs(),
            metrics: self.metrics,
        }
    }
}

/// Waits until the recipe repository has answered once. Later failures do not count: what runs needs no recipe.
async fn reach(recipes: RecipeRepository, condition: Condition) {
    loop {
        match recipes.get(HELLOWORLD).await {
            Ok(_) | Err(RecipeLookupError::Unknown(_)) => return condition.ready(),
            Err(RecipeLookupError::Unavailable { retry_after, .. }) => {
                condition.not_ready("the recipe repository (--recipes) cannot be read");
                tokio::time::sleep(Duration::from_secs(retry_after)).await;
            }
        }
    }
}

/// Follows whether the cloudlet's end of the tunnel is known.
async fn follow_tunnel(cluster: &dyn Cluster, condition: &Condition) {
    let mut tunnel = cluster.tunnel();
    loop {
        match &*tunnel.borrow_and_update() {
            Ok(_) => condition.ready(),
            Err(missing) => condition.not_ready(missing),
        }
        if tunnel.changed().await.is_err() {
            return;
        }
    }
}
