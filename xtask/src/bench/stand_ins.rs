//! Programs of no cost that stand beside the measured one. Each prints its address on stdout and serves until it is killed.

use std::sync::Arc;

use anstream::println;
use anyhow::Context;
use axum::extract::{Path, State};
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use tokio::net::TcpListener;

/// A Tier 2 that answers at once: one server plays any number of cloudlets, each below a path prefix of its own.
pub(super) async fn instant_tier2() -> anyhow::Result<()> {
    serve(Router::new().route("/{cloudlet}/api/v1/deploy/{uuid}/{key}", post(deployed))).await
}

/// One axum route that forwards with reqwest and gives the answer back, without looking at either.
pub(super) async fn forwarder(target: &str) -> anyhow::Result<()> {
    rustls::crypto::ring::default_provider()
        .install_default()
        .ok();
    let client = reqwest::Client::builder()
        .no_proxy()
        .build()
        .context("cannot make a client")?;
    let state = Arc::new((client, target.to_owned()));
    serve(Router::new().fallback(forward).with_state(state)).await
}

/// One axum route that parses JSON and does nothing with it.
pub(super) async fn json_route() -> anyhow::Result<()> {
    let parse = async |Json(_): Json<serde_json::Value>| StatusCode::NO_CONTENT;
    serve(Router::new().fallback(parse)).await
}

async fn serve(router: Router) -> anyhow::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")
        .await
        .context("cannot listen")?;
    println!("{}", listener.local_addr()?);
    axum::serve(listener, router).await.context("cannot serve")
}

async fn deployed(Path((_, uuid, key)): Path<(String, String, String)>) -> Response {
    let body = format!(
        r#"[{{"DeploymentName":"brave-otter-x7k2p","UUID":"{uuid}","ApplicationKey":"{key}","Status":"Deployed","Created":"2026-11-22T15:09:00+00:00","TunnelConfig":{{"publicKey":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=","allowedIPs":["0.0.0.0/0"],"endpoint":"203.0.113.7:51820","address":["10.5.17.4"],"dns":["10.43.0.10","brave-otter-x7k2p.svc.cluster.local"]}}}}]"#
    );
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}

async fn forward(
    State(state): State<Arc<(reqwest::Client, String)>>,
    uri: Uri,
) -> Result<Response, StatusCode> {
    let (client, target) = &*state;
    let answer = client
        .post(format!("{target}{}", uri.path()))
        .send()
        .await
        .map_err(|_| StatusCode::BAD_GATEWAY)?;
    let body = answer.bytes().await.map_err(|_| StatusCode::BAD_GATEWAY)?;
    Ok(([(header::CONTENT_TYPE, "application/json")], body).into_response())
}
