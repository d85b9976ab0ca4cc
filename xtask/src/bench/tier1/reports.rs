//! What reports cost, alone and beside deploy requests.

use std::net::SocketAddr;

use anstream::{eprintln, println};

use super::super::load::{self, Measured};
use super::fleet::Fleet;
use super::{Bench, StandIn, table};

/// Cloudlets that report.
const CLOUDLETS: u32 = 100_000;

/// Measures reports, and reports and deploy requests at once, each beside routes that do no more than they have to. The clients are all over
/// the world: so many at one place would fill the cloudlets around them, and each request would pass by all that are full.
pub(super) fn measure(bench: &Bench<'_>) -> anyhow::Result<()> {
    let fleet = bench.fleet(CLOUDLETS);
    let forwarder = bench.forwarder()?;
    let route = StandIn::start(&["json-route"])?;
    let service = bench.tier1("reports", Some(&fleet.file()))?;
    let tier1 = service.address();
    eprintln!("each of {CLOUDLETS} cloudlets reports");
    let connections = bench.options.connections;
    let all = load::reports(tier1, connections, None, fleet);
    bench.runtime.block_on(all)?;
    let known = &*format!("Tier 1, {CLOUDLETS} cloudlets");

    let subjects = [("bare axum JSON route", route.address), (known, tier1)];
    let alone = bench.in_turns(&subjects, &async |address| {
        reports(bench, *address, fleet).await
    })?;
    println!("{}", table("reports", alone));

    let bare = (forwarder.address, route.address);
    let subjects = [
        ("bare forwarder and bare JSON route", bare),
        (known, (tier1, tier1)),
    ];
    let places: Vec<(f64, f64)> = (0..CLOUDLETS).map(|number| fleet.place(number)).collect();
    let both = bench.in_turns(&subjects, &async |(to_deploy, to_report)| {
        let deploys = load::deploys(*to_deploy, connections, bench.time(), &places);
        tokio::try_join!(deploys, reports(bench, *to_report, fleet))
    })?;
    let (deploys, reports): (Vec<_>, Vec<_>) = both.into_iter().map(apart).unzip();
    println!("{}", table("deploy requests, and reports at once", deploys));
    println!("{}", table("these reports", reports));
    Ok(())
}

async fn reports(bench: &Bench<'_>, address: SocketAddr, fleet: Fleet) -> anyhow::Result<Measured> {
    load::reports(
        address,
        bench.options.connections,
        Some(bench.time()),
        fleet,
    )
    .await
}

type Named<M> = (String, Vec<M>);

fn apart((name, rounds): Named<(Measured, Measured)>) -> (Named<Measured>, Named<Measured>) {
    let (deploys, reports) = rounds.into_iter().unzip();
    ((name.clone(), deploys), (name, reports))
}
