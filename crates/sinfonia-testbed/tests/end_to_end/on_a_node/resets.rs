//! A gateway with Kilo's habit: whenever a device comes or goes, it forgets the sessions of all others.

use std::collections::BTreeMap;

use sinfonia_core::key::PublicKey;
use sinfonia_testbed::{Gateway, Habits};
use tokio::task::spawn_blocking;

use super::device::Device;
use super::edge::{Edge, Held};
use crate::end_to_end::support::eventually;

#[tokio::test]
async fn devices_keep_their_backends_while_another_comes_and_goes() {
    let mut edge = Edge::hold().await;
    gateway(&mut edge).set_habits(Habits::KILO);
    let devices = [
        Device::start(&edge, "first").await,
        Device::start(&edge, "second").await,
        Device::start(&edge, "third").await,
    ];
    let begun = until_others_are(&mut edge, devices.len()).await;

    let fourth = Device::start(&edge, "fourth").await;
    for device in &devices {
        sees_its_own_page_again(device).await;
    }
    let with_fourth = handshakes(&mut edge);
    spawn_blocking(move || drop(fourth)).await.unwrap();
    until_others_are(&mut edge, devices.len()).await;
    for device in &devices {
        sees_its_own_page_again(device).await;
    }
    let in_the_end = handshakes(&mut edge);

    for (key, first) in begun {
        // Each change has made each of them shake hands anew.
        assert!(first < with_fourth[&key], "{first}: {with_fourth:?}");
        assert!(with_fourth[&key] < in_the_end[&key], "{in_the_end:?}");
    }
    for device in devices {
        let moves = device.events(&["failing-over", "failed-over", "not-failed-over"]);
        assert_eq!(moves, [] as [&str; 0]);
        spawn_blocking(move || drop(device)).await.unwrap();
    }
    gateway(&mut edge).set_habits(Habits::default());
    edge.wait_until_nothing_is_left().await;
}

fn gateway(edge: &mut Held) -> &mut Gateway {
    edge.node_mut().gateway().unwrap()
}

fn handshakes(edge: &mut Held) -> BTreeMap<PublicKey, u64> {
    gateway(edge).latest_handshakes().unwrap()
}

/// Waits until the gateway knows so many devices and all have shaken hands with it, and returns when they did.
async fn until_others_are(edge: &mut Held, count: usize) -> BTreeMap<PublicKey, u64> {
    eventually("the gateway serves those devices alone", async || {
        let known = handshakes(edge);
        (known.len() == count && !known.values().any(|time| *time == 0)).then_some(known)
    })
    .await
}

/// Waits until a device has seen its page by a look that has begun from now on.
async fn sees_its_own_page_again(device: &Device) {
    // The next line may be of a look that is under way.
    let name = device.sees_its_page_from(device.looks() + 1).await;
    assert_eq!(name, device.deployment());
}
