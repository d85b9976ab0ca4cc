//! Why Tier 1 gave no answer that helps.

use std::error::Error;
use std::io;
use std::time::Duration;

use http::StatusCode;
use rustls::CertificateError;
use sinfonia_service::client::ReadError;

use crate::printable::Printable;
use crate::problem::Refusal;
use crate::tier1_url::Tier1Url;

/// Why a call to Tier 1 came to nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AskError {
    /// Nobody answers, or not over HTTP.
    #[error("cannot reach Tier 1 at {url}: {reason}")]
    Unreachable {
        /// Where it should be.
        url: Tier1Url,
        /// What kind of trouble it is.
        trouble: Trouble,
        /// What the system said.
        reason: Printable,
    },
    /// No answer in time.
    #[error("Tier 1 at {url} gave no answer within {} s", within.as_secs())]
    TimedOut {
        /// Where it is.
        url: Tier1Url,
        /// How long it had.
        within: Duration,
    },
    /// The answer leads to another place, scheme or host.
    #[error("Tier 1 has moved from {url} to {to}")]
    Redirected {
        /// Who was asked.
        url: Tier1Url,
        /// Where it is now.
        to: Tier1Url,
    },
    /// Somebody answers, but not as a Tier 1 does.
    #[error("{url} answers, but not as a Tier 1 does: {said}")]
    Stranger {
        /// Who was asked.
        url: Tier1Url,
        /// The answer's status.
        status: StatusCode,
        /// What it said.
        said: String,
    },
    /// Tier 1 refuses, or failed.
    #[error("{0}")]
    Refused(Box<Refusal>),
    /// Tier 1 grants the request with an answer that cannot be used.
    #[error("the answer of Tier 1 cannot be used: {0}")]
    Malformed(Printable),
}

/// What stands between this device and Tier 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// No connection comes about.
    NoConnection,
    /// The other side does not speak TLS.
    NoTls,
    /// Nobody whom this device trusts has signed the other side's certificate.
    Authority,
    /// The other side's certificate does not hold for another reason: it is for another host, or out of date.
    Certificate,
    /// The connection breaks, or something else than HTTP comes.
    Broken,
}

impl AskError {
    pub(super) fn unanswered(url: &Tier1Url, within: Duration, error: &reqwest::Error) -> Self {
        let url = url.clone();
        if error.is_timeout() && !error.is_connect() {
            return Self::TimedOut { url, within };
        }
        Self::Unreachable {
            url,
            trouble: trouble(error),
            reason: Printable::new(&root_cause(error).to_string()),
        }
    }

    pub(super) fn unread(url: &Tier1Url, within: Duration, error: ReadError) -> Self {
        match error {
            ReadError::TooLong(_) => Self::Malformed(Printable::new(&error.to_string())),
            ReadError::Broken(error) => Self::unanswered(url, within, &error),
        }
    }

    /// The status of an answer that was none of the kind hoped for.
    pub(crate) const fn status(&self) -> Option<StatusCode> {
        match self {
            Self::Stranger { status, .. } => Some(*status),
            Self::Refused(refusal) => Some(refusal.status),
            _ => None,
        }
    }
}

fn trouble(error: &reqwest::Error) -> Trouble {
    match tls_error(error) {
        Some(rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer)) => {
            Trouble::Authority
        }
        Some(rustls::Error::InvalidCertificate(_)) => Trouble::Certificate,
        Some(_) => Trouble::NoTls,
        None if error.is_connect() => Trouble::NoConnection,
        None => Trouble::Broken,
    }
}

fn tls_error(error: &reqwest::Error) -> Option<&rustls::Error> {
    causes(error).find_map(|cause| cause.downcast_ref())
}

fn root_cause<'a>(error: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    causes(error).last().unwrap_or(error)
}

fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| cause(*error))
}

/// The next cause; an I/O error does not name what it wraps as its source.
fn cause<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    match error
        .downcast_ref::<io::Error>()
        .and_then(io::Error::get_ref)
    {
        Some(wrapped) => Some(wrapped),
        None => error.source(),
    }
}
