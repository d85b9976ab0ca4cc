//! A proxy between a client and the API server that loses, delays and falsifies what a test says.

mod call;
mod rule;
mod serve;

use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem};
use sinfonia_service::client::{self, ClientError, ClientSettings};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

pub use self::call::ApiCall;
pub use self::rule::{Answer, Fault, Rule};
use crate::Cluster;
use crate::cluster::{CERTIFICATE_FILE, CERTIFICATE_KEY_FILE};
use crate::runtime::{runtime, wait_for};

/// Time between two looks at something that is waited for.
const POLL: Duration = Duration::from_millis(10);

/// Why a fault proxy does not run.
#[derive(Debug, thiserror::Error)]
pub enum FaultProxyError {
    /// No port is left, or the test bed's own tasks do not run.
    #[error("cannot listen")]
    Listen(#[source] io::Error),
    /// The API server's certificate or key cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: pem::Error,
    },
    /// TLS cannot be set up.
    #[error("cannot set up TLS")]
    Tls(#[from] rustls::Error),
    /// The API server cannot be asked.
    #[error(transparent)]
    Client(#[from] ClientError),
}

/// A proxy before an API server, with the server's own certificate: a kubeconfig needs only another URL
/// ([`Cluster::kubeconfig_as_through`]). It passes everything on, as it comes, except where a [`Rule`] says otherwise, and remembers every
/// call. It stops, and cuts all connections, when it is dropped.
///
/// It speaks https, because helm sends no token over plain http, and HTTP/1.1, so that a cut connection ends one request.
#[derive(Debug)]
pub struct FaultProxy {
    url: String,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    upstream: reqwest::Client,
    base: String,
    rules: Mutex<Vec<Rule>>,
    calls: Mutex<Vec<ApiCall>>,
    /// Every change cuts all connections.
    cuts: watch::Sender<u64>,
}

impl FaultProxy {
    /// Starts a proxy before this cluster's API server, on a port of its own.
    ///
    /// # Errors
    /// No port is left, or the cluster's certificates cannot be used.
    pub fn start(cluster: &Cluster) -> Result<Self, FaultProxyError> {
        let acceptor = TlsAcceptor::from(Arc::new(tls(cluster)?));
        let upstream = client::build(&ClientSettings {
            ca_file: Some(cluster.ca_file()),
            ..ClientSettings::new("sinfonia-testbed")
        })?;
        let listener = wait_for(TcpListener::bind("127.0.0.1:0"))
            .and_then(|listener| listener)
            .map_err(FaultProxyError::Listen)?;
        let address = listener.local_addr().map_err(FaultProxyError::Listen)?;
        let shared = Arc::new(Shared {
            upstream,
            base: cluster.url().to_owned(),
            rules: Mutex::default(),
            calls: Mutex::default(),
            cuts: watch::channel(0).0,
        });
        let accepting = runtime()
            .map_err(FaultProxyError::Listen)?
            .spawn(serve::accept(listener, acceptor, Arc::clone(&shared)));
        Ok(Self {
            url: format!("https://{address}"),
            shared,
            accepting,
        })
    }

    /// Where it listens, without trailing slash.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Adds a rule. Of several that match a call, the one that was added first decides.
    pub fn inject(&self, rule: Rule) {
        lock(&self.shared.rules).push(rule);
    }

    /// Forgets all rules: from now on everything passes. Calls that hang or wait go on doing so.
    pub fn clear(&self) {
        lock(&self.shared.rules).clear();
    }

    /// Cuts all connections, watches and hanging calls included. New ones are accepted.
    pub fn cut_connections(&self) {
        self.shared.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// All calls since the start, or since they were forgotten, in the order of their arrival.
    pub fn calls(&self) -> Vec<ApiCall> {
        lock(&self.shared.calls).clone()
    }

    /// How many calls with this verb went to this resource; see [`ApiCall`] for how they are called.
    pub fn count(&self, verb: &str, resource: &str) -> usize {
        lock(&self.shared.calls)
            .iter()
            .filter(|call| call.is(verb, resource))
            .count()
    }

    /// Forgets all calls.
    pub fn forget_calls(&self) {
        lock(&self.shared.calls).clear();
    }

    /// Waits until a call with this verb has come for this resource. Tells whether it came in time.
    pub fn wait_for_call(&self, verb: &str, resource: &str, timeout: Duration) -> bool {
        let begun = Instant::now();
        while self.count(verb, resource) == 0 {
            if begun.elapsed() > timeout {
                return false;
            }
            thread::sleep(POLL);
        }
        true
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.cut_connections();
    }
}

impl Shared {
    /// Remembers a call and tells what happens to it.
    fn decide(&self, call: ApiCall) -> Option<rule::Verdict> {
        let verdict = lock(&self.rules)
            .iter_mut()
            .find_map(|rule| rule.apply_to(&call));
        lock(&self.calls).push(call);
        verdict
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn tls(cluster: &Cluster) -> Result<rustls::ServerConfig, FaultProxyError> {
    let read = |path: PathBuf| match fs::read(&path) {
        Ok(text) => Ok((path, text)),
        Err(error) => Err(FaultProxyError::Read {
            path,
            source: pem::Error::Io(error),
        }),
    };
    let (path, text) = read(cluster.folder().join(CERTIFICATE_FILE))?;
    let certificate = CertificateDer::from_pem_slice(&text)
        .map_err(|source| FaultProxyError::Read { path, source })?;
    let (path, text) = read(cluster.folder().join(CERTIFICATE_KEY_FILE))?;
    let key = PrivateKeyDer::from_pem_slice(&text)
        .map_err(|source| FaultProxyError::Read { path, source })?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}
