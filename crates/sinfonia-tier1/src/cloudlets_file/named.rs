//! The files that a cloudlet file names: tokens and certificates.

use std::convert::Infallible;
use std::error::Error;
use std::path::{Path, PathBuf};

use sinfonia_service::client::{ClientError, may_carry_token};
use sinfonia_service::reload::{Look, ReloadError, Reloaded};
use sinfonia_service::tokens::{OwnToken, TokenFileError};
use url::Url;

use super::{FileFollower, tell};
use crate::scrape::Authority;

/// Why a file that the cloudlet file names cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum NamedFileError {
    /// A token file cannot be read or is malformed.
    #[error(transparent)]
    Token(#[from] ReloadError<TokenFileError>),
    /// A token would travel in clear.
    #[error(
        "a token travels over https only; write an https URL, or accept plain http with --insecure-http"
    )]
    InsecureToken,
    /// A file of certificates cannot be read.
    #[error(transparent)]
    CaFile(#[from] ReloadError<Infallible>),
    /// A file of certificates holds something else.
    #[error(transparent)]
    Certificates(#[from] Box<ClientError>),
}

/// The files that were read, to be followed.
pub(super) struct NamedFiles {
    folder: PathBuf,
    insecure_http: bool,
    tokens: Vec<FileFollower<OwnToken, TokenFileError>>,
    authorities: Vec<FileFollower<Vec<u8>, Infallible>>,
}

impl NamedFiles {
    /// None yet, of a cloudlet file at this path.
    pub(super) fn of(cloudlet_file: &Path, insecure_http: bool) -> Self {
        let folder = cloudlet_file.parent().unwrap_or(Path::new(""));
        Self {
            folder: folder.to_owned(),
            insecure_http,
            tokens: Vec::new(),
            authorities: Vec::new(),
        }
    }

    /// Looks at each file, and tells whether one has changed for good.
    pub(super) async fn look(&mut self) -> bool {
        let mut changed = false;
        for token in &mut self.tokens {
            changed |= is_change(token.look().await);
        }
        for authority in &mut self.authorities {
            changed |= is_change(authority.look().await);
        }
        changed
    }

    /// Reads the token that is shown at this URL, if a file is named.
    pub(super) async fn token(
        &mut self,
        file: Option<&Path>,
        url: &Url,
    ) -> Result<Option<OwnToken>, NamedFileError> {
        let Some(file) = file else { return Ok(None) };
        if !may_carry_token(url, self.insecure_http) {
            return Err(NamedFileError::InsecureToken);
        }
        let parse: fn(&[u8]) -> _ = OwnToken::parse_bytes;
        let (token, follower) = Reloaded::open(&self.folder.join(file), parse).await?;
        self.tokens.push(follower);
        Ok(Some(OwnToken::clone(&token.load())))
    }

    /// Reads a file of certificates, if one is named. Whether it holds any shows when they are used.
    pub(super) async fn authority(
        &mut self,
        file: Option<&Path>,
    ) -> Result<Option<Authority>, NamedFileError> {
        let Some(file) = file else { return Ok(None) };
        let path = self.folder.join(file);
        let parse: fn(&[u8]) -> _ = |bytes| Ok(bytes.to_owned());
        let (content, follower) = Reloaded::open(&path, parse).await?;
        self.authorities.push(follower);
        let content = content.load();
        Ok(Some(Authority { path, content }))
    }
}

/// Whether there is something new; what is refused is told.
pub(super) fn is_change<T, E: Error + 'static>(look: Look<T, E>) -> bool {
    match look {
        Look::Unchanged => false,
        Look::Changed(_) => true,
        Look::Refused(error) => {
            tell(&error);
            false
        }
    }
}
