//! Above which measurements a cloudlet counts as overloaded.

use std::fmt;
use std::str::FromStr;

/// Most thresholds: each is a bit of what a cloudlet's load keeps.
const MOST: usize = 32;

/// Why a text is not a threshold, or thresholds do not go together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ThresholdError {
    /// It is not a name and a number.
    #[error(
        "`{0}` is not a threshold: expected a measurement and a number above 0, such as cpu_ratio=0.9"
    )]
    Malformed(String),
    /// A measurement has two thresholds.
    #[error("{0} has two thresholds; write one")]
    Repeated(String),
    /// There are more than can be kept.
    #[error("there are {0} thresholds, more than {MOST}")]
    TooMany(usize),
}

/// A measurement above which a cloudlet counts as overloaded.
#[derive(Debug, Clone, PartialEq)]
pub struct Threshold {
    /// The measurement, such as `cpu_ratio`.
    pub resource: String,
    /// What it may reach; above 0 and finite, in the measurement's unit.
    pub limit: f64,
}

/// All thresholds. None means that no cloudlet ever counts as overloaded.
#[derive(Debug, Clone, PartialEq)]
pub struct Thresholds(Vec<Threshold>);

impl Thresholds {
    /// Takes thresholds together.
    ///
    /// # Errors
    /// A measurement has two, or there are more than 32.
    pub fn new(mut thresholds: Vec<Threshold>) -> Result<Self, ThresholdError> {
        thresholds.sort_by(|a, b| a.resource.cmp(&b.resource));
        let repeated = thresholds
            .windows(2)
            .find(|pair| pair[0].resource == pair[1].resource);
        match repeated {
            None if thresholds.len() > MOST => Err(ThresholdError::TooMany(thresholds.len())),
            Some(pair) => Err(ThresholdError::Repeated(pair[0].resource.clone())),
            None => Ok(Self(thresholds)),
        }
    }

    pub(super) const fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn iter(&self) -> std::slice::Iter<'_, Threshold> {
        self.0.iter()
    }

    /// What this measurement may reach, if it has a threshold.
    pub fn limit(&self, resource: &str) -> Option<f64> {
        let found = self.iter().find(|one| one.resource == resource);
        found.map(|threshold| threshold.limit)
    }
}

impl Default for Thresholds {
    /// Those of the documentation: processor and memory at 0.9, GPU at 0.95.
    fn default() -> Self {
        let limits = [("cpu_ratio", 0.9), ("gpu_ratio", 0.95), ("mem_ratio", 0.9)];
        Self(
            limits
                .map(|(resource, limit)| Threshold {
                    resource: resource.to_owned(),
                    limit,
                })
                .into(),
        )
    }
}

impl FromStr for Threshold {
    type Err = ThresholdError;

    fn from_str(text: &str) -> Result<Self, ThresholdError> {
        let malformed = || ThresholdError::Malformed(text.escape_default().take(60).collect());
        let (resource, limit) = text.split_once('=').ok_or_else(malformed)?;
        let (resource, limit) = (resource.trim(), limit.trim().parse::<f64>());
        let limit = limit.ok().filter(|limit| limit.is_finite() && *limit > 0.0);
        let is_name = !resource.is_empty()
            && !resource
                .chars()
                .any(|character| character.is_whitespace() || character.is_control());
        match limit {
            Some(limit) if is_name => Ok(Self {
                resource: resource.to_owned(),
                limit,
            }),
            _ => Err(malformed()),
        }
    }
}

impl fmt::Display for Threshold {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}={}", self.resource, self.limit)
    }
}
