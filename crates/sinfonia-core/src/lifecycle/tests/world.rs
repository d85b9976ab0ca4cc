//! A cloudlet in memory whose steps fail, whose processes die and whose objects are tampered with, and an onlooker who
//! holds it to its promises.

use std::collections::{BTreeMap, BTreeSet};

use jiff::SignedDuration;
use uuid::Uuid;

use crate::deployment::DeploymentName;
use crate::lifecycle::fixtures::{Mishap, at, attempt, finish_termination, key, request};
use crate::lifecycle::{
    Activity, AddressPool, DeleteDecision, DeployDecision, Desired, Failure, FailureClass,
    Namespace, Next, Observed, PeerState, Phase, Policy, Readiness, Record, RecordStatus, Release,
    Request, Step, Verdict, delete, deploy, desired, fail, lease, place, plan, reconcile, start,
};

pub(super) const KEYS: u8 = 3;
pub(super) const RECIPES: u128 = 2;
pub(super) const LEASE: i64 = 300;
const DEADLINE: i64 = 400;
const MAX_UNKNOWN: i64 = 1000;

#[derive(Debug, Clone)]
pub(super) enum Event {
    Post {
        key: u8,
        recipe: u128,
    },
    Delete {
        key: u8,
    },
    TakeBack {
        key: u8,
    },
    Wait(i64),
    Round([Activity; KEYS as usize]),
    Reconcile {
        key: u8,
        mishap: Mishap,
        installable: bool,
        readiness: Readiness,
    },
    Sabotage {
        key: u8,
        sabotage: Sabotage,
    },
    NamespacesGo,
}

/// What somebody else does to the objects of a deployment.
#[derive(Debug, Clone, Copy)]
pub(super) enum Sabotage {
    NamespaceDeleted,
    NamespaceStripped,
    PeerDeleted,
    PeerMangled,
    ReleaseDeleted,
    ReleaseBroken,
}

/// A cloudlet: records, what is in the cluster under each name, and what an onlooker noted about each key.
pub(super) struct World {
    now: i64,
    policy: Policy,
    pool: AddressPool,
    pub(super) records: BTreeMap<u8, Record>,
    pub(super) cluster: BTreeMap<DeploymentName, Observed>,
    notes: BTreeMap<u8, Notes>,
    requests: u64,
}

/// What an onlooker who does not know the record can tell about a deployment.
#[derive(Debug, Clone, Copy, Default)]
struct Notes {
    last_sign_of_life: i64,
    unknown_from: Option<i64>,
    run_began: i64,
    was_ready: bool,
}

impl World {
    pub(super) fn new(network: &str) -> Self {
        let seconds = SignedDuration::from_secs;
        Self {
            now: 0,
            policy: Policy {
                lease: seconds(LEASE),
                grace: seconds(200),
                ready_deadline: seconds(DEADLINE),
                max_unknown: seconds(MAX_UNKNOWN),
                max_lifetime: None,
                retention: seconds(250),
            },
            pool: AddressPool::new(network.parse().unwrap()).unwrap(),
            records: BTreeMap::new(),
            cluster: BTreeMap::new(),
            notes: BTreeMap::new(),
            requests: 0,
        }
    }

    pub(super) fn happen(&mut self, event: &Event) {
        match event {
            Event::Post { key, recipe } => self.post(*key, *recipe),
            Event::Delete { key } => self.delete(*key, None),
            Event::TakeBack { key } => {
                let creator = self
                    .records
                    .get(key)
                    .map(|record| record.spec.created_by.clone());
                self.delete(*key, creator.as_deref());
            }
            Event::Wait(seconds) => self.now += seconds,
            Event::Round(activities) => {
                (1..=KEYS).for_each(|key| self.look_at(key, activities[usize::from(key) - 1]));
            }
            Event::Reconcile {
                key,
                mishap,
                installable,
                readiness,
            } => self.reconcile(*key, *mishap, *installable, readiness),
            Event::Sabotage { key, sabotage } => self.sabotage(*key, *sabotage),
            Event::NamespacesGo => self.cluster.values_mut().for_each(finish_termination),
        }
    }

    fn post(&mut self, number: u8, recipe: u128) {
        self.requests += 1;
        let id = format!("request {}", self.requests);
        let request = Request {
            uuid: Uuid::from_u128(recipe),
            public_key: key(number),
            ..request(&id)
        };
        let spec = match deploy(
            self.records.get(&number),
            &request,
            at(self.now),
            &self.policy,
        ) {
            DeployDecision::Create(spec) => {
                self.records.insert(number, Record::new(spec));
                None
            }
            DeployDecision::Renew(spec)
            | DeployDecision::Revive(spec)
            | DeployDecision::Restart(spec) => Some(spec),
            DeployDecision::Keep => None,
            DeployDecision::Conflict(_) | DeployDecision::AwaitRemoval => return,
        };
        if let Some(spec) = spec {
            self.records.get_mut(&number).unwrap().spec = spec;
        }
        let notes = self.notes.entry(number).or_default();
        (notes.last_sign_of_life, notes.unknown_from) = (self.now, None);
    }

    fn delete(&mut self, number: u8, created_by: Option<&str>) {
        let Some(record) = self.records.get_mut(&number) else {
            return;
        };
        if delete(Some(record), record.spec.uuid, created_by) == DeleteDecision::Delete {
            record.deleting = true;
        }
    }

    /// The job runner looks at a record, and the onlooker at the job runner.
    fn look_at(&mut self, number: u8, activity: Activity) {
        let Some(record) = self.records.get(&number) else {
            return;
        };
        let notes = self.notes.entry(number).or_default();
        match activity {
            Activity::Active => (notes.last_sign_of_life, notes.unknown_from) = (self.now, None),
            Activity::Unknown => notes.unknown_from = notes.unknown_from.or(Some(self.now)),
            Activity::Idle | Activity::NotAsked => notes.unknown_from = None,
        }
        let notes = *notes;
        match lease(record, activity, at(self.now), &self.policy) {
            Verdict::Keep => {}
            Verdict::Write(status) => {
                self.check_end_of_lease(&status, activity, notes);
                self.write(number, &status);
            }
            Verdict::Remove => self.records.get_mut(&number).unwrap().deleting = true,
        }
    }

    fn check_end_of_lease(&self, status: &RecordStatus, activity: Activity, notes: Notes) {
        if status.phase == Phase::Expiring {
            assert!(
                notes.was_ready,
                "a lease ended before the deployment was ready"
            );
            assert_ne!(
                activity,
                Activity::Active,
                "a lease ended in spite of activity"
            );
            // A request or activity may go unwritten while more than two thirds are left.
            assert!(
                self.now - notes.last_sign_of_life >= LEASE * 2 / 3,
                "a lease ended early"
            );
            let unknown_for = notes.unknown_from.map_or(0, |from| self.now - from);
            assert!(
                activity != Activity::Unknown || unknown_for >= MAX_UNKNOWN,
                "unknown activity ended a lease"
            );
        }
        if status.phase == Phase::Failed {
            assert!(
                self.now - notes.run_began >= DEADLINE,
                "a deployment was given up before its deadline"
            );
        }
    }

    /// The controller works on a record until it rests, fails or dies.
    fn reconcile(
        &mut self,
        number: u8,
        mut mishap: Mishap,
        installable: bool,
        readiness: &Readiness,
    ) {
        for _ in 0..10 {
            let Some(record) = self.records.get(&number) else {
                return;
            };
            match reconcile(
                record,
                &self.observed(record),
                readiness,
                at(self.now),
                &self.policy,
            ) {
                Next::Rest => return,
                Next::Start => {
                    // Entropy that repeats itself must not lead to shared names.
                    let Ok(placement) = place(record, self.records.values(), &self.pool, 7) else {
                        return;
                    };
                    let status = start(record, placement, at(self.now), &self.policy);
                    self.write(number, &status);
                }
                Next::Write(status) => {
                    assert!(
                        status.phase != Phase::Failed || !self.notes[&number].was_ready,
                        "a deployment that was ready was given up"
                    );
                    self.write(number, &status);
                }
                Next::Apply(steps) => {
                    if !self.apply(number, &steps, &mut mishap, installable) {
                        return;
                    }
                }
            }
        }
        panic!(
            "the controller does not come to rest with {:?}",
            self.records.get(&number)
        );
    }

    /// Takes steps; false when the controller has to try again later.
    fn apply(
        &mut self,
        number: u8,
        steps: &[Step],
        mishap: &mut Mishap,
        installable: bool,
    ) -> bool {
        for step in steps {
            if *step == Step::RemoveRecord {
                self.records.remove(&number);
                self.notes.remove(&number);
                return true;
            }
            let record = &self.records[&number];
            let name = record.status.as_ref().unwrap().deployment_name.clone();
            let observed = self.cluster.entry(name).or_default();
            let taken = attempt(step, observed, mishap);
            if *step == Step::Install && taken.is_ok() && !installable {
                observed.release = Release::Unfinished;
                let failure = Failure {
                    class: FailureClass::BadValues,
                    message: String::new(),
                    detail: None,
                };
                let status = fail(record, failure, at(self.now)).unwrap();
                self.write(number, &status);
                return true;
            }
            let dead = matches!(taken, Err(Mishap::Dies(_)));
            if dead || (taken.is_err() && *step != (Step::Uninstall { best_effort: true })) {
                return false;
            }
        }
        true
    }

    fn write(&mut self, number: u8, status: &RecordStatus) {
        let notes = self.notes.entry(number).or_default();
        let record = self.records.get_mut(&number).unwrap();
        let before = record.status.replace(status.clone());
        let new_run =
            before.is_none_or(|before| before.phase.has_ended() || before.phase == Phase::Expiring);
        if new_run && status.phase == Phase::Initializing {
            (notes.run_began, notes.was_ready) = (self.now, false);
        }
        notes.was_ready |= status.first_ready == Some(at(self.now));
    }

    fn sabotage(&mut self, number: u8, sabotage: Sabotage) {
        let Some(status) = self
            .records
            .get(&number)
            .and_then(|record| record.status.as_ref())
        else {
            return;
        };
        let Some(observed) = self.cluster.get_mut(&status.deployment_name) else {
            return;
        };
        let has_namespace = matches!(
            observed.namespace,
            Namespace::Present | Namespace::Incomplete
        );
        match sabotage {
            Sabotage::NamespaceDeleted if has_namespace => {
                observed.namespace = Namespace::Terminating;
            }
            Sabotage::NamespaceStripped if has_namespace => {
                observed.namespace = Namespace::Incomplete;
            }
            Sabotage::PeerDeleted => observed.peer = PeerState::Absent,
            Sabotage::PeerMangled if observed.peer != PeerState::Absent => {
                observed.peer = PeerState::Malformed;
            }
            Sabotage::ReleaseDeleted => observed.release = Release::Absent,
            Sabotage::ReleaseBroken if observed.release != Release::Absent => {
                observed.release = Release::Unfinished;
            }
            _ => {}
        }
    }

    /// Everything works again for as long as the controller needs.
    pub(super) fn calm_down(&mut self) {
        for _ in 0..2 {
            self.happen(&Event::NamespacesGo);
            (1..=KEYS).for_each(|key| self.happen(&calm(key)));
        }
    }

    /// Nobody asks any more and nothing moves in the tunnels.
    pub(super) fn be_forgotten(&mut self) {
        for _ in 0..12 {
            self.happen(&Event::Wait(100));
            self.happen(&Event::Round([Activity::Idle; KEYS as usize]));
            self.calm_down();
            self.check_promises();
        }
        self.happen(&Event::NamespacesGo);
    }

    pub(super) fn check_promises(&self) {
        let statuses: Vec<&RecordStatus> = self
            .records
            .values()
            .filter_map(|record| record.status.as_ref())
            .collect();
        let names: BTreeSet<_> = statuses
            .iter()
            .map(|status| &status.deployment_name)
            .collect();
        let addresses: BTreeSet<_> = statuses
            .iter()
            .map(|status| status.tunnel_address)
            .collect();
        assert_eq!(names.len(), statuses.len(), "a name is shared");
        assert_eq!(addresses.len(), statuses.len(), "an address is shared");

        for (name, observed) in &self.cluster {
            let record = self.records.values().find(|record| {
                record
                    .status
                    .as_ref()
                    .is_some_and(|status| status.deployment_name == *name)
            });
            let Some(record) = record else {
                assert_eq!(observed.peer, PeerState::Absent, "a Peer without a record");
                assert!(!observed.is_installed(), "a release without a record");
                assert!(
                    matches!(
                        observed.namespace,
                        Namespace::Absent | Namespace::Terminating
                    ),
                    "a Namespace without a record"
                );
                continue;
            };
            let wanted = desired(record);
            let steps = plan(&wanted, observed);
            match (wanted, observed.peer) {
                (Desired::Running(peer), PeerState::Present(there)) => {
                    assert_eq!(there, peer, "a Peer of another deployment");
                }
                (Desired::Running(_), _) | (_, PeerState::Absent) => {}
                _ => assert!(steps.contains(&Step::DeletePeer), "an unwanted Peer stays"),
            }
        }
    }

    pub(super) fn check_goals(&self) {
        for record in self.records.values() {
            let observed = self.observed(record);
            assert_eq!(
                plan(&desired(record), &observed),
                [],
                "work is left at {record:?}"
            );
            if let Desired::Running(peer) = desired(record) {
                assert_eq!(observed, Observed::running(peer));
                assert_eq!(record.status.as_ref().unwrap().phase, Phase::Deployed);
            }
        }
    }

    fn observed(&self, record: &Record) -> Observed {
        let status = record.status.as_ref();
        status
            .and_then(|status| self.cluster.get(&status.deployment_name))
            .copied()
            .unwrap_or_default()
    }
}

/// The controller works undisturbed on what can be installed and runs at once.
pub(super) fn calm(key: u8) -> Event {
    Event::Reconcile {
        key,
        mishap: Mishap::None,
        installable: true,
        readiness: Readiness::Ready,
    }
}
