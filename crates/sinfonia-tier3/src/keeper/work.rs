//! What takes its time while the tunnel is watched: questions to Tier 1 and to name servers.

use std::error::Error;
use std::future::Future;
use std::io;
use std::net::SocketAddr;

use sinfonia_core::deployment::CloudletDeployment;
use sinfonia_core::tunnel::TunnelConfig;
use tokio::net::lookup_host;
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::AbortHandle;
use uuid::Uuid;

use super::Asking;
use crate::commands::deploy::{ObtainError, Plan, obtain};
use crate::talk::Talk;
use crate::tier1::{AskError, Wishes};

/// What work came to.
pub(super) enum News {
    /// Another cloudlet, and where its end of the tunnel is.
    Found(Result<(Box<CloudletDeployment>, SocketAddr), SearchError>),
    /// What Tier 1 says about the extended lease.
    Renewed(Result<Vec<CloudletDeployment>, AskError>),
    /// Where the cloudlet's host name leads.
    Resolved(io::Result<Vec<SocketAddr>>),
}

/// Why no other cloudlet is to be had.
#[derive(Debug, thiserror::Error)]
pub(super) enum SearchError {
    /// Tier 1 has none, or cannot be asked.
    #[error(transparent)]
    Obtain(#[from] ObtainError),
    /// The answer is empty.
    #[error("Tier 1 deployed on no cloudlet")]
    Nothing,
    /// Nobody knows where the cloudlet is.
    #[error("cannot find {host}, the cloudlet's end of the tunnel: {source}")]
    Endpoint {
        /// The host and port in the answer.
        host: String,
        /// What the system said.
        source: io::Error,
    },
    /// It cannot be asked whether it answers, or it does, and what it asks for cannot be had.
    #[error(transparent)]
    Move(Box<dyn Error + Send + Sync>),
    /// It was found, and does not answer.
    #[error("the cloudlet's end of the tunnel at {0} does not answer")]
    NoAnswer(SocketAddr),
}

/// Looks for a cloudlet that is none of these, and deploys there.
pub(super) fn search(
    asking: Asking,
    exclude: Vec<Uuid>,
    news: UnboundedSender<News>,
) -> AbortHandle {
    spawn(
        news,
        async move { News::Found(find(&asking, exclude).await) },
    )
}

/// Looks up where the end of the tunnel to a deployment is.
pub(super) fn locate(deployment: CloudletDeployment, news: UnboundedSender<News>) -> AbortHandle {
    spawn(
        news,
        async move { News::Found(with_endpoint(deployment).await) },
    )
}

/// Extends the lease on this cloudlet, or on the one that Tier 1 remembers.
pub(super) fn renew(asking: Asking, cloudlet: Option<Uuid>, news: UnboundedSender<News>) {
    spawn(news, async move {
        let wishes = Wishes {
            cloudlet,
            ..asking.plan.wishes.clone()
        };
        let answer = asking
            .tier1
            .deploy(asking.application, &asking.key, &wishes)
            .await;
        News::Renewed(answer)
    });
}

/// Looks up where the cloudlet's end of the tunnel is.
pub(super) fn look_up(config: &TunnelConfig, news: UnboundedSender<News>) {
    let host = config.endpoint.to_string();
    spawn(news, async move {
        News::Resolved(lookup_host(host).await.map(Iterator::collect))
    });
}

fn spawn(
    news: UnboundedSender<News>,
    work: impl Future<Output = News> + Send + 'static,
) -> AbortHandle {
    let task = tokio::spawn(async move {
        // Nobody wants to know any more when this fails.
        let _ = news.send(work.await);
    });
    task.abort_handle()
}

async fn find(
    asking: &Asking,
    exclude: Vec<Uuid>,
) -> Result<(Box<CloudletDeployment>, SocketAddr), SearchError> {
    let Asking {
        tier1,
        application,
        key,
        plan,
    } = asking;
    let plan = Plan {
        wishes: Wishes {
            exclude,
            ..plan.wishes.clone()
        },
        ..plan.clone()
    };
    let progress = Talk::silent().progress("");
    let found = obtain(tier1, *application, key, &plan, &progress).await?;
    with_endpoint(found.into_iter().next().ok_or(SearchError::Nothing)?).await
}

async fn with_endpoint(
    deployment: CloudletDeployment,
) -> Result<(Box<CloudletDeployment>, SocketAddr), SearchError> {
    let host = deployment.tunnel_config.endpoint.to_string();
    let failed = |source| SearchError::Endpoint {
        host: host.clone(),
        source,
    };
    let mut addresses = lookup_host(host.as_str()).await.map_err(failed)?;
    let endpoint = addresses
        .next()
        .ok_or_else(|| failed(io::ErrorKind::NotFound.into()))?;
    Ok((Box::new(deployment), endpoint))
}
