//! A Tier 1 of no cost, and the cloudlet's end of the tunnel that it tells of, which has nothing behind it.

use std::net::{SocketAddr, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use anstream::println;
use anyhow::Context;
use axum::Router;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, post};
use sinfonia_core::key::{PrivateKey, PublicKey};
use sinfonia_tunnel::endpoint::{Buffer, Endpoint, Moment, Outbox, PeerConfig};
use tokio::net::TcpListener;

/// The address that the deployment gives to the device.
const INSIDE: &str = "10.5.17.4";
/// Longest packet and longest datagram; none is near it.
const MTU: u16 = 1420;
const DATAGRAM: usize = 2048;
/// Time between two looks at the clock.
const TICK: Duration = Duration::from_millis(250);

/// What is in each answer besides the names that the request has.
#[derive(Clone)]
struct Tunnel {
    public_key: PublicKey,
    endpoint: SocketAddr,
}

pub(super) fn run(device: PublicKey) -> anyhow::Result<()> {
    let mut entropy = [0; 32];
    getrandom::fill(&mut entropy)?;
    let private_key = PrivateKey::from_entropy(entropy);
    let socket = UdpSocket::bind("127.0.0.1:0").context("cannot listen")?;
    socket.set_read_timeout(Some(TICK))?;
    let tunnel = Tunnel {
        public_key: private_key.public_key(),
        endpoint: socket.local_addr()?,
    };
    thread::spawn(move || serve_tunnel(&socket, &private_key, device));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(serve_tier1(tunnel))
}

async fn serve_tier1(tunnel: Tunnel) -> anyhow::Result<()> {
    let router = Router::new()
        .route("/api/v1/deploy/{uuid}/{key}", post(deployed))
        .route(
            "/api/v1/deployments/{uuid}/{key}",
            delete(async || StatusCode::NO_CONTENT),
        )
        .with_state(tunnel);
    let listener = TcpListener::bind("127.0.0.1:0").await;
    let listener = listener.context("cannot listen")?;
    println!("{}", listener.local_addr()?);
    axum::serve(listener, router).await.context("cannot serve")
}

async fn deployed(
    State(tunnel): State<Tunnel>,
    Path((uuid, key)): Path<(String, String)>,
) -> Response {
    let Tunnel {
        public_key,
        endpoint,
    } = tunnel;
    let body = format!(
        r#"[{{"DeploymentName":"brave-otter-x7k2p","UUID":"{uuid}","ApplicationKey":"{key}","Status":"Deployed","Ready":true,"Created":"2026-11-22T15:09:00+00:00","TunnelConfig":{{"publicKey":"{public_key}","allowedIPs":["0.0.0.0/0"],"endpoint":"{endpoint}","address":["{INSIDE}"],"dns":["10.43.0.10","brave-otter-x7k2p.svc.cluster.local"]}}}}]"#
    );
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}

fn serve_tunnel(socket: &UdpSocket, private_key: &PrivateKey, device: PublicKey) {
    let begun = Instant::now();
    let now = || Moment::from_origin(begun.elapsed());
    let mut endpoint = Endpoint::new(private_key, MTU, now());
    endpoint.set_peer(
        now(),
        &PeerConfig {
            public_key: device,
            preshared_key: None,
            endpoint: None,
            allowed_ips: INSIDE
                .parse()
                .map(std::net::IpAddr::into)
                .into_iter()
                .collect(),
            persistent_keepalive: None,
        },
    );
    let mut out = Replies(socket);
    let mut bytes = [0; DATAGRAM];
    loop {
        if let Ok((length, from)) = socket.recv_from(&mut bytes) {
            endpoint.receive(now(), from, Buffer::copy_from(&bytes[..length]), &mut out);
        }
        endpoint.advance(now(), &mut out);
    }
}

struct Replies<'a>(&'a UdpSocket);

impl Outbox for Replies<'_> {
    fn datagram(&mut self, to: SocketAddr, datagram: Buffer) {
        // As on any network, it may be lost.
        let _ = self.0.send_to(&datagram, to);
    }

    fn packet(&mut self, _: Buffer) {}
}
