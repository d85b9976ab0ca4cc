//! What the tests of this module share: records in each phase, and a cluster that obeys steps as badly as a real one.

use std::net::IpAddr;

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use uuid::Uuid;

use super::{
    Namespace, Observed, Peer, PeerState, Phase, Record, RecordSpec, RecordStatus, Release,
    Request, Step,
};
use crate::key::PublicKey;

/// What goes wrong with a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mishap {
    /// Nothing.
    None,
    /// The n-th step fails and has done nothing.
    Fails(usize),
    /// The process dies within the n-th step.
    Dies(usize),
}

/// Takes a step; counts the mishap down and lets it happen when its turn has come.
pub(crate) fn attempt(
    step: &Step,
    observed: &mut Observed,
    mishap: &mut Mishap,
) -> Result<(), Mishap> {
    match *mishap {
        Mishap::Fails(0) => return Err(std::mem::replace(mishap, Mishap::None)),
        Mishap::Dies(0) => {
            do_half(step, observed);
            return Err(std::mem::replace(mishap, Mishap::None));
        }
        Mishap::Fails(left) => *mishap = Mishap::Fails(left - 1),
        Mishap::Dies(left) => *mishap = Mishap::Dies(left - 1),
        Mishap::None => {}
    }
    if *step == Step::AwaitNamespaceGone && observed.namespace == Namespace::Terminating {
        return Err(Mishap::Fails(0));
    }
    take(step, observed);
    Ok(())
}

fn take(step: &Step, observed: &mut Observed) {
    match *step {
        Step::AwaitNamespaceGone | Step::RemoveRecord => {}
        Step::PrepareNamespace => {
            observed.namespace = Namespace::Present;
            if observed.release == Release::Unknown {
                observed.release = Release::Deployed;
            }
        }
        Step::ApplyPeer(peer) => observed.peer = PeerState::Present(peer),
        Step::Install => {
            assert_eq!(
                (observed.namespace, observed.release),
                (Namespace::Present, Release::Absent),
                "helm would refuse"
            );
            observed.release = Release::Deployed;
        }
        Step::DeletePeer => observed.peer = PeerState::Absent,
        Step::Uninstall { .. } => observed.release = Release::Absent,
        Step::DeleteNamespace => observed.namespace = Namespace::Terminating,
    }
}

fn do_half(step: &Step, observed: &mut Observed) {
    match step {
        Step::PrepareNamespace => observed.namespace = Namespace::Incomplete,
        Step::Install | Step::Uninstall { .. } => observed.release = Release::Unfinished,
        other => take(other, observed),
    }
}

/// Lets a terminating Namespace go, with all that is in it.
pub(crate) fn finish_termination(observed: &mut Observed) {
    if observed.namespace == Namespace::Terminating {
        observed.namespace = Namespace::Absent;
    }
    if observed.namespace == Namespace::Absent {
        observed.release = Release::Absent;
    }
}

pub(crate) fn any_mishap() -> impl Strategy<Value = Mishap> {
    prop_oneof![
        Just(Mishap::None),
        (0..4usize).prop_map(Mishap::Fails),
        (0..4usize).prop_map(Mishap::Dies)
    ]
}

pub(crate) fn any_observed() -> impl Strategy<Value = Observed> {
    let namespace = prop::sample::select(vec![
        Namespace::Absent,
        Namespace::Incomplete,
        Namespace::Present,
        Namespace::Terminating,
    ]);
    let peer = prop::sample::select(vec![
        PeerState::Absent,
        PeerState::Malformed,
        PeerState::Present(peer(1)),
        PeerState::Present(peer(2)),
    ]);
    let release = prop::sample::select(vec![
        Release::Absent,
        Release::Unfinished,
        Release::Deployed,
    ]);
    (namespace, peer, release, any::<bool>()).prop_map(|(namespace, peer, release, hidden)| {
        let mut observed = Observed {
            namespace,
            peer,
            release,
        };
        match namespace {
            Namespace::Absent => observed.release = Release::Absent,
            Namespace::Incomplete if hidden => observed.release = Release::Unknown,
            _ => {}
        }
        observed
    })
}

pub(crate) fn peer(host: u8) -> Peer {
    Peer {
        public_key: key(host),
        address: IpAddr::from([10, 5, 17, host]),
    }
}

pub(crate) fn key(byte: u8) -> PublicKey {
    PublicKey::from_bytes([byte; 32])
}

/// Some seconds after the beginning of the test's time.
pub(crate) fn at(seconds: i64) -> Timestamp {
    let beginning: Timestamp = "2026-11-22T15:00:00Z".parse().unwrap();
    beginning + SignedDuration::from_secs(seconds)
}

/// The request `first`, which created every record of [`record`].
pub(crate) fn request(id: &str) -> Request {
    Request {
        uuid: Uuid::nil(),
        public_key: key(1),
        client_address: IpAddr::from([192, 0, 2, 7]),
        id: id.to_owned(),
    }
}

/// A record created at 0 s by the request `first`, which the controller has not seen.
pub(crate) fn new_record() -> Record {
    let Request {
        uuid,
        public_key,
        client_address,
        id,
    } = request("first");
    Record::new(RecordSpec {
        uuid,
        public_key,
        client_address,
        created: at(0),
        created_by: id.clone(),
        renewed: at(0),
        renewed_by: id,
        renewals: 1,
    })
}

/// A record created and started at 0 s that entered this phase at 0 s as well; ready at once if it was ever Deployed.
pub(crate) fn record(phase: Phase) -> Record {
    let was_deployed = matches!(phase, Phase::Deployed | Phase::Expiring | Phase::Expired);
    let status = RecordStatus {
        phase,
        since: at(0),
        renewals_seen: 1,
        deployment_name: "brave-otter-x7k2p".parse().unwrap(),
        tunnel_address: peer(1).address,
        started: at(0),
        lease_end: at(300),
        first_ready: was_deployed.then(|| at(0)),
        unknown_since: None,
        recipe_digest: None,
        failure: None,
        message: None,
        detail: None,
    };
    Record {
        status: Some(status),
        ..new_record()
    }
}

/// The record with its status changed.
pub(crate) fn with(mut record: Record, change: impl FnOnce(&mut RecordStatus)) -> Record {
    change(record.status.as_mut().expect("the record has a status"));
    record
}

/// The record after another request, at this second, that the controller has not seen.
pub(crate) fn called(mut record: Record, seconds: i64) -> Record {
    record.spec.renewed = at(seconds);
    record.spec.renewed_by = "second".to_owned();
    record.spec.renewals += 1;
    record
}
