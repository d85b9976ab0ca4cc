use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

#[test]
fn devices_reach_their_pods_and_the_name_servers_and_nothing_else() {
    insta::assert_snapshot!(rules(&desired("10.5.0.0/16", ClientEgress::None)));
}

#[test]
fn devices_reach_the_internet_where_the_operator_says_so() {
    insta::assert_snapshot!(rules(&desired("10.5.0.0/16", ClientEgress::Internet)));
}

#[test]
fn the_addresses_of_devices_may_be_of_ipv6() {
    insta::assert_snapshot!(rules(&desired("fd00:5::/64", ClientEgress::Internet)));
}

#[test]
fn before_the_cluster_was_heard_devices_reach_nothing() {
    let nothing = Desired::nothing(policy("10.5.0.0/16", ClientEgress::None));

    insta::assert_snapshot!(rules(&nothing));
}

#[test]
fn a_table_that_is_there_is_emptied_and_filled_again() {
    let desired = desired("10.5.0.0/16", ClientEgress::None);

    let script = refilled(&desired);

    let (_, rest) = script.split_once("flush table inet sinfonia\n").unwrap();
    let whole = rules(&desired);
    let expected = "delete set inet sinfonia reachable\n\
                    delete set inet sinfonia name_servers\n\
                    delete set inet sinfonia cluster\n";
    assert_eq!(rest.strip_prefix(expected), whole.strip_prefix(REMOVAL));
    assert!(!script.contains("delete table") && !script.contains("delete chain"));
}

#[test]
fn nothing_is_done_where_nothing_has_changed() {
    let desired = desired("10.5.0.0/16", ClientEgress::None);

    assert_eq!(update(&desired, &desired.clone()), None);
}

#[test]
fn a_pod_that_comes_and_one_that_goes_are_a_change_of_two_lines() {
    let policy = policy("10.5.0.0/16", ClientEgress::None);
    let old = with_pods(
        &policy,
        &[("10.5.0.2", "10.42.0.7"), ("10.5.0.2", "10.42.0.8")],
    );
    let new = with_pods(
        &policy,
        &[("10.5.0.2", "10.42.0.8"), ("10.5.0.3", "10.42.0.9")],
    );

    let expected = "delete element inet sinfonia reachable { 10.5.0.2 . 10.42.0.7 }\n\
                    add element inet sinfonia reachable { 10.5.0.3 . 10.42.0.9 }\n";
    assert_eq!(
        update(&old, &new),
        Some(Change::Elements(expected.to_owned()))
    );
}

#[test]
fn other_settings_and_other_ranges_replace_the_table() {
    let old = desired("10.5.0.0/16", ClientEgress::None);
    let other_egress = desired("10.5.0.0/16", ClientEgress::Internet);
    let mut other_ranges = old.clone();
    other_ranges.sets.cluster.clear();

    for new in [other_egress, other_ranges] {
        assert_eq!(update(&old, &new), Some(Change::Whole(rules(&new))));
    }
}

#[test]
fn addresses_outside_of_the_client_network_count_for_nothing() {
    let policy = policy("10.5.0.0/16", ClientEgress::None);

    let desired = with_pods(
        &policy,
        &[("10.6.0.2", "10.42.0.7"), ("fd00::2", "fd00::7")],
    );

    assert_eq!(desired, Desired::nothing(policy));
}

proptest! {
    #[test]
    fn changes_lead_to_what_the_whole_table_says(states in prop::collection::vec(state(), 1..6)) {
        let mut table = Table::default();
        table.run(&rules(&states[0]));
        for (old, new) in states.iter().zip(&states[1..]) {
            if let Some(Change::Whole(script) | Change::Elements(script)) = update(old, new) {
                table.run(&script);
            }
            let mut whole = Table::default();
            whole.run(&rules(new));

            prop_assert_eq!(&table, &whole);
        }
    }
}

/// The elements of the sets, as nft would have them.
#[derive(Debug, Default, PartialEq)]
struct Table(BTreeMap<String, BTreeSet<String>>);

impl Table {
    /// Does what a script says, and refuses what nft would refuse.
    fn run(&mut self, script: &str) {
        let mut defining = None;
        for line in script.lines().map(str::trim) {
            if line.starts_with("delete table") {
                self.0.clear();
            } else if let Some(name) = line.strip_prefix("set ") {
                let name = name.trim_end_matches(" {").to_owned();
                self.0.insert(name.clone(), BTreeSet::new());
                defining = Some(name);
            } else if let (Some(list), Some(name)) = (line.strip_prefix("elements = "), &defining) {
                self.0.insert(name.clone(), elements(list));
            } else if let Some(rest) = line.strip_prefix("delete element inet sinfonia ") {
                let (name, list) = rest.split_once(' ').unwrap();
                for element in elements(list) {
                    assert!(self.0.get_mut(name).unwrap().remove(&element), "{element}");
                }
            } else if let Some(rest) = line.strip_prefix("add element inet sinfonia ") {
                let (name, list) = rest.split_once(' ').unwrap();
                self.0.get_mut(name).unwrap().extend(elements(list));
            }
        }
    }
}

fn elements(list: &str) -> BTreeSet<String> {
    let inner = list.strip_prefix("{ ").unwrap().strip_suffix(" }").unwrap();
    inner.split(", ").map(str::to_owned).collect()
}

/// Few addresses, so that states have some in common.
fn state() -> impl Strategy<Value = Desired> {
    let pairs = prop::collection::btree_set((0u8..3, 0u8..6), 0..8);
    let servers = prop::collection::btree_set(0u8..3, 0..3);
    (pairs, servers, any::<bool>()).prop_map(|(pairs, servers, wide)| {
        let sets = Sets {
            reachable: pairs
                .iter()
                .map(|(client, pod)| ([10, 5, 0, *client].into(), [10, 42, 0, *pod].into()))
                .collect(),
            name_servers: servers
                .iter()
                .map(|server| [10, 42, 9, *server].into())
                .collect(),
            cluster: ranges(if wide {
                &["10.42.0.0/15"]
            } else {
                &["10.42.0.0/16"]
            }),
        };
        Desired::new(policy("10.5.0.0/16", ClientEgress::None), sets)
    })
}

fn desired(client_network: &str, egress: ClientEgress) -> Desired {
    let pods = [
        ("10.5.0.2", "10.42.0.7"),
        ("10.5.0.2", "10.42.0.8"),
        ("10.5.0.3", "10.42.0.9"),
        ("fd00:5::2", "fd00:42::7"),
    ];
    let sets = Sets {
        reachable: pods.map(parsed).into(),
        name_servers: ["10.42.0.53", "fd00:42::53"]
            .map(|server| server.parse().unwrap())
            .into(),
        cluster: ranges(&[
            "10.42.0.0/24",
            "10.42.1.0/24",
            "10.43.0.0/16",
            "192.0.2.1/32",
            "fd00:42::/56",
        ]),
    };
    Desired::new(policy(client_network, egress), sets)
}

fn with_pods(policy: &Policy, pods: &[(&str, &str)]) -> Desired {
    let sets = Sets {
        reachable: pods.iter().copied().map(parsed).collect(),
        ..Sets::default()
    };
    Desired::new(policy.clone(), sets)
}

fn policy(client_network: &str, egress: ClientEgress) -> Policy {
    Policy {
        client_network: client_network.parse().unwrap(),
        egress,
        tunnel_interface: "kilo0".parse().unwrap(),
    }
}

fn parsed((client, pod): (&str, &str)) -> (IpAddr, IpAddr) {
    (client.parse().unwrap(), pod.parse().unwrap())
}

fn ranges(ranges: &[&str]) -> BTreeSet<Network> {
    ranges.iter().map(|range| range.parse().unwrap()).collect()
}
