//! What the job runner decides about a record, once per round.

use jiff::{SignedDuration, Timestamp};

use super::reconcile::failed;
use super::{Failure, FailureClass, Phase, Policy, Record, RecordStatus, Stage};

/// What is known about the traffic of a deployment's tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activity {
    /// The tunnel is in use; its lease is extended.
    Active,
    /// The tunnel is certainly not in use.
    Idle,
    /// Nobody can tell; it keeps a lease for a long time, [`Policy::max_unknown`].
    Unknown,
    /// Nobody asks: only requests renew (`--activity none`).
    NotAsked,
}

/// What the job runner has to do about a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing.
    Keep,
    /// Write this status.
    Write(Box<RecordStatus>),
    /// Delete the record.
    Remove,
}

/// Tells activity from two measurements of a tunnel: the UNIX time of its last handshake in seconds, 0 for never, and
/// how often its received bytes changed during the lease. `None` stands for a series that is not there and for an
/// error.
///
/// Either measurement alone proves activity; only both together prove that there is none.
pub fn activity_of(
    handshake: Option<f64>,
    changes: Option<f64>,
    now: Timestamp,
    lease: SignedDuration,
) -> Activity {
    let now = now.as_duration().as_secs_f64();
    let oldest = now - lease.as_secs_f64();
    let shook_hands = handshake
        .filter(|time| time.is_finite() && *time <= now)
        .map(|time| time > 0.0 && time >= oldest);
    let received = changes
        .filter(|count| count.is_finite())
        .map(|count| count > 0.0);
    match (shook_hands, received) {
        (Some(true), _) | (_, Some(true)) => Activity::Active,
        (Some(false), Some(false)) => Activity::Idle,
        _ => Activity::Unknown,
    }
}

/// Decides about a record once per round: whether its lease is extended or over, whether it ran out of time, whether it
/// is to be removed.
pub fn lease(record: &Record, activity: Activity, now: Timestamp, policy: &Policy) -> Verdict {
    let status = match record.stage() {
        Stage::Leaving => return Verdict::Keep,
        // Nobody has asked for a whole lease, so nobody waits for the start any more.
        Stage::Starting if now >= record.lease_end(policy) => return Verdict::Remove,
        Stage::Starting => return Verdict::Keep,
        Stage::Live(status) | Stage::Ended(status) => status,
    };
    let next = match status.phase {
        Phase::Expired | Phase::Failed if has_passed(policy.retention, status.since, now) => {
            return Verdict::Remove;
        }
        Phase::Expiring
            if !record.is_called_back() && has_passed(policy.grace, status.since, now) =>
        {
            status.enter(Phase::Expired, &record.spec, now)
        }
        Phase::Expired | Phase::Failed | Phase::Expiring => return Verdict::Keep,
        Phase::Initializing | Phase::Deployed => hold(record, status, activity, now, policy),
    };
    if next == *status {
        Verdict::Keep
    } else {
        Verdict::Write(Box::new(next))
    }
}

/// The next status of a deployment that is installed or on its way there.
fn hold(
    record: &Record,
    status: &RecordStatus,
    activity: Activity,
    now: Timestamp,
    policy: &Policy,
) -> RecordStatus {
    if policy
        .max_lifetime
        .is_some_and(|longest| has_passed(longest, status.started, now))
    {
        return status.enter(Phase::Expiring, &record.spec, now);
    }
    if let Some(failure) = missed_deadline(status, now, policy) {
        return failed(record, status, failure, now);
    }
    let lease_end = record.lease_end(policy);
    let held = RecordStatus {
        lease_end,
        unknown_since: None,
        ..status.clone()
    };
    if activity == Activity::Active && !policy.is_fresh(lease_end, now) {
        return RecordStatus {
            lease_end: policy.lease_from(now),
            ..held
        };
    }
    if now < lease_end || activity == Activity::Active || status.first_ready.is_none() {
        return held;
    }
    // A request that came since then begins it anew, also where no round saw the time between.
    let unknown_since = status
        .unknown_since
        .filter(|since| *since > record.spec.renewed)
        .unwrap_or(now);
    if activity == Activity::Unknown && !has_passed(policy.max_unknown, unknown_since, now) {
        return RecordStatus {
            unknown_since: Some(unknown_since),
            ..held
        };
    }
    RecordStatus {
        lease_end,
        ..status.enter(Phase::Expiring, &record.spec, now)
    }
}

/// Why the deployment is given up, if it is. Once ready it has no deadline but for being installed again after somebody
/// removed it.
fn missed_deadline(status: &RecordStatus, now: Timestamp, policy: &Policy) -> Option<Failure> {
    let deadline = policy.ready_deadline;
    if status.phase == Phase::Initializing && has_passed(deadline, status.since, now) {
        let message = format!("not installed within {} s", deadline.as_secs());
        return Some(Failure {
            class: FailureClass::TimedOut,
            message,
            detail: None,
        });
    }
    if status.first_ready.is_none() && has_passed(deadline, status.started, now) {
        let reason = status.message.as_ref();
        let reason = reason.map_or_else(String::new, |reason| format!(": {reason}"));
        let message = format!("not ready within {} s{reason}", deadline.as_secs());
        return Some(Failure {
            class: FailureClass::NotReady,
            message,
            detail: None,
        });
    }
    None
}

fn has_passed(duration: SignedDuration, since: Timestamp, now: Timestamp) -> bool {
    now.duration_since(since) >= duration
}
