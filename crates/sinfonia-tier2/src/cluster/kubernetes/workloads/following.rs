//! Following one Namespace: four watches, one answer.

use std::fmt::Debug;
use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream::{BoxStream, select_all};
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, StatefulSet};
use k8s_openapi::api::core::v1::Pod;
use kube::core::NamespaceResourceScope;
use kube::runtime::watcher::{Config, Error};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use sinfonia_core::deployment::DeploymentName;
use tokio::sync::watch::Sender;
use tokio::time::{sleep, timeout};
use tracing::field::DisplayValue;

use super::standing::{Standing, Workload, all_ready};
use super::{FIRST_STATE, Followed, LINGER, Shared, WorkloadsError, lock};
use crate::cluster::kubernetes::mirror::{Change, Mirror, Turn, watch};

/// Seconds that a watch lasts before it is renewed. A connection that died without a word is noticed a little later than that; somebody
/// waits, so it is less than usual.
const WATCH_SECONDS: u32 = 60;

/// Kinds of workload.
const KINDS: usize = 4;

/// The task that follows a Namespace.
pub(super) struct Following {
    pub(super) client: Client,
    pub(super) namespace: DeploymentName,
    pub(super) shared: Shared,
    /// Where the first state is told of.
    pub(super) first: Sender<Option<Result<(), WorkloadsError>>>,
    pub(super) followed: Followed,
}

/// A change of one of the kinds.
type KindChange = (usize, Change<Standing>);

/// What is known of the Namespace.
#[derive(Default)]
struct Seen([Mirror<Standing>; KINDS]);

impl Following {
    /// Follows the Namespace until its first state cannot be known, or nobody has waited for a while.
    pub(super) async fn run(self) {
        let mut changes = changes(&self.client, &self.namespace);
        let mut seen = Seen::default();
        let first = timeout(FIRST_STATE, seen.complete(&mut changes)).await;
        let failure = match first {
            Ok(Ok(ready)) => {
                self.tell(ready);
                self.first.send_replace(Some(Ok(())));
                tokio::select! {
                    () = self.keep_up(seen, changes) => {}
                    () = self.until_left() => {}
                }
                return;
            }
            Ok(Err(error)) => WorkloadsError::Watch {
                namespace: self.namespace.clone(),
                source: Arc::new(error),
            },
            Err(_) => WorkloadsError::TooSlow {
                namespace: self.namespace.clone(),
            },
        };
        // Whoever comes from now on begins anew.
        self.leave_if(|_| true);
        self.first.send_replace(Some(Err(failure)));
    }

    /// Takes changes in for ever.
    async fn keep_up(&self, mut seen: Seen, mut changes: BoxStream<'static, KindChange>) {
        while let Some((kind, change)) = changes.next().await {
            if seen.take(kind, change) == Turn::Fails {
                tracing::info!(error = seen.failure(kind), namespace = %self.namespace, "workloads cannot be watched, another try follows");
            }
            if let Some(ready) = seen.ready() {
                self.tell(ready);
            }
        }
    }

    /// Resolves when nobody has waited for a while, and nobody can come any more.
    async fn until_left(&self) {
        loop {
            self.shared.ready.closed().await;
            tokio::select! {
                () = self.shared.joined.notified() => {}
                () = sleep(LINGER) => {
                    if self.leave_if(|shared| shared.ready.receiver_count() == 0) {
                        return;
                    }
                }
            }
        }
    }

    /// Takes the Namespace off those that are followed, if that is so. Nobody can join meanwhile.
    fn leave_if(&self, so: impl FnOnce(&Shared) -> bool) -> bool {
        let mut followed = lock(&self.followed);
        if !so(&self.shared) {
            return false;
        }
        // Forgotten by then, it may be followed by another already.
        let is_own = followed
            .get(&self.namespace)
            .is_some_and(|other| Arc::ptr_eq(&other.joined, &self.shared.joined));
        if is_own {
            followed.remove(&self.namespace);
        }
        true
    }

    fn tell(&self, ready: bool) {
        self.shared
            .ready
            .send_if_modified(|known| std::mem::replace(known, ready) != ready);
    }
}

impl Seen {
    /// Takes changes in until everything is known once, and tells whether it runs.
    async fn complete(
        &mut self,
        changes: &mut BoxStream<'static, KindChange>,
    ) -> Result<bool, Error> {
        loop {
            if let Some(ready) = self.ready() {
                return Ok(ready);
            }
            match changes.next().await {
                Some((_, Err(error))) => return Err(error),
                Some((kind, change)) => drop(self.take(kind, change)),
                None => std::future::pending().await,
            }
        }
    }

    fn take(&mut self, kind: usize, change: Change<Standing>) -> Turn {
        self.0
            .get_mut(kind)
            .map_or(Turn::None, |mirror| mirror.take(change))
    }

    fn failure(&self, kind: usize) -> Option<DisplayValue<&Error>> {
        let failure = self.0.get(kind)?.failure()?;
        Some(tracing::field::display(failure))
    }

    /// Whether everything runs; `None` before all is known.
    fn ready(&self) -> Option<bool> {
        let mut ready = true;
        for kind in &self.0 {
            ready &= all_ready(kind.known()?);
        }
        Some(ready)
    }
}

/// The changes of all kinds, each with the place of its kind.
fn changes(client: &Client, namespace: &DeploymentName) -> BoxStream<'static, KindChange> {
    select_all([
        changes_of::<Deployment>(0, client, namespace),
        changes_of::<StatefulSet>(1, client, namespace),
        changes_of::<DaemonSet>(2, client, namespace),
        changes_of::<Pod>(3, client, namespace),
    ])
    .boxed()
}

fn changes_of<K>(
    kind: usize,
    client: &Client,
    namespace: &DeploymentName,
) -> BoxStream<'static, KindChange>
where
    K: Workload + Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    K: Clone + DeserializeOwned + Debug + Send + 'static,
{
    let api = Api::<K>::namespaced(client.clone(), namespace.as_str());
    let config = Config::default().timeout(WATCH_SECONDS);
    watch(api, config, K::standing)
        .map(move |change| (kind, change))
        .boxed()
}
