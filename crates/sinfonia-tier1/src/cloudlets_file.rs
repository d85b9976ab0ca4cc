//! The cloudlet file as Tier 1 follows it, together with the token files that it names.
//!
//! All of it is taken or nothing: a change that cannot be used is told, the old cloudlets stay, and it is tried again at each look, in
//! case it was a token file that was not there yet.

use std::io;
use std::path::{Path, PathBuf};
use std::str::Utf8Error;
use std::sync::Arc;
use std::time::Duration;

use sinfonia_core::cloudlet_file::{CloudletFile, CloudletFileError, FileEntry};
use sinfonia_core::endpoint::Endpoint;
use sinfonia_service::client::may_carry_token;
use sinfonia_service::reload::{Follower, Look, ReloadError, Reloaded, causes};
use sinfonia_service::tokens::{OwnToken, TokenFileError};

use crate::registry::{FileCloudlet, Registry};

/// Why a cloudlet file cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum UnreadableCloudlets {
    /// It is not UTF-8.
    #[error("it is not UTF-8 text")]
    Encoding(#[from] Utf8Error),
    /// It does not describe cloudlets.
    #[error(transparent)]
    Content(#[from] CloudletFileError),
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
    /// A cloudlet's token file cannot be read or is malformed.
    #[error("{}: token_file of {endpoint}", file.display())]
    Token {
        /// The cloudlet file.
        file: PathBuf,
        /// The cloudlet.
        endpoint: Endpoint,
        /// What is wrong with the token file.
        #[source]
        source: ReloadError<TokenFileError>,
    },
    /// A cloudlet's token would travel in clear.
    #[error(
        "{}: token_file of {endpoint}: a token travels over https only; write an https endpoint, or accept plain http with --insecure-http",
        file.display()
    )]
    InsecureToken {
        /// The cloudlet file.
        file: PathBuf,
        /// The cloudlet.
        endpoint: Endpoint,
    },
}

/// Follows the changes of a cloudlet file and its token files.
pub struct CloudletsFollower {
    path: PathBuf,
    insecure_http: bool,
    registry: Registry,
    document: Reloaded<CloudletFile>,
    document_follower: DocumentFollower,
    tokens: Vec<TokenFollower>,
    /// Why what is there now is not in use, as last told; `None` while it is.
    refused: Option<String>,
}

type Parse<T, E> = fn(&[u8]) -> Result<T, E>;
type DocumentFollower = Follower<CloudletFile, Parse<CloudletFile, UnreadableCloudlets>>;
type TokenFollower = Follower<OwnToken, Parse<OwnToken, TokenFileError>>;

impl CloudletsFollower {
    /// Reads a cloudlet file, hands its cloudlets to the registry, and gives what follows the changes.
    ///
    /// # Errors
    /// The file, or a token file that it names, cannot be read or is malformed, or a token would travel in clear.
    pub async fn open(
        path: &Path,
        insecure_http: bool,
        registry: Registry,
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
            document,
            document_follower,
            tokens: Vec::new(),
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
        match self.document_follower.look().await {
            Look::Unchanged => {}
            Look::Changed(_) => changed = true,
            Look::Refused(error) => tell(&error),
        }
        for token in &mut self.tokens {
            match token.look().await {
                Look::Unchanged => {}
                Look::Changed(_) => changed = true,
                Look::Refused(error) => tell(&error),
            }
        }
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

    /// Hands the document's cloudlets to the registry, each with its token, or leaves all as it is.
    async fn apply(&mut self) -> Result<(), CloudletsError> {
        let document = self.document.load();
        let mut cloudlets = Vec::with_capacity(document.entries.len());
        let mut tokens = Vec::new();
        for entry in &document.entries {
            let token = match &entry.token_file {
                None => None,
                Some(file) => {
                    let (token, follower) = self.open_token(entry, file).await?;
                    tokens.push(follower);
                    Some(OwnToken::clone(&token))
                }
            };
            let info = entry.cloudlet.clone();
            cloudlets.push(FileCloudlet { info, token });
        }
        for warning in &document.warnings {
            tracing::warn!(path = %self.path.display(), warning, "cloudlet file is odd");
        }
        tracing::info!(path = %self.path.display(), cloudlets = cloudlets.len(), "cloudlet file read");
        self.registry.replace_file(cloudlets);
        self.tokens = tokens;
        Ok(())
    }

    async fn open_token(
        &self,
        entry: &FileEntry,
        token_file: &Path,
    ) -> Result<(Arc<OwnToken>, TokenFollower), CloudletsError> {
        let file = self.path.clone();
        let endpoint = entry.cloudlet.endpoint.clone();
        if !may_carry_token(&endpoint.url(), self.insecure_http) {
            return Err(CloudletsError::InsecureToken { file, endpoint });
        }
        let folder = self.path.parent().unwrap_or(Path::new(""));
        let parse: fn(&[u8]) -> _ = OwnToken::parse_bytes;
        match Reloaded::open(&folder.join(token_file), parse).await {
            Ok((token, follower)) => Ok((token.load(), follower)),
            Err(source) => Err(CloudletsError::Token {
                file,
                endpoint,
                source,
            }),
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
