//! Following one Namespace: four watches, and one more in doubt, one answer.

use std::fmt::Debug;
use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream::{BoxStream, select_all};
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, StatefulSet};
use k8s_openapi::api::core::v1::{Event, Pod};
use kube::core::NamespaceResourceScope;
use kube::runtime::watcher::{Config, Error};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use sinfonia_core::deployment::DeploymentName;
use sinfonia_core::lifecycle::{Line, Readiness};
use tokio::sync::watch::Sender;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tracing::field::DisplayValue;

use super::occurrence::{Occurrence, Occurrences};
use super::standing::{State, Workload};
use super::{
    DOUBT, FIRST_STATE, FORWARDING, Followed, LINGER, Shared, WorkloadsError, explanation, lock,
};
use crate::cluster::kubernetes::mirror::{Change, Mirror, Turn, watch};

/// Seconds that a watch lasts before it is renewed. A connection that died without a word is noticed a little later than that; somebody
/// waits, so it is less than usual.
const WATCH_SECONDS: u32 = 60;

/// Kinds of workload, and the place of Pods among them.
const KINDS: usize = 4;
const PODS: usize = 3;

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
type KindChange = (usize, Change<State>);

/// What is known of the Namespace.
#[derive(Default)]
struct Seen([Mirror<State>; KINDS]);

/// What is asked beside when something takes its time.
#[derive(Default)]
struct Doubt {
    /// When that is so; `None` while everything runs.
    from: Option<Instant>,
    /// When the nodes forward to Pods that have just become ready; `None` while something does not run.
    served: Option<Instant>,
    /// What happens in the Namespace, while that is asked for.
    changes: Option<BoxStream<'static, Change<Occurrence>>>,
    known: Mirror<Occurrence>,
}

/// What a doubt waits for.
enum News {
    /// What happens in the Namespace is to be asked for.
    Ask,
    /// Something happened there.
    Change(Box<Change<Occurrence>>),
    /// The nodes forward to the Pods.
    Served,
}

impl Following {
    /// Follows the Namespace until its first state cannot be known, or nobody has waited for a while.
    pub(super) async fn run(self) {
        let mut changes = changes(&self.client, &self.namespace);
        let mut seen = Seen::default();
        let first = timeout(FIRST_STATE, seen.complete(&mut changes)).await;
        let failure = match first {
            Ok(Ok(readiness)) => {
                let mut doubt = Doubt::default();
                self.tell(doubt.consider(readiness, seen.has_pods()));
                self.first.send_replace(Some(Ok(())));
                tokio::select! {
                    () = self.keep_up(seen, doubt, changes) => {}
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
    async fn keep_up(
        &self,
        mut seen: Seen,
        mut doubt: Doubt,
        mut changes: BoxStream<'static, KindChange>,
    ) {
        loop {
            tokio::select! {
                Some((kind, change)) = changes.next() => if seen.take(kind, change) == Turn::Fails {
                    tracing::info!(error = seen.failure(kind), namespace = %self.namespace, "workloads cannot be watched, another try follows");
                },
                news = doubt.next() => match news {
                    News::Ask => doubt.changes = Some(occurrences(&self.client, &self.namespace)),
                    News::Change(change) => if doubt.known.take(*change) == Turn::Fails {
                        let error = doubt.known.failure().map(tracing::field::display);
                        tracing::info!(error, namespace = %self.namespace, "events cannot be watched, another try follows");
                    },
                    News::Served => {}
                },
            }
            if let Some(readiness) = seen.readiness(doubt.occurrences()) {
                self.tell(doubt.consider(readiness, seen.has_pods()));
            }
        }
    }

    /// Resolves when nobody has waited for a while, and nobody can come any more.
    async fn until_left(&self) {
        loop {
            self.shared.readiness.closed().await;
            tokio::select! {
                () = self.shared.joined.notified() => {}
                () = sleep(LINGER) => {
                    if self.leave_if(|shared| shared.readiness.receiver_count() == 0) {
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

    fn tell(&self, readiness: Readiness) {
        self.shared.readiness.send_if_modified(|known| {
            let is_news = *known != readiness;
            *known = readiness;
            is_news
        });
    }
}

impl Seen {
    /// Takes changes in until everything is known once, and tells whether it runs.
    async fn complete(
        &mut self,
        changes: &mut BoxStream<'static, KindChange>,
    ) -> Result<Readiness, Error> {
        loop {
            if let Some(readiness) = self.readiness(Occurrences::default()) {
                return Ok(readiness);
            }
            match changes.next().await {
                Some((_, Err(error))) => return Err(error),
                Some((kind, change)) => drop(self.take(kind, change)),
                None => std::future::pending().await,
            }
        }
    }

    fn take(&mut self, kind: usize, change: Change<State>) -> Turn {
        self.0
            .get_mut(kind)
            .map_or(Turn::None, |mirror| mirror.take(change))
    }

    fn failure(&self, kind: usize) -> Option<DisplayValue<&Error>> {
        let failure = self.0.get(kind)?.failure()?;
        Some(tracing::field::display(failure))
    }

    fn has_pods(&self) -> bool {
        self.0[PODS].known().is_some_and(|pods| !pods.is_empty())
    }

    /// Whether everything runs, and why not; `None` before all is known.
    fn readiness(&self, occurrences: Occurrences<'_>) -> Option<Readiness> {
        let kinds: Option<Vec<_>> = self.0.iter().map(Mirror::known).collect();
        Some(explanation::readiness(kinds?, occurrences))
    }
}

impl Doubt {
    /// Takes in whether everything runs, and gives what is to be told of it: that it never will only after a while, and that Pods run only
    /// when they are reached.
    fn consider(&mut self, readiness: Readiness, has_pods: bool) -> Readiness {
        let now = Instant::now();
        if readiness.is_ready() {
            let begun_in_doubt = self.from.is_some() && has_pods;
            let served = *self.served.get_or_insert(now + FORWARDING);
            if begun_in_doubt && now < served {
                return Readiness::NotYet(Some(Line::new("waiting until the nodes forward to it")));
            }
            *self = Self::default();
            return readiness;
        }
        self.served = None;
        let from = *self.from.get_or_insert(now + DOUBT);
        match readiness {
            Readiness::Never(failure) if now < from => {
                Readiness::NotYet(Some(Line::new(&failure.message)))
            }
            told => told,
        }
    }

    /// What is to be looked at next.
    async fn next(&mut self) -> News {
        if let Some(served) = self.served {
            sleep_until(served).await;
            return News::Served;
        }
        match (&mut self.changes, self.from) {
            (Some(changes), _) => match changes.next().await {
                Some(change) => News::Change(Box::new(change)),
                None => std::future::pending().await,
            },
            (None, Some(from)) => {
                sleep_until(from).await;
                News::Ask
            }
            (None, None) => std::future::pending().await,
        }
    }

    fn occurrences(&self) -> Occurrences<'_> {
        Occurrences::new(self.known.known())
    }
}

/// What happens in a Namespace.
fn occurrences(
    client: &Client,
    namespace: &DeploymentName,
) -> BoxStream<'static, Change<Occurrence>> {
    let api = Api::<Event>::namespaced(client.clone(), namespace.as_str());
    let config = Config::default().timeout(WATCH_SECONDS);
    watch(api, config, Occurrence::of)
}

/// The changes of all kinds, each with the place of its kind.
fn changes(client: &Client, namespace: &DeploymentName) -> BoxStream<'static, KindChange> {
    select_all([
        changes_of::<Deployment>(0, client, namespace),
        changes_of::<StatefulSet>(1, client, namespace),
        changes_of::<DaemonSet>(2, client, namespace),
        changes_of::<Pod>(PODS, client, namespace),
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
    watch(api, config, K::state)
        .map(move |change| (kind, change))
        .boxed()
}
