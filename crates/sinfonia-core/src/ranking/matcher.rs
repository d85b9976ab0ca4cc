//! What orders cloudlets.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What orders cloudlets. The answer is the concatenation of what each yields of those that earlier ones left.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Matcher {
    /// Yields the cloudlets whose `local_networks` hold the client.
    Network,
    /// Yields the cloudlets whose distance to the client is known, nearest first.
    Location,
    /// Yields every cloudlet, in an order that is random between requests and equal for equal ones.
    Random,
}

impl Matcher {
    /// All matchers, in the order of `--list-matchers`, which is the default order too.
    pub const ALL: [Self; 3] = [Self::Network, Self::Location, Self::Random];

    /// What it does, in a line.
    pub const fn description(self) -> &'static str {
        match self {
            Self::Network => "cloudlets whose local_networks hold the client",
            Self::Location => "cloudlets by distance from the client, nearest first",
            Self::Random => "whatever is left, in an order that is the same for the same request",
        }
    }
}

impl fmt::Display for Matcher {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Network => "network",
            Self::Location => "location",
            Self::Random => "random",
        })
    }
}

/// A name that is none of a matcher.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a matcher: expected network, location or random")]
pub struct UnknownMatcher(String);

impl FromStr for Matcher {
    type Err = UnknownMatcher;

    fn from_str(text: &str) -> Result<Self, UnknownMatcher> {
        let found = Self::ALL
            .into_iter()
            .find(|matcher| matcher.to_string() == text);
        found.ok_or_else(|| UnknownMatcher(text.escape_default().take(40).collect()))
    }
}
