//! Where the measurements of a cloudlet can be fetched, as the field `metrics` of the cloudlet file says it.
//!
//! Either a Prometheus is asked queries, or numbers are picked out of a page in Prometheus' text format.

mod page;
mod reading;
mod written;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};
use url::Url;

pub use self::page::{Series, SeriesError};
pub use self::reading::Reading;
use crate::text;

/// Time between two scrapes where none is said: that of reports.
const INTERVAL: Duration = Duration::from_secs(15);
/// Shortest time between two scrapes.
const SHORTEST_INTERVAL: Duration = Duration::from_secs(1);
/// Longest time between two scrapes: what is measured counts as unknown when it is older than three reports, which is 45 s.
const LONGEST_INTERVAL: Duration = Duration::from_secs(30);
/// Most resources that are scraped of one cloudlet.
const MOST_RESOURCES: usize = 32;
/// Longest name of a resource.
const LONGEST_NAME: usize = 64;

/// Where the measurements of a cloudlet can be fetched.
#[derive(Debug, Clone, PartialEq)]
pub struct Metrics {
    /// What is asked, and for what.
    pub source: MetricsSource,
    /// Time between two scrapes, 1 to 30 s.
    pub interval: Duration,
    /// The file with the token that is shown.
    pub token_file: Option<PathBuf>,
    /// The file with the certificates (PEM) that are trusted.
    pub ca_file: Option<PathBuf>,
}

/// What is asked for measurements.
#[derive(Debug, Clone, PartialEq)]
pub enum MetricsSource {
    /// A Prometheus.
    Prometheus {
        /// Its base URL.
        url: Url,
        /// What is asked beside, or in place of, what cloudlets report: PromQL, each an instant vector of one.
        queries: BTreeMap<ResourceName, String>,
    },
    /// A page in Prometheus' text format.
    Page {
        /// Where it is.
        url: Url,
        /// Which of its series are which resource.
        series: BTreeMap<ResourceName, Term>,
    },
}

impl MetricsSource {
    /// Where it is asked.
    pub const fn url(&self) -> &Url {
        match self {
            Self::Prometheus { url, .. } | Self::Page { url, .. } => url,
        }
    }
}

/// How a resource follows from the series of a page.
#[derive(Debug, Clone, PartialEq)]
pub struct Term {
    /// The series that count.
    pub series: Series,
    /// What is made of them.
    pub take: Take,
    /// What that is divided by; above 0.
    pub divide_by: f64,
}

/// What is made of the series that match.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Take {
    /// Their sum.
    #[default]
    Sum,
    /// Their arithmetic mean.
    Mean,
    /// By how much they grow in a second, all together.
    Rate,
}

/// Why a text is no name of a resource.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no name of a resource: expected 1 to {LONGEST_NAME} letters, digits and _, no digit first, such as cpu_ratio"
)]
pub struct ResourceNameError(String);

/// The name of a measurement, one that expressions of policies can use: letters, digits and `_`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ResourceName(String);

text::written_as!(ResourceName, "ResourceName", {
    "type": "string",
    "description": "The name of a measurement, one that expressions of policies can use.",
    "pattern": "^[A-Za-z_][A-Za-z0-9_]{0,63}$",
});

impl ResourceName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ResourceName {
    type Err = ResourceNameError;

    fn from_str(text: &str) -> Result<Self, ResourceNameError> {
        if text.len() > LONGEST_NAME || !text::is_identifier(text) {
            let shown = text.escape_default().take(LONGEST_NAME).collect();
            return Err(ResourceNameError(shown));
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for ResourceName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for ResourceName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text::deserialize(deserializer, "the name of a resource")
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("cpu_ratio", true)]
    #[case("_Q7", true)]
    #[case("", false)]
    #[case("7q", false)]
    #[case("queue.length", false)]
    #[case("länge", false)]
    #[case(
        "x23456789_123456789_123456789_123456789_123456789_123456789_12345",
        false
    )]
    fn a_resource_is_named_as_expressions_can_use_it(#[case] text: &str, #[case] expected: bool) {
        assert_eq!(text.parse::<ResourceName>().is_ok(), expected);
    }
}
