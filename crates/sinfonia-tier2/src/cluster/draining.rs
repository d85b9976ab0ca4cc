//! Whether a cloudlet takes new deployments.

use std::fmt;
use std::str::FromStr;

/// Most characters of a reason.
const LONGEST_REASON: usize = 200;

/// Whether a cloudlet drains: what it has goes on, nothing new is taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Draining {
    /// Nobody knows yet, because of this. What is not known might be yes.
    Unknown(String),
    /// It takes new deployments.
    No,
    /// It takes none; the operator may have said why.
    Yes(Option<Reason>),
}

/// Why a cloudlet drains, in the operator's words: one line that is fit for logs and callers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason(String);

/// Why a text is no [`Reason`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a reason has 1 to {LONGEST_REASON} characters in one line")]
pub struct ReasonError;

impl Draining {
    /// Whether it is known that nothing new is taken.
    pub const fn is_yes(&self) -> bool {
        matches!(self, Self::Yes(_))
    }
}

impl Reason {
    /// The reason that somebody wrote into the cluster by any means, made fit to be shown; `None` when nothing is left of it.
    pub fn fit(text: &str) -> Option<Self> {
        let line: String = text
            .trim()
            .chars()
            .map(|char| if char.is_control() { ' ' } else { char })
            .take(LONGEST_REASON)
            .collect();
        (!line.is_empty()).then_some(Self(line))
    }

    /// The reason as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Reason {
    type Err = ReasonError;

    fn from_str(text: &str) -> Result<Self, ReasonError> {
        Self::fit(text)
            .filter(|reason| reason.0 == text.trim())
            .ok_or(ReasonError)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::words("new disks\n", Some("new disks"))]
    #[case::several_lines("new\r\ndisks\u{1b}[1m", Some("new  disks [1m"))]
    #[case::nothing(" \n", None)]
    fn what_anybody_wrote_is_made_one_line(#[case] text: &str, #[case] expected: Option<&str>) {
        assert_eq!(Reason::fit(text).as_ref().map(Reason::as_str), expected);
    }

    #[rstest]
    #[case::words(" new disks ", true)]
    #[case::nothing("", false)]
    #[case::several_lines("new\ndisks", false)]
    #[case::longest(&"é".repeat(LONGEST_REASON), true)]
    #[case::too_long(&"é".repeat(LONGEST_REASON + 1), false)]
    fn a_reason_is_a_line_of_bounded_length(#[case] text: &str, #[case] expected: bool) {
        assert_eq!(text.parse::<Reason>().is_ok(), expected);
    }
}
