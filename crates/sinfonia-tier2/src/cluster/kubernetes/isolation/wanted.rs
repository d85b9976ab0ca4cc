//! What is to keep a deployment apart, from its record, its recipe, what the operator allows, and the network around.

use sinfonia_core::isolation::Limits;
use sinfonia_core::lifecycle::{Desired, Failure, FailureClass, Phase, Record, desired};
use sinfonia_service::recipes::RecipeLookupError;
use uuid::Uuid;

use super::super::Kubernetes;
use super::super::steps::{NotNow, gone, not_now, status};
use super::{Expected, Isolation};
use crate::cluster::{ClusterError, StepError};

impl Kubernetes {
    /// What is expected to keep a deployment apart: of one that goes, nothing more.
    ///
    /// # Errors
    /// See [`Self::isolation`].
    pub(in super::super) async fn expected(
        &self,
        record: &Record,
    ) -> Result<Option<Isolation>, StepError> {
        match desired(record) {
            Desired::Running(_) => self.isolation(record).await,
            Desired::Paused | Desired::Reclaimed | Desired::Removed => Ok(None),
        }
    }

    /// What keeps a deployment apart; nothing where another program installed it.
    ///
    /// # Errors
    /// That cannot be told now, or its recipe asks for more than it may have and has not got it yet.
    pub(in super::super) async fn isolation(
        &self,
        record: &Record,
    ) -> Result<Option<Isolation>, StepError> {
        if record.is_as_adopted() {
            return Ok(None);
        }
        let client = status(record)?.tunnel_address;
        let limits = self.limits(record).await?;
        let surroundings = self.surroundings.borrow();
        let surroundings = surroundings
            .as_ref()
            .ok_or_else(|| not_now(NotNow::Surroundings))?;
        Ok(Some(Isolation::new(surroundings, client, &limits)))
    }

    /// The limits of a recipe's deployments.
    ///
    /// # Errors
    /// The recipe cannot be had, or asks for more than it may have.
    pub(in super::super) async fn grant(&self, uuid: Uuid) -> Result<Limits, StepError> {
        let recipe = self.recipes.get(uuid).await.map_err(|error| match error {
            RecipeLookupError::Unknown(_) => gone(&error),
            RecipeLookupError::Unavailable { .. } => ClusterError(error.into()).into(),
        })?;
        let wishes = recipe.wishes().map_err(|error| refused(&error))?;
        let granted = self.allowance.grant(uuid, &wishes);
        granted.map_err(|error| refused(&error))
    }

    /// The limits of a deployment. One that was installed stays, whatever has become of its recipe and of what is allowed; it gets then what
    /// every deployment gets. One that goes need not wait for its recipe.
    async fn limits(&self, record: &Record) -> Result<Limits, StepError> {
        if !matches!(desired(record), Desired::Running(_)) {
            return Ok(self.allowance.usual());
        }
        let phase = record.status.as_ref().map(|status| status.phase);
        match self.grant(record.spec.uuid).await {
            Err(StepError::Failed(failure)) if phase != Some(Phase::Initializing) => {
                tracing::debug!(key = %record.spec.public_key.short(), reason = failure.message, "deployment has no more than the usual limits");
                Ok(self.allowance.usual())
            }
            granted => granted,
        }
    }
}

impl Expected<'_> {
    /// What is expected where this is wanted.
    pub(in super::super) fn of(wanted: &Result<Option<Isolation>, StepError>) -> Expected<'_> {
        match wanted {
            Ok(None) => Expected::Nothing,
            Ok(Some(isolation)) => Expected::This(isolation),
            Err(_) => Expected::Something,
        }
    }
}

fn refused(error: &dyn std::error::Error) -> StepError {
    StepError::Failed(Failure {
        class: FailureClass::Refused,
        message: error.to_string(),
        detail: None,
    })
}
