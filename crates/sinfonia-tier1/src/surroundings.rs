//! Finding out, beside requests, where the hosts of endpoints lead and where they are.
//!
//! Hosts that are addresses are settled at once. Names are looked up a few at a time and again every few minutes; one that cannot be
//! looked up is tried again after a growing while, and what was found before stays.

mod schedule;

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use sinfonia_core::cloudlet::Surroundings;
use sinfonia_core::endpoint::Endpoint;
use tokio::task::JoinSet;
use tokio::time::Instant;
use url::Host;

use self::schedule::Schedule;
use crate::geoip::GeoIp;
use crate::registry::Registry;

/// Names that are looked up at once.
const AT_ONCE: usize = 32;

/// Time for one name. Resolvers try several servers for some seconds each.
const LOOKUP_TIME: Duration = Duration::from_secs(10);

/// Time between two rounds at least, so that many arrivals and answers make one round.
const SETTLE: Duration = Duration::from_millis(50);

/// Time between two rounds at most, for entries that no longer say what they said before.
const IDLE: Duration = Duration::from_secs(5);

/// Looks up the hosts of all endpoints that want it, for ever.
///
/// `lookup` gives the addresses of a name; see [`system_lookup`].
pub async fn survey<L, F>(registry: Registry, geoip: GeoIp, lookup: L)
where
    L: Fn(String) -> F,
    F: Future<Output = io::Result<Vec<IpAddr>>> + Send + 'static,
{
    let mut schedule = Schedule::default();
    let mut running = JoinSet::new();
    loop {
        let wanting = by_host(registry.wanting_surroundings());
        schedule.follow(wanting.keys(), Instant::now());
        settle_addresses(&mut schedule, &wanting, &geoip);
        registry.set_surroundings(wanting.iter().flat_map(|(host, endpoints)| {
            let found = schedule.found(host);
            let pair = move |endpoint| Some((endpoint, found?));
            endpoints.iter().filter_map(pair)
        }));
        for name in schedule.start(AT_ONCE - running.len(), Instant::now()) {
            let answer = tokio::time::timeout(LOOKUP_TIME, lookup(name.clone()));
            running
                .spawn(async move { (name, answer.await.unwrap_or_else(|late| Err(late.into()))) });
        }
        tokio::time::sleep(SETTLE).await;
        let next = schedule.next().unwrap_or_else(|| Instant::now() + IDLE);
        let wake_up = next.min(Instant::now() + IDLE);
        let first = tokio::select! {
            Some(answer) = running.join_next() => Some(answer),
            () = registry.arrival() => None,
            () = tokio::time::sleep_until(wake_up), if running.len() < AT_ONCE => None,
        };
        let further = std::iter::from_fn(|| running.try_join_next());
        for (name, answer) in first.into_iter().chain(further).flatten() {
            record(&mut schedule, &name, answer, &geoip);
        }
    }
}

/// Asks the system's resolver for the addresses of a name.
///
/// # Errors
/// The name does not exist, or the resolver cannot be asked.
pub async fn system_lookup(name: String) -> io::Result<Vec<IpAddr>> {
    let found = tokio::net::lookup_host((name, 0)).await?;
    Ok(found.map(|address| address.ip()).collect())
}

fn by_host(endpoints: Vec<Endpoint>) -> HashMap<String, Vec<Endpoint>> {
    let mut hosts: HashMap<String, Vec<Endpoint>> = HashMap::new();
    for endpoint in endpoints {
        let host = endpoint.host_str().to_owned();
        hosts.entry(host).or_default().push(endpoint);
    }
    hosts
}

fn settle_addresses(
    schedule: &mut Schedule,
    wanting: &HashMap<String, Vec<Endpoint>>,
    geoip: &GeoIp,
) {
    for (host, endpoints) in wanting {
        if schedule.found(host).is_none()
            && let Some(address) = endpoints.first().and_then(address)
        {
            schedule.settle(host, Arc::new(geoip.surroundings(vec![address])));
        }
    }
}

fn address(endpoint: &Endpoint) -> Option<IpAddr> {
    match endpoint.host()? {
        Host::Ipv4(address) => Some(address.into()),
        Host::Ipv6(address) => Some(address.into()),
        Host::Domain(_) => None,
    }
}

fn record(schedule: &mut Schedule, name: &str, answer: io::Result<Vec<IpAddr>>, geoip: &GeoIp) {
    let (now, jitter) = (Instant::now(), jitter());
    match answer {
        Ok(addresses) => {
            let surroundings: Surroundings = geoip.surroundings(addresses);
            schedule.succeeded(name, Arc::new(surroundings), now, jitter);
        }
        Err(error) => {
            if schedule.failed(name, now, jitter) == 1 {
                tracing::info!(host = name, %error, "host of an endpoint cannot be looked up");
            }
        }
    }
}

/// A number from 0 to 1 that differs between processes, so that they do not ask all at the same time.
fn jitter() -> f64 {
    // Without randomness there is no jitter, and nothing worse.
    getrandom::u32().map_or(0.0, |number| f64::from(number) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests;
