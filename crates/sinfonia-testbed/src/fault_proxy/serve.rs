//! Passing calls on.

use std::convert::Infallible;
use std::error::Error;
use std::future::pending;
use std::sync::Arc;

use futures_util::TryStreamExt;
use http::header::{CONNECTION, CONTENT_TYPE, HOST, RETRY_AFTER, TRANSFER_ENCODING, USER_AGENT};
use http::{HeaderMap, Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyDataStream, BodyExt, Full, StreamBody};
use hyper::body::{Body as _, Bytes, Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::rule::{Answer, Fault, Verdict};
use super::{ApiCall, Shared};

type BoxError = Box<dyn Error + Send + Sync>;
type Body = UnsyncBoxBody<Bytes, BoxError>;

/// Tells hyper to close the connection without an answer.
#[derive(Debug, thiserror::Error)]
#[error("the connection is cut")]
struct Cut;

pub(super) async fn accept(listener: TcpListener, acceptor: TlsAcceptor, shared: Arc<Shared>) {
    while let Ok((connection, _)) = listener.accept().await {
        let (acceptor, shared) = (acceptor.clone(), Arc::clone(&shared));
        tokio::spawn(async move {
            let mut cuts = shared.cuts.subscribe();
            tokio::select! {
                () = serve(connection, acceptor, &shared) => {}
                // The sender lives in `shared`.
                _ = cuts.changed() => {}
            }
        });
    }
}

async fn serve(connection: TcpStream, acceptor: TlsAcceptor, shared: &Arc<Shared>) {
    // Small answers are not held back.
    let _ = connection.set_nodelay(true);
    let Ok(connection) = acceptor.accept(connection).await else {
        return;
    };
    let service = service_fn(|request| answer(request, Arc::clone(shared)));
    // Clients that go away, and connections that are cut, are what this is for.
    let _ = http1::Builder::new()
        .serve_connection(TokioIo::new(connection), service)
        .await;
}

async fn answer(request: Request<Incoming>, shared: Arc<Shared>) -> Result<Response<Body>, Cut> {
    let agent = request.headers().get(USER_AGENT);
    let call = ApiCall::new(
        request.method().as_str(),
        request.uri().path(),
        request.uri().query().unwrap_or_default(),
        agent
            .and_then(|agent| agent.to_str().ok())
            .unwrap_or_default(),
    );
    match shared.decide(call) {
        None => forward(request, &shared).await,
        Some(Verdict { fault, after: true }) => {
            let answer = forward(request, &shared).await?;
            Ok(suffer(fault).await?.unwrap_or(answer))
        }
        Some(Verdict {
            fault,
            after: false,
        }) => match suffer(fault).await? {
            Some(answer) => Ok(answer),
            None => forward(request, &shared).await,
        },
    }
}

/// Lets a fault happen. Gives its answer where it has one.
async fn suffer(fault: Fault) -> Result<Option<Response<Body>>, Cut> {
    match fault {
        Fault::Answer(answer) => Ok(Some(false_answer(answer))),
        Fault::Delay(time) => {
            tokio::time::sleep(time).await;
            Ok(None)
        }
        Fault::Hang => pending().await,
        Fault::Cut => Err(Cut),
    }
}

/// Passes a request on and its answer back, both as they come. An API server that cannot be reached is a connection that is cut.
async fn forward(request: Request<Incoming>, shared: &Shared) -> Result<Response<Body>, Cut> {
    let (parts, body) = request.into_parts();
    let target = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let mut passed = shared
        .upstream
        .request(parts.method, format!("{}{target}", shared.base))
        .headers(end_to_end(parts.headers));
    if !body.is_end_stream() {
        passed = passed.body(reqwest::Body::wrap_stream(BodyDataStream::new(body)));
    }
    let answer = passed.send().await.map_err(|_| Cut)?;
    let mut response = Response::new(());
    *response.status_mut() = answer.status();
    *response.headers_mut() = end_to_end(answer.headers().clone());
    let stream = answer
        .bytes_stream()
        .map_ok(Frame::data)
        .map_err(BoxError::from);
    Ok(response.map(|()| StreamBody::new(stream).boxed_unsync()))
}

/// Headers without those that belong to one connection.
fn end_to_end(mut headers: HeaderMap) -> HeaderMap {
    for name in [CONNECTION, HOST, TRANSFER_ENCODING] {
        headers.remove(name);
    }
    headers
}

fn false_answer(answer: Answer) -> Response<Body> {
    let status = json!({
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": format!("{} (injected by the fault proxy of the test bed)", answer.words()),
        "reason": answer.reason,
        "details": answer.retry_after.map(|seconds| json!({"retryAfterSeconds": seconds})),
        "code": answer.status,
    });
    let body = Full::from(status.to_string()).map_err(|never: Infallible| match never {});
    let mut response = Response::new(body.boxed_unsync());
    *response.status_mut() = http::StatusCode::from_u16(answer.status).unwrap_or_default();
    let headers = response.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        http::HeaderValue::from_static("application/json"),
    );
    if let Some(seconds) = answer.retry_after {
        headers.insert(RETRY_AFTER, seconds.into());
    }
    response
}
