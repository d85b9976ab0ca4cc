//! The client of the API server.

use std::time::Duration;

use http::Request;
use hyper_rustls::HttpsConnector;
use hyper_timeout::TimeoutConnector;
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use kube::client::retry::RetryPolicy;
use kube::client::{Body, ClientBuilder, ConfigExt};
use kube::{Client, Config};
use tower::ServiceBuilder;
use tower::retry::RetryLayer;
use tower::steer::Steer;
use tower::timeout::Timeout;
use tower_http::trace::TraceLayer;

/// Time to reach the API server.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Time for which the API server may be silent within an answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);
/// Time for which a watch may be silent, longer than one lasts.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(100);
/// Share of the read time-out after which an idle connection is used no more.
const IDLE_SHARE: f64 = 0.6;

/// A client as `kube` builds it, but for two things. What it sends goes out at once, not after what was sent before has been acknowledged:
/// the first request of a connection would otherwise wait 40 ms behind the end of the TLS handshake. And only watches may be silent for
/// long. It knows no proxy, like all of Sinfonia.
///
/// # Errors
/// The credentials cannot be used.
pub(super) fn client(config: &Config) -> Result<Client, kube::Error> {
    // Sockets that are silent are told by the connector; a request that never gets one, by nobody else.
    let asking = Timeout::new(
        http(config, ANSWER_TIMEOUT, Some(ANSWER_TIMEOUT))?,
        ANSWER_TIMEOUT,
    );
    let watching = Timeout::new(http(config, SILENCE_TIMEOUT, None)?, SILENCE_TIMEOUT);
    let either = Steer::new([asking, watching], |request: &Request<Body>, _: &[_]| {
        usize::from(is_watch(request))
    });
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .layer(RetryLayer::new(RetryPolicy::server_retry()))
        .option_layer(config.auth_layer()?)
        .layer(config.extra_headers_layer()?)
        // What fails is told by whoever asked.
        .layer(TraceLayer::new_for_http().on_failure(()))
        .map_err(tower::BoxError::from)
        .service(either);
    let builder = ClientBuilder::new(service, config.default_namespace.clone());
    #[cfg(feature = "fail-points")]
    let builder = builder.with_layer(&crate::fail_points::AroundRequests);
    Ok(builder.build())
}

fn http(config: &Config, read: Duration, write: Option<Duration>) -> Result<Http, kube::Error> {
    let mut connector = HttpConnector::new();
    connector.enforce_http(false);
    connector.set_nodelay(true);
    let connector = config.rustls_https_connector_with_connector(connector)?;
    let mut connector = TimeoutConnector::new(connector);
    connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
    connector.set_read_timeout(Some(read));
    connector.set_write_timeout(write);
    // An idle connection is read from too. What is asked on one has the whole time for its answer.
    connector.set_reset_reader_on_write(true);
    let mut client = legacy::Builder::new(TokioExecutor::new());
    // A request that meets the end of its connection can be lost in between, and waits for ever (hyper issue 4122). So none is sent on a
    // connection that its own read time-out is about to end.
    client.pool_timer(TokioTimer::new());
    client.pool_idle_timeout(read.mul_f64(IDLE_SHARE));
    Ok(client.build(connector))
}

fn is_watch(request: &Request<Body>) -> bool {
    let query = request.uri().query().unwrap_or_default();
    query.split('&').any(|parameter| parameter == "watch=true")
}

type Http = legacy::Client<TimeoutConnector<HttpsConnector<HttpConnector>>, Body>;

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::sync::mpsc;
    use tokio::time::sleep;

    use super::*;

    const READ: Duration = Duration::from_millis(500);

    #[tokio::test]
    async fn a_connection_that_is_about_to_be_ended_is_not_used_again() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let (connected, mut connections) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                connected.send(()).unwrap();
                tokio::spawn(answer_all(stream));
            }
        });
        let client = http(&Config::new(url.parse().unwrap()), READ, None).unwrap();
        let ask = async || {
            let request = Request::get(&url).body(Body::from(Vec::new())).unwrap();
            client.request(request).await.unwrap().status()
        };

        let answers = [ask().await, ask().await];
        let at_once = connections.len();
        sleep(READ.mul_f64((1.0 + IDLE_SHARE) / 2.0)).await;
        let later = ask().await;

        assert!(
            answers
                .iter()
                .chain([&later])
                .all(|status| status.is_success())
        );
        assert_eq!((at_once, connections.len()), (1, 2));
        connections.close();
    }

    async fn answer_all(mut stream: TcpStream) {
        let mut request = [0; 1024];
        while let Ok(1..) = stream.read(&mut request).await {
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
            stream.write_all(answer).await.unwrap();
        }
    }
}
