//! Values of options.

use std::fmt;
use std::str::FromStr;

use jiff::SignedDuration;
use sinfonia_core::endpoint::{Endpoint, EndpointError};
use sinfonia_core::location::{Location, LocationError};
use sinfonia_core::time;

/// Longest time that an option takes: a year, so that no time computed with it overflows.
const LONGEST: SignedDuration = SignedDuration::from_hours(365 * 24);

/// Longest name of an object in Kubernetes (RFC 1123 subdomain).
const LONGEST_NAME: usize = 253;

/// Why a text is no time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum DurationError {
    /// It cannot be read.
    #[error("expected a time such as 90s, 5m or 1h30m")]
    Malformed,
    /// It is zero.
    #[error("must be longer than nothing")]
    Zero,
    /// It has a fraction of a second.
    #[error("must be whole seconds")]
    NotWhole,
    /// It is negative or longer than a year.
    #[error("must be between nothing and a year")]
    OutOfRange,
}

/// A property of a cloudlet, `name=value`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// A text that is no property.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a label is NAME=VALUE, such as region=eu")]
pub struct LabelError;

/// The name of a Secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretName(String);

/// A text that is no name of a Secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the name of a Secret has at most {LONGEST_NAME} lower-case letters, digits, hyphens and dots"
)]
pub struct SecretNameError;

/// Places: `LAT,LON`, or a JSON list of pairs.
#[derive(Debug, Clone, PartialEq)]
pub struct Locations(pub Vec<Location>);

/// Why a text names no places.
#[derive(Debug, thiserror::Error)]
pub enum LocationsError {
    /// It begins like a JSON list and is none of pairs.
    #[error("begins with `[` but is no JSON list of pairs such as [[40.44,-79.94]]: {0}")]
    Json(String),
    /// It is no place.
    #[error(transparent)]
    Place(#[from] LocationError),
}

impl FromStr for Label {
    type Err = LabelError;

    fn from_str(text: &str) -> Result<Self, LabelError> {
        let (name, value) = text.split_once('=').ok_or(LabelError)?;
        let (name, value) = (name.trim().to_owned(), value.trim().to_owned());
        if name.is_empty() {
            return Err(LabelError);
        }
        Ok(Self { name, value })
    }
}

impl SecretName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for SecretName {
    type Err = SecretNameError;

    fn from_str(text: &str) -> Result<Self, SecretNameError> {
        let is_part = |part: &str| {
            let is_allowed =
                |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
            !part.is_empty()
                && part.bytes().all(is_allowed)
                && !part.starts_with('-')
                && !part.ends_with('-')
        };
        if text.len() > LONGEST_NAME || !text.split('.').all(is_part) {
            return Err(SecretNameError);
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for SecretName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl FromStr for Locations {
    type Err = LocationsError;

    fn from_str(text: &str) -> Result<Self, LocationsError> {
        if text.trim_start().starts_with('[') {
            let places = serde_json::from_str(text);
            return places
                .map(Self)
                .map_err(|error| LocationsError::Json(error.to_string()));
        }
        Ok(Self(vec![text.parse()?]))
    }
}

/// Reads a time; a bare number is seconds.
pub(super) fn duration(text: &str) -> Result<SignedDuration, DurationError> {
    let duration = time::parse_duration(text).ok_or(DurationError::Malformed)?;
    if duration.is_negative() || duration > LONGEST {
        return Err(DurationError::OutOfRange);
    }
    Ok(duration)
}

/// Reads a time that is not zero.
pub(super) fn positive_duration(text: &str) -> Result<SignedDuration, DurationError> {
    let duration = duration(text)?;
    if duration.is_zero() {
        return Err(DurationError::Zero);
    }
    Ok(duration)
}

/// Reads a time that a Lease object can last: it counts whole seconds.
pub(super) fn lease_duration(text: &str) -> Result<SignedDuration, DurationError> {
    let duration = positive_duration(text)?;
    if duration.subsec_nanos() != 0 {
        return Err(DurationError::NotWhole);
    }
    Ok(duration)
}

/// Reads the URL of a Tier 2 and gives its deploy endpoint.
pub(super) fn tier2_endpoint(text: &str) -> Result<Endpoint, EndpointError> {
    Endpoint::of_tier2(text)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("300", 300)]
    #[case("300s", 300)]
    #[case("5m", 300)]
    #[case("1h30m", 5400)]
    #[case("1h 30m", 5400)]
    #[case("0s", 0)]
    fn a_time_is_read_as_people_write_it(#[case] text: &str, #[case] seconds: i64) {
        assert_eq!(duration(text), Ok(SignedDuration::from_secs(seconds)));
    }

    #[rstest]
    #[case("", DurationError::Malformed)]
    #[case("soon", DurationError::Malformed)]
    #[case("-5s", DurationError::OutOfRange)]
    #[case("99999999999999999999", DurationError::OutOfRange)]
    #[case("9000h", DurationError::OutOfRange)]
    #[case("0", DurationError::Zero)]
    fn what_is_no_time_is_refused(#[case] text: &str, #[case] expected: DurationError) {
        assert_eq!(positive_duration(text), Err(expected));
    }

    #[rstest]
    #[case("40.5,-79.9", &[(40.5, -79.9)])]
    #[case("-33.8, 151.2", &[(-33.8, 151.2)])]
    #[case("[[40.5,-79.9],[0,0]]", &[(40.5, -79.9), (0.0, 0.0)])]
    fn places_are_a_pair_or_a_list_of_pairs(#[case] text: &str, #[case] expected: &[(f64, f64)]) {
        let expected = expected
            .iter()
            .map(|(latitude, longitude)| Location::new(*latitude, *longitude).unwrap());

        assert_eq!(
            text.parse::<Locations>().unwrap(),
            Locations(expected.collect())
        );
    }

    #[rstest]
    #[case("registry", true)]
    #[case("ghcr.io-2", true)]
    #[case("", false)]
    #[case("Registry", false)]
    #[case("../tokens", false)]
    #[case("a..b", false)]
    #[case("-a", false)]
    fn a_secret_is_named_as_kubernetes_does(#[case] text: &str, #[case] expected: bool) {
        assert_eq!(text.parse::<SecretName>().is_ok(), expected);
    }

    #[rstest]
    #[case("region=eu", Some(("region", "eu")))]
    #[case(" gpu = A100=x ", Some(("gpu", "A100=x")))]
    #[case("region", None)]
    #[case("=eu", None)]
    fn a_label_has_a_name_and_a_value(#[case] text: &str, #[case] expected: Option<(&str, &str)>) {
        let expected = expected.map(|(name, value)| Label {
            name: name.to_owned(),
            value: value.to_owned(),
        });

        assert_eq!(text.parse().ok(), expected);
    }
}
