//! Why Tier 2 cannot run.

use sinfonia_core::lifecycle::AddressPoolError;
use sinfonia_service::client::ClientError;
use sinfonia_service::listen::ListenError;
use sinfonia_service::reload::ReloadError;
use sinfonia_service::tokens::TokenFileError;
use tokio::task::JoinError;

use crate::announcement::AnnouncementError;
use crate::cluster::kubernetes::StartError;
use crate::cluster::sandbox::SandboxError;
use crate::guard::GuardError;
use crate::reports::ReportTokenError;
use crate::settings::Tier1Url;

/// Why Tier 2 does not start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// There is no Kubernetes cluster to work on.
    #[error(transparent)]
    Kubernetes(#[from] StartError),
    /// A port is taken or not allowed.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The HTTP client cannot be made.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The file of deploy tokens is missing or malformed.
    #[error("the deploy tokens (--deploy-tokens) cannot be used")]
    DeployTokens(#[source] ReloadError<TokenFileError>),
    /// The file of the report token is missing or malformed.
    #[error("the report token (--report-token) cannot be used")]
    ReportToken(#[source] ReloadError<ReportTokenError>),
    /// The report token would be sent in the open.
    #[error("the report token would travel over plain http to {0}")]
    TokenInTheOpen(Tier1Url),
    /// The client network is too small.
    #[error(transparent)]
    ClientNetwork(#[from] AddressPoolError),
    /// The sandbox cannot be made.
    #[error("the sandbox cannot be made")]
    Sandbox(#[from] SandboxError),
    /// The local network cannot be told of this cloudlet.
    #[error(transparent)]
    Announcement(#[from] AnnouncementError),
    /// The node cannot be guarded.
    #[error(transparent)]
    Guard(#[from] GuardError),
    /// A part of the service that never ends has ended.
    #[error("the {0} ended unexpectedly")]
    PartEnded(&'static str),
}

impl RunError {
    /// The error that a part which never ends has ended.
    pub(super) fn part_ended(ended: Result<&'static str, JoinError>) -> Self {
        match ended {
            Ok(part) => Self::PartEnded(part),
            Err(error) => {
                tracing::error!(%error, "a part of the service failed");
                Self::PartEnded("part that failed")
            }
        }
    }

    /// What the user can do about it, if that is not clear from the error.
    pub const fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Kubernetes(StartError::NoCluster) => {
                Some("sinfonia-tier2 --cluster sandbox runs without a cluster")
            }
            Self::Guard(error) => error.hint(),
            Self::TokenInTheOpen(_) => {
                Some("give an https URL, or --insecure-http if the network in between is safe")
            }
            Self::ClientNetwork(_) => Some("--client-network 10.5.0.0/16 is the default"),
            Self::Announcement(AnnouncementError::Loopback(_)) => {
                Some("leave --listen out, or name an address of the local network")
            }
            _ => None,
        }
    }

    /// Whether the user can do something about it.
    pub const fn is_fixable(&self) -> bool {
        !matches!(
            self,
            Self::PartEnded(_)
                | Self::Sandbox(SandboxError::Randomness(_))
                | Self::Announcement(AnnouncementError::Randomness(_))
        )
    }
}
