//! Why a request about a deployment is not granted, and how that is answered.

use sinfonia_core::lifecycle::{AddressPool, FailureClass, Phase, RecordStatus};
use sinfonia_service::problem::Problem;
use sinfonia_service::recipes::RecipeLookupError;
use uuid::Uuid;

use crate::cluster::ClusterError;
use crate::cluster::draining::{Draining, Reason};
use crate::cluster::quota::QuotaReached;

/// Class of a deployment whose lease and grace have passed, in the answer to a `GET`.
const EXPIRED: &str = "expired";

/// Seconds after which a record that is being removed is usually gone.
const RETRY_REMOVAL: u64 = 2;
/// Seconds after which an operator may be done.
const RETRY_DRAINING: u64 = 60;
/// Seconds after which somebody else's deployment may have gone: about a round of the job runner.
const RETRY_FULL: u64 = 60;
/// Seconds after which a cluster that is starting may be complete.
const RETRY_CLUSTER: u64 = 5;
/// Seconds after which some of the installations under way are usually done.
const RETRY_BUSY: u64 = 5;

/// Why a request is not granted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    /// There is no such recipe, or it cannot be read.
    #[error(transparent)]
    Recipe(#[from] RecipeLookupError),
    /// The key holds a deployment of this other recipe.
    #[error("the key holds a deployment of another application here, {0}")]
    OtherRecipe(Uuid),
    /// Somebody withdrew the request before it came.
    #[error("the request was withdrawn before it came")]
    Withdrawn,
    /// The client has as many deployments as it may have.
    #[error("the client has {0} deployments here, more are not given to one client")]
    ClientHasEnough(usize),
    /// There are as many deployments as there may be.
    #[error("the cloudlet is full")]
    Full,
    /// Records hold all addresses.
    #[error("no tunnel address is left in {0}")]
    NoAddress(AddressPool),
    /// As many are being installed as may be.
    #[error("the cloudlet is busy installing other deployments")]
    Busy,
    /// A quota has no room for it.
    #[error(transparent)]
    Quota(QuotaReached),
    /// The operator wants no new ones.
    #[error("the cloudlet takes no new deployments at present{}", after_colon(.0.as_ref()))]
    Draining(Option<Reason>),
    /// Whether the operator wants new ones is not known.
    #[error("it is not known yet whether the cloudlet takes new deployments")]
    MaybeDraining,
    /// The records are not known.
    #[error("the deployments are not known yet: {0}")]
    NoRecords(String),
    /// The cluster does not take what has to be written.
    #[error("the cluster does not answer")]
    Cluster(#[source] ClusterError),
    /// The cloudlet's end of the tunnel is not known.
    #[error("the tunnel is not ready: {0}")]
    NoTunnel(String),
    /// The record was still being removed when the time was over.
    #[error("the previous deployment of this key is still being removed")]
    Leaving,
    /// The record was removed while the request waited.
    #[error("the deployment was removed while the request waited for it")]
    Removed,
    /// The controller has not taken the record up.
    #[error("the deployment is about to start")]
    NotStarted,
    /// The deployment failed while the request waited.
    #[error("{message}")]
    FailedMeanwhile {
        /// The kind of failure.
        class: FailureClass,
        /// What happened.
        message: String,
        /// More, for those who show a token.
        detail: Option<String>,
    },
    /// The deployment failed or expired, a while ago.
    #[error("{message}")]
    Ended {
        /// The kind of end.
        class: String,
        /// What happened.
        message: String,
        /// More, for those who show a token.
        detail: Option<String>,
    },
    /// There is no deployment.
    #[error("there is no such deployment")]
    Absent,
    /// Another client created the deployment.
    #[error("only the client that created the deployment may delete it")]
    NotCreator,
}

impl Refusal {
    /// A deployment that failed or expired a while ago.
    pub(super) fn ended(status: &RecordStatus) -> Self {
        match (status.failure, &status.message) {
            (Some(class), message) => Self::Ended {
                class: class.to_string(),
                message: message.clone().unwrap_or_else(|| class.to_string()),
                detail: status.detail.clone(),
            },
            (None, _) => Self::Ended {
                class: EXPIRED.to_owned(),
                message: "the deployment has expired".to_owned(),
                detail: None,
            },
        }
    }

    /// A deployment that ended while a request waited for it.
    pub(super) fn failed_meanwhile(status: &RecordStatus) -> Self {
        match status.failure {
            Some(class) if status.phase == Phase::Failed => Self::FailedMeanwhile {
                class,
                message: status.message.clone().unwrap_or_else(|| class.to_string()),
                detail: status.detail.clone(),
            },
            _ => Self::Removed,
        }
    }

    /// A record that the cluster does not take.
    pub(super) fn unwritten(error: ClusterError) -> Self {
        match error.quota() {
            Some(quota) => Self::Quota(quota.clone()),
            None => Self::Cluster(error),
        }
    }

    /// Why nothing new is taken, if that is so.
    pub(super) fn of_draining(draining: &Draining) -> Result<(), Self> {
        match draining {
            Draining::No => Ok(()),
            Draining::Yes(reason) => Err(Self::Draining(reason.clone())),
            Draining::Unknown(_) => Err(Self::MaybeDraining),
        }
    }

    /// The refusal as the bearer of a token is told it: with all that is known.
    pub(crate) fn in_detail(self) -> Self {
        let told = |message: String, detail: Option<String>| match detail {
            Some(detail) => format!("{message}: {detail}"),
            None => message,
        };
        match self {
            Self::FailedMeanwhile {
                class,
                message,
                detail,
            } => Self::FailedMeanwhile {
                class,
                message: told(message, detail),
                detail: None,
            },
            Self::Ended {
                class,
                message,
                detail,
            } => Self::Ended {
                class,
                message: told(message, detail),
                detail: None,
            },
            other => other,
        }
    }

    /// All words for refusals.
    pub(crate) const OUTCOMES: [&'static str; 17] = [
        "unknown_recipe",
        "no_recipe_repository",
        "conflict",
        "client_has_enough",
        "full",
        "no_address",
        "busy",
        "quota",
        "draining",
        "no_cluster",
        "no_tunnel",
        "being_removed",
        "not_started",
        "failed",
        "ended",
        "absent",
        "not_creator",
    ];

    /// A word for it, one of a fixed few.
    pub(crate) const fn outcome(&self) -> &'static str {
        match self {
            Self::Recipe(RecipeLookupError::Unknown(_)) => "unknown_recipe",
            Self::Recipe(RecipeLookupError::Unavailable { .. }) => "no_recipe_repository",
            Self::OtherRecipe(_) | Self::Withdrawn => "conflict",
            Self::ClientHasEnough(_) => "client_has_enough",
            Self::Full => "full",
            Self::NoAddress(_) => "no_address",
            Self::Busy => "busy",
            Self::Quota(_) => "quota",
            Self::Draining(_) => "draining",
            Self::NoRecords(_) | Self::MaybeDraining | Self::Cluster(_) => "no_cluster",
            Self::NoTunnel(_) => "no_tunnel",
            Self::Leaving | Self::Removed => "being_removed",
            Self::NotStarted => "not_started",
            Self::FailedMeanwhile { .. } => "failed",
            Self::Ended { .. } => "ended",
            Self::Absent => "absent",
            Self::NotCreator => "not_creator",
        }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        match &refusal {
            // The class tells Tier 1 that this is about one recipe, so that it goes on sending others.
            Refusal::Recipe(error @ RecipeLookupError::Unavailable { .. }) => {
                Self::from(error.clone()).class("no-recipe")
            }
            Refusal::Recipe(error) => error.clone().into(),
            Refusal::OtherRecipe(_) | Refusal::Withdrawn => Self::conflict(refusal),
            Refusal::ClientHasEnough(_) => Self::too_many_requests(refusal, RETRY_FULL),
            Refusal::Full | Refusal::NoAddress(_) | Refusal::Quota(_) => {
                Self::unavailable(refusal, RETRY_FULL)
            }
            Refusal::Busy => Self::unavailable(refusal, RETRY_BUSY),
            Refusal::Draining(_) => Self::unavailable(refusal, RETRY_DRAINING),
            Refusal::NoTunnel(_)
            | Refusal::NoRecords(_)
            | Refusal::MaybeDraining
            | Refusal::Cluster(_) => Self::unavailable(refusal, RETRY_CLUSTER),
            // So is this about one deployment.
            Refusal::Leaving | Refusal::Removed => {
                Self::unavailable(refusal, RETRY_REMOVAL).class("being-removed")
            }
            Refusal::NotStarted => Self::unavailable(refusal, RETRY_REMOVAL).class("not-started"),
            // There may be room later, or elsewhere now.
            Refusal::FailedMeanwhile {
                class: class @ FailureClass::QuotaReached,
                ..
            } => Self::unavailable(&refusal, RETRY_FULL).class(&class.to_string()),
            Refusal::FailedMeanwhile { class, .. } => {
                Self::internal(&refusal).class(&class.to_string())
            }
            Refusal::Ended { class, .. } => Self::not_found(&refusal).class(class),
            Refusal::Absent => Self::not_found(refusal),
            Refusal::NotCreator => Self::forbidden(refusal),
        }
    }
}

fn after_colon(reason: Option<&Reason>) -> String {
    reason
        .map(|reason| format!(": {reason}"))
        .unwrap_or_default()
}
