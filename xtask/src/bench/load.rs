//! A closed-loop load: a number of connections, each of which sends its next request when the last one was answered.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use bytes::Bytes;
use hdrhistogram::Histogram;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use sinfonia_core::key::PublicKey;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use uuid::Uuid;

use super::tier1::fleet::{Fleet, REPORT_TOKEN};

/// Requests of a connection before it counts.
const WARM_UP: usize = 20;

/// What a load found.
pub(super) struct Measured {
    /// Answers per second, all connections together.
    pub(super) per_second: f64,
    /// Time from request to answer, in microseconds.
    pub(super) latency: Histogram<u64>,
}

impl Measured {
    /// A quantile of the latency in milliseconds.
    pub(super) fn milliseconds(&self, quantile: f64) -> f64 {
        self.latency.value_at_quantile(quantile) as f64 / 1000.0
    }
}

/// What a connection sends, one after the other.
type Requests = Box<dyn Iterator<Item = anyhow::Result<Request<Full<Bytes>>>> + Send>;

/// Sends deploy requests, each with a key of its own, from `connections` connections for `time`. They are of clients at these places,
/// latitude and longitude in degrees, in turn.
pub(super) async fn deploys(
    address: SocketAddr,
    connections: usize,
    time: Duration,
    places: &[(f64, f64)],
) -> anyhow::Result<Measured> {
    let places: Arc<[(f64, f64)]> = places.into();
    let requests = (0..connections).map(|first| -> Requests {
        let places = Arc::clone(&places);
        let numbers = (first..).step_by(connections);
        Box::new(numbers.map(move |number| deploy(places[number % places.len()])))
    });
    run(address, requests, Some(time)).await
}

/// Sends reports of the cloudlets of a fleet, again and again from `connections` connections for `time`; without a time, one of each.
pub(super) async fn reports(
    address: SocketAddr,
    connections: usize,
    time: Option<Duration>,
    fleet: Fleet,
) -> anyhow::Result<Measured> {
    let requests = (0..connections).map(|first| -> Requests {
        let numbers = (0..fleet.size).skip(first).step_by(connections);
        if time.is_some() {
            Box::new(numbers.cycle().map(move |number| report(fleet, number)))
        } else {
            Box::new(numbers.map(move |number| report(fleet, number)))
        }
    });
    run(address, requests, time).await
}

/// Has a new client at a place send one deploy request at each interval, until this is dropped. What becomes of it is not looked at.
pub(super) async fn newcomers(
    address: SocketAddr,
    interval: Duration,
    place: (f64, f64),
) -> Infallible {
    let mut clients = JoinSet::new();
    let mut ticks = tokio::time::interval(interval);
    loop {
        ticks.tick().await;
        clients.spawn(async move {
            let mut sender = connect(address).await?;
            send(&mut sender, deploy(place)?).await
        });
        while clients.try_join_next().is_some() {}
    }
}

async fn run(
    address: SocketAddr,
    requests: impl Iterator<Item = Requests>,
    time: Option<Duration>,
) -> anyhow::Result<Measured> {
    let mut running = JoinSet::new();
    for requests in requests {
        running.spawn(connection(address, requests, time));
    }
    let mut latency = Histogram::new(3)?;
    let mut per_second = 0.0;
    while let Some(finished) = running.join_next().await {
        let (one, seconds) = finished??;
        per_second += one.len() as f64 / seconds;
        latency.add(one)?;
    }
    Ok(Measured {
        per_second,
        latency,
    })
}

async fn connection(
    address: SocketAddr,
    mut requests: Requests,
    time: Option<Duration>,
) -> anyhow::Result<(Histogram<u64>, f64)> {
    let mut sender = connect(address).await?;
    for request in requests.by_ref().take(WARM_UP) {
        send(&mut sender, request?).await?;
    }
    let mut latency = Histogram::new(3)?;
    let start = Instant::now();
    for request in requests {
        let before = Instant::now();
        send(&mut sender, request?).await?;
        latency.record(u64::try_from(before.elapsed().as_micros())?)?;
        if time.is_some_and(|time| start.elapsed() >= time) {
            break;
        }
    }
    Ok((latency, start.elapsed().as_secs_f64()))
}

async fn connect(address: SocketAddr) -> anyhow::Result<SendRequest<Full<Bytes>>> {
    let stream = TcpStream::connect(address)
        .await
        .context("cannot connect")?;
    stream.set_nodelay(true)?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok(sender)
}

fn deploy((latitude, longitude): (f64, f64)) -> anyhow::Result<Request<Full<Bytes>>> {
    let mut key = [0; 32];
    getrandom::fill(&mut key)?;
    let path = format!(
        "/api/v1/deploy/{}/{}",
        Uuid::nil(),
        PublicKey::from_bytes(key).url_safe()
    );
    let request = Request::post(path)
        .header("host", "tier1")
        .header("x-location", format!("{latitude},{longitude}"));
    Ok(request.body(Full::default())?)
}

fn report(fleet: Fleet, number: u32) -> anyhow::Result<Request<Full<Bytes>>> {
    let request = Request::post("/api/v1/cloudlets")
        .header("host", "tier1")
        .header("authorization", format!("Bearer {REPORT_TOKEN}"))
        .header("content-type", "application/json");
    Ok(request.body(fleet.report(number).into())?)
}

async fn send(
    sender: &mut SendRequest<Full<Bytes>>,
    request: Request<Full<Bytes>>,
) -> anyhow::Result<()> {
    sender.ready().await?;
    let answer = sender.send_request(request).await?;
    let status = answer.status();
    let body = answer.into_body().collect().await?.to_bytes();
    ensure!(
        status.is_success(),
        "{status}: {}",
        String::from_utf8_lossy(&body)
    );
    Ok(())
}
