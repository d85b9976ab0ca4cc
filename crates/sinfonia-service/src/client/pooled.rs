//! A client for what is asked thousands of times a second: hyper and its pool of connections, without what a request costs more by way of
//! `reqwest`, which reads each URL anew for redirects that are not followed, and copies each request for retries that others see to.

use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, USER_AGENT};
use http::request::Builder;
use http::{HeaderValue, Response};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_timeout::TimeoutConnector;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{self, Client};
use hyper_util::rt::{TokioExecutor, TokioTimer};

use super::{ClientError, ClientSettings, tls};
use crate::outbound_guard::Resolver;

/// Time between two signs of life on a connection that is silent.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// Time for which the other end may take nothing of what it is sent.
#[cfg(target_os = "linux")]
const STALL: Duration = Duration::from_secs(30);

type Connector = TimeoutConnector<HttpsConnector<HttpConnector<Resolver>>>;

/// A client that sends requests without a body, over HTTP/1.1 or what TLS settles on. It follows no redirect, takes no proxy from the
/// environment, and trusts whom [`super::build`] trusts.
#[derive(Debug, Clone)]
pub struct PooledClient {
    client: Client<Connector, Empty<Bytes>>,
    user_agent: HeaderValue,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// The request cannot be written.
    #[error("the request cannot be written")]
    Malformed(#[source] http::Error),
    /// No connection came about, so nothing was asked.
    #[error("no connection came about")]
    Connect(#[source] legacy::Error),
    /// The connection broke, before or after the request was received.
    #[error("the connection broke")]
    Broken(#[source] legacy::Error),
}

impl PooledClient {
    /// A client with these settings.
    ///
    /// # Errors
    /// The certificates given cannot be read or trusted, or the user agent is no value of a header.
    pub fn new(settings: &ClientSettings) -> Result<Self, ClientError> {
        let user_agent = HeaderValue::from_str(&settings.user_agent);
        Ok(Self {
            client: Client::builder(TokioExecutor::new())
                .pool_timer(TokioTimer::new())
                .pool_idle_timeout(settings.idle)
                .build(connector(settings)?),
            user_agent: user_agent.map_err(|_| ClientError::UserAgent)?,
        })
    }

    /// Asks, and gives back the answer as soon as its head is there.
    ///
    /// # Errors
    /// There is no answer.
    pub async fn ask(&self, request: Builder) -> Result<Response<Incoming>, AskError> {
        let request = request
            .header(ACCEPT, HeaderValue::from_static("*/*"))
            .header(USER_AGENT, self.user_agent.clone())
            .body(Empty::new())
            .map_err(AskError::Malformed)?;
        self.client.request(request).await.map_err(|error| {
            if error.is_connect() {
                AskError::Connect(error)
            } else {
                AskError::Broken(error)
            }
        })
    }
}

fn connector(settings: &ClientSettings) -> Result<Connector, ClientError> {
    let mut http = HttpConnector::new_with_resolver(Resolver::new(settings.guard.clone()));
    http.enforce_http(false);
    http.set_nodelay(true);
    // The addresses of a name share it, so that one that is silent leaves time for the others.
    http.set_connect_timeout(Some(settings.connect_timeout));
    http.set_keepalive(Some(KEEP_ALIVE));
    #[cfg(target_os = "linux")]
    http.set_tcp_user_timeout(Some(STALL));
    let mut tls = tls(settings.ca_file.as_deref())?;
    // The builder says itself what is spoken.
    tls.alpn_protocols.clear();
    let https = HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_or_http()
        .enable_all_versions()
        .wrap_connector(http);
    // What is above, name server and TLS.
    let mut connector = TimeoutConnector::new(https);
    connector.set_connect_timeout(Some(settings.connect_timeout));
    Ok(connector)
}
