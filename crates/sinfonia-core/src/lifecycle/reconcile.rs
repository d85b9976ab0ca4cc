//! What the controller does next about a record.

use std::collections::HashSet;
use std::net::IpAddr;

use jiff::Timestamp;

use super::{
    AddressPool, FailureClass, Observed, Phase, Policy, Readiness, Record, RecordStatus, Stage,
    Step, desired, plan,
};
use crate::deployment::DeploymentName;

/// What the controller has to do next about a record. It asks again after each, until nothing is left to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// [`place`] the deployment, then write the status that [`start`] makes of it.
    Start,
    /// Write this status.
    Write(Box<RecordStatus>),
    /// Take these steps in order. An installation that failed for good is written with [`fail`]; after any other
    /// failure the controller asks again a little later. An installation that is under way when [`desired`] stops being
    /// [`Desired::Running`](super::Desired) is cancelled.
    Apply(Vec<Step>),
    /// Nothing.
    Rest,
}

/// Where a deployment lives: what its record holds from its start on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placement {
    /// Name of Namespace, Peer and release.
    pub name: DeploymentName,
    /// The device's address inside the tunnel.
    pub address: IpAddr,
}

/// Why a deployment cannot be placed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlacementError {
    /// Records hold all addresses.
    #[error("no address is left in {0}")]
    Addresses(AddressPool),
    /// Every name that was tried is taken.
    #[error("no deployment name is left")]
    Names,
}

/// Why a deployment failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Its kind.
    pub class: FailureClass,
    /// Why, in words that every caller may read.
    pub message: String,
    /// More, for those who run the cloudlet and those who show it a token: what helm said.
    pub detail: Option<String>,
}

/// Decides what the controller does next about a record. `readiness` is whether all that was installed runs; it counts only
/// while the deployment is Deployed and was not ready yet.
pub fn reconcile(
    record: &Record,
    observed: &Observed,
    readiness: &Readiness,
    now: Timestamp,
    policy: &Policy,
) -> Next {
    let steps = plan(&desired(record), observed);
    let next = match record.stage() {
        Stage::Starting if steps.is_empty() => return Next::Start,
        Stage::Live(status) => follow(record, status, observed, readiness, now, policy),
        Stage::Starting | Stage::Leaving | Stage::Ended(_) => None,
    };
    match next {
        Some(status) => Next::Write(Box::new(status)),
        None if steps.is_empty() => Next::Rest,
        None => Next::Apply(steps),
    }
}

/// Picks a name that no record bears and an address that no other record holds. A record that has an address keeps it,
/// its name is always new.
///
/// # Errors
/// All addresses of the pool are held, or, with entropy that is none, all names that it leads to are taken.
pub fn place<'a>(
    record: &Record,
    records: impl IntoIterator<Item = &'a Record>,
    pool: &AddressPool,
    entropy: u64,
) -> Result<Placement, PlacementError> {
    let key = record.spec.public_key;
    let (mut names, mut addresses) = (HashSet::new(), HashSet::new());
    for (other, status) in records
        .into_iter()
        .filter_map(|other| Some((other, other.status.as_ref()?)))
    {
        names.insert(&status.deployment_name);
        if other.spec.public_key != key {
            addresses.insert(status.tunnel_address);
        }
    }
    let name = (0..=names.len() as u64)
        .map(|attempt| DeploymentName::generate(entropy.wrapping_add(attempt)))
        .find(|name| !names.contains(name))
        .ok_or(PlacementError::Names)?;
    let own = record.status.as_ref().map(|status| status.tunnel_address);
    let address = own
        .filter(|address| pool.contains(*address))
        .or_else(|| pool.allocate(&key, &addresses))
        .ok_or(PlacementError::Addresses(*pool))?;
    Ok(Placement { name, address })
}

/// The status of a record that is taken up, for the first time or anew.
pub fn start(
    record: &Record,
    placement: Placement,
    now: Timestamp,
    policy: &Policy,
) -> RecordStatus {
    RecordStatus {
        phase: Phase::Initializing,
        since: now,
        renewals_seen: record.spec.renewals,
        deployment_name: placement.name,
        tunnel_address: placement.address,
        started: now,
        lease_end: policy.lease_from(record.spec.renewed),
        first_ready: None,
        unknown_since: None,
        recipe_digest: None,
        failure: None,
        message: None,
        detail: None,
    }
}

/// The status of a record whose installation failed for good, or which can never be ready; `None` when that no longer
/// matters. The next plan rolls back what there is, whether the deployment was made, brought back or healed.
pub fn fail(record: &Record, failure: Failure, now: Timestamp) -> Option<RecordStatus> {
    match record.stage() {
        Stage::Live(status) if status.phase != Phase::Expiring => {
            Some(failed(record, status, failure, now))
        }
        _ => None,
    }
}

/// The Failed status that follows this one.
pub(super) fn failed(
    record: &Record,
    status: &RecordStatus,
    failure: Failure,
    now: Timestamp,
) -> RecordStatus {
    RecordStatus {
        failure: Some(failure.class),
        message: Some(failure.message),
        detail: failure.detail,
        ..status.enter(Phase::Failed, &record.spec, now)
    }
}

/// The next status of a live record, if what is observed or asked for changes it.
fn follow(
    record: &Record,
    status: &RecordStatus,
    observed: &Observed,
    readiness: &Readiness,
    now: Timestamp,
    policy: &Policy,
) -> Option<RecordStatus> {
    match status.phase {
        Phase::Initializing if plan(&desired(record), observed).is_empty() => {
            Some(status.enter(Phase::Deployed, &record.spec, now))
        }
        Phase::Deployed if !observed.is_installed() => {
            Some(status.enter(Phase::Initializing, &record.spec, now))
        }
        Phase::Deployed if status.first_ready.is_none() => match readiness {
            Readiness::Ready => Some(first_ready(record, status, now, policy)),
            Readiness::NotYet(_) => None,
            Readiness::Never(failure) => Some(failed(record, status, failure.clone(), now)),
        },
        Phase::Expiring if record.is_called_back() => Some(revive(record, status, now, policy)),
        _ => None,
    }
}

/// The device connects once its deployment is ready, so the lease begins to count no earlier than that.
fn first_ready(
    record: &Record,
    status: &RecordStatus,
    now: Timestamp,
    policy: &Policy,
) -> RecordStatus {
    let lease_end = record.lease_end(policy);
    let lease_end = if policy.is_fresh(lease_end, now) {
        lease_end
    } else {
        policy.lease_from(now)
    };
    RecordStatus {
        first_ready: Some(now),
        lease_end,
        message: None,
        ..status.clone()
    }
}

fn revive(record: &Record, status: &RecordStatus, now: Timestamp, policy: &Policy) -> RecordStatus {
    RecordStatus {
        started: now,
        lease_end: policy.lease_from(record.spec.renewed),
        first_ready: None,
        recipe_digest: None,
        ..status.enter(Phase::Initializing, &record.spec, now)
    }
}
