//! The operator's policy as a file holds it.

use std::str::Utf8Error;

use sinfonia_core::diagnostic::Diagnostic;
use sinfonia_core::policy::Policy;

/// Why a policy file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum UnreadablePolicy {
    /// It is not UTF-8.
    #[error("it is not UTF-8 text")]
    Encoding(#[from] Utf8Error),
    /// It is no policy.
    #[error(transparent)]
    Content(#[from] Diagnostic),
}

/// Reads a policy.
///
/// # Errors
/// The bytes are no text, or no policy.
pub(crate) fn parse(bytes: &[u8]) -> Result<Policy, UnreadablePolicy> {
    Ok(Policy::parse(std::str::from_utf8(bytes)?)?)
}
