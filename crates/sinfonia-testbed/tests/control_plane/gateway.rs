//! What a gateway does for Peers and devices, with Kilo's habits and without.

mod world;

use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::thread;
use std::time::Duration;

use rstest::rstest;
use serde_json::{Value, json};
use sinfonia_testbed::{
    Exporter, Gateway, GatewayError, GatewaySettings, Habits, Programs, Prometheus,
    WireguardExporter,
};

use self::world::{Device, GATEWAY, World, eventually, handshake, knows, new_key, socket};

/// More than the gateway needs for a change.
const A_CHANGE: Duration = Duration::from_millis(800);
/// More than Prometheus needs to scrape what there is.
const SOON: Duration = Duration::from_secs(20);

#[test]
fn a_device_reaches_the_node_while_it_has_a_peer() {
    let world = World::new();
    let gateway = world.start(world.settings());
    let listener = world.node_host.listen();

    let (device, peer) = Device::with_peer(&world, &gateway, 4);
    let seen = device.reaches(&listener, GATEWAY).unwrap();
    let interface = &gateway.settings().interface;
    let shown = world
        .node_host
        .says(&format!("wg show {interface} latest-handshakes"));
    world.cluster.delete(&peer).unwrap();
    let gone = eventually("the Peer is gone", || !knows(&gateway, device.key));

    assert_eq!(seen, device.address);
    let time = value_of(&shown, &device.key.to_string());
    assert!(time > 1_700_000_000, "{shown}");
    assert!(gone < A_CHANGE, "{gone:?}");
    assert!(device.reaches(&listener, GATEWAY).is_err());
}

#[test]
fn pods_see_the_device_and_the_internet_sees_the_node() {
    let world = World::new();
    let gateway = world.start(world.settings());
    let pod = world.node_host.linked([10, 42, 0]);
    pod.ip("route add default via 10.42.0.1");
    let internet = world.node_host.linked([198, 51, 100]);
    let (device, _) = Device::with_peer(&world, &gateway, 4);
    device.route("198.51.100.0/24");

    let by_pod = device.reaches(&pod.listen(), [10, 42, 0, 2].into());
    let by_internet = device.reaches(&internet.listen(), [198, 51, 100, 2].into());

    assert_eq!(by_pod.unwrap(), device.address);
    assert_eq!(by_internet.unwrap().octets(), [198, 51, 100, 1]);
}

#[test]
fn with_kilos_habit_another_peer_makes_a_device_shake_hands_anew() {
    let world = World::new();
    let gateway = world.start(GatewaySettings {
        habits: Habits::KILO,
        ..world.settings()
    });
    let listener = world.node_host.listen();
    let (device, _) = Device::with_peer(&world, &gateway, 4);
    device.reaches(&listener, GATEWAY).unwrap();
    let before = handshake(&gateway, device.key);
    let (_, other) = new_key();

    world.make_peer(other, [10, 5, 17, 5].into());
    eventually("the other Peer is known", || knows(&gateway, other));

    assert_ne!(before, 0);
    assert_eq!(handshake(&gateway, device.key), 0);
    assert!(device.reaches(&listener, GATEWAY).is_err());
    eventually("the device is heard again", || {
        device.reaches(&listener, GATEWAY).is_ok()
    });
}

#[test]
fn without_habits_another_peer_leaves_a_device_alone() {
    let world = World::new();
    let gateway = world.start(world.settings());
    let listener = world.node_host.listen();
    let (device, peer) = Device::with_peer(&world, &gateway, 4);
    device.reaches(&listener, GATEWAY).unwrap();
    let before = handshake(&gateway, device.key);
    let (_, other) = new_key();

    let other_peer = world.make_peer(other, [10, 5, 17, 5].into());
    let known = eventually("the other Peer is known", || knows(&gateway, other));
    world.cluster.delete(&other_peer).unwrap();
    eventually("the other Peer is gone", || !knows(&gateway, other));
    let address = json!({"spec": {"allowedIPs": ["10.5.17.4/32", "10.5.17.6/32"]}});
    world.cluster.patch(&peer, &address).unwrap();
    let interface = &gateway.settings().interface;
    eventually("the address is known", || {
        let shown = world
            .node_host
            .says(&format!("wg show {interface} allowed-ips"));
        shown.contains("10.5.17.6/32")
    });

    assert_ne!(before, 0);
    assert!(handshake(&gateway, device.key) >= before);
    assert!(known < A_CHANGE, "{known:?}");
    device.reaches(&listener, GATEWAY).unwrap();
}

#[test]
fn labels_and_annotations_of_peers_reset_nothing() {
    let world = World::new();
    let gateway = world.start(GatewaySettings {
        habits: Habits::KILO,
        ..world.settings()
    });
    let listener = world.node_host.listen();
    let (device, peer) = Device::with_peer(&world, &gateway, 4);
    device.reaches(&listener, GATEWAY).unwrap();
    let before = handshake(&gateway, device.key);

    let changed =
        json!({"metadata": {"labels": {"colour": "green"}, "annotations": {"size": "9"}}});
    world.cluster.patch(&peer, &changed).unwrap();
    thread::sleep(A_CHANGE);

    assert_ne!(before, 0);
    assert!(handshake(&gateway, device.key) >= before);
}

#[test]
fn a_gateway_that_lags_does_everything_later() {
    let lag = Duration::from_secs(2);
    let world = World::new();
    let gateway = world.start(GatewaySettings {
        habits: Habits {
            lag,
            ..Habits::default()
        },
        ..world.settings()
    });
    let at_first = world.annotations();
    let keys = [new_key().1, new_key().1];

    world.make_peer(keys[0], [10, 5, 17, 4].into());
    let known = eventually("the Peer is known", || knows(&gateway, keys[0]));
    let later = world.annotations();
    gateway.set_habits(Habits::default());
    world.make_peer(keys[1], [10, 5, 17, 5].into());
    let known_at_once = eventually("the other Peer is known", || knows(&gateway, keys[1]));

    assert_eq!(at_first, json!({}));
    assert_eq!(later["key"], gateway.public_key().to_string());
    assert!(known > lag - A_CHANGE, "{known:?}");
    assert!(known_at_once < A_CHANGE, "{known_at_once:?}");
}

#[rstest]
#[case::without_habits(Habits::default(), true)]
#[case::with_kilos(Habits::KILO, false)]
fn a_gateway_that_is_stopped_leaves_its_annotations_or_not(
    #[case] habits: Habits,
    #[case] left: bool,
) {
    let world = World::new();
    let mut gateway = world.start(GatewaySettings {
        habits,
        ..world.settings()
    });
    let mut annotations = world.annotations();

    gateway.stop().unwrap();

    let kept = world.annotations();
    if left {
        assert_eq!(kept, annotations);
    } else {
        assert_eq!(kept, json!({"persistent-keepalive": "0"}));
    }
    let seen = annotations["last-seen"].take();
    assert!(seen.as_str().unwrap().parse::<u64>().unwrap() > 1_700_000_000);
    assert_eq!(
        annotations,
        json!({
            "key": gateway.public_key().to_string(),
            "endpoint": "192.0.2.1:51820",
            "wireguard-ip": "10.4.0.1/16",
            "internal-ip": "192.0.2.1/24",
            "persistent-keepalive": "0",
            "last-seen": null,
        })
    );
    assert_nothing_is_left(&world, &gateway.settings().interface);
}

#[test]
fn a_gateway_that_was_killed_works_again_with_its_key() {
    let world = World::new();
    let mut gateway = world.start(world.settings());
    let listener = world.node_host.listen();
    let (device, _) = Device::with_peer(&world, &gateway, 4);
    device.reaches(&listener, GATEWAY).unwrap();
    let interface = gateway.settings().interface.clone();

    gateway.kill();
    let killed = (
        world.node_host.has(&interface),
        socket(&interface).exists(),
        device.reaches(&listener, GATEWAY).is_ok(),
        world.annotations()["key"].clone(),
    );
    gateway.restart().unwrap();

    let key = gateway.public_key().to_string();
    assert_eq!(killed, (false, true, false, key.clone().into()));
    assert_eq!(world.annotations()["key"], key);
    eventually("the device is heard again", || {
        device.reaches(&listener, GATEWAY).is_ok()
    });
}

#[test]
fn nothing_is_left_of_a_gateway_that_is_dropped() {
    let world = World::new();
    let gateway = world.start(world.settings());
    let interface = gateway.settings().interface.clone();
    let process = gateway.process_id().unwrap();
    let network = fs::metadata(format!("/proc/{process}/ns/net")).unwrap();
    let own = fs::metadata(world.node_host.path()).unwrap();
    assert_eq!(network.ino(), own.ino());
    assert!(world.node_host.has(&interface));

    drop(gateway);

    assert!(!Path::new(&format!("/proc/{process}")).exists());
    assert_nothing_is_left(&world, &interface);
}

#[test]
fn an_interface_that_another_gateway_has_is_not_touched() {
    let world = World::new();
    let first = world.start(world.settings());
    let settings = GatewaySettings {
        interface: first.settings().interface.clone(),
        ..world.settings()
    };

    let error = Gateway::start(&world.cluster, world.folder.path(), settings).unwrap_err();

    assert!(matches!(error, GatewayError::Taken(_)), "{error}");
    assert!(first.latest_handshakes().is_ok());
}

#[test]
fn a_node_that_is_not_there_is_told() {
    let world = World::new();
    let settings = GatewaySettings {
        node: "nowhere".to_owned(),
        ..world.settings()
    };
    let interface = settings.interface.clone();

    let error = Gateway::start(&world.cluster, world.folder.path(), settings).unwrap_err();

    assert!(error.to_string().contains("404"), "{error}");
    assert_nothing_is_left(&world, &interface);
}

#[test]
fn a_namespace_that_is_not_there_is_told() {
    let world = World::new();
    let settings = GatewaySettings {
        namespace: "nowhere".to_owned(),
        ..world.settings()
    };

    let error = Gateway::start(&world.cluster, world.folder.path(), settings).unwrap_err();

    assert!(error.to_string().contains("\"nowhere\""), "{error}");
}

#[test]
fn the_exporter_tells_what_tier_2_asks_prometheus_for() {
    const ADDRESS: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 1), 9586);
    let world = World::new();
    let gateway = world.start(world.settings());
    let (host, interface) = (&world.node_host, &gateway.settings().interface);
    let folder = world.folder.path();
    let _exporter = WireguardExporter::start(folder, &host.name, interface, ADDRESS).unwrap();
    let listener = host.listen();
    let (device, _) = Device::with_peer(&world, &gateway, 4);
    let (_, silent) = new_key();
    world.make_peer(silent, [10, 5, 17, 5].into());
    eventually("the silent Peer is known", || knows(&gateway, silent));
    device.reaches(&listener, GATEWAY).unwrap();
    let page = || host.page(ADDRESS, "/metrics");

    let first = page();
    let pages = Exporter::start(&first).unwrap();
    let programs = Programs::find_or_hint().unwrap();
    let prometheus = Prometheus::start(&programs, folder, &[pages.address()], "").unwrap();
    let handshakes =
        "max by (public_key) (max_over_time(wireguard_latest_handshake_seconds[300s]))";
    let handshakes = prometheus
        .wait_for(handshakes, SOON, |found| found[1].is_object())
        .unwrap();
    device.reaches(&listener, GATEWAY).unwrap();
    let last = page();
    pages.set(&last);
    let changes = "max by (public_key) (changes(wireguard_received_bytes_total[300s])) > 0";
    let changes = prometheus
        .wait_for(changes, SOON, |found| found[0].is_object())
        .unwrap();

    let [key, silent] = [device.key, silent].map(|key| key.to_string());
    let labels =
        format!(r#"{{interface="{interface}",public_key="{key}",allowed_ips="10.5.17.4/32"}} "#);
    let time = value_of(
        &first,
        &format!("wireguard_latest_handshake_seconds{labels}"),
    );
    for bytes in [
        "wireguard_received_bytes_total",
        "wireguard_sent_bytes_total",
    ] {
        let count = |page| value_of(page, &format!("{bytes}{labels}"));
        assert!(count(&last) > count(&first), "{first}{last}");
    }
    assert!(time > 1_700_000_000, "{first}");
    let expected = [(key.clone(), time.to_string()), (silent, "0".to_owned())];
    assert_eq!(by_key(&handshakes), expected.into());
    assert_eq!(by_key(&changes).into_keys().collect::<Vec<_>>(), [key]);
}

/// The values of a query's result by their label `public_key`.
fn by_key(result: &Value) -> BTreeMap<String, String> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let series = result.as_array().unwrap().iter();
    series
        .map(|one| (text(&one["metric"]["public_key"]), text(&one["value"][1])))
        .collect()
}

fn assert_nothing_is_left(world: &World, interface: &str) {
    assert!(!world.node_host.has(interface));
    assert!(!socket(interface).exists());
    assert_eq!(world.node_host.says("nft list tables"), "");
}

/// The number at the end of the line that begins so.
fn value_of(page: &str, beginning: &str) -> u64 {
    let line = page.lines().find_map(|line| line.strip_prefix(beginning));
    line.unwrap().trim().parse().unwrap()
}
