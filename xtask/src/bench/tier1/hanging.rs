//! What a cloudlet that hangs costs the clients of the others.

use std::fmt::Write;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use anyhow::Context;

use super::super::load::{self, Measured};
use super::Bench;

/// Where the cloudlets are, so far from each other that each has clients of its own: on the equator, 36° apart.
const PLACES: [(f64, f64); 10] = [
    (0.0, 0.0),
    (0.0, 36.0),
    (0.0, 72.0),
    (0.0, 108.0),
    (0.0, 144.0),
    (0.0, 180.0),
    (0.0, -144.0),
    (0.0, -108.0),
    (0.0, -72.0),
    (0.0, -36.0),
];

/// Time between two clients near the tenth: they come whether those before them were answered or not, so that both times they ask for
/// the same work.
const INTERVAL: Duration = Duration::from_millis(10);

/// Measures requests of clients near nine of ten cloudlets, while now and then one near the tenth asks too: once all of them answer, and
/// once the tenth takes connections and never answers.
pub(super) fn measure(bench: &Bench<'_>) -> anyhow::Result<Vec<(String, Vec<Measured>)>> {
    let silent = TcpListener::bind("127.0.0.1:0").context("cannot listen")?;
    let (tier2, silent_address) = (bench.tier2.address, silent.local_addr()?);
    let healthy = bench.tier1("ten-answer", Some(&cloudlets(tier2, tier2)))?;
    let hanging = bench.tier1("one-hangs", Some(&cloudlets(silent_address, tier2)))?;
    let subjects = [
        ("all ten answer", healthy.address()),
        ("the tenth hangs", hanging.address()),
    ];
    bench.in_turns(&subjects, &async |address| near_nine(bench, *address).await)
}

async fn near_nine(bench: &Bench<'_>, address: SocketAddr) -> anyhow::Result<Measured> {
    let (connections, time) = (bench.options.connections, bench.time());
    let [tenth, nine @ ..] = &PLACES;
    // Those near the tenth may still wait for it when the others are done.
    tokio::select! {
        measured = load::deploys(address, connections, time, nine) => measured,
        never = load::newcomers(address, INTERVAL, *tenth) => match never {},
    }
}

/// The first cloudlet is played at one address, the others at another.
fn cloudlets(first: SocketAddr, others: SocketAddr) -> String {
    let mut text = String::new();
    for (index, (latitude, longitude)) in PLACES.iter().enumerate() {
        let address = if index == 0 { first } else { others };
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "---\nendpoint: http://{address}/cloudlet-{index}/api/v1/deploy\nlocation: [{latitude}, {longitude}]\nlocal_networks: [192.0.2.0/24]"
        );
    }
    text
}
