//! What a `POST` and a `DELETE` do to a record.

use std::net::IpAddr;

use jiff::Timestamp;
use uuid::Uuid;

use super::{Phase, Policy, Record, RecordSpec, Stage};
use crate::key::PublicKey;

/// A request for a deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The recipe.
    pub uuid: Uuid,
    /// The device's public key.
    pub public_key: PublicKey,
    /// The device's address outside the tunnel.
    pub client_address: IpAddr,
    /// The request's `X-Request-ID`.
    pub id: String,
}

/// What a `POST` has to do before it waits for the deployment to be ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeployDecision {
    /// Create a record, which fails if another request was first.
    Create(RecordSpec),
    /// Nothing: most of the lease is left.
    Keep,
    /// Write this spec: it extends the lease.
    Renew(RecordSpec),
    /// Write this spec: it brings an Expiring deployment back under the same name and address.
    Revive(RecordSpec),
    /// Write this spec: it replaces what expired or failed.
    Restart(RecordSpec),
    /// Refuse: the key holds a deployment of this recipe here.
    Conflict(Uuid),
    /// Wait until the record is gone, then decide again.
    AwaitRemoval,
}

/// What a `DELETE` has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeleteDecision {
    /// Delete the record; deleting it twice does no harm.
    Delete,
    /// Nothing: other requests rely on the deployment.
    Spare,
    /// Nothing: there is no such deployment, or the named request did not create it.
    Absent,
}

/// Decides what a `POST` does to the record of its key.
///
/// A renewal is skipped while more than two thirds of the lease are left. The one exception is the first request beside
/// the creating one: it is written at once, because from then on [`delete`] with `created_by` has to spare the
/// deployment.
pub fn deploy(
    record: Option<&Record>,
    request: &Request,
    now: Timestamp,
    policy: &Policy,
) -> DeployDecision {
    let Some(record) = record else {
        return DeployDecision::Create(asked_for(request, now, 1));
    };
    match record.stage() {
        Stage::Leaving => DeployDecision::AwaitRemoval,
        Stage::Ended(_) => {
            DeployDecision::Restart(asked_for(request, now, record.spec.renewals + 1))
        }
        _ if record.spec.uuid != request.uuid => DeployDecision::Conflict(record.spec.uuid),
        Stage::Live(status) if status.phase == Phase::Expiring && !record.is_called_back() => {
            DeployDecision::Revive(renewed(&record.spec, request, now))
        }
        Stage::Starting | Stage::Live(_) => {
            let shared = record.spec.renewed_by != record.spec.created_by;
            let known = shared || record.spec.created_by == request.id;
            if known && policy.is_fresh(record.lease_end(policy), now) {
                DeployDecision::Keep
            } else {
                DeployDecision::Renew(renewed(&record.spec, request, now))
            }
        }
    }
}

/// Decides what a `DELETE` for this recipe does to the record of its key. With `created_by` it deletes only what that
/// request created, and only while no other request has renewed or revived it.
pub fn delete(record: Option<&Record>, uuid: Uuid, created_by: Option<&str>) -> DeleteDecision {
    let Some(spec) = record
        .map(|record| &record.spec)
        .filter(|spec| spec.uuid == uuid)
    else {
        return DeleteDecision::Absent;
    };
    match created_by {
        None => DeleteDecision::Delete,
        Some(id) if spec.created_by != id => DeleteDecision::Absent,
        Some(id) if spec.renewed_by != id => DeleteDecision::Spare,
        Some(_) => DeleteDecision::Delete,
    }
}

fn asked_for(request: &Request, now: Timestamp, renewals: u64) -> RecordSpec {
    RecordSpec {
        uuid: request.uuid,
        public_key: request.public_key,
        client_address: request.client_address,
        created: now,
        created_by: request.id.clone(),
        renewed: now,
        renewed_by: request.id.clone(),
        renewals,
    }
}

fn renewed(spec: &RecordSpec, request: &Request, now: Timestamp) -> RecordSpec {
    // The creating request renewing again must not hide that another one did.
    let renewed_by = if request.id == spec.created_by {
        &spec.renewed_by
    } else {
        &request.id
    };
    // What was adopted came without the address of its device.
    let client_address = if spec.client_address.is_unspecified() {
        request.client_address
    } else {
        spec.client_address
    };
    RecordSpec {
        client_address,
        renewed: now.max(spec.renewed),
        renewed_by: renewed_by.clone(),
        renewals: spec.renewals + 1,
        ..spec.clone()
    }
}
