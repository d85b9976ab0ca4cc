//! The cloudlet file as Tier 1 follows it, together with the files of tokens and certificates that it names.
//!
//! All of it is taken or nothing: a change that cannot be used is told, the old cloudlets stay, and it is tried again at each look, in
//! case it was a token file that was not there yet.

mod named;

use std::io;
use std::path::{Path, PathBuf};
use std::str::Utf8Error;
use std::time::Duration;

use sinfonia_core::cloudlet_file::CloudletFile;
use sinfonia_core::diagnostic::Diagnostic;
use sinfonia_core::endpoint::Endpoint;
use sinfonia_core::metrics::Metrics;
use sinfonia_service::reload::{Follower, ReloadError, Reloaded, causes};

pub use self::named::NamedFileError;
use self::named::{NamedFiles, is_change};
use crate::registry::{FileCloudlet, Registry};
use crate::scrape::{Scraper, Target};

/// Why a cloudlet file cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum UnreadableCloudlets {
    /// It is not UTF-8.
    #[error("it is not UTF-8 text")]
    Encoding(#[from] Utf8Error),
    /// It does not describe cloudlets.
    #[error(transparent)]
    Content(#[from] Diagnostic),
}

/// Why the cloudlets of a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CloudletsError {
    /// The cloudlet file cannot be read or is malformed.
    #[error(transparent)]
    File(#[from] ReloadError<UnreadableCloudlets>),
    /// There is no cloudlet file.
    #[error(
        "there is no cloudlet file {}\nhint: name one with --cloudlets FILE, or leave the option out to know only cloudlets that report",
        .0.display()
    )]
    NoFile(PathBuf),
    /// A file that a cloudlet names cannot be used.
    #[error("{}: {field} of {endpoint}", file.display())]
    Named {
        /// The cloudlet file.
        file: PathBuf,
        /// The field that names the other file.
        field: &'static str,
        /// The cloudlet.
        endpoint: Endpoint,
        /// What is wrong with the other file.
        #[source]
        source: NamedFileError,
    },
}

/// Follows the changes of a cloudlet file and of the files that it names.
pub struct CloudletsFollower {
    path: PathBuf,
    insecure_http: bool,
    registry: Registry,
    scraper: Scraper,
    document: Reloaded<CloudletFile>,
    document_follower: FileFollower<CloudletFile, UnreadableCloudlets>,
    named: NamedFiles,
    /// Why what is there now is not in use, as last told; `None` while it is.
    refused: Option<String>,
}

type Parse<T, E> = fn(&[u8]) -> Result<T, E>;
type FileFollower<T, E> = Follower<T, Parse<T, E>>;

impl CloudletsFollower {
    /// Reads a cloudlet file, hands its cloudlets to the registry and what they say of metrics to the scraper, and gives what follows the
    /// changes.
    ///
    /// # Errors
    /// The file, or one that it names, cannot be read or is malformed, or a token would travel in clear.
    pub async fn open(
        path: &Path,
        insecure_http: bool,
        registry: Registry,
        scraper: Scraper,
    ) -> Result<Self, CloudletsError> {
        let parse: fn(&[u8]) -> _ = parse;
        let (document, document_follower) = match Reloaded::open(path, parse).await {
            Ok(opened) => opened,
            Err(ReloadError::Read { path, source }) if source.kind() == io::ErrorKind::NotFound => {
                return Err(CloudletsError::NoFile(path));
            }
            Err(error) => return Err(error.into()),
        };
        let mut follower = Self {
            path: path.to_owned(),
            insecure_http,
            registry,
            scraper,
            document,
            document_follower,
            named: NamedFiles::of(path, insecure_http),
            refused: None,
        };
        follower.apply().await?;
        Ok(follower)
    }

    /// Looks for changes every `interval`, for ever.
    pub async fn run(mut self, interval: Duration) {
        loop {
            tokio::time::sleep(interval).await;
            self.look().await;
        }
    }

    /// Looks for changes once. What is new and good is in the registry afterwards, what is bad in the log, once.
    pub async fn look(&mut self) {
        let mut changed = self.refused.is_some();
        changed |= is_change(self.document_follower.look().await);
        changed |= self.named.look().await;
        if !changed {
            return;
        }
        match self.apply().await {
            Ok(()) => self.refused = None,
            Err(error) => {
                let reason = format!("{error}: {}", causes(&error));
                if self.refused.as_ref() != Some(&reason) {
                    tell(&error);
                }
                self.refused = Some(reason);
            }
        }
    }

    /// Hands the document's cloudlets to the registry and the scraper, each with its token, or leaves all as it is.
    async fn apply(&mut self) -> Result<(), CloudletsError> {
        let document = self.document.load();
        let mut named = NamedFiles::of(&self.path, self.insecure_http);
        let mut cloudlets = Vec::with_capacity(document.entries.len());
        let mut targets = Vec::new();
        for entry in &document.entries {
            let info = entry.cloudlet.clone();
            let token_file = entry.token_file.as_deref();
            let token = named.token(token_file, &info.endpoint.url()).await;
            let token =
                token.map_err(|source| self.unusable("token_file", &info.endpoint, source))?;
            if let Some(metrics) = &entry.metrics {
                targets.push(self.target(&info.endpoint, metrics, &mut named).await?);
            }
            cloudlets.push(FileCloudlet { info, token });
        }
        let targets = self.scraper.prepare(targets);
        let targets = targets.map_err(|(endpoint, source)| {
            self.unusable("metrics.ca_file", &endpoint, source.into())
        })?;
        for warning in &document.warnings {
            tracing::warn!(path = %self.path.display(), %warning, "cloudlet file is odd");
        }
        tracing::info!(path = %self.path.display(), cloudlets = cloudlets.len(), "cloudlet file read");
        self.registry.replace_file(cloudlets);
        self.scraper.follow(targets).await;
        self.named = named;
        Ok(())
    }

    /// What is scraped of a cloudlet, with its token and certificates.
    async fn target(
        &self,
        endpoint: &Endpoint,
        metrics: &Metrics,
        named: &mut NamedFiles,
    ) -> Result<Target, CloudletsError> {
        let token_file = metrics.token_file.as_deref();
        let token = named.token(token_file, metrics.source.url()).await;
        let authority = named.authority(metrics.ca_file.as_deref()).await;
        Ok(Target {
            endpoint: endpoint.clone(),
            metrics: metrics.clone(),
            token: token.map_err(|source| self.unusable("metrics.token_file", endpoint, source))?,
            authority: authority
                .map_err(|source| self.unusable("metrics.ca_file", endpoint, source))?,
        })
    }

    fn unusable(
        &self,
        field: &'static str,
        endpoint: &Endpoint,
        source: NamedFileError,
    ) -> CloudletsError {
        CloudletsError::Named {
            file: self.path.clone(),
            field,
            endpoint: endpoint.clone(),
            source,
        }
    }
}

fn parse(bytes: &[u8]) -> Result<CloudletFile, UnreadableCloudlets> {
    Ok(CloudletFile::parse(std::str::from_utf8(bytes)?)?)
}

fn tell(error: &(impl std::error::Error + 'static)) {
    let cause = causes(error);
    tracing::warn!(%error, cause, "changed cloudlet file refused, the old cloudlets stay");
}

#[cfg(test)]
mod tests;
