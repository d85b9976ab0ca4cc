//! Records as custom resources, and the copy of them in memory.

mod wire;

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use futures_util::TryStreamExt;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams, Preconditions};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, ResourceExt};
use serde_json::json;
use sinfonia_core::key::PublicKey;
use sinfonia_core::lifecycle::{RecordSpec, RecordStatus};
use sinfonia_service::reload::causes;
use tokio::sync::watch;

use self::wire::{FINALIZER, Unreadable, key_of, new_object, read, version_of};
use super::cache::Cache;
use super::{Seen, WriteError};
use crate::cluster::ClusterError;
use crate::cluster::kubernetes::{FIELD_MANAGER, WATCH_SECONDS, cluster_error};
use crate::crd::CloudletDeployment;

/// Records that one answer to a list holds at most.
const PAGE: u32 = 500;
/// Time between two tries to read all records.
const RETRY: Duration = Duration::from_secs(1);

/// The API of the records' custom resources, in one Namespace.
#[derive(Clone)]
pub(crate) struct RecordApi {
    api: Api<CloudletDeployment>,
    cache: Arc<Cache>,
    synchronised: watch::Sender<Result<(), String>>,
}

impl RecordApi {
    /// The records in this Namespace. Nothing is read yet.
    pub(crate) fn new(client: Client, namespace: &str) -> Self {
        Self {
            api: Api::namespaced(client, namespace),
            cache: Arc::default(),
            synchronised: watch::Sender::new(Err("the records are not read yet".to_owned())),
        }
    }

    pub(super) const fn cache(&self) -> &Arc<Cache> {
        &self.cache
    }

    /// Whether all records are known, or why not.
    pub(crate) fn synchronised(&self) -> watch::Receiver<Result<(), String>> {
        self.synchronised.subscribe()
    }

    /// Keeps memory in step with the cluster, for ever.
    pub(crate) async fn follow(self) {
        let config = watcher::Config::default().timeout(WATCH_SECONDS);
        let mut events = std::pin::pin!(watcher(self.api.clone(), config).default_backoff());
        loop {
            match events.try_next().await {
                // Which version this list is of is not told, and without that a late answer could bring back what it lacks.
                Ok(Some(watcher::Event::Init | watcher::Event::InitApply(_))) => {}
                Ok(Some(watcher::Event::InitDone)) => {
                    self.refresh_at_last().await;
                    self.tell(Ok(()));
                }
                Ok(Some(watcher::Event::Apply(object))) => {
                    if let Some(seen) = readable(&object) {
                        self.cache.hear(seen);
                    }
                }
                Ok(Some(watcher::Event::Delete(object))) => {
                    if let Some(key) = key_of(&object) {
                        self.cache.hear_gone(&key, version_of(&object));
                    }
                }
                Ok(None) => return,
                Err(error) => self.tell_failure(&error),
            }
        }
    }

    /// Reads all records, however often that has to be tried. What is known in a newer version than the list is told by the watch.
    async fn refresh_at_last(&self) {
        while let Err(error) = self.refresh().await {
            tracing::warn!(%error, cause = causes(&error), "records cannot be read, trying on");
            tokio::time::sleep(RETRY).await;
        }
    }

    pub(super) async fn refresh(&self) -> Result<(), ClusterError> {
        let mut all = Vec::new();
        let mut parameters = ListParams::default().limit(PAGE);
        loop {
            let page = self.api.list(&parameters).await.map_err(cluster_error)?;
            all.extend(page.items.iter().filter_map(readable));
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => parameters = parameters.continue_token(&token),
                None => {
                    let version = page.metadata.resource_version;
                    let version = version.and_then(|version| version.parse().ok());
                    // What is known in a newer version was heard of after this list.
                    self.cache.reset(all, version.unwrap_or_default());
                    return Ok(());
                }
            }
        }
    }

    pub(super) async fn create(&self, spec: RecordSpec) -> Result<(), WriteError> {
        let key = spec.public_key;
        let object = new_object(&spec).map_err(unreadable)?;
        match self.api.create(&parameters(), &object).await {
            Ok(object) => self.learn(&object),
            Err(error) => Err(self.refused(&key, error).await),
        }
    }

    pub(super) async fn write_spec(
        &self,
        seen: &Seen,
        spec: &RecordSpec,
    ) -> Result<(), WriteError> {
        let key = &spec.public_key;
        let patch = Patch::Merge(json!({
            "metadata": {"resourceVersion": seen.version.to_string()},
            "spec": spec,
        }));
        let parameters = PatchParams {
            field_manager: Some(FIELD_MANAGER.to_owned()),
            ..PatchParams::default()
        };
        match self
            .api
            .patch(&key.record_name(), &parameters, &patch)
            .await
        {
            Ok(object) => self.learn(&object),
            Err(error) => Err(self.refused(key, error).await),
        }
    }

    pub(super) async fn write_status(
        &self,
        seen: &Seen,
        status: &RecordStatus,
    ) -> Result<(), WriteError> {
        if !seen.kept && !seen.record().deleting {
            // Somebody made it by hand; from its first status on it may hold something.
            self.keep(seen).await?;
            return Err(WriteError::Stale);
        }
        let key = &seen.record().spec.public_key;
        let object = wire::with_status(seen, status).map_err(unreadable)?;
        let written = self
            .api
            .replace_status(&key.record_name(), &parameters(), &object)
            .await;
        match written {
            Ok(object) => self.learn(&object),
            Err(error) => Err(self.refused(key, error).await),
        }
    }

    pub(super) async fn delete(&self, seen: &Seen) -> Result<(), WriteError> {
        let key = &seen.record().spec.public_key;
        let parameters = DeleteParams {
            preconditions: Some(Preconditions {
                resource_version: Some(seen.version.to_string()),
                uid: None,
            }),
            ..DeleteParams::background()
        };
        match self.api.delete(&key.record_name(), &parameters).await {
            Ok(answer) => match answer.left() {
                Some(object) => self.learn(&object),
                None => {
                    self.cache.learn_gone(key, seen.version);
                    Ok(())
                }
            },
            Err(error) => Err(self.refused(key, error).await),
        }
    }

    /// Takes our finalizer off, which lets the API server remove the record.
    pub(super) async fn remove(&self, seen: &Seen) -> Result<(), WriteError> {
        let others = self.others_finalizers(seen).await?;
        match self.write_finalizers(seen, &others).await {
            Ok(_) if others.is_empty() => {
                self.cache
                    .learn_gone(&seen.record().spec.public_key, seen.version);
                Ok(())
            }
            Ok(object) => self.learn(&object),
            Err(error) => Err(error),
        }
    }

    /// Puts our finalizer on a record that came without.
    async fn keep(&self, seen: &Seen) -> Result<(), WriteError> {
        let mut finalizers = self.others_finalizers(seen).await?;
        finalizers.push(FINALIZER.to_owned());
        let object = self.write_finalizers(seen, &finalizers).await?;
        self.learn(&object)
    }

    /// The finalizers of others on a record, if it is still as it was seen.
    async fn others_finalizers(&self, seen: &Seen) -> Result<Vec<String>, WriteError> {
        let key = &seen.record().spec.public_key;
        match self
            .api
            .get_opt(&key.record_name())
            .await
            .map_err(cluster_error)?
        {
            Some(object) if version_of(&object) == seen.version => {
                let finalizers = object.metadata.finalizers.unwrap_or_default();
                let others = finalizers.into_iter().filter(|name| name != FINALIZER);
                Ok(others.collect())
            }
            _ => {
                self.look(key).await;
                Err(WriteError::Stale)
            }
        }
    }

    async fn write_finalizers(
        &self,
        seen: &Seen,
        finalizers: &[String],
    ) -> Result<CloudletDeployment, WriteError> {
        let key = &seen.record().spec.public_key;
        let patch = Patch::Merge(json!({
            "metadata": {"resourceVersion": seen.version.to_string(), "finalizers": finalizers},
        }));
        let written = self
            .api
            .patch(&key.record_name(), &PatchParams::default(), &patch)
            .await;
        match written {
            Ok(object) => Ok(object),
            Err(error) => Err(self.refused(key, error).await),
        }
    }

    pub(super) async fn find(&self, key: &PublicKey) -> Result<Option<Seen>, ClusterError> {
        let object = self.api.get_opt(&key.record_name()).await;
        if let Some(seen) = object.map_err(cluster_error)?.as_ref().and_then(readable) {
            self.cache.learn(seen);
        }
        Ok(self.cache.get(key))
    }

    fn learn(&self, object: &CloudletDeployment) -> Result<(), WriteError> {
        self.cache.learn(read(object).map_err(unreadable)?);
        Ok(())
    }

    /// What a refused write means. After a conflict memory is brought up to date, so that the next decision is another one.
    async fn refused(&self, key: &PublicKey, error: kube::Error) -> WriteError {
        match &error {
            kube::Error::Api(status) if matches!(status.code, 404 | 409) => {
                if self.look(key).await {
                    WriteError::Stale
                } else {
                    cluster_error(error).into()
                }
            }
            _ => cluster_error(error).into(),
        }
    }

    /// Reads one record anew; false when that cannot be done.
    async fn look(&self, key: &PublicKey) -> bool {
        let version = self.cache.get(key).map_or(0, |seen| seen.version);
        match self.api.get_opt(&key.record_name()).await {
            Ok(Some(object)) => readable(&object).is_some_and(|seen| {
                self.cache.learn(seen);
                true
            }),
            Ok(None) => {
                self.cache.learn_gone(key, version);
                true
            }
            Err(error) => {
                tracing::info!(%error, key = %key.short(), "record cannot be read");
                false
            }
        }
    }

    fn tell(&self, state: Result<(), String>) {
        self.synchronised.send_if_modified(|current| {
            let changed = *current != state;
            *current = state;
            changed
        });
    }

    /// What is known stays known while a watch breaks off; only a first list that fails leaves Tier 2 without records.
    fn tell_failure(&self, error: &watcher::Error) {
        tracing::warn!(%error, cause = causes(error), "records cannot be followed, trying on");
        let cause = match error
            .source()
            .map(|source| source.downcast_ref::<kube::Error>())
        {
            Some(Some(kube::Error::Api(status))) if status.code == 404 => {
                "the cluster does not know CloudletDeployments: `sinfonia-tier2 crd | kubectl apply -f -` teaches it"
            }
            Some(Some(kube::Error::Api(status))) if status.code == 403 => {
                "Tier 2 may not read CloudletDeployments"
            }
            _ => "the API server does not answer",
        };
        if self.synchronised.borrow().is_err() {
            self.tell(Err(cause.to_owned()));
        }
    }
}

fn parameters() -> PostParams {
    PostParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PostParams::default()
    }
}

fn readable(object: &CloudletDeployment) -> Option<Seen> {
    read(object)
        .inspect_err(|error| {
            let error: &dyn std::error::Error = error;
            tracing::warn!(
                error,
                name = object.name_any(),
                "record cannot be understood and is left alone"
            );
        })
        .ok()
}

fn unreadable(error: Unreadable) -> ClusterError {
    ClusterError(error.into())
}

#[cfg(test)]
mod tests;
