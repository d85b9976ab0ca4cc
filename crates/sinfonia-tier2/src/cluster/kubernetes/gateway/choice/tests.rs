use proptest::prelude::*;
use rstest::rstest;
use serde_json::json;

use super::*;

const NOW: i64 = 1_800_000_000;
const KEYS: [&str; 3] = [
    "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=",
    "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=",
    "AwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwM=",
];

#[test]
fn the_node_seen_last_is_chosen_even_if_another_is_ready() {
    let nodes = [
        leader("a", 0, NOW - 31, true),
        leader("b", 1, NOW - 1, false),
    ];

    assert_eq!(choice(&nodes), Ok(gateway(1)));
}

#[test]
fn of_nodes_seen_at_once_a_ready_one_is_chosen() {
    let nodes = [leader("a", 0, NOW, false), leader("b", 1, NOW, true)];

    assert_eq!(choice(&nodes), Ok(gateway(1)));
}

#[test]
fn of_nodes_that_are_alike_the_smallest_name_is_chosen() {
    let nodes = [leader("b", 1, NOW, true), leader("a", 0, NOW, true)];

    assert_eq!(choice(&nodes), Ok(gateway(0)));
}

#[test]
fn a_node_that_follows_is_never_chosen() {
    let nodes = [
        KiloNode {
            role: Role::Other,
            ..leader("a", 0, NOW, true)
        },
        leader("b", 1, NOW - 100, false),
    ];

    assert_eq!(choice(&nodes), Ok(gateway(1)));
}

#[test]
fn a_node_is_good_for_three_minutes() {
    let nodes = [leader("a", 0, NOW - 180, true)];

    assert_eq!(choice(&nodes), Ok(gateway(0)));
}

#[rstest]
#[case::no_nodes(vec![], "the cluster has no nodes")]
#[case::none_leads(
    vec![other("a")],
    "no node carries Kilo's annotations kilo.squat.ai/key, kilo.squat.ai/endpoint and kilo.squat.ai/wireguard-ip; does Kilo run in the cluster?"
)]
#[case::all_are_stale(
    vec![other("a"), leader("b", 0, NOW - 181, true), leader("c", 1, NOW - 500, true)],
    "the annotations of Kilo are out of date, node b was last seen 181 s ago; does Kilo's agent run there?"
)]
#[case::one_is_malformed(
    vec![other("a"), malformed("c"), malformed("b")],
    "no node leads in Kilo's network, and node b is odd"
)]
fn an_operator_is_told_what_is_missing(#[case] nodes: Vec<KiloNode>, #[case] expected: &str) {
    assert_eq!(choice(&nodes), Err(expected.to_owned()));
}

#[test]
fn a_malformed_node_does_not_stand_in_the_way_of_another() {
    let nodes = [malformed("a"), leader("b", 1, NOW, true)];

    assert_eq!(choice(&nodes), Ok(gateway(1)));
}

#[test]
fn a_leader_is_recognised_by_its_annotations() {
    let node = node(&json!({
        KEY: KEYS[0], ENDPOINT: "203.0.113.7:51820", WIREGUARD_IP: "10.4.0.1/16", LAST_SEEN: "1799999990",
    }));

    assert_eq!(KiloNode::of(&node), leader("a", 0, NOW - 10, true));
}

#[rstest]
#[case::no_key(KEY)]
#[case::no_endpoint(ENDPOINT)]
#[case::no_address(WIREGUARD_IP)]
fn a_node_that_lacks_an_annotation_does_not_lead(#[case] lacking: &str) {
    let mut annotations = json!({
        KEY: KEYS[0], ENDPOINT: "203.0.113.7:51820", WIREGUARD_IP: "10.4.0.1/16", LAST_SEEN: "1799999990",
    });

    annotations[lacking] = json!("");
    assert_eq!(KiloNode::of(&node(&annotations)).role, Role::Other);

    annotations.as_object_mut().unwrap().remove(lacking);
    assert_eq!(KiloNode::of(&node(&annotations)).role, Role::Other);
}

#[rstest]
#[case::key(
    KEY,
    "secret",
    "carries a wrong kilo.squat.ai/key: a WireGuard key has 43"
)]
#[case::endpoint(
    ENDPOINT,
    "203.0.113.7\n",
    "carries a wrong kilo.squat.ai/endpoint: `203.0.113.7\\n` is not host:port"
)]
#[case::time(
    LAST_SEEN,
    "yesterday",
    "carries no UNIX time in kilo.squat.ai/last-seen: `yesterday`"
)]
#[case::no_time(LAST_SEEN, "", "carries no UNIX time in kilo.squat.ai/last-seen: ``")]
#[case::endless_time(
    LAST_SEEN,
    "9223372036854775807",
    "carries no UNIX time in kilo.squat.ai/last-seen: `9223372036854775807`"
)]
fn malformed_annotations_are_told(
    #[case] annotation: &str,
    #[case] value: &str,
    #[case] expected: &str,
) {
    let mut annotations = json!({
        KEY: KEYS[0], ENDPOINT: "203.0.113.7:51820", WIREGUARD_IP: "10.4.0.1/16", LAST_SEEN: "1799999990",
    });
    annotations[annotation] = json!(value);

    let node = KiloNode::of(&node(&annotations));

    let Role::Malformed(what) = node.role else {
        panic!("{:?}", node.role);
    };
    assert!(what.starts_with(expected), "{what}");
}

proptest! {
    #[test]
    fn the_choice_does_not_depend_on_the_order_of_the_nodes(
        (nodes, shuffled) in prop::collection::vec(any_node(), 0..6)
            .prop_map(named)
            .prop_flat_map(|nodes| (Just(nodes.clone()), Just(nodes).prop_shuffle()))
    ) {
        prop_assert_eq!(choice(&nodes), choice(&shuffled));
    }

    #[test]
    fn only_what_a_node_says_is_chosen(
        nodes in prop::collection::vec(any_node(), 0..6).prop_map(named)
    ) {
        if let Ok(chosen) = choice(&nodes) {
            let said = nodes.iter().any(|node| {
                matches!(&node.role, Role::Leader { gateway, .. } if *gateway == chosen)
            });
            prop_assert!(said);
        }
    }
}

fn choice(nodes: &[KiloNode]) -> Result<Gateway, String> {
    choose(nodes, Timestamp::from_second(NOW).unwrap())
}

fn gateway(index: usize) -> Gateway {
    Gateway {
        public_key: KEYS[index].parse().unwrap(),
        endpoint: format!("203.0.113.{}:51820", 7 + index).parse().unwrap(),
    }
}

fn leader(name: &str, index: usize, last_seen: i64, ready: bool) -> KiloNode {
    let last_seen = Timestamp::from_second(last_seen).unwrap();
    let gateway = gateway(index);
    KiloNode {
        name: name.to_owned(),
        ready,
        role: Role::Leader { gateway, last_seen },
    }
}

fn other(name: &str) -> KiloNode {
    KiloNode {
        name: name.to_owned(),
        ready: true,
        role: Role::Other,
    }
}

fn malformed(name: &str) -> KiloNode {
    KiloNode {
        role: Role::Malformed("is odd".to_owned()),
        ..other(name)
    }
}

fn node(annotations: &serde_json::Value) -> Node {
    serde_json::from_value(json!({
        "metadata": { "name": "a", "annotations": annotations },
        "status": { "conditions": [
            { "type": "MemoryPressure", "status": "False" },
            { "type": "Ready", "status": "True" },
        ]},
    }))
    .unwrap()
}

/// A node without its name, of few times, so that ties are frequent.
fn any_node() -> impl Strategy<Value = KiloNode> {
    let age = prop::sample::select(vec![-5, 0, 30, 180, 181, 4000]);
    (0..4_usize, 0..3_usize, age, any::<bool>()).prop_map(|(kind, index, age, ready)| match kind {
        0 => other(""),
        1 => malformed(""),
        _ => leader("", index, NOW - age, ready),
    })
}

fn named(nodes: Vec<KiloNode>) -> Vec<KiloNode> {
    let named = nodes.into_iter().zip(["a", "b", "c", "d", "e", "f"]);
    named
        .map(|(node, name)| KiloNode {
            name: name.to_owned(),
            ..node
        })
        .collect()
}
