//! Timing connects to cloudlets, so that Tier 1 can tell those that answer fast from those that are merely near.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use sinfonia_core::cloudlet::CandidateInfo;
use sinfonia_core::deployment::CloudletDeployment;
use sinfonia_core::endpoint::Endpoint;
use sinfonia_core::key::PublicKey;
use sinfonia_core::network::Network;
use sinfonia_core::round_trip::RoundTrips;
use sinfonia_service::client::is_this_machine;
use sinfonia_service::outbound_guard::OutboundGuard;
use tokio::net::{TcpStream, lookup_host};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};
use uuid::Uuid;

use crate::application::Application;
use crate::printable::Printable;
use crate::talk::Progress;
use crate::tier1::{Tier1, Wishes};

/// Candidates that are timed: the best, among which Tier 1 chooses unless many fail.
const CANDIDATES: u32 = 16;
/// Connects to each, of which the fastest counts: the others met a busy moment.
const CONNECTS: usize = 3;
/// Addresses of a host that are tried: names of honest cloudlets lead to one or two of each family.
const ADDRESSES: usize = 8;
/// Time for all connects together, which the user waits for; who needs longer is not near.
const TIME: Duration = Duration::from_millis(300);
/// Time for Tier 1 to say who the candidates are. It is asked to deploy afterwards, whatever comes of it.
const ANSWER_TIME: Duration = Duration::from_secs(5);
/// The member of our output that tells a round trip, in milliseconds.
const RTT_MS: &str = "RttMs";

/// Asks Tier 1 for the candidates, times connects to the first of them, and tells what was measured. Who does not answer is left out; that
/// nothing can be measured is no error.
pub(crate) async fn measure(
    tier1: &Tier1,
    application: Application,
    key: &PublicKey,
    wishes: &Wishes,
    progress: &Progress,
) -> RoundTrips {
    let wishes = Wishes {
        results: Some(CANDIDATES),
        ..wishes.clone()
    };
    let question = tier1.candidates(application, key, &wishes);
    let candidates = match timeout(ANSWER_TIME, question).await {
        Ok(Ok(candidates)) => candidates,
        Ok(Err(error)) => {
            progress.note(&format!("note: no round trips are measured: {error}"));
            return RoundTrips::default();
        }
        Err(_) => {
            progress.note("note: no round trips are measured: Tier 1 does not name candidates");
            return RoundTrips::default();
        }
    };
    let measured = time(&candidates, &guard(tier1)).await;
    progress.note(&summary(&candidates, &measured));
    measured
}

/// Adds to deployments what was measured.
pub(crate) fn add_to_deployments(deployments: &mut [CloudletDeployment], measured: &RoundTrips) {
    for deployment in deployments {
        let cloudlet = deployment.cloudlet.as_ref();
        if let Some(rtt_ms) = cloudlet.and_then(|cloudlet| measured.get(cloudlet.uuid)) {
            deployment.other.insert(RTT_MS.to_owned(), rtt_ms.into());
        }
    }
}

/// The round trip that was added to a deployment, in milliseconds.
pub(crate) fn of_deployment(deployment: &CloudletDeployment) -> Option<f64> {
    deployment.other.get(RTT_MS)?.as_f64()
}

/// A round trip for people.
pub(crate) fn shown(rtt_ms: f64) -> String {
    format!("{rtt_ms:.1} ms")
}

/// What keeps a Tier 1 elsewhere from learning which ports are open on this machine, on its link, or where clouds tell about it. It does learn
/// that of private networks that this device reaches, because cloudlets are there.
fn guard(tier1: &Tier1) -> OutboundGuard {
    if is_this_machine(tier1.url().url()) {
        OutboundGuard::new([Network::ALL_IPV4, Network::ALL_IPV6])
    } else {
        OutboundGuard::default()
    }
}

async fn time(candidates: &[CandidateInfo], guard: &OutboundGuard) -> RoundTrips {
    let deadline = Instant::now() + TIME;
    let (tell, mut told) = unbounded_channel();
    // Those that still connect at the end are given up when this is dropped.
    let mut connecting = JoinSet::new();
    for candidate in candidates.iter().take(CANDIDATES as usize) {
        if let Some(uuid) = candidate.cloudlet.uuid {
            let endpoint = candidate.cloudlet.endpoint.clone();
            connecting.spawn(connect_often(uuid, endpoint, guard.clone(), tell.clone()));
        }
    }
    drop(tell);
    let mut best: BTreeMap<Uuid, Duration> = BTreeMap::new();
    while let Ok(Some((cloudlet, time))) = timeout_at(deadline, told.recv()).await {
        let fastest = best.entry(cloudlet).or_insert(time);
        *fastest = time.min(*fastest);
    }
    let mut measured = RoundTrips::default();
    for (cloudlet, time) in best {
        measured.take(cloudlet, milliseconds(time));
    }
    measured
}

/// Connects several times, one after the other, and tells how long each took.
async fn connect_often(
    cloudlet: Uuid,
    endpoint: Endpoint,
    guard: OutboundGuard,
    tell: UnboundedSender<(Uuid, Duration)>,
) {
    let result = async {
        let found = addresses(&endpoint).await?;
        let (address, mut time) = first_that_answers(endpoint.host_str(), &found, &guard).await?;
        for _ in 1..CONNECTS {
            // Nobody wants to know any more when this fails.
            let _ = tell.send((cloudlet, time));
            time = connect(address).await?;
        }
        let _ = tell.send((cloudlet, time));
        Ok::<_, io::Error>(())
    };
    if let Err(error) = result.await {
        tracing::debug!(%endpoint, %error, "round trip cannot be measured");
    }
}

/// The addresses of an endpoint.
async fn addresses(endpoint: &Endpoint) -> io::Result<Vec<SocketAddr>> {
    let host = endpoint.host_str().trim_matches(['[', ']']);
    let port = endpoint.url().port_or_known_default().unwrap_or_default();
    Ok(lookup_host((host, port)).await?.collect())
}

/// The address that takes a connection first, all being tried at once, and how long that took.
async fn first_that_answers(
    host: &str,
    addresses: &[SocketAddr],
    guard: &OutboundGuard,
) -> io::Result<(SocketAddr, Duration)> {
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    // Those that still connect when one has are given up when this is dropped.
    let mut connecting = JoinSet::new();
    for address in addresses.iter().copied().take(ADDRESSES) {
        match guard.check(host, address.ip()) {
            Ok(()) => {
                connecting.spawn(async move { Ok((address, connect(address).await?)) });
            }
            Err(error) => last = io::Error::other(error),
        }
    }
    while let Some(connected) = connecting.join_next().await {
        match connected.map_err(io::Error::other).flatten() {
            Ok(first) => return Ok(first),
            Err(error) => last = error,
        }
    }
    Err(last)
}

async fn connect(address: SocketAddr) -> io::Result<Duration> {
    let begun = Instant::now();
    TcpStream::connect(address).await?;
    Ok(begun.elapsed())
}

/// In milliseconds, exact to a microsecond: what is finer is chance.
fn milliseconds(time: Duration) -> f64 {
    let microseconds = u32::try_from(time.as_micros()).unwrap_or(u32::MAX);
    f64::from(microseconds) / 1000.0
}

/// What was measured, for people.
fn summary(candidates: &[CandidateInfo], measured: &RoundTrips) -> String {
    let probed = candidates.iter().take(CANDIDATES as usize);
    let told: Vec<String> = probed
        .map(|candidate| {
            let cloudlet = &candidate.cloudlet;
            let name = cloudlet.name.as_ref().map(|name| name.as_str());
            let name = Printable::new(name.unwrap_or(cloudlet.endpoint.host_str()));
            match cloudlet.uuid.and_then(|uuid| measured.get(uuid)) {
                Some(rtt_ms) => format!("{name} {}", shown(rtt_ms)),
                None => format!("{name} unknown"),
            }
        })
        .collect();
    format!("note: round trips: {}", told.join(", "))
}

#[cfg(test)]
mod tests;
