//! Whether the operator wants this cloudlet to drain: a ConfigMap in Tier 2's Namespace that is there while it does.
//!
//! It is an object of its own, which nobody writes but for this. The Lease changes every few seconds, and what the chart makes is written
//! again by each `helm upgrade`; an annotation on either would be lost, or be watched in vain. That it is there is all that counts, so
//! `kubectl create configmap` and `kubectl delete configmap` do the same.

use futures_util::StreamExt;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{DeleteParams, Patch, PatchParams};
use kube::runtime::watcher::Config;
use kube::{Api, Client};
use serde_json::json;
use sinfonia_service::readiness::Condition;
use tokio::sync::watch;

use super::gateway::words;
use super::mirror::{Mirror, Turn, watch};
use super::objects::{MANAGED_BY, MANAGED_BY_LABEL};
use super::{FIELD_MANAGER, WATCH_SECONDS, leader};
use crate::cluster::draining::{Draining, Reason};

/// Name of the ConfigMap.
pub(crate) const NAME: &str = "sinfonia-tier2-drain";
/// Key of the operator's words in it.
const REASON: &str = "reason";

/// What a request to drain, or not to, has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// Whether it drains.
    Turned,
    /// The reason alone.
    Reworded,
    /// Nothing: it was so before.
    Nothing,
}

/// The wish to drain, of the Tier 2s in one Namespace.
pub(crate) struct Wish {
    client: Client,
    namespace: String,
}

impl Wish {
    /// The wish that is kept in this Namespace.
    pub(crate) fn new(client: Client, namespace: &str) -> Self {
        Self {
            client,
            namespace: namespace.to_owned(),
        }
    }

    /// Keeps `draining` up to date for ever. While the API server is away, what was known last counts: nothing new can be written meanwhile
    /// either.
    pub(super) async fn follow(self, draining: watch::Sender<Draining>, condition: Condition) {
        let config = Config::default()
            .timeout(WATCH_SECONDS)
            .fields(&format!("metadata.name={NAME}"));
        let mut changes = watch(self.api(), config, reason_of);
        let mut mirror = Mirror::default();
        while let Some(change) = changes.next().await {
            if mirror.take(change) == Turn::Fails {
                let error = mirror.failure().map(tracing::field::display);
                tracing::warn!(
                    error,
                    "the cluster does not tell whether to drain, another try follows"
                );
            }
            publish(&draining, known(&mirror), &condition);
        }
    }

    /// Has it drain. Where no reason is given, one that was given before stays.
    ///
    /// # Errors
    /// The API server does not answer or refuses it.
    pub(crate) async fn begin(&self, reason: Option<&Reason>) -> Result<Change, kube::Error> {
        let found = self.api().get_opt(NAME).await?;
        let change = match found.as_ref().map(reason_of) {
            None => Change::Turned,
            Some(known) if reason.is_some() && known.as_ref() != reason => Change::Reworded,
            Some(_) => return Ok(Change::Nothing),
        };
        let data = reason.map(|reason| json!({REASON: reason.as_str()}));
        let object = json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": NAME, "labels": {MANAGED_BY_LABEL: MANAGED_BY}},
            "data": data.unwrap_or_else(|| json!({})),
        });
        let parameters = PatchParams::apply(FIELD_MANAGER).force();
        self.api()
            .patch(NAME, &parameters, &Patch::Apply(object))
            .await?;
        Ok(change)
    }

    /// Has it take new deployments again.
    ///
    /// # Errors
    /// The API server does not answer or refuses it.
    pub(crate) async fn end(&self) -> Result<Change, kube::Error> {
        match self.api().delete(NAME, &DeleteParams::default()).await {
            Ok(_) => Ok(Change::Turned),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(Change::Nothing),
            Err(error) => Err(error),
        }
    }

    /// Whether a Tier 2 has ever worked in this Namespace: it leaves a Lease behind.
    ///
    /// # Errors
    /// The API server does not answer or refuses it.
    pub(crate) async fn has_tier2(&self) -> Result<bool, kube::Error> {
        let leases: Api<Lease> = Api::namespaced(self.client.clone(), &self.namespace);
        Ok(leases.get_opt(leader::NAME).await?.is_some())
    }

    fn api(&self) -> Api<ConfigMap> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }
}

fn reason_of(object: &ConfigMap) -> Option<Reason> {
    Reason::fit(object.data.as_ref()?.get(REASON)?)
}

/// What the watch has told so far.
fn known(mirror: &Mirror<Option<Reason>>) -> Draining {
    match (mirror.known(), mirror.failure()) {
        (Some(objects), _) => objects
            .get(NAME)
            .map_or(Draining::No, |reason| Draining::Yes(reason.clone())),
        (None, Some(failure)) => Draining::Unknown(words(failure)),
        (None, None) => Draining::Unknown("the cluster was not asked yet".to_owned()),
    }
}

/// Tells who listens, if it is news to them. To drain is a wish and no want: Tier 2 is ready as soon as it knows.
fn publish(draining: &watch::Sender<Draining>, now_known: Draining, condition: &Condition) {
    match &now_known {
        Draining::Unknown(why) => {
            condition.not_ready(format!("it is not known whether to drain: {why}"));
        }
        Draining::No | Draining::Yes(_) => condition.ready(),
    }
    draining.send_if_modified(|before| {
        if *before == now_known {
            return false;
        }
        log(before, &now_known);
        *before = now_known;
        true
    });
}

fn log(before: &Draining, after: &Draining) {
    match (before, after) {
        (_, Draining::Yes(reason)) => {
            let reason = reason.as_ref().map(tracing::field::display);
            tracing::info!(reason, "draining: no new deployments are taken");
        }
        (Draining::Yes(_), Draining::No) => {
            tracing::info!("draining is over: new deployments are taken again");
        }
        (_, Draining::No | Draining::Unknown(_)) => {}
    }
}

#[cfg(test)]
mod tests {
    use kube::runtime::watcher::{Error, Event};
    use sinfonia_service::readiness::Readiness;

    use super::*;

    #[test]
    fn nothing_is_known_before_the_first_list_is_complete() {
        let mut mirror = Mirror::default();

        mirror.take(Ok(Event::Init));

        let expected = Draining::Unknown("the cluster was not asked yet".to_owned());
        assert_eq!(known(&mirror), expected);
    }

    #[test]
    fn what_was_known_counts_while_the_watch_fails() {
        let mut mirror = Mirror::default();
        mirror.take(Ok(Event::Init));
        mirror.take(Ok(Event::InitApply((NAME.to_owned(), None))));
        mirror.take(Ok(Event::InitDone));

        mirror.take(Err(Error::NoResourceVersion));

        assert_eq!(known(&mirror), Draining::Yes(None));
    }

    #[test]
    fn another_object_is_no_wish_to_drain() {
        let mut mirror = Mirror::default();

        mirror.take(Ok(Event::InitApply(("other".to_owned(), None))));
        mirror.take(Ok(Event::InitDone));

        assert_eq!(known(&mirror), Draining::No);
    }

    #[test]
    fn who_drains_is_ready_and_who_does_not_know_is_not() {
        let (sender, readiness) = (watch::Sender::new(Draining::No), Readiness::new());
        let condition = readiness.condition("drain");

        publish(&sender, Draining::Unknown("no".to_owned()), &condition);
        let unknown = readiness.report();
        publish(&sender, Draining::Yes(None), &condition);

        assert_eq!(
            unknown.missing["drain"],
            "it is not known whether to drain: no"
        );
        assert!(readiness.report().ready);
        assert_eq!(*sender.borrow(), Draining::Yes(None));
    }
}
