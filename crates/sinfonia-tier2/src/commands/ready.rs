//! `sinfonia-tier2 ready`.

use std::collections::BTreeMap;
use std::fmt::Write;

use http::StatusCode;
use serde::Deserialize;
use sinfonia_service::client::{ANSWER_BYTES, ClientError, ClientSettings, build, read_bounded};
use url::Url;

use crate::settings::{ReadyArgs, Settings};

/// Name of the program, as those that it asks see it.
const PROGRAM: &str = "sinfonia-tier2";
/// Characters of an answer by somebody else that are shown.
const LONGEST_ANSWER: usize = 300;

/// Why Tier 2 does not count as ready.
#[derive(Debug, thiserror::Error)]
pub enum ReadyError {
    /// The HTTP client cannot be made.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// Nobody answers, or not in time.
    #[error("{url} does not answer")]
    Silent {
        /// What was asked.
        url: Url,
        /// What happened.
        #[source]
        source: reqwest::Error,
    },
    /// Something is missing.
    #[error("{url} is not ready: {status}{missing}")]
    NotReady {
        /// What was asked.
        url: Url,
        /// What it answered.
        status: StatusCode,
        /// What is missing, a line each.
        missing: String,
    },
}

/// What `/readyz` answers.
#[derive(Debug, Deserialize)]
struct Report {
    missing: BTreeMap<String, String>,
}

impl ReadyError {
    /// What the user can do about it.
    pub(super) const fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Client(_) => None,
            Self::Silent { .. } => Some(
                "give the URL of a Tier 2 that runs; --admin-listen says where its /readyz is, port 5001 of loopback by default",
            ),
            Self::NotReady { .. } => Some("the log of Tier 2 says more"),
        }
    }
}

/// Asks whether a Tier 2 is ready.
///
/// # Errors
/// It is not, or does not answer.
pub async fn ready(settings: &Settings, args: &ReadyArgs) -> Result<(), ReadyError> {
    let ReadyArgs { url, timeout } = args;
    let client = build(&ClientSettings {
        ca_file: settings.client.ca_file.clone(),
        ..ClientSettings::new(PROGRAM)
    })?;
    let asked = client.get(url.clone()).timeout(timeout.unsigned_abs());
    let response = asked.send().await.map_err(|source| ReadyError::Silent {
        url: url.clone(),
        source: source.without_url(),
    })?;
    let status = response.status();
    if status == StatusCode::OK {
        return Ok(());
    }
    let body = read_bounded(response, ANSWER_BYTES).await;
    Err(ReadyError::NotReady {
        url: url.clone(),
        status,
        missing: missing(&body.unwrap_or_default()),
    })
}

/// What an answer says is missing, each in a line of its own, fit for a terminal.
fn missing(body: &[u8]) -> String {
    let Ok(Report { missing }) = serde_json::from_slice(body) else {
        let text = String::from_utf8_lossy(body);
        let line: String = text.trim().escape_debug().take(LONGEST_ANSWER).collect();
        return if line.is_empty() {
            line
        } else {
            format!("\n  {line}")
        };
    };
    let mut lines = String::new();
    for (name, reason) in &missing {
        // A String takes everything.
        let _ = write!(
            lines,
            "\n  {}: {}",
            name.escape_debug(),
            reason.escape_debug()
        );
    }
    lines
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::parts(
        r#"{"ready":false,"missing":{"helm":"helm does not work","cluster":"no\nnode"}}"#,
        "\n  cluster: no\\nnode\n  helm: helm does not work"
    )]
    #[case::somebody_else("<html>\u{1b}[1m", "\n  <html>\\u{1b}[1m")]
    #[case::nothing("", "")]
    fn what_is_missing_is_told_in_lines(#[case] body: &str, #[case] expected: &str) {
        assert_eq!(missing(body.as_bytes()), expected);
    }
}
