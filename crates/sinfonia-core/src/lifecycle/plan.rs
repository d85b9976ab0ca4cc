//! What a deployment should be in the cluster, what it is, and the steps from one to the other.

use std::net::IpAddr;

use super::{Phase, Record};
use crate::key::PublicKey;

/// What should be in the cluster under a deployment's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Desired {
    /// A Namespace, this Peer and the release.
    Running(Peer),
    /// Neither Peer nor release; a Namespace stays.
    Paused,
    /// Nothing.
    Reclaimed,
    /// Nothing, and no record either.
    Removed,
}

/// A device's end of the tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// The device's public key.
    pub public_key: PublicKey,
    /// The device's address inside the tunnel, the only one that is routed to it.
    pub address: IpAddr,
}

/// What is in the cluster under a deployment's name; by default nothing.
///
/// It has to be known for sure: when the cluster does not answer there is no observation, and nothing is planned.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Observed {
    /// The Namespace.
    pub namespace: Namespace,
    /// The Peer.
    pub peer: PeerState,
    /// The release.
    pub release: Release,
}

/// The state of a Namespace.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Namespace {
    /// There is none.
    #[default]
    Absent,
    /// It lacks its labels, what helm needs to act in it (ServiceAccount and RoleBinding), or what keeps it apart from others, or that is
    /// not as it should be.
    Incomplete,
    /// It is there with all that belongs to it.
    Present,
    /// Its deletion was requested.
    Terminating,
}

/// The state of a Peer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum PeerState {
    /// There is none.
    #[default]
    Absent,
    /// One is there whose key or address cannot be read.
    Malformed,
    /// One is there.
    Present(Peer),
}

/// The state of a release.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Release {
    /// There is none.
    #[default]
    Absent,
    /// One is there, but an operation on it failed or did not end: every status that helm knows but `deployed`. Whoever
    /// observes it makes sure that no helm of ours still works on it.
    Unfinished,
    /// It is installed.
    Deployed,
    /// It cannot be seen, because the Namespace lacks what helm needs to act in it. It is seen again once that is there.
    Unknown,
}

/// A step towards what is desired. Each can be repeated without harm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Nothing can be done but wait: somebody else deleted the Namespace, and it is not gone yet.
    AwaitNamespaceGone,
    /// Creates or completes the Namespace: labels, ServiceAccount, RoleBinding, and what keeps it apart from others.
    PrepareNamespace,
    /// Creates the Peer or corrects it in place.
    ApplyPeer(Peer),
    /// Installs the release.
    Install,
    /// Deletes the Peer.
    DeletePeer,
    /// Uninstalls the release, or clears what is left of an unfinished operation.
    Uninstall {
        /// Whether the plan goes on when this step fails, because the Namespace goes next and takes along what is left.
        best_effort: bool,
    },
    /// Requests the Namespace's deletion, without waiting for it.
    DeleteNamespace,
    /// Removes the record: everything it held is reclaimed.
    RemoveRecord,
}

/// What should be in the cluster for a record.
pub fn desired(record: &Record) -> Desired {
    if record.deleting {
        return Desired::Removed;
    }
    let Some(status) = &record.status else {
        return Desired::Reclaimed;
    };
    match status.phase {
        Phase::Initializing | Phase::Deployed => Desired::Running(Peer {
            public_key: record.spec.public_key,
            address: status.tunnel_address,
        }),
        Phase::Expiring => Desired::Paused,
        Phase::Expired | Phase::Failed => Desired::Reclaimed,
    }
}

/// The steps from what is observed to what is desired, in the order in which they are to be taken; none when nothing is
/// missing.
///
/// A step that fails ends the plan, but for a best-effort one; the next plan starts from what is there then. A Peer is
/// touched only where it has to change, because every creation, deletion or address change of a Peer interrupts all
/// other tunnels.
pub fn plan(desired: &Desired, observed: &Observed) -> Vec<Step> {
    match desired {
        Desired::Running(peer) => run(*peer, observed),
        Desired::Paused => pause(observed),
        Desired::Reclaimed => reclaim(observed),
        Desired::Removed => {
            let mut steps = reclaim(observed);
            steps.push(Step::RemoveRecord);
            steps
        }
    }
}

impl Observed {
    /// What is there when nothing is missing.
    pub const fn running(peer: Peer) -> Self {
        Self {
            namespace: Namespace::Present,
            peer: PeerState::Present(peer),
            release: Release::Deployed,
        }
    }

    /// Whether the release is installed in a Namespace that stays, as far as can be seen.
    pub const fn is_installed(&self) -> bool {
        matches!(
            self.release_that_stays(),
            Release::Deployed | Release::Unknown
        )
    }

    /// The release, unless it goes or went with its Namespace.
    const fn release_that_stays(&self) -> Release {
        match self.namespace {
            Namespace::Absent | Namespace::Terminating => Release::Absent,
            Namespace::Incomplete | Namespace::Present => self.release,
        }
    }
}

fn run(peer: Peer, observed: &Observed) -> Vec<Step> {
    let mut steps = match observed.namespace {
        Namespace::Absent | Namespace::Incomplete => vec![Step::PrepareNamespace],
        Namespace::Present => vec![],
        Namespace::Terminating => vec![Step::AwaitNamespaceGone, Step::PrepareNamespace],
    };
    if observed.peer != PeerState::Present(peer) {
        steps.push(Step::ApplyPeer(peer));
    }
    match observed.release_that_stays() {
        Release::Absent => steps.push(Step::Install),
        Release::Unfinished => {
            steps.extend([Step::Uninstall { best_effort: false }, Step::Install]);
        }
        // The steps so far make it visible; the next plan knows.
        Release::Deployed | Release::Unknown => {}
    }
    steps
}

fn pause(observed: &Observed) -> Vec<Step> {
    let mut steps = delete_peer(observed);
    if observed.release_that_stays() != Release::Absent {
        // helm acts with the rights that an incomplete Namespace lacks.
        if observed.namespace == Namespace::Incomplete {
            steps.push(Step::PrepareNamespace);
        }
        if observed.release != Release::Unknown {
            steps.push(Step::Uninstall { best_effort: false });
        }
    }
    steps
}

fn reclaim(observed: &Observed) -> Vec<Step> {
    let mut steps = delete_peer(observed);
    if observed.release_that_stays() != Release::Absent {
        steps.push(Step::Uninstall { best_effort: true });
    }
    if matches!(
        observed.namespace,
        Namespace::Incomplete | Namespace::Present
    ) {
        steps.push(Step::DeleteNamespace);
    }
    steps
}

fn delete_peer(observed: &Observed) -> Vec<Step> {
    match observed.peer {
        PeerState::Absent => vec![],
        PeerState::Malformed | PeerState::Present(_) => vec![Step::DeletePeer],
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;
    use crate::lifecycle::fixtures::{
        Mishap, any_mishap, any_observed, attempt, finish_termination, peer,
    };

    const UNINSTALL: Step = Step::Uninstall { best_effort: false };
    const UNINSTALL_IF_POSSIBLE: Step = Step::Uninstall { best_effort: true };

    #[test]
    fn no_change_no_plan() {
        assert_eq!(
            plan(&Desired::Running(peer(1)), &Observed::running(peer(1))),
            []
        );
    }

    #[test]
    fn the_first_plan_makes_everything_in_order() {
        let steps = plan(&Desired::Running(peer(1)), &Observed::default());

        assert_eq!(
            steps,
            [
                Step::PrepareNamespace,
                Step::ApplyPeer(peer(1)),
                Step::Install
            ]
        );
    }

    #[rstest]
    #[case::release_out_of_sight(Observed { namespace: Namespace::Incomplete, release: Release::Unknown, ..Observed::running(peer(1)) }, &[Step::PrepareNamespace])]
    #[case::namespace_without_its_parts(Observed { namespace: Namespace::Incomplete, ..Observed::running(peer(1)) }, &[Step::PrepareNamespace])]
    #[case::peer_gone(Observed { peer: PeerState::Absent, ..Observed::running(peer(1)) }, &[Step::ApplyPeer(peer(1))])]
    #[case::peer_unreadable(Observed { peer: PeerState::Malformed, ..Observed::running(peer(1)) }, &[Step::ApplyPeer(peer(1))])]
    #[case::peer_of_another_address(Observed { peer: PeerState::Present(peer(2)), ..Observed::running(peer(1)) }, &[Step::ApplyPeer(peer(1))])]
    #[case::release_gone(Observed { release: Release::Absent, ..Observed::running(peer(1)) }, &[Step::Install])]
    #[case::install_interrupted(Observed { release: Release::Unfinished, ..Observed::running(peer(1)) }, &[UNINSTALL, Step::Install])]
    #[case::namespace_deleted_by_somebody(
        Observed { namespace: Namespace::Terminating, ..Observed::running(peer(1)) },
        &[Step::AwaitNamespaceGone, Step::PrepareNamespace, Step::Install]
    )]
    fn what_is_amiss_is_healed_and_nothing_else_touched(
        #[case] observed: Observed,
        #[case] expected: &[Step],
    ) {
        assert_eq!(plan(&Desired::Running(peer(1)), &observed), expected);
    }

    #[rstest]
    #[case::running(Observed::running(peer(1)), &[Step::DeletePeer, UNINSTALL])]
    #[case::half_uninstalled(Observed { peer: PeerState::Absent, release: Release::Unfinished, ..Observed::running(peer(1)) }, &[UNINSTALL])]
    #[case::helm_lacks_its_rights(
        Observed { namespace: Namespace::Incomplete, ..Observed::running(peer(1)) },
        &[Step::DeletePeer, Step::PrepareNamespace, UNINSTALL]
    )]
    #[case::release_out_of_sight(
        Observed { namespace: Namespace::Incomplete, release: Release::Unknown, ..Observed::running(peer(1)) },
        &[Step::DeletePeer, Step::PrepareNamespace]
    )]
    #[case::namespace_alone(Observed { namespace: Namespace::Present, ..Observed::default() }, &[])]
    #[case::namespace_deleted_by_somebody(Observed { namespace: Namespace::Terminating, ..Observed::running(peer(1)) }, &[Step::DeletePeer])]
    fn pausing_keeps_the_namespace(#[case] observed: Observed, #[case] expected: &[Step]) {
        assert_eq!(plan(&Desired::Paused, &observed), expected);
    }

    #[rstest]
    #[case::running(Observed::running(peer(1)), &[Step::DeletePeer, UNINSTALL_IF_POSSIBLE, Step::DeleteNamespace])]
    #[case::paused(Observed { namespace: Namespace::Present, ..Observed::default() }, &[Step::DeleteNamespace])]
    #[case::nothing(Observed::default(), &[])]
    #[case::stuck_in_terminating(Observed { namespace: Namespace::Terminating, peer: PeerState::Absent, ..Observed::running(peer(1)) }, &[])]
    fn reclaiming_leaves_nothing_but_a_terminating_namespace(
        #[case] observed: Observed,
        #[case] expected: &[Step],
    ) {
        assert_eq!(plan(&Desired::Reclaimed, &observed), expected);
    }

    #[test]
    fn the_record_goes_last() {
        let steps = plan(&Desired::Removed, &Observed::running(peer(1)));

        assert_eq!(
            steps,
            [
                Step::DeletePeer,
                UNINSTALL_IF_POSSIBLE,
                Step::DeleteNamespace,
                Step::RemoveRecord
            ]
        );
    }

    proptest! {
        #[test]
        fn from_any_partial_state_the_goal_is_reached_and_then_the_plan_is_empty(
            start in any_observed(),
            goal in prop_oneof![Just(Desired::Running(peer(1))), Just(Desired::Paused), Just(Desired::Reclaimed)],
            mishaps in prop::collection::vec(any_mishap(), 0..30),
        ) {
            let mut observed = start;
            for mishap in mishaps {
                run_plan(&goal, &mut observed, mishap);
            }
            // One plan may end at a Namespace that is still terminating; the second one meets it gone.
            run_plan(&goal, &mut observed, Mishap::None);
            finish_termination(&mut observed);
            run_plan(&goal, &mut observed, Mishap::None);

            prop_assert_eq!(plan(&goal, &observed), []);
            match goal {
                Desired::Running(peer) => prop_assert_eq!(observed, Observed::running(peer)),
                Desired::Paused => prop_assert_eq!((observed.peer, observed.release), (PeerState::Absent, Release::Absent)),
                Desired::Reclaimed | Desired::Removed => {
                    finish_termination(&mut observed);
                    prop_assert_eq!(observed, Observed::default());
                }
            }
        }

        #[test]
        fn a_peer_that_is_right_is_never_touched(observed in any_observed()) {
            let observed = Observed { peer: PeerState::Present(peer(1)), ..observed };

            let steps = plan(&Desired::Running(peer(1)), &observed);

            prop_assert!(!steps.iter().any(|step| matches!(step, Step::ApplyPeer(_) | Step::DeletePeer)));
        }
    }

    /// Takes the plan's steps until one fails; the mishap befalls the first step that can have one.
    fn run_plan(goal: &Desired, observed: &mut Observed, mishap: Mishap) {
        let mut mishap = mishap;
        for step in plan(goal, observed) {
            if attempt(&step, observed, &mut mishap).is_err() && step != UNINSTALL_IF_POSSIBLE {
                return;
            }
        }
    }
}
