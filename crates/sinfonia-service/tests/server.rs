//! The server on real sockets of the loopback interface.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that meets an error has failed"
)]

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::ConnectInfo;
use axum::routing::get;
use futures_util::stream;
use sinfonia_service::admin;
use sinfonia_service::listen::{Listeners, bind, bind_all};
use sinfonia_service::metrics::registry;
use sinfonia_service::path::normalised;
use sinfonia_service::readiness::Readiness;
use sinfonia_service::server::{ServerLimits, serve};
use sinfonia_service::settings::ListenArgs;
use sinfonia_service::shutdown::CancellationToken;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// Far longer than anything here takes; only a test that hangs meets it.
const PATIENCE: Duration = Duration::from_secs(30);

const HELLO: &str = "GET / HTTP/1.1\r\nhost: test\r\n\r\n";

#[tokio::test]
async fn an_ipv4_client_of_a_socket_for_both_families_is_ipv4() {
    let listener = bind_all(0).unwrap();
    let port = listener.local_addr().unwrap().port();
    let stop = CancellationToken::new();
    let router = Router::new().route(
        "/",
        get(async |ConnectInfo(peer): ConnectInfo<SocketAddr>| peer.ip().to_string()),
    );
    let serving = tokio::spawn(serve(
        listener,
        normalised(router),
        limits(),
        stop.clone().cancelled_owned(),
    ));

    let answer = ask(
        ([127, 0, 0, 1], port).into(),
        "GET / HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n",
    )
    .await;
    stop.cancel();
    patiently(serving).await.unwrap();

    assert!(answer.ends_with("\r\n\r\n127.0.0.1"), "{answer}");
}

#[tokio::test]
async fn a_client_that_never_ends_its_request_is_cut() {
    let server = Server::start(
        hello(),
        ServerLimits {
            header_time: Duration::from_millis(50),
            ..limits()
        },
    );

    let answer = ask(server.address, "GET / HTTP/1.1\r\nhost: te").await;

    assert!(!answer.contains("200"), "{answer}");
}

#[tokio::test]
async fn an_idle_connection_is_closed_after_a_while() {
    let server = Server::start(
        hello(),
        ServerLimits {
            header_time: Duration::from_millis(500),
            ..limits()
        },
    );

    let answer = ask(server.address, HELLO).await;

    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
}

#[tokio::test]
async fn too_long_a_head_is_refused() {
    let server = Server::start(
        hello(),
        ServerLimits {
            header_bytes: 8192,
            ..limits()
        },
    );
    let request = format!(
        "GET / HTTP/1.1\r\nhost: test\r\nx-long: {}\r\n\r\n",
        "x".repeat(10_000)
    );

    let answer = ask(server.address, &request).await;

    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
}

#[tokio::test]
async fn too_many_fields_are_refused() {
    let server = Server::start(
        hello(),
        ServerLimits {
            header_count: 10,
            ..limits()
        },
    );
    let request = format!("GET / HTTP/1.1\r\n{}\r\n", "x-field: 1\r\n".repeat(11));

    let answer = ask(server.address, &request).await;

    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
}

#[tokio::test]
async fn a_connection_too_many_waits_until_another_ends() {
    let server = Server::start(
        hello(),
        ServerLimits {
            connections: 1,
            ..limits()
        },
    );
    let mut first = TcpStream::connect(server.address).await.unwrap();
    first.write_all(HELLO.as_bytes()).await.unwrap();
    let mut byte = [0];
    first.read_exact(&mut byte).await.unwrap();
    let mut second = TcpStream::connect(server.address).await.unwrap();
    second.write_all(HELLO.as_bytes()).await.unwrap();

    let early =
        tokio::time::timeout(Duration::from_millis(100), second.read_exact(&mut byte)).await;
    drop(first);
    let late = patiently(second.read_exact(&mut byte)).await;

    assert!(early.is_err());
    assert_eq!(late.unwrap(), 1);
}

#[tokio::test]
async fn a_client_that_takes_nothing_of_its_answer_is_cut() {
    let dropped = Arc::new(Notify::new());
    let endless = {
        let dropped = Arc::clone(&dropped);
        async move || {
            let tell = TellOnDrop(dropped);
            Body::from_stream(stream::repeat_with(move || {
                let _tell = &tell;
                Ok::<_, std::io::Error>(Bytes::from_static(&[0; 65_536]))
            }))
        }
    };
    let limits = ServerLimits {
        header_time: Duration::from_millis(500),
        ..limits()
    };
    let server = Server::start(Router::new().route("/", get(endless)), limits);
    let mut client = TcpStream::connect(server.address).await.unwrap();

    client.write_all(HELLO.as_bytes()).await.unwrap();

    patiently(dropped.notified()).await;
}

#[tokio::test]
async fn a_running_request_finishes_at_shutdown_and_no_new_one_starts() {
    let (entered, leave) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let server = Server::start(waiting(&entered, &leave), limits());
    let running = tokio::spawn(ask(server.address, HELLO));
    entered.notified().await;

    server.stop.cancel();
    let refused = async {
        while TcpStream::connect(server.address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    patiently(refused).await;
    leave.notify_one();

    let answer = running.await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    patiently(server.serving).await.unwrap();
}

#[tokio::test]
async fn a_request_that_does_not_finish_is_cut_at_the_end_of_the_drain_time() {
    let (entered, leave) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let limits = ServerLimits {
        drain: Duration::from_millis(50),
        ..limits()
    };
    let server = Server::start(waiting(&entered, &leave), limits);
    let running = tokio::spawn(ask(server.address, HELLO));
    entered.notified().await;

    server.stop.cancel();
    patiently(server.serving).await.unwrap();

    assert_eq!(running.await.unwrap(), "");
}

#[tokio::test]
async fn idle_connections_do_not_hold_up_a_shutdown() {
    let server = Server::start(hello(), limits());
    let mut silent = TcpStream::connect(server.address).await.unwrap();
    let mut idle = TcpStream::connect(server.address).await.unwrap();
    idle.write_all(HELLO.as_bytes()).await.unwrap();
    let mut byte = [0];
    idle.read_exact(&mut byte).await.unwrap();

    server.stop.cancel();
    patiently(server.serving).await.unwrap();

    assert_eq!(silent.read(&mut byte).await.unwrap(), 0);
}

#[tokio::test]
async fn the_admin_port_answers_until_the_service_has_finished() {
    let (entered, leave) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let listeners = Listeners::bind(&ListenArgs::any_free_port()).unwrap();
    let (address, admin_address) = (listeners.address(), listeners.admin_address().unwrap());
    let stop = CancellationToken::new();
    let admin = admin::app(Readiness::new(), Arc::new(registry("test")));
    let service = normalised(waiting(&entered, &leave));
    let serving =
        tokio::spawn(listeners.serve(service, admin, limits(), stop.clone().cancelled_owned()));
    let running = tokio::spawn(ask(address, HELLO));
    entered.notified().await;

    stop.cancel();
    let answer = ask(
        admin_address,
        "GET /livez HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n",
    )
    .await;
    leave.notify_one();

    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    patiently(serving).await.unwrap();
    running.await.unwrap();
}

#[tokio::test]
async fn a_port_that_is_taken_is_told_with_the_option_that_changes_it() {
    let taken = bind("127.0.0.1:0".parse().unwrap())
        .unwrap()
        .local_addr()
        .unwrap();
    let _holder = bind(taken).unwrap();
    let args = ListenArgs {
        port: taken.port(),
        ..ListenArgs::any_free_port()
    };

    let error = Listeners::bind(&args).unwrap_err();

    assert_eq!(
        error.to_string(),
        format!("cannot listen on {taken} (--listen or --port chooses another)")
    );
}

struct Server {
    address: SocketAddr,
    stop: CancellationToken,
    serving: JoinHandle<()>,
}

impl Server {
    fn start(router: Router, limits: ServerLimits) -> Self {
        let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let serving = tokio::spawn(serve(
            listener,
            normalised(router),
            limits,
            stop.clone().cancelled_owned(),
        ));
        Self {
            address,
            stop,
            serving,
        }
    }
}

struct TellOnDrop(Arc<Notify>);

impl Drop for TellOnDrop {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

fn hello() -> Router {
    Router::new().route("/", get(async || "hello"))
}

fn waiting(entered: &Arc<Notify>, leave: &Arc<Notify>) -> Router {
    let (entered, leave) = (Arc::clone(entered), Arc::clone(leave));
    let wait = async move || {
        entered.notify_one();
        leave.notified().await;
    };
    Router::new().route("/", get(wait))
}

fn limits() -> ServerLimits {
    ServerLimits {
        drain: PATIENCE,
        ..ServerLimits::default()
    }
}

/// Sends a request and reads until the server closes the connection.
async fn ask(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // A connection that was cut may end in a reset instead of an end; what came before counts.
    let _ = patiently(stream.read_to_end(&mut answer)).await;
    String::from_utf8(answer).unwrap()
}

async fn patiently<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future)
        .await
        .expect("the test hangs")
}
