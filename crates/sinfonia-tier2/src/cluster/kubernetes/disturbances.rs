//! What others do to Namespaces and Peers of deployments: their names are told, and whoever is responsible looks.
//!
//! Our own steps make events too. To look once more than necessary costs a few reads.

use futures_util::future::ready;
use futures_util::stream::{self, BoxStream, Stream, StreamExt};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, PartialObjectMeta};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Client, ResourceExt};
use serde::de::DeserializeOwned;
use sinfonia_core::deployment::DeploymentName;
use tokio::sync::broadcast;

use super::WATCH_SECONDS;
use super::objects::{DEPLOYMENT, KIND_LABEL};
use crate::crd;

/// Names that are kept for a reader that is busy; one that misses some looks at everything from time to time anyway.
const BACKLOG: usize = 1024;

/// Tells the names under which something changed.
pub(super) struct Disturbances(broadcast::Sender<DeploymentName>);

impl Disturbances {
    pub(super) fn new() -> Self {
        Self(broadcast::Sender::new(BACKLOG))
    }

    /// The names from now on.
    pub(super) fn subscribe(&self) -> impl Stream<Item = DeploymentName> + use<> {
        stream::unfold(self.0.subscribe(), async |mut names| {
            loop {
                match names.recv().await {
                    Ok(name) => return Some((name, names)),
                    Err(broadcast::error::RecvError::Lagged(_)) => {}
                    Err(broadcast::error::RecvError::Closed) => return None,
                }
            }
        })
    }

    /// Watches the cluster, for ever.
    pub(super) fn follow(&self, client: &Client) -> impl Future<Output = ()> + use<> {
        let namespaces: Api<PartialObjectMeta<Namespace>> = Api::all(client.clone());
        let peers: Api<PartialObjectMeta<crd::Peer>> = Api::all(client.clone());
        // A Namespace changes often while it is new; only its end matters.
        let gone = |change: &Change| change.is_last;
        let namespaces = changes(namespaces).filter(move |change| ready(gone(change)));
        let mut names = stream::select(namespaces, changes(peers));
        let sender = self.0.clone();
        async move {
            while let Some(change) = names.next().await {
                // Nobody listens while this process does not lead.
                let _ = sender.send(change.name);
            }
        }
    }
}

/// A change of an object that belongs to a deployment.
struct Change {
    name: DeploymentName,
    /// Whether it is gone or going, or lost the label by which it is found.
    is_last: bool,
}

fn changes<K>(api: Api<K>) -> BoxStream<'static, Change>
where
    K: kube::Resource<DynamicType = ()>
        + Clone
        + std::fmt::Debug
        + DeserializeOwned
        + Send
        + 'static,
{
    let label = format!("{KIND_LABEL}={DEPLOYMENT}");
    let config = watcher::Config::default()
        .labels(&label)
        .timeout(WATCH_SECONDS);
    watcher(api, config)
        .default_backoff()
        .filter_map(async |event| match event {
            Ok(watcher::Event::Apply(object)) => Some(Change {
                name: object.name_any().parse().ok()?,
                is_last: object.meta().deletion_timestamp.is_some(),
            }),
            Ok(watcher::Event::Delete(object)) => Some(Change {
                name: object.name_any().parse().ok()?,
                is_last: true,
            }),
            Ok(_) => None,
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                tracing::debug!(error, "changes by others cannot be followed, trying on");
                None
            }
        })
        .boxed()
}
