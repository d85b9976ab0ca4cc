//! A closed-loop load: a number of connections, each of which sends its next request when the last one was answered.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use bytes::Bytes;
use hdrhistogram::Histogram;
use http_body_util::{BodyExt, Empty};
use hyper::Request;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use sinfonia_core::key::PublicKey;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use uuid::Uuid;

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

/// Sends deploy requests, each with a key of its own, from `connections` connections for `time`. The connections are of clients at these
/// places, latitude and longitude in degrees, in turn.
pub(super) async fn deploys(
    address: SocketAddr,
    connections: usize,
    time: Duration,
    places: &[(f64, f64)],
) -> anyhow::Result<Measured> {
    let mut running = JoinSet::new();
    for place in places.iter().cycle().take(connections) {
        running.spawn(connection(address, time, *place));
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
    time: Duration,
    place: (f64, f64),
) -> anyhow::Result<(Histogram<u64>, f64)> {
    let stream = TcpStream::connect(address)
        .await
        .context("cannot connect")?;
    stream.set_nodelay(true)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    for _ in 0..WARM_UP {
        deploy(&mut sender, place).await?;
    }
    let mut latency = Histogram::new(3)?;
    let start = Instant::now();
    while start.elapsed() < time {
        let before = Instant::now();
        deploy(&mut sender, place).await?;
        latency.record(u64::try_from(before.elapsed().as_micros())?)?;
    }
    Ok((latency, start.elapsed().as_secs_f64()))
}

async fn deploy(
    sender: &mut SendRequest<Empty<Bytes>>,
    (latitude, longitude): (f64, f64),
) -> anyhow::Result<()> {
    let mut key = [0; 32];
    getrandom::fill(&mut key)?;
    let path = format!(
        "/api/v1/deploy/{}/{}",
        Uuid::nil(),
        PublicKey::from_bytes(key).url_safe()
    );
    let request = Request::post(path)
        .header("host", "tier1")
        .header("x-location", format!("{latitude},{longitude}"))
        .body(Empty::new())?;
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
