//! A running control plane, as its administrator uses it.

mod apply;
mod kubeconfig;
mod namespace;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, Method};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sinfonia_core::diagnostic::Diagnostic;
use sinfonia_service::client::{self, ClientError, ClientSettings};

pub(crate) use self::kubeconfig::write_private;
pub(crate) use self::namespace::random_hex;
pub use self::namespace::{TestNamespace, unique_name};
use crate::runtime::wait_for;

/// The file, in its folder, that tells how to reach a cluster.
pub(crate) const STATE_FILE: &str = "cluster.json";
/// Files of the certificate authority, and of the API server's certificate and key (PEM), in a cluster's folder.
pub(crate) const CA_FILE: &str = "ca.pem";
pub(crate) const CERTIFICATE_FILE: &str = "api-server.pem";
pub(crate) const CERTIFICATE_KEY_FILE: &str = "api-server-key.pem";
const KUBECONFIG_FILE: &str = "admin.kubeconfig";
/// The name under which the test bed owns fields that it applies.
pub(crate) const FIELD_MANAGER: &str = "sinfonia-testbed";
/// Longest time for one request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// Time between two looks at something that is waited for.
const POLL: Duration = Duration::from_millis(50);

/// Why a cluster did not do what a test asked for.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// A file of the cluster cannot be read or written.
    #[error("cannot use {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The cluster's certificates cannot be used.
    #[error("cannot trust the API server")]
    Client(#[from] ClientError),
    /// The API server cannot be asked.
    #[error("cannot ask for {method} {path}")]
    Unreachable {
        /// The request's method.
        method: String,
        /// The request's path.
        path: String,
        /// What went wrong.
        #[source]
        source: reqwest::Error,
    },
    /// The API server said no.
    #[error("{method} {path} was answered with {status}: {message}")]
    Refused {
        /// The request's method.
        method: String,
        /// The request's path.
        path: String,
        /// The answer's HTTP status.
        status: u16,
        /// The API server's words.
        message: String,
    },
    /// A manifest is malformed.
    #[error("the manifest is malformed")]
    Manifest(#[source] Box<Diagnostic>),
    /// A manifest lacks something that each object has.
    #[error("an object of the manifest has no {0}")]
    Incomplete(&'static str),
    /// The API server does not know a kind.
    #[error("the API server knows no {kind} in {api_version}")]
    UnknownKind {
        /// The kind.
        kind: String,
        /// Its group and version.
        api_version: String,
    },
    /// Something did not happen in time.
    #[error("{what} did not happen within {} s", timeout.as_secs())]
    TimedOut {
        /// What was waited for.
        what: String,
        /// How long.
        timeout: Duration,
    },
    /// The test bed's own runtime does not run.
    #[error("cannot run the test bed's tasks")]
    Runtime(#[source] io::Error),
}

/// How to reach a cluster, as its state file says.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Access {
    pub(crate) url: String,
    pub(crate) etcd: String,
    pub(crate) token: String,
}

/// A running control plane, as its administrator uses it. Requests block the calling thread, also one of a tokio runtime.
#[derive(Debug, Clone)]
pub struct Cluster {
    folder: PathBuf,
    access: Access,
    client: Client,
}

impl Cluster {
    /// Opens the cluster whose files are in this folder.
    ///
    /// # Errors
    /// There is none, or its files are not what they should be.
    pub fn open(folder: &Path) -> Result<Self, ClusterError> {
        let path = folder.join(STATE_FILE);
        let failed = |source| ClusterError::File {
            path: path.clone(),
            source,
        };
        let text = fs::read(&path).map_err(failed)?;
        let access = serde_json::from_slice(&text).map_err(|error| failed(error.into()))?;
        Self::new(folder, access)
    }

    pub(crate) fn new(folder: &Path, access: Access) -> Result<Self, ClusterError> {
        let client = client::build(&ClientSettings {
            ca_file: Some(folder.join(CA_FILE)),
            ..ClientSettings::new("sinfonia-testbed")
        })?;
        Ok(Self {
            folder: folder.to_owned(),
            access,
            client,
        })
    }

    /// Where the API server is, without trailing slash.
    pub fn url(&self) -> &str {
        &self.access.url
    }

    /// The folder of its logs, certificates and kubeconfig.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The certificate authority that signed the API server's certificate (PEM).
    pub fn ca_file(&self) -> PathBuf {
        self.folder.join(CA_FILE)
    }

    /// The token that its requests bear, the administrator's by default.
    pub fn token(&self) -> &str {
        &self.access.token
    }

    /// The same cluster, asked at another URL, such as a fault proxy's.
    #[must_use]
    pub fn at(&self, url: &str) -> Self {
        let mut other = self.clone();
        url.clone_into(&mut other.access.url);
        other
    }

    /// The same cluster, asked by the bearer of another token, such as a ServiceAccount's.
    #[must_use]
    pub fn bearing(&self, token: &str) -> Self {
        let mut other = self.clone();
        token.clone_into(&mut other.access.token);
        other
    }

    pub(crate) fn access(&self) -> &Access {
        &self.access
    }

    /// Sends a request as the administrator. A text that is not JSON becomes a JSON string.
    ///
    /// # Errors
    /// The API server cannot be asked. What it answers is no error, whatever the status.
    pub fn request(
        &self,
        method: &str,
        path: &str,
        content_type: &str,
        body: impl Into<Vec<u8>>,
    ) -> Result<(u16, Value), ClusterError> {
        let unreachable = |source| ClusterError::Unreachable {
            method: method.to_owned(),
            path: path.to_owned(),
            source,
        };
        // An unknown method is answered by the API server.
        let verb = Method::from_bytes(method.as_bytes()).unwrap_or_default();
        let request = self
            .client
            .request(verb, format!("{}{path}", self.access.url))
            .bearer_auth(&self.access.token)
            .header(CONTENT_TYPE, content_type)
            .timeout(REQUEST_TIMEOUT)
            .body(body.into());
        let answer = async move {
            let response = request.send().await?;
            let status = response.status().as_u16();
            Ok((status, response.bytes().await?))
        };
        let (status, body) = wait_for(answer)
            .map_err(ClusterError::Runtime)?
            .map_err(unreachable)?;
        let body = serde_json::from_slice(&body)
            .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&body).into_owned()));
        Ok((status, body))
    }

    /// Reads an object or a list.
    ///
    /// # Errors
    /// The API server cannot be asked, or refuses.
    pub fn get_json(&self, path: &str) -> Result<Value, ClusterError> {
        self.accepted("GET", path, "", &Value::Null)
    }

    /// Reads an object if it exists.
    ///
    /// # Errors
    /// The API server cannot be asked, or refuses for another reason.
    pub fn find(&self, path: &str) -> Result<Option<Value>, ClusterError> {
        match self.get_json(path) {
            Ok(found) => Ok(Some(found)),
            Err(ClusterError::Refused { status: 404, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Creates an object in this collection.
    ///
    /// # Errors
    /// The API server cannot be asked, or refuses.
    pub fn create(&self, path: &str, object: &Value) -> Result<Value, ClusterError> {
        self.accepted("POST", path, "application/json", object)
    }

    /// Changes an object by a merge patch.
    ///
    /// # Errors
    /// The API server cannot be asked, or refuses.
    pub fn patch(&self, path: &str, patch: &Value) -> Result<Value, ClusterError> {
        self.accepted("PATCH", path, "application/merge-patch+json", patch)
    }

    /// Asks for an object's deletion; one that does not exist is fine.
    ///
    /// # Errors
    /// The API server cannot be asked, or refuses.
    pub fn delete(&self, path: &str) -> Result<(), ClusterError> {
        match self.accepted("DELETE", path, "application/json", &Value::Null) {
            Ok(_) | Err(ClusterError::Refused { status: 404, .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Waits until what is at this path, or that nothing is, is as wanted, and returns it.
    ///
    /// # Errors
    /// That takes longer than `timeout`. Requests that fail meanwhile are repeated.
    pub fn wait_for(
        &self,
        path: &str,
        timeout: Duration,
        mut wanted: impl FnMut(Option<&Value>) -> bool,
    ) -> Result<Option<Value>, ClusterError> {
        let begun = Instant::now();
        loop {
            if let Ok(found) = self.find(path)
                && wanted(found.as_ref())
            {
                return Ok(found);
            }
            if begun.elapsed() > timeout {
                let what = format!("what is wanted of {path}");
                return Err(ClusterError::TimedOut { what, timeout });
            }
            thread::sleep(POLL);
        }
    }

    /// Waits until nothing is at this path any more.
    ///
    /// # Errors
    /// That takes longer than `timeout`.
    pub fn wait_until_gone(&self, path: &str, timeout: Duration) -> Result<(), ClusterError> {
        self.wait_for(path, timeout, |found| found.is_none())
            .map(drop)
    }

    fn accepted(
        &self,
        method: &str,
        path: &str,
        content_type: &str,
        body: &Value,
    ) -> Result<Value, ClusterError> {
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let (status, answer) = self.request(method, path, content_type, body)?;
        if (200..300).contains(&status) {
            return Ok(answer);
        }
        let message = answer["message"].as_str().or(answer.as_str());
        Err(ClusterError::Refused {
            method: method.to_owned(),
            path: path.to_owned(),
            status,
            message: message.unwrap_or_default().to_owned(),
        })
    }
}
