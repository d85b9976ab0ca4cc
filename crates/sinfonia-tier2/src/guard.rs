//! What devices may reach through a node of the cluster: one table of nftables, kept in step with the cluster.
//!
//! Policies of the network (NetworkPolicy) have no say in what is not a pod, and not every cluster enforces them. Devices come into the node
//! through the tunnel and would reach whatever it routes to. So each node has a table `inet sinfonia`, which lets a device reach the pods of
//! its own deployment and the name servers. The table stays when this program ends, and is replaced in one transaction when it begins.

mod error;
mod facts;
mod keeper;
mod nft;
mod ranges;
mod rules;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::BoxStream;
use futures_util::{FutureExt, StreamExt};
use sinfonia_service::listen::bind;
use sinfonia_service::metrics::{register_build, registry};
use sinfonia_service::readiness::{Condition, Readiness};
use sinfonia_service::reload::causes;
use sinfonia_service::server::{ServerLimits, serve};
use sinfonia_service::settings::{AdminListen, flatten};
use sinfonia_service::shutdown::CancellationToken;
use sinfonia_service::version::Build;
use sinfonia_service::{admin, path::App};
use tokio::net::TcpListener;
use tokio::time::MissedTickBehavior;

pub use self::error::GuardError;
use self::facts::{News, Seen, watch_all};
use self::keeper::{Keeper, Kept};
use self::nft::Nft;
pub use self::nft::NftError;
use self::rules::{Desired, Policy};
use crate::cluster::kubernetes::connect;
use crate::settings::{GuardArgs, GuardedClientArgs};

/// Time between two looks at whether the table is still there. Who flushes all rules of the node opens it for that long.
const ROUND: Duration = Duration::from_secs(5);
/// Port of health where only an address is given: the one after Tier 2's.
const ADMIN_PORT: u16 = 5002;

/// Guards the node until `stopping` is cancelled, and leaves the table in force; or takes it away, where the settings say so.
///
/// # Errors
/// There are no credentials of a cluster, this node's nftables cannot be used, or the admin port is taken. A cluster that does not answer is
/// no error: what is in force stays, and where nothing is yet, devices reach nothing.
pub async fn run(
    args: &GuardArgs,
    build: Build,
    stopping: CancellationToken,
) -> Result<(), GuardError> {
    let nft = Nft::new(args.node.nft.clone());
    if args.remove {
        nft.remove().await?;
        tracing::info!("the table is gone, devices reach whatever this node routes to");
        return Ok(());
    }
    let cluster = &args.cluster;
    let client = connect(
        cluster.kubeconfig.as_deref(),
        cluster.kubecontext.as_deref(),
    )
    .await?;
    let ranges = flatten(&cluster.cluster_cidrs);
    let policy = policy(&args.clients);
    let mut keeper = Keeper::new(nft);
    if keeper.close(&policy).await? {
        tracing::info!("devices reach nothing until the cluster was heard");
    } else {
        tracing::info!("a table is in force already, it stays until the cluster was heard");
    }
    let readiness = Readiness::new();
    let guard = Guard {
        policy,
        cluster: readiness.condition("cluster"),
        table: readiness.condition("nftables"),
        news: watch_all(&client, !ranges.is_empty()),
        seen: Seen::new(ranges),
        keeper,
    };
    let health = listen(args.node.admin_listen)?;
    let mut metrics = registry("guard");
    register_build(&mut metrics, build);
    let app = admin::app(readiness, Arc::new(metrics));
    let serving = answer(health, app, stopping.clone());
    tokio::join!(guard.stand(stopping), serving);
    Ok(())
}

fn policy(clients: &GuardedClientArgs) -> Policy {
    let GuardedClientArgs {
        client_network,
        client_egress,
        tunnel_interface,
    } = clients;
    Policy {
        client_network: *client_network,
        egress: *client_egress,
        tunnel_interface: tunnel_interface.clone(),
    }
}

/// What the guard of a node works with.
struct Guard {
    policy: Policy,
    cluster: Condition,
    table: Condition,
    news: BoxStream<'static, News>,
    seen: Seen,
    keeper: Keeper,
}

impl Guard {
    async fn stand(mut self, stopping: CancellationToken) {
        let mut rounds = tokio::time::interval(ROUND);
        rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stopping.cancelled() => break,
                Some(news) = self.news.next() => self.take_all(news),
                _ = rounds.tick() => self.look_after().await,
            }
            self.keep().await;
        }
        tracing::info!("the table stays in force");
    }

    /// Takes in what has been told by now, so that many changes at once are one for nftables.
    fn take_all(&mut self, news: News) {
        self.seen.take(news);
        while let Some(Some(news)) = self.news.next().now_or_never() {
            self.seen.take(news);
        }
    }

    /// Finds out whether somebody else has changed the table.
    async fn look_after(&mut self) {
        let looked = match self.seen.sets() {
            Ok(_) => self.keeper.look().await,
            Err(_) => self.keeper.close(&self.policy).await.map(drop),
        };
        if let Err(error) = looked {
            tracing::warn!(%error, cause = causes(&error), "the table cannot be looked at");
        }
    }

    /// Makes the table what it is to be, as soon as that is known.
    async fn keep(&mut self) {
        let sets = match self.seen.sets() {
            Ok(sets) => sets,
            Err(missing) => return self.cluster.not_ready(missing),
        };
        match self.seen.outage() {
            None => self.cluster.ready(),
            Some(outage) => self.cluster.not_ready(outage),
        }
        let desired = Desired::new(self.policy.clone(), sets);
        match self.keeper.keep(&desired).await {
            Ok(Kept::AsItWas) => {}
            Ok(Kept::Changed) => {
                let sets = desired.sets();
                let (pods, name_servers) = (sets.reachable.len(), sets.name_servers.len());
                tracing::info!(pods, name_servers, "the table is in force");
                self.table.ready();
            }
            Err(error) => {
                tracing::error!(%error, cause = causes(&error), "the table cannot be changed, another try follows");
                self.table.not_ready(error);
            }
        }
    }
}

fn listen(admin: AdminListen) -> Result<Option<TcpListener>, GuardError> {
    let address = match admin {
        AdminListen::Off => return Ok(None),
        AdminListen::NextPort(address) => SocketAddr::new(address, ADMIN_PORT),
        AdminListen::At(address) => address,
    };
    let listener = bind(address).map_err(|source| GuardError::Listen { address, source })?;
    let address = listener.local_addr().unwrap_or(address);
    tracing::info!(%address, "admin port listening");
    Ok(Some(listener))
}

async fn answer(listener: Option<TcpListener>, app: App, stopping: CancellationToken) {
    if let Some(listener) = listener {
        serve(listener, app, ServerLimits::default(), stopping.cancelled()).await;
    }
}
