//! Errors as services tell them: problem documents (RFC 9457).

use std::fmt;

use http::StatusCode;
use serde_json::Value;

use crate::printable::Printable;

/// What a problem document says, each part fit for a terminal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    /// What happened to this one request, or at least the kind of it.
    pub(crate) detail: Printable,
    /// Whether it says more than the kind. Our services always do, unless they know no such path.
    pub(crate) is_specific: bool,
    /// The failure's kind as programs compare it.
    pub(crate) class: Option<Printable>,
    /// The request's identity, under which the services' logs know it. Only services of our kind tell it.
    pub(crate) request_id: Option<Printable>,
}

impl Problem {
    /// Reads a problem document: a JSON object that says at least a `detail` or a `title`.
    pub(crate) fn parse(body: &[u8]) -> Option<Self> {
        let Ok(Value::Object(members)) = serde_json::from_slice(body) else {
            return None;
        };
        let text = |name: &str| {
            let text = members.get(name)?.as_str()?;
            (!text.is_empty()).then(|| Printable::new(text))
        };
        let detail = text("detail");
        Some(Self {
            is_specific: detail.is_some(),
            detail: detail.or_else(|| text("title"))?,
            class: text("class"),
            request_id: text("request_id"),
        })
    }
}

/// A request that was understood and refused, or that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// The answer's status.
    pub(crate) status: StatusCode,
    /// What it says; what stands between may answer without.
    pub(crate) problem: Option<Problem>,
    /// After how many seconds another try makes sense.
    pub(crate) retry_after: Option<u64>,
}

impl Refusal {
    /// The failure's kind as programs compare it.
    pub(crate) fn class(&self) -> Option<&str> {
        self.problem.as_ref()?.class.as_ref().map(Printable::as_str)
    }

    /// Whether a service of our kind answered.
    pub(crate) fn is_ours(&self) -> bool {
        self.problem
            .as_ref()
            .is_some_and(|problem| problem.request_id.is_some())
    }

    /// Whether a service of our kind was asked at a place where it serves nothing: under a wrong prefix, or not a Tier 1 at all.
    pub(crate) fn is_of_wrong_place(&self) -> bool {
        let unspecific = |problem: &Problem| !problem.is_specific;
        self.status == StatusCode::NOT_FOUND
            && self.is_ours()
            && self.problem.as_ref().is_some_and(unspecific)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(problem) = &self.problem else {
            return write!(formatter, "HTTP {}", self.status);
        };
        write!(formatter, "{} ({}", problem.detail, self.status)?;
        if let Some(class) = &problem.class {
            write!(formatter, ", {class}")?;
        }
        if let Some(id) = &problem.request_id {
            write!(formatter, ", request {id}")?;
        }
        formatter.write_str(")")
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::all(
        r#"{"title": "Internal Server Error", "detail": "no such chart", "class": "chart-not-found", "request_id": "r1"}"#,
        "no such chart (500 Internal Server Error, chart-not-found, request r1)"
    )]
    #[case::title_alone(
        r#"{"title": "Internal Server Error"}"#,
        "Internal Server Error (500 Internal Server Error)"
    )]
    #[case::escapes(
        r#"{"detail": "\u001b[31mred\nmore"}"#,
        "�[31mred more (500 Internal Server Error)"
    )]
    #[case::of_another_type(
        r#"{"detail": 7, "title": "Oops"}"#,
        "Oops (500 Internal Server Error)"
    )]
    #[case::no_problem("{}", "HTTP 500 Internal Server Error")]
    #[case::no_json("<html>", "HTTP 500 Internal Server Error")]
    fn a_refusal_says_what_the_problem_says(#[case] body: &str, #[case] expected: &str) {
        let refusal = Refusal {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            problem: Problem::parse(body.as_bytes()),
            retry_after: None,
        };

        assert_eq!(refusal.to_string(), expected);
    }
}
