//! Whole lives: requests, job runner, controller, saboteurs and the clock act in any order, the process dies at any
//! step, and the promises hold after each.

use proptest::prelude::*;

use super::world::{Event, KEYS, LEASE, RECIPES, Sabotage, World, calm};
use crate::lifecycle::fixtures::any_mishap;
use crate::lifecycle::{Activity, Failure, FailureClass, Observed, Phase, Readiness};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn no_order_of_events_breaks_a_promise(
        // One address for all, or more than enough.
        network in prop::sample::select(vec!["10.5.0.0/30", "10.5.0.0/29"]),
        events in prop::collection::vec(any_event(), 0..120),
    ) {
        let mut world = World::new(network);
        for event in events {
            world.happen(&event);
            world.check_promises();
        }

        world.calm_down();
        world.check_goals();
        world.be_forgotten();
        prop_assert!(world.records.is_empty(), "left: {:?}", world.records);
        prop_assert!(world.cluster.values().all(|observed| *observed == Observed::default()), "left: {:?}", world.cluster);
    }
}

#[test]
fn a_life_without_mishaps_passes_through_all_phases() {
    let mut world = World::new("10.5.0.0/29");
    let mut phases = vec![];
    let mut happen = |event: Event| {
        world.happen(&event);
        phases.push(
            world
                .records
                .get(&1)
                .map(|record| record.status.as_ref().map(|status| status.phase)),
        );
    };

    happen(Event::Post { key: 1, recipe: 0 });
    happen(calm(1));
    happen(Event::Wait(LEASE));
    happen(Event::Round([Activity::Idle; 3]));
    happen(calm(1));
    happen(Event::Post { key: 1, recipe: 0 });
    happen(calm(1));
    happen(Event::Wait(LEASE));
    happen(Event::Round([Activity::Idle; 3]));
    happen(Event::Wait(LEASE));
    happen(Event::Round([Activity::Idle; 3]));
    happen(Event::Post { key: 1, recipe: 1 });
    happen(calm(1));
    happen(Event::Delete { key: 1 });
    happen(calm(1));

    let (deployed, expiring, expired) = (
        Some(Some(Phase::Deployed)),
        Some(Some(Phase::Expiring)),
        Some(Some(Phase::Expired)),
    );
    #[rustfmt::skip]
    assert_eq!(phases, [
        Some(None), deployed, deployed, expiring, expiring, expiring, deployed, deployed, expiring, expiring,
        expired, expired, deployed, deployed, None,
    ]);
}

fn any_event() -> impl Strategy<Value = Event> {
    let key = || 1..=KEYS;
    let activity = || {
        prop_oneof![
            3 => Just(Activity::Idle),
            2 => Just(Activity::Unknown),
            1 => Just(Activity::Active),
            1 => Just(Activity::NotAsked),
        ]
    };
    let sabotage = prop::sample::select(vec![
        Sabotage::NamespaceDeleted,
        Sabotage::NamespaceStripped,
        Sabotage::PeerDeleted,
        Sabotage::PeerMangled,
        Sabotage::ReleaseDeleted,
        Sabotage::ReleaseBroken,
    ]);
    let readiness = prop_oneof![
        6 => Just(Readiness::Ready),
        3 => Just(Readiness::default()),
        1 => Just(Readiness::Never(Failure {
            class: FailureClass::NotReady,
            message: String::new(),
            detail: None,
        })),
    ];
    let reconcile = (key(), any_mishap(), prop::bool::weighted(0.8), readiness);
    prop_oneof![
        3 => (key(), 0..RECIPES).prop_map(|(key, recipe)| Event::Post { key, recipe }),
        1 => key().prop_map(|key| Event::Delete { key }),
        1 => key().prop_map(|key| Event::TakeBack { key }),
        3 => (0..LEASE).prop_map(Event::Wait),
        3 => [activity(), activity(), activity()].prop_map(Event::Round),
        8 => reconcile.prop_map(|(key, mishap, installable, readiness)| Event::Reconcile { key, mishap, installable, readiness }),
        1 => (key(), sabotage).prop_map(|(key, sabotage)| Event::Sabotage { key, sabotage }),
        1 => Just(Event::NamespacesGo),
    ]
}
