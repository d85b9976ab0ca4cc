//! What a cluster says when a quota of its operator is used up.

/// How the API server begins to say so, after the name of the object. A quota that is new is unknown until it has counted what there is.
const BEGINNINGS: [&str; 2] = ["exceeded quota: ", "status unknown for quota: "];
/// Most characters of its words that are passed on.
const LONGEST: usize = 300;

/// A quota has no room at present.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a quota of the cloudlet stands in the way: {0}")]
pub struct QuotaReached(String);

impl QuotaReached {
    /// The quota that a refusal is about, if it is about one: its name, what was asked of it, what is used and what it has. The object's name,
    /// which comes before, is left out: it is none of the caller's.
    pub fn in_words(refusal: &str) -> Option<Self> {
        let start = BEGINNINGS.iter().find_map(|words| refusal.find(words))?;
        let line = refusal[start..].lines().next().unwrap_or_default();
        Some(Self(line.escape_debug().take(LONGEST).collect()))
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::record(
        "cloudletdeployments.findcloudlet.org \"wg-1\" is forbidden: exceeded quota: a, requested: pods=1, used: pods=1, limited: pods=1",
        Some("exceeded quota: a, requested: pods=1, used: pods=1, limited: pods=1")
    )]
    #[case::first_line(
        "x: exceeded quota: a\u{1b}, used: 1\nmore",
        Some("exceeded quota: a\\u{1b}, used: 1")
    )]
    #[case::not_counted_yet(
        "\"wg-1\" is forbidden: status unknown for quota: a, resources: pods",
        Some("status unknown for quota: a, resources: pods")
    )]
    #[case::another_refusal("is forbidden: User \"a\" cannot create resource \"b\"", None)]
    fn a_quota_is_told_by_its_words(#[case] refusal: &str, #[case] expected: Option<&str>) {
        let quota = QuotaReached::in_words(refusal);

        assert_eq!(quota.as_ref().map(|quota| quota.0.as_str()), expected);
    }

    #[test]
    fn its_words_are_bounded() {
        let quota =
            QuotaReached::in_words(&format!("exceeded quota: {}", "a".repeat(1_000))).unwrap();

        assert_eq!(quota.0.len(), LONGEST);
    }
}
