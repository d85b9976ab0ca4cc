mod fleet;
mod policies;
mod refining;

use proptest::prelude::*;
use rstest::rstest;

use self::fleet::*;
use super::*;
use crate::network::Network;

const PITTSBURGH: (f64, f64) = (40.44, -79.99);

#[test]
fn matchers_are_concatenated_in_their_order() {
    let fleet = [
        cloudlet("nowhere").build(),
        cloudlet("far").at(48.86, 2.35).build(),
        cloudlet("near").at(40.4, -80.0).build(),
        cloudlet("local").local("128.2.0.0/16").build(),
    ];

    let ranking = ranked(&request("128.2.3.4").at(PITTSBURGH), &fleet, &Matcher::ALL);

    assert_eq!(names(&ranking), ["local", "near", "far", "nowhere"]);
    let matchers: Vec<Matcher> = ranking
        .candidates
        .iter()
        .map(|candidate| candidate.matcher)
        .collect();
    assert_eq!(
        matchers,
        [
            Matcher::Network,
            Matcher::Location,
            Matcher::Location,
            Matcher::Random
        ]
    );
}

#[test]
fn the_operator_may_put_location_before_network() {
    let fleet = [
        cloudlet("local").local("128.2.0.0/16").build(),
        cloudlet("near").at(40.4, -80.0).build(),
    ];

    let ranking = ranked(
        &request("128.2.3.4").at(PITTSBURGH),
        &fleet,
        &[Matcher::Location, Matcher::Network],
    );

    assert_eq!(names(&ranking), ["near", "local"]);
}

#[test]
fn rejected_clients_win_over_local_networks() {
    let fleet = [cloudlet("strict")
        .local("128.2.0.0/16")
        .rejecting("128.2.3.0/24")
        .build()];

    let ranking = ranked(&request("128.2.3.4"), &fleet, &Matcher::ALL);

    let expected = Exclusion::Rejected {
        client: "128.2.3.4".parse().unwrap(),
        network: "128.2.3.0/24".parse().unwrap(),
    };
    assert_eq!(ranking.excluded, [(&fleet[0], expected)]);
}

#[rstest]
#[case::in_the_first_of_two_accepted_networks("10.1.0.1", true)]
#[case::in_the_second_of_two_accepted_networks("192.168.0.1", true)]
#[case::in_a_local_network_alone("172.16.0.1", true)]
#[case::ipv4_mapped("::ffff:10.1.0.1", true)]
#[case::in_none("8.8.8.8", false)]
#[case::ipv6_in_none("2001:db8::1", false)]
fn one_entry_that_holds_the_client_is_enough(#[case] client: &str, #[case] eligible: bool) {
    let fleet = [cloudlet("private")
        .accepting("10.0.0.0/8")
        .accepting("192.168.0.0/16")
        .local("172.16.0.0/12")
        .build()];

    let ranking = ranked(&request(client), &fleet, &Matcher::ALL);

    assert_eq!(!ranking.candidates.is_empty(), eligible);
}

#[test]
fn everyone_is_accepted_by_default_over_both_families() {
    let fleet = [cloudlet("open").build()];

    for client in ["8.8.8.8", "2001:db8::1"] {
        assert_eq!(
            names(&ranked(&request(client), &fleet, &Matcher::ALL)),
            ["open"]
        );
    }
}

#[test]
fn overlapping_local_networks_yield_a_cloudlet_once() {
    let fleet = [cloudlet("overlapping")
        .local("128.2.0.0/16")
        .local("128.2.3.0/24")
        .local("128.0.0.0/8")
        .at(0.0, 0.0)
        .build()];

    let ranking = ranked(&request("128.2.3.4").at(PITTSBURGH), &fleet, &Matcher::ALL);

    assert_eq!(names(&ranking), ["overlapping"]);
}

#[test]
fn what_no_matcher_yields_is_left_out_with_that_reason() {
    let fleet = [cloudlet("elsewhere").local("10.0.0.0/8").build()];

    let ranking = ranked(
        &request("128.2.3.4"),
        &fleet,
        &[Matcher::Network, Matcher::Location],
    );

    assert_eq!(ranking.candidates, []);
    assert_eq!(ranking.excluded, [(&fleet[0], Exclusion::NoMatcher)]);
}

#[test]
fn a_client_of_unknown_place_is_passed_over_by_location() {
    let fleet = [cloudlet("somewhere").at(40.4, -80.0).build()];

    let ranking = ranked(&request("8.8.8.8"), &fleet, &Matcher::ALL);

    assert_eq!(ranking.candidates[0].matcher, Matcher::Random);
    assert_eq!(ranking.candidates[0].distance_km, None);
}

#[rstest]
#[case::across_the_antimeridian((0.0, 179.9), (0.0, -179.9), (0.0, 179.0))]
#[case::over_the_north_pole((89.9, 0.0), (89.9, 180.0), (89.0, 0.0))]
#[case::at_the_south_pole((-90.0, 17.0), (-89.9, -120.0), (-89.0, 17.0))]
fn the_nearest_is_the_nearest_on_the_globe(
    #[case] client: (f64, f64),
    #[case] near: (f64, f64),
    #[case] far: (f64, f64),
) {
    let fleet = [
        cloudlet("far").at(far.0, far.1).build(),
        cloudlet("near").at(near.0, near.1).build(),
    ];

    let ranking = ranked(&request("8.8.8.8").at(client), &fleet, &Matcher::ALL);

    assert_eq!(names(&ranking), ["near", "far"]);
}

#[test]
fn the_closest_of_several_locations_counts() {
    let fleet = [
        cloudlet("one site").at(41.0, -81.0).build(),
        cloudlet("two sites").at(0.0, 0.0).at(40.44, -79.98).build(),
    ];

    let ranking = ranked(&request("8.8.8.8").at(PITTSBURGH), &fleet, &Matcher::ALL);

    assert_eq!(names(&ranking), ["two sites", "one site"]);
}

#[test]
fn a_remembered_cloudlet_comes_first_even_when_it_drains() {
    let fleet = [
        cloudlet("local").local("128.2.0.0/16").build(),
        cloudlet("remembered").draining().build(),
    ];
    let mut request = request("128.2.3.4");
    request.remembered = vec![fleet[1].uuid];

    let ranking = ranked(&request, &fleet, &Matcher::ALL);

    assert_eq!(names(&ranking), ["remembered", "local"]);
}

#[test]
fn a_remembered_cloudlet_that_rejects_the_client_stays_out() {
    let fleet = [cloudlet("remembered").rejecting("128.2.0.0/16").build()];
    let mut request = request("128.2.3.4");
    request.remembered = vec![fleet[0].uuid];

    assert_eq!(ranked(&request, &fleet, &Matcher::ALL).candidates, []);
}

#[test]
fn a_better_class_comes_before_a_better_matcher() {
    let local = |name| cloudlet(name).local("128.2.0.0/16");
    let fleet = [
        local("draining").draining().build(),
        local("failing").build(),
        local("busy").build(),
        cloudlet("any").build(),
    ];

    let request = request("128.2.3.4");
    let with_conditions = fleet.iter().map(|cloudlet| {
        let class = match cloudlet.name.as_str() {
            "failing" => Class::CircuitOpen,
            "busy" => Class::Overloaded,
            _ => Class::Normal,
        };
        let conditions = Conditions {
            class,
            ..Conditions::default()
        };
        (cloudlet, conditions)
    });
    let rules = RankingRules {
        matchers: &Matcher::ALL,
        policy: &Policy::default(),
        shortlist: SHORTLIST,
    };
    let ranking = rank(request.as_ref(), rules, with_conditions);

    assert_eq!(names(&ranking), ["any", "busy", "failing", "draining"]);
}

#[test]
fn no_cloudlets_is_an_empty_ranking() {
    assert_eq!(
        ranked(&request("8.8.8.8"), &[], &Matcher::ALL),
        Ranking::default()
    );
}

#[test]
fn random_follows_the_published_hash() {
    // The first 8 bytes of SHA-256 over 16 zero bytes, 32 zero bytes and the endpoint, computed with sha256sum.
    let fleet = [cloudlet("a").build()];
    let mut request = request("8.8.8.8");
    request.key = PublicKey::from_bytes([0; 32]);

    let ranking = ranked(&request, &fleet, &[Matcher::Random]);

    assert_eq!(ranking.candidates[0].order.hash, 0xf035_25d5_2499_0f6b);
}

#[test]
fn random_orders_by_the_largest_hash_wherever_cloudlets_are() {
    let fleet: Vec<Cloudlet> = (0..8)
        .map(|place| cloudlet(&format!("c{place}")).at(0.0, f64::from(place)))
        .map(CloudletBuilder::build)
        .collect();

    let request = request("8.8.8.8").at((0.0, 0.0));
    let ranking = ranked(&request, &fleet, &[Matcher::Random]);

    let hashes: Vec<u64> = ranking
        .candidates
        .iter()
        .map(|candidate| candidate.order.hash)
        .collect();
    assert!(hashes.is_sorted_by(|a, b| a > b), "{hashes:?}");
}

#[test]
fn an_explanation_names_the_parts_of_each_place() {
    let fleet = [
        cloudlet("near").at(40.44, -79.99).build(),
        cloudlet("idle")
            .at(41.0, -80.0)
            .measuring("cpu_ratio", 0.25)
            .build(),
        cloudlet("beyond")
            .at(48.86, 2.35)
            .measuring("cpu_ratio", 0.25)
            .build(),
        cloudlet("strict").rejecting("128.2.0.0/16").build(),
        cloudlet("busy").measuring("cpu_ratio", 0.95).build(),
        cloudlet("of others").offering(Uuid::from_u128(1)).build(),
    ];
    let request = request("128.2.3.4")
        .at(PITTSBURGH)
        .requiring("!has(resources.cpu_ratio) || resources.cpu_ratio < 0.9")
        .preferring("1.0 - resources.cpu_ratio");
    let ranking = Fleet::of(&fleet)
        .preferring("cloudlet.name == 'near' ? 1.0 : 0.0")
        .shortlist(2)
        .rtt(1, 12.5)
        .rank(&request);

    let explanation = Explanation::new(&request.client, &ranking, 10);

    insta::assert_yaml_snapshot!(explanation, { ".candidates[].parts.hash" => "[hash]", ".**.uuid" => "[uuid]" });
}

proptest! {
    #[test]
    fn every_cloudlet_is_ranked_or_excluded_exactly_once(fleet in fleets(), client: std::net::IpAddr, place in places()) {
        let ranking = ranked(&request(&client.to_string()).at(place), &fleet, &Matcher::ALL);

        let mut seen: Vec<&str> = names(&ranking);
        seen.extend(ranking.excluded.iter().map(|(cloudlet, _)| cloudlet.name.as_str()));
        seen.sort_unstable();
        let mut all: Vec<&str> = fleet.iter().map(|cloudlet| cloudlet.name.as_str()).collect();
        all.sort_unstable();
        prop_assert_eq!(seen, all);
    }

    #[test]
    fn the_order_does_not_depend_on_the_input_order(fleet in fleets(), place in places(), seed: usize) {
        let mut shuffled = fleet.clone();
        let middle = seed % (shuffled.len() + 1);
        shuffled.rotate_left(middle);
        shuffled.reverse();
        let request = request("10.1.2.3").at(place);

        prop_assert_eq!(names(&ranked(&request, &fleet, &Matcher::ALL)), names(&ranked(&request, &shuffled, &Matcher::ALL)));
    }

    #[test]
    fn no_ineligible_cloudlet_is_ever_a_candidate(fleet in fleets(), client: std::net::Ipv4Addr) {
        let address = client.into();
        let ranking = ranked(&request(&client.to_string()), &fleet, &Matcher::ALL);

        for candidate in ranking.candidates {
            let holds = |networks: &[Network]| networks.iter().any(|network| network.contains(address));
            prop_assert!(!holds(&candidate.cloudlet.rejected_clients));
            prop_assert!(holds(&candidate.cloudlet.local_networks) || holds(&candidate.cloudlet.accepted_clients));
        }
    }
}
