//! What requests do to deployments: creating, renewing, reading and deleting their records.

mod admission;
mod refusal;
mod wait;
mod withdrawn;

#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::sync::Arc;

use sinfonia_core::deployment::CloudletDeployment;
use sinfonia_core::key::PublicKey;
use sinfonia_core::lifecycle::{
    DeleteDecision, DeployDecision, Policy, Readiness, Record, Request, Stage, TunnelFacts, delete,
    deploy, wire,
};
use sinfonia_service::recipes::{RecipeLookupError, RecipeRepository};
use sinfonia_service::shutdown::CancellationToken;
use tokio::sync::{Mutex, watch};
use tokio::time::Instant;
use uuid::Uuid;

pub(crate) use self::admission::Admission;
pub(crate) use self::refusal::Refusal;
use self::withdrawn::Withdrawn;
use crate::clock::Clock;
use crate::cluster::Cluster;
use crate::records::{Records, Seen, unless_stale};

/// The API's side of all deployments. It writes what is asked for, never how far it is.
pub(crate) struct Deployments {
    pub(crate) records: Arc<Records>,
    pub(crate) cluster: Arc<dyn Cluster>,
    pub(crate) recipes: RecipeRepository,
    pub(crate) policy: Policy,
    pub(crate) admission: Admission,
    pub(crate) clock: Clock,
    /// Whether answers say that they come from a sandbox.
    pub(crate) sandbox: bool,
    /// When it is cancelled, nobody waits any more.
    pub(crate) stopping: CancellationToken,
    /// Requests that were withdrawn before they came. Whoever creates or withdraws holds it, so that neither happens within the other.
    pub(crate) withdrawn: Mutex<Withdrawn>,
}

impl Deployments {
    /// Creates, renews or brings back a deployment, and waits until it is ready or `deadline` has come.
    ///
    /// # Errors
    /// It cannot be had, or failed meanwhile.
    pub(crate) async fn deploy(
        &self,
        request: &Request,
        deadline: Instant,
    ) -> Result<CloudletDeployment, Refusal> {
        self.synchronised()?;
        self.tunnel()?;
        self.ask(request, deadline).await?;
        self.await_ready(request.uuid, &request.public_key, deadline)
            .await
    }

    /// The deployment of a recipe for a key as it is now.
    ///
    /// # Errors
    /// There is none, it failed or expired, or the cluster does not say.
    pub(crate) async fn get(
        &self,
        uuid: Uuid,
        key: &PublicKey,
    ) -> Result<CloudletDeployment, Refusal> {
        self.synchronised()?;
        let seen = self
            .records
            .find(key)
            .await
            .map_err(Refusal::Cluster)?
            .filter(|seen| seen.record().spec.uuid == uuid)
            .ok_or(Refusal::Absent)?;
        match seen.record().stage() {
            Stage::Leaving => Err(Refusal::Absent),
            Stage::Ended(status) => Err(Refusal::ended(status)),
            Stage::Starting => Err(Refusal::NotStarted),
            Stage::Live(status) => {
                let readiness = self.readiness(status).await;
                self.answer(seen.record(), &known(readiness.as_ref()))
            }
        }
    }

    /// Deletes a deployment that a client at an address which `may_delete` accepts has created; with `created_by` only what that request
    /// created, whoever asks, and no other has renewed. It is no error when there is none.
    ///
    /// # Errors
    /// The sender may not delete it, or the cluster does not take it.
    pub(crate) async fn delete(
        &self,
        uuid: Uuid,
        key: &PublicKey,
        created_by: Option<&str>,
        may_delete: impl Fn(IpAddr) -> bool,
    ) -> Result<(), Refusal> {
        self.synchronised()?;
        let mut withdrawn = self.withdrawn.lock().await;
        loop {
            let seen = self.records.find(key).await.map_err(Refusal::Cluster)?;
            match (
                delete(seen.as_ref().map(Seen::record), uuid, created_by),
                &seen,
            ) {
                (DeleteDecision::Delete, Some(seen)) => {
                    let creator = seen.record().spec.client_address;
                    if created_by.is_none() && !may_delete(creator) {
                        return Err(Refusal::NotCreator);
                    }
                    if unless_stale(self.records.delete(seen).await).map_err(Refusal::Cluster)? {
                        return Ok(());
                    }
                }
                (DeleteDecision::Spare, _) => return Ok(()),
                (DeleteDecision::Absent | DeleteDecision::Delete, _) => {
                    if let Some(id) = created_by {
                        withdrawn.note(id, Instant::now());
                    }
                    return Ok(());
                }
            }
        }
    }

    /// Writes that a request came, waiting where a record has to go first.
    async fn ask(&self, request: &Request, deadline: Instant) -> Result<(), Refusal> {
        loop {
            if self
                .withdrawn
                .lock()
                .await
                .holds(&request.id, Instant::now())
            {
                return Err(Refusal::Withdrawn);
            }
            let seen = self.records.get(&request.public_key);
            let record = seen.as_ref().map(Seen::record);
            let written = match deploy(record, request, self.clock.now(), &self.policy) {
                DeployDecision::Keep => true,
                DeployDecision::AwaitRemoval => {
                    self.taking_new()?;
                    self.await_removal(&request.public_key, deadline).await?;
                    false
                }
                DeployDecision::Conflict(holder) => {
                    return Err(self.conflict(request.uuid, holder).await);
                }
                DeployDecision::Renew(spec) => self.write(seen.as_ref(), spec).await?,
                DeployDecision::Revive(spec) => {
                    self.recipes.get(request.uuid).await?;
                    self.admission.check_pending(&self.records.all())?;
                    self.write(seen.as_ref(), spec).await?
                }
                DeployDecision::Create(spec) | DeployDecision::Restart(spec) => {
                    self.recipes.get(request.uuid).await?;
                    self.admit(seen.as_ref(), spec).await?
                }
            };
            if written {
                return Ok(());
            }
        }
    }

    /// A recipe that is not there is told before whose deployment the key holds.
    async fn conflict(&self, uuid: Uuid, holder: Uuid) -> Refusal {
        match self.recipes.get(uuid).await {
            Err(error @ RecipeLookupError::Unknown(_)) => Refusal::Recipe(error),
            Ok(_) | Err(RecipeLookupError::Unavailable { .. }) => Refusal::OtherRecipe(holder),
        }
    }

    /// The end of the tunnel, as far as it is known.
    fn tunnel(&self) -> Result<TunnelFacts, Refusal> {
        self.cluster
            .tunnel()
            .borrow()
            .clone()
            .map_err(Refusal::NoTunnel)
    }

    fn answer(
        &self,
        record: &Record,
        readiness: &Readiness,
    ) -> Result<CloudletDeployment, Refusal> {
        let answer =
            wire(record, &self.tunnel()?, readiness, &self.policy).ok_or(Refusal::NotStarted)?;
        Ok(CloudletDeployment {
            sandbox: self.sandbox.then_some(true),
            ..answer
        })
    }

    fn synchronised(&self) -> Result<(), Refusal> {
        self.records.synchronised().map_err(Refusal::NoRecords)
    }
}

/// What is known of whether something runs; nothing where nobody follows that.
fn known(readiness: Option<&watch::Receiver<Readiness>>) -> Readiness {
    readiness.map_or_else(Readiness::default, |readiness| readiness.borrow().clone())
}
