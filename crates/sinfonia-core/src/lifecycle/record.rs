//! The record of a deployment, one per public key.

use std::fmt;
use std::net::IpAddr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Policy;
use crate::deployment::DeploymentName;
use crate::key::PublicKey;

/// Everything that is known of one deployment. Records are kept by [`PublicKey::record_name`], so a key has at most
/// one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// What was asked for; written by the API side.
    pub spec: RecordSpec,
    /// How far it is; written by the controller alone, absent until it has taken the record up.
    pub status: Option<RecordStatus>,
    /// Whether somebody deleted the record. It is removed once everything it held is reclaimed.
    pub deleting: bool,
}

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RecordSpec {
    /// The recipe.
    pub uuid: Uuid,
    /// The device's public key.
    pub public_key: PublicKey,
    /// The device's address outside the tunnel, as the creating request gave it.
    pub client_address: IpAddr,
    /// When the creating request came.
    pub created: Timestamp,
    /// The id of the creating request.
    pub created_by: String,
    /// When the last request came that was worth a write.
    pub renewed: Timestamp,
    /// The id of the last request that renewed it and is not the creating one; that of the creating one while there is
    /// none.
    pub renewed_by: String,
    /// How many requests have been written; grows with each, so that the controller sees that one came after what it
    /// decided.
    pub renewals: u64,
}

/// How far a deployment is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RecordStatus {
    /// The phase.
    pub phase: Phase,
    /// When the phase was entered.
    pub since: Timestamp,
    /// [`RecordSpec::renewals`] as it was when the phase was entered.
    pub renewals_seen: u64,
    /// Name of Namespace, Peer and release; a new one with each start.
    pub deployment_name: DeploymentName,
    /// The device's address inside the tunnel, held as long as the record is there.
    pub tunnel_address: IpAddr,
    /// When this run began: with the start, or with being brought back.
    pub started: Timestamp,
    /// When the lease ends, as of the last write; [`Record::lease_end`] is the real end.
    pub lease_end: Timestamp,
    /// When this run was first seen ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_ready: Option<Timestamp>,
    /// Since when activity is unknown although the lease has passed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unknown_since: Option<Timestamp>,
    /// Digest of the recipe that was installed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipe_digest: Option<String>,
    /// What kind of failure ended it; with [`Phase::Failed`] only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<FailureClass>,
    /// How far it is or why it failed, in words for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// More about a failure, for those who run the cloudlet and those who show it a token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// The phases of a deployment's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Phase {
    /// Being made, brought back or healed.
    Initializing,
    /// Installed.
    Deployed,
    /// Its lease has passed; a request brings it back under the same name and address.
    Expiring,
    /// Reclaimed after its grace; the next request starts clean.
    Expired,
    /// Could not be installed or never became ready, and is rolled back; the next request starts clean.
    Failed,
}

/// The kinds of failure that callers are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureClass {
    /// The recipe names a chart that is not there.
    ChartNotFound,
    /// The chart does not render with the recipe's values.
    BadValues,
    /// The installation did not end in time.
    TimedOut,
    /// The cluster refused a part of it.
    Refused,
    /// It was installed and did not become ready in time, or never can.
    NotReady,
    /// A quota of the cluster has no room for it at present.
    QuotaReached,
}

/// What a record means to somebody who asks for the deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage<'record> {
    /// Being deleted: a request has to wait until it is gone.
    Leaving,
    /// Waits for its start, for the first time or after it ended.
    Starting,
    /// Has a name and an address and is there, on its way, or can be brought back.
    Live(&'record RecordStatus),
    /// Expired or failed.
    Ended(&'record RecordStatus),
}

impl Record {
    /// The record as a creating request leaves it.
    pub const fn new(spec: RecordSpec) -> Self {
        Self {
            spec,
            status: None,
            deleting: false,
        }
    }

    /// What the record means to somebody who asks for the deployment.
    pub fn stage(&self) -> Stage<'_> {
        match &self.status {
            _ if self.deleting => Stage::Leaving,
            None => Stage::Starting,
            Some(status) if !status.phase.has_ended() => Stage::Live(status),
            Some(_) if self.is_called_back() => Stage::Starting,
            Some(status) => Stage::Ended(status),
        }
    }

    /// Whether a request has come since the deployment began to expire, expired or failed.
    pub fn is_called_back(&self) -> bool {
        self.status.as_ref().is_some_and(|status| {
            (status.phase.has_ended() || status.phase == Phase::Expiring)
                && status.renewals_seen != self.spec.renewals
        })
    }

    /// Whether all that happened since an earlier look is that a running deployment was prolonged, by requests or by activity: nothing
    /// has to be done for that in the cluster.
    pub fn was_only_prolonged_since(&self, earlier: &Self) -> bool {
        let (Some(status), Some(before)) = (&self.status, &earlier.status) else {
            return false;
        };
        let lease_aside = RecordStatus {
            lease_end: before.lease_end,
            unknown_since: before.unknown_since,
            ..status.clone()
        };
        let runs = status.phase == Phase::Deployed && status.first_ready.is_some();
        runs && lease_aside == *before && self.deleting == earlier.deleting
    }

    /// When the lease ends, renewals included that the controller has not seen yet.
    pub fn lease_end(&self, policy: &Policy) -> Timestamp {
        let renewed = policy.lease_from(self.spec.renewed);
        self.status
            .as_ref()
            .map_or(renewed, |status| renewed.max(status.lease_end))
    }

    /// When the deployment ends unless it is used further: with its lease, or with its longest life where that is over
    /// first.
    pub(super) fn end(&self, policy: &Policy) -> Timestamp {
        let lease_end = self.lease_end(policy);
        let begun = match &self.status {
            Some(status) if !self.is_called_back() => status.started,
            // Another life begins as soon as the controller sees the request.
            _ => self.spec.renewed,
        };
        policy
            .max_lifetime
            .and_then(|longest| begun.checked_add(longest).ok())
            .map_or(lease_end, |end_of_life| lease_end.min(end_of_life))
    }
}

impl RecordStatus {
    /// The status with another phase, entered now by a decision that has seen this spec.
    pub(crate) fn enter(&self, phase: Phase, spec: &RecordSpec, now: Timestamp) -> Self {
        Self {
            phase,
            since: now,
            renewals_seen: spec.renewals,
            unknown_since: None,
            failure: None,
            message: None,
            detail: None,
            ..self.clone()
        }
    }
}

impl Phase {
    /// Whether only the record is left of it, or will be.
    pub const fn has_ended(self) -> bool {
        matches!(self, Self::Expired | Self::Failed)
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Initializing => "Initializing",
            Self::Deployed => "Deployed",
            Self::Expiring => "Expiring",
            Self::Expired => "Expired",
            Self::Failed => "Failed",
        })
    }
}

impl FailureClass {
    /// All classes.
    pub const ALL: [Self; 6] = [
        Self::ChartNotFound,
        Self::BadValues,
        Self::TimedOut,
        Self::Refused,
        Self::NotReady,
        Self::QuotaReached,
    ];

    /// Its name, as callers are told it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ChartNotFound => "chart-not-found",
            Self::BadValues => "bad-values",
            Self::TimedOut => "timed-out",
            Self::Refused => "refused",
            Self::NotReady => "not-ready",
            Self::QuotaReached => "quota-reached",
        }
    }
}

impl fmt::Display for FailureClass {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}
