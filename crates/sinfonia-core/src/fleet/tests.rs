//! Whatever a fleet is and becomes, a walk through it yields what judging all and sorting them does.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::LazyLock;

use proptest::prelude::*;
use proptest::sample::{Index, subsequence};

use super::*;
use crate::client::ClientInfo;
use crate::cloudlet::{CloudletInfo, Measurement, Surroundings};
use crate::key::PublicKey;
use crate::location::Location;
use crate::network::Network;
use crate::policy::Policy;
use crate::ranking::{Class, Conditions, Matcher, Ranker, RankingRequest, RankingRules, rank};

mod growth;

const KEY: PublicKey = PublicKey::from_bytes([7; 32]);
/// More than fit into a bucket of an index.
const ENDPOINTS_IN_USE: u8 = 60;

/// Something that happens to a fleet.
#[derive(Debug, Clone)]
enum Event {
    /// A cloudlet comes, or takes another shape.
    Set(Arc<Cloudlet>),
    Remove(Endpoint),
}

/// What is asked, and how much of the answer is wanted.
#[derive(Debug, Clone)]
struct Question {
    client: ClientInfo,
    matchers: Vec<Matcher>,
    policy: Policy,
    remembered: Vec<Index>,
    most: usize,
}

proptest! {
    #[test]
    fn a_walk_yields_what_sorting_all_does(
        events in prop::collection::vec(events(), 0..120),
        questions in prop::collection::vec(questions(), 1..3),
    ) {
        let mut fleet = Fleet::default();
        let mut plain = BTreeMap::new();
        for (at, event) in events.iter().enumerate() {
            happen(&mut fleet, &mut plain, event);
            if at == events.len() / 2 {
                ask(&fleet, &plain, &questions[0])?;
            }
        }
        for question in &questions {
            ask(&fleet, &plain, question)?;
        }
    }

    #[test]
    fn a_clone_stays_as_it_is(
        events in prop::collection::vec(events(), 1..120),
        question in questions(),
        at: Index,
    ) {
        let mut fleet = Fleet::default();
        let mut plain = BTreeMap::new();
        let (before, after) = events.split_at(at.index(events.len()));
        for event in before {
            happen(&mut fleet, &mut plain, event);
        }
        let (snapshot, plain_snapshot) = (fleet.clone(), plain.clone());
        for event in after {
            happen(&mut fleet, &mut plain, event);
        }
        ask(&snapshot, &plain_snapshot, &question)?;
        ask(&fleet, &plain, &question)?;
    }
}

proptest! {
    #[test]
    fn pages_hold_what_stays_exactly_once_whatever_else_comes_and_goes(
        staying in prop::collection::vec(cloudlets(), 0..60),
        events in prop::collection::vec(events(), 0..60),
        length in 1..20usize,
    ) {
        let mut fleet: Fleet<_> = staying.iter().cloned().collect();
        let staying: BTreeMap<_, _> = staying.iter().map(|cloudlet| (&cloudlet.endpoint, cloudlet)).collect();
        let mut others = events.iter().filter(|event| !staying.contains_key(event.endpoint()));
        let mut listed = Vec::new();
        let mut after = None;
        loop {
            let page = fleet.page(after, length);
            prop_assert!(page.members.len() >= length || page.next.is_none());
            listed.extend(page.members.into_iter().map(|cloudlet| cloudlet.endpoint.clone()));
            after = page.next;
            if after.is_none() {
                break;
            }
            for event in others.by_ref().take(5) {
                match event {
                    Event::Set(cloudlet) => fleet.insert(Arc::clone(cloudlet)),
                    Event::Remove(endpoint) => fleet.remove(endpoint),
                };
            }
        }
        listed.retain(|endpoint| staying.contains_key(endpoint));
        listed.sort();
        prop_assert!(listed.iter().eq(staying.into_keys()));
    }
}

impl Event {
    fn endpoint(&self) -> &Endpoint {
        match self {
            Self::Set(cloudlet) => &cloudlet.endpoint,
            Self::Remove(endpoint) => endpoint,
        }
    }
}

fn happen(
    fleet: &mut Fleet<Arc<Cloudlet>>,
    plain: &mut BTreeMap<Endpoint, Arc<Cloudlet>>,
    event: &Event,
) {
    let (before, expected) = match event {
        Event::Set(cloudlet) => (
            fleet.insert(Arc::clone(cloudlet)),
            plain.insert(cloudlet.endpoint.clone(), Arc::clone(cloudlet)),
        ),
        Event::Remove(endpoint) => (fleet.remove(endpoint), plain.remove(endpoint)),
    };
    assert_eq!(before, expected);
}

fn ask(
    fleet: &Fleet<Arc<Cloudlet>>,
    plain: &BTreeMap<Endpoint, Arc<Cloudlet>>,
    question: &Question,
) -> Result<(), TestCaseError> {
    let all: Vec<&Arc<Cloudlet>> = plain.values().collect();
    let remembered: Vec<Uuid> = question
        .remembered
        .iter()
        .filter(|_| !all.is_empty())
        .map(|place| place.get(&all).uuid)
        .collect();
    let policy = Policy::default();
    let request = RankingRequest {
        recipe: Uuid::nil(),
        policy: &policy,
        key: &KEY,
        client: question.client,
        remembered: &remembered,
    };
    let rules = RankingRules {
        matchers: &question.matchers,
        policy: &question.policy,
        shortlist: 0,
    };
    let search = Search {
        client: question.client,
        matchers: &question.matchers,
        remembered: &remembered,
        most: question.most,
    };
    let ranker = Ranker::new(request, rules);
    let standing = |cloudlet: &Arc<Cloudlet>| {
        let candidate = ranker.judge(cloudlet, conditions(cloudlet));
        candidate.ok().map(Standing::from)
    };

    let found: Vec<(Arc<Cloudlet>, Standing)> = fleet.walk(&search, standing).collect();
    prop_assert_eq!(&fleet.search(&search, standing), &found);

    let cloudlets = plain
        .values()
        .map(|cloudlet| (&**cloudlet, conditions(cloudlet)));
    let ranking = rank(request, rules, cloudlets);
    let found: Vec<_> = found
        .iter()
        .map(|(cloudlet, standing)| standing.of(cloudlet))
        .collect();
    let expected = ranking.candidates.into_iter().take(question.most);
    prop_assert_eq!(found, expected.collect::<Vec<_>>());
    prop_assert_eq!(fleet.len(), plain.len());
    for cloudlet in all {
        prop_assert_eq!(fleet.at(&cloudlet.endpoint), Some(cloudlet));
        prop_assert!(fleet.of_uuid(cloudlet.uuid).any(|found| found == cloudlet));
    }
    let mut listed: Vec<&Endpoint> = fleet.iter().map(|cloudlet| &cloudlet.endpoint).collect();
    listed.sort();
    prop_assert!(listed.into_iter().eq(plain.keys()));
    Ok(())
}

/// Whatever it has measured makes a cloudlet one of another class.
fn conditions(cloudlet: &Cloudlet) -> Conditions {
    let cpu = cloudlet.resources.get("cpu_ratio").map(|cpu| cpu.value());
    Conditions {
        class: match cpu {
            Some(0.9..) => Class::CircuitOpen,
            Some(0.5..) => Class::Overloaded,
            _ => Class::Normal,
        },
        ..Conditions::default()
    }
}

fn events() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => cloudlets().prop_map(Event::Set),
        1 => (0..ENDPOINTS_IN_USE).prop_map(|number| Event::Remove(endpoint(number))),
    ]
}

fn questions() -> impl Strategy<Value = Question> {
    let matchers = subsequence(Matcher::ALL.to_vec(), 1..=3).prop_shuffle();
    let policies = prop::sample::select(vec![
        "{}",
        "requires: distance_km < 5000.0",
        "requires: resources.cpu_ratio < 0.1",
    ]);
    let most = prop_oneof![Just(usize::MAX), 0..5usize, Just(64)];
    (
        addresses(),
        prop::option::weighted(0.8, locations()),
        matchers,
        policies.prop_map(|text| Policy::parse(text).unwrap()),
        prop::collection::vec(any::<Index>(), 0..4),
        most,
    )
        .prop_map(
            |(address, location, matchers, policy, remembered, most)| Question {
                client: ClientInfo::new(address, location),
                matchers,
                policy,
                remembered,
                most,
            },
        )
}

/// One of few endpoints, so that cloudlets move.
fn cloudlets() -> impl Strategy<Value = Arc<Cloudlet>> {
    let places = prop_oneof![
        1 => Just(vec![]),
        3 => prop::collection::vec(locations(), 1..2),
        2 => prop::collection::vec(locations(), 2..4),
    ];
    let networks = |most| prop::option::of(prop::collection::vec(networks(), 1..most));
    (
        0..ENDPOINTS_IN_USE,
        places,
        networks(4),
        networks(3),
        networks(2),
        prop::bool::weighted(0.2),
        prop::option::weighted(0.05, Just(Uuid::from_u128(1))),
        prop::option::of(0.0..1.0),
    )
        .prop_map(
            |(number, locations, local, accepted, rejected, draining, uuid, cpu)| {
                let measured = |cpu| {
                    let cpu = Measurement::try_from(cpu).unwrap();
                    [("cpu_ratio".to_owned(), cpu)].into()
                };
                let info = CloudletInfo {
                    uuid,
                    resources: cpu.map(measured),
                    locations: Some(locations),
                    local_networks: local,
                    accepted_clients: accepted,
                    rejected_clients: rejected,
                    draining: Some(draining),
                    ..CloudletInfo::at(endpoint(number))
                };
                Arc::new(Cloudlet::new(info, &Surroundings::default()))
            },
        )
}

fn endpoint(number: u8) -> Endpoint {
    static ENDPOINTS: LazyLock<Vec<Endpoint>> = LazyLock::new(|| {
        let url = |number| format!("http://cloudlet-{number}.example/api/v1/deploy");
        (0..ENDPOINTS_IN_USE)
            .map(|number| url(number).parse().unwrap())
            .collect()
    });
    ENDPOINTS[usize::from(number)].clone()
}

/// Few addresses, so that networks overlap.
fn addresses() -> impl Strategy<Value = IpAddr> {
    prop::sample::select(vec![
        "10.1.2.3",
        "10.1.77.3",
        "192.168.0.1",
        "::ffff:10.1.2.3",
        "2001:db8::1",
        "2001:db8:0:7::1",
    ])
    .prop_map(|address| address.parse().unwrap())
}

fn networks() -> impl Strategy<Value = Network> {
    (addresses(), 0..=128u8).prop_map(|(address, length)| {
        let longest = if address.to_canonical().is_ipv4() {
            32
        } else {
            128
        };
        Network::of_prefix(address, length.min(longest)).unwrap()
    })
}

/// Anywhere, but often where others are, close by, across the date line or at a pole.
fn locations() -> impl Strategy<Value = Location> {
    let latitude = prop_oneof![
        2 => -90.0..=90.0,
        1 => Just(90.0),
        1 => Just(-90.0),
        2 => prop::sample::select(vec![0.0, 40.44, 40.440_000_1]),
    ];
    let longitude = prop_oneof![
        2 => -180.0..=180.0,
        2 => prop::sample::select(vec![180.0, -180.0, 179.9]),
        2 => prop::sample::select(vec![0.0, -79.99, -79.990_000_1]),
    ];
    (latitude, longitude)
        .prop_map(|(latitude, longitude)| Location::new(latitude, longitude).unwrap())
}
