//! What a cloudlet that hangs costs the clients of the others.

use std::fmt::Write;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::time::Duration;

use anstream::eprintln;
use anyhow::Context;
use sinfonia_testbed::Service;
use tokio::runtime::Runtime;

use super::super::load::{self, Measured};
use super::{Options, tier1};

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

/// Measures requests of clients near nine of ten cloudlets, beside as many of clients near the tenth: once all of them answer, and once
/// the tenth takes connections and never answers.
pub(super) fn measure(
    options: &Options,
    runtime: &Runtime,
    tier2: SocketAddr,
    folder: &Path,
) -> anyhow::Result<[(String, Vec<Measured>); 2]> {
    let silent = TcpListener::bind("127.0.0.1:0").context("cannot listen")?;
    let silent_address = silent.local_addr()?;
    let healthy = tier1("ten-answer", &cloudlets(tier2, tier2), folder)?;
    let hanging = tier1("one-hangs", &cloudlets(silent_address, tier2), folder)?;
    let mut results = [
        ("all ten answer".to_owned(), Vec::new()),
        ("the tenth hangs".to_owned(), Vec::new()),
    ];
    for round in 1..=options.rounds {
        for ((name, measured), service) in results.iter_mut().zip([&healthy, &hanging]) {
            eprintln!("round {round} of {}: {name}", options.rounds);
            let one = near_nine(options, service);
            measured.push(
                runtime
                    .block_on(one)
                    .with_context(|| format!("{name}: failed"))?,
            );
        }
    }
    Ok(results)
}

async fn near_nine(options: &Options, service: &Service) -> anyhow::Result<Measured> {
    let (connections, address) = (options.connections, service.address());
    let time = Duration::from_secs(options.seconds);
    let (tenth, nine) = PLACES.split_at(1);
    // Those near the tenth may still wait for it when the others are done.
    tokio::select! {
        measured = load::deploys(address, connections, time, nine) => measured,
        failed = async {
            loop {
                if let Err(error) = load::deploys(address, connections, time, tenth).await {
                    return error;
                }
            }
        } => Err(failed),
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
