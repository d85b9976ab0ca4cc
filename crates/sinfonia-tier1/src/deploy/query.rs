//! What the query of a deploy request says.

use std::num::NonZeroUsize;

use sinfonia_service::deploy_path::parse_uuid;
use sinfonia_service::problem::Problem;
use url::form_urlencoded;
use uuid::Uuid;

/// `?results=`, `?cloudlet=` and `?exclude=`, which may be repeated. Others are ignored.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct DeployQuery {
    /// How many results are wanted, if it says so.
    pub(crate) results: Option<NonZeroUsize>,
    /// The only cloudlet that is wanted.
    pub(crate) cloudlet: Option<Uuid>,
    /// The cloudlets that are not wanted.
    pub(crate) exclude: Vec<Uuid>,
}

impl DeployQuery {
    /// Reads a query; of `results` and `cloudlet` the last counts.
    ///
    /// # Errors
    /// 400: a value is malformed.
    pub(crate) fn parse(query: Option<&str>) -> Result<Self, Problem> {
        let mut parsed = Self::default();
        for (name, value) in pairs(query) {
            match &*name {
                "results" => parsed.results = Some(count("results", &value)?),
                "cloudlet" => parsed.cloudlet = Some(identity("cloudlet", &value)?),
                "exclude" => parsed.exclude.push(identity("exclude", &value)?),
                _ => {}
            }
        }
        Ok(parsed)
    }
}

/// The names and values of a query.
pub(crate) fn pairs(query: Option<&str>) -> form_urlencoded::Parse<'_> {
    form_urlencoded::parse(query.unwrap_or_default().as_bytes())
}

/// Reads how many are wanted. A number too large to hold is a large number.
///
/// # Errors
/// 400: it is no number, or below 1.
pub(crate) fn count(name: &str, value: &str) -> Result<NonZeroUsize, Problem> {
    let digits = value.bytes().all(|byte| byte.is_ascii_digit()) && !value.is_empty();
    let number = digits.then(|| value.parse().unwrap_or(usize::MAX));
    number
        .and_then(NonZeroUsize::new)
        .ok_or_else(|| malformed(name, value, "a number from 1 on"))
}

/// Reads a uuid.
///
/// # Errors
/// 400: it is none.
pub(crate) fn identity(name: &str, value: &str) -> Result<Uuid, Problem> {
    parse_uuid(value).map_err(|_| malformed(name, value, "a uuid"))
}

/// 400: a value of the query is not what it should be.
pub(crate) fn malformed(name: &str, value: &str, expected: &str) -> Problem {
    let shown: String = value.escape_default().take(48).collect();
    Problem::bad_request(format_args!("{name}: `{shown}` is not {expected}"))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::nothing("", None, None, &[])]
    #[case::results("results=2", Some(2), None, &[])]
    #[case::more_than_there_can_be("results=99999999999999999999", Some(usize::MAX), None, &[])]
    #[case::cloudlet("cloudlet=00000000000000000000000000000001", None, Some(1), &[])]
    #[case::several_excluded(
        "exclude=00000000-0000-0000-0000-000000000001&x=y&exclude=%7B00000000-0000-0000-0000-000000000002%7D",
        None,
        None,
        &[1, 2]
    )]
    fn a_query_says_what_is_wanted(
        #[case] query: &str,
        #[case] results: Option<usize>,
        #[case] cloudlet: Option<u128>,
        #[case] exclude: &[u128],
    ) {
        let expected = DeployQuery {
            results: results.and_then(NonZeroUsize::new),
            cloudlet: cloudlet.map(Uuid::from_u128),
            exclude: exclude.iter().copied().map(Uuid::from_u128).collect(),
        };
        assert_eq!(DeployQuery::parse(Some(query)), Ok(expected));
    }

    #[rstest]
    #[case::zero("results=0", "results: `0` is not a number from 1 on")]
    #[case::negative("results=-1", "results: `-1` is not a number from 1 on")]
    #[case::word("results=two", "results: `two` is not a number from 1 on")]
    #[case::fraction("results=1.5", "results: `1.5` is not a number from 1 on")]
    #[case::empty("results=", "results: `` is not a number from 1 on")]
    #[case::no_uuid("cloudlet=x%0A", "cloudlet: `x\\n` is not a uuid")]
    #[case::no_uuid_to_exclude("exclude=", "exclude: `` is not a uuid")]
    fn what_is_malformed_is_named(#[case] query: &str, #[case] detail: &str) {
        assert_eq!(
            DeployQuery::parse(Some(query)),
            Err(Problem::bad_request(detail))
        );
    }
}
