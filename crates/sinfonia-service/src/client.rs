//! Asking other services over HTTP: no redirects, no proxy from the environment, bounded answers, tokens where they are safe.

#[cfg(feature = "server")]
pub mod pooled;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body::Body;
use http_body_util::BodyExt;
use reqwest::redirect::Policy;
use reqwest::{Client, Response};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{self, PemObject};
use rustls::{ClientConfig, RootCertStore};
use url::{Host, Url};

use crate::outbound_guard::OutboundGuard;

/// Most bytes of an answer that are read by default.
pub const ANSWER_BYTES: usize = 64 * 1024;

/// Time to reach another service by default.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Time that an idle connection is kept by default: less than our servers keep theirs, so that none is used just as it is closed.
const POOL_IDLE: Duration = Duration::from_secs(20);

/// What a client of other services is made of.
#[derive(Debug, Clone)]
pub struct ClientSettings {
    /// The program and its version, such as `sinfonia-tier1/0.1.0`.
    pub user_agent: String,
    /// Time to reach a service.
    pub connect_timeout: Duration,
    /// Time that an idle connection is kept for the next request.
    pub idle: Duration,
    /// Certificates (PEM) to trust beside the system's.
    pub ca_file: Option<PathBuf>,
    /// What refuses host names that lead inside; see [`OutboundGuard`] for hosts that are addresses.
    pub guard: Option<OutboundGuard>,
}

/// Why a client cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The file of certificates cannot be read.
    #[error("cannot read the certificates in {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The file of certificates is malformed.
    #[error("{} holds something else than certificates (PEM)", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: pem::Error,
    },
    /// A certificate is malformed.
    #[error("{} holds a certificate that cannot be trusted", path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: rustls::Error,
    },
    /// The file holds no certificate.
    #[error("{} holds no certificate (PEM)", path.display())]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// The name of the program is no value of a header.
    #[error("the name of the program cannot be sent")]
    UserAgent,
    /// TLS cannot be set up.
    #[error("cannot set up TLS")]
    Tls(#[source] rustls::Error),
    /// The client cannot be made.
    #[error("cannot set up the HTTP client")]
    Client(#[source] reqwest::Error),
}

/// Why an answer cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError<E = reqwest::Error>
where
    E: std::error::Error + 'static,
{
    /// It is too long.
    #[error("the answer is longer than {0} bytes")]
    TooLong(usize),
    /// It broke off.
    #[error("the answer broke off")]
    Broken(#[source] E),
}

impl ClientSettings {
    /// The usual settings of a program, such as `sinfonia-tier1`.
    pub fn new(program: &str) -> Self {
        Self {
            user_agent: format!("{program}/{}", env!("CARGO_PKG_VERSION")),
            connect_timeout: CONNECT_TIMEOUT,
            idle: POOL_IDLE,
            ca_file: None,
            guard: None,
        }
    }
}

/// Makes a client that follows no redirect, takes no proxy from the environment, and trusts the system's certificates and those given.
///
/// # Errors
/// The certificates given cannot be read or trusted.
pub fn build(settings: &ClientSettings) -> Result<Client, ClientError> {
    let mut builder = Client::builder()
        .user_agent(&settings.user_agent)
        .redirect(Policy::none())
        .no_proxy()
        .referer(false)
        .connect_timeout(settings.connect_timeout)
        .pool_idle_timeout(settings.idle)
        .tcp_nodelay(true)
        .tls_backend_preconfigured(tls(settings.ca_file.as_deref())?);
    if let Some(guard) = &settings.guard {
        builder = builder.dns_resolver(guard.clone());
    }
    builder.build().map_err(ClientError::Client)
}

/// Reads an answer's body, and stops as soon as it has more than `most` bytes.
///
/// # Errors
/// The body is longer, or it breaks off.
pub async fn read_bounded(response: Response, most: usize) -> Result<Bytes, ReadError> {
    let response = http::Response::<reqwest::Body>::from(response);
    read_body(response.into_body(), most).await
}

/// Reads a body, and stops as soon as it has, or announces, more than `most` bytes.
///
/// # Errors
/// The body is longer, or it breaks off.
pub async fn read_body<B>(mut body: B, most: usize) -> Result<Bytes, ReadError<B::Error>>
where
    B: Body<Data = Bytes, Error: std::error::Error + 'static> + Unpin,
{
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if announced > most {
        return Err(ReadError::TooLong(most));
    }
    let mut read = BytesMut::with_capacity(announced);
    while let Some(frame) = body.frame().await {
        let Ok(chunk) = frame.map_err(ReadError::Broken)?.into_data() else {
            continue;
        };
        if read.len() + chunk.len() > most {
            return Err(ReadError::TooLong(most));
        }
        read.extend_from_slice(&chunk);
    }
    Ok(read.freeze())
}

/// Whether a token may travel to this URL: over https, to this machine itself, or anywhere where plain http is accepted.
pub fn may_carry_token(url: &Url, insecure_http: bool) -> bool {
    match url.scheme() {
        "https" => true,
        "http" => insecure_http || is_this_machine(url),
        _ => false,
    }
}

/// Whether a URL leads to this machine itself, as far as it says so: `localhost` or a loopback address.
pub fn is_this_machine(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name.trim_end_matches('.') == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.to_canonical().is_loopback(),
        None => false,
    }
}

fn tls(ca_file: Option<&Path>) -> Result<ClientConfig, ClientError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(ClientError::Tls)?
        .with_root_certificates(roots(ca_file)?)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// The system's certificates and those of the file. A system without any can still use plain http.
fn roots(ca_file: Option<&Path>) -> Result<RootCertStore, ClientError> {
    let mut roots = RootCertStore::empty();
    let system = rustls_native_certs::load_native_certs();
    for error in &system.errors {
        tracing::debug!(%error, "certificates of the system cannot be read");
    }
    roots.add_parsable_certificates(system.certs);
    if let Some(path) = ca_file {
        add_file(&mut roots, path)?;
    }
    if roots.is_empty() {
        tracing::info!(
            "the system has no certificates to trust, https will fail; install ca-certificates or give --ca-file"
        );
    }
    Ok(roots)
}

fn add_file(roots: &mut RootCertStore, path: &Path) -> Result<(), ClientError> {
    let path = path.to_owned();
    let text = match std::fs::read(&path) {
        Ok(text) => text,
        Err(source) => return Err(ClientError::Read { path, source }),
    };
    let before = roots.len();
    for certificate in CertificateDer::pem_slice_iter(&text) {
        let certificate = match certificate {
            Ok(certificate) => certificate,
            Err(source) => return Err(ClientError::Pem { path, source }),
        };
        if let Err(source) = roots.add(certificate) {
            return Err(ClientError::Certificate { path, source });
        }
    }
    if roots.len() == before {
        return Err(ClientError::NoCertificate { path });
    }
    Ok(())
}
