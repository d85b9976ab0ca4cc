//! What a cloudlet answered, as far as it may be passed on.

use bytes::Bytes;
use http::header::RETRY_AFTER;
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::Value;
use sinfonia_service::problem::Problem;

/// Longest text of a cloudlet that is passed on, in characters.
const LONGEST_DETAIL: usize = 500;
/// Longest class that is passed on, in bytes.
const LONGEST_CLASS: usize = 40;
/// Longest pause that a cloudlet can ask for, in seconds.
const LONGEST_PAUSE: u64 = 3600;

/// An answer, its body bounded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    /// Its status.
    pub(crate) status: StatusCode,
    /// Seconds after which another try makes sense, if it says so.
    pub(crate) retry_after: Option<u64>,
    /// Its body.
    pub(crate) body: Bytes,
}

/// What an error's problem document says, made safe to repeat.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Told {
    /// What happened, on one line.
    pub(crate) detail: Option<String>,
    /// The failure's kind.
    pub(crate) class: Option<String>,
}

#[derive(Deserialize)]
struct Written {
    #[serde(default)]
    detail: Value,
    #[serde(default)]
    class: Value,
}

impl Answer {
    /// What its problem document says; nothing where the body is none.
    pub(crate) fn told(&self) -> Told {
        let Ok(written) = serde_json::from_slice::<Written>(&self.body) else {
            return Told::default();
        };
        let detail = written.detail.as_str().map(one_line);
        let class = written.class.as_str().filter(|class| is_class(class));
        Told {
            detail: detail.filter(|detail| !detail.is_empty()),
            class: class.map(str::to_owned),
        }
    }

    /// The error as our own problem document: its status, and of the body what is safe to repeat.
    pub(crate) fn into_problem(self) -> Problem {
        let Told { detail, class } = self.told();
        let mut problem = Problem::new(self.status).detail(
            detail.unwrap_or_else(|| format!("the cloudlet answered {}", self.status.as_u16())),
        );
        if let Some(class) = class {
            problem = problem.class(&class);
        }
        if let Some(seconds) = self.retry_after {
            problem = problem.retry_after(seconds);
        }
        problem
    }
}

/// The seconds of `Retry-After`, at most an hour. The other form, a date, is not worth a clock.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<u64> {
    let seconds: u64 = headers
        .get(RETRY_AFTER)?
        .to_str()
        .ok()?
        .trim()
        .parse()
        .ok()?;
    Some(seconds.min(LONGEST_PAUSE))
}

fn one_line(text: &str) -> String {
    let printable = text.chars().map(|character| {
        if character.is_control() {
            ' '
        } else {
            character
        }
    });
    printable
        .take(LONGEST_DETAIL)
        .collect::<String>()
        .trim()
        .to_owned()
}

fn is_class(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=LONGEST_CLASS).contains(&text.len()) && text.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::problem(
        r#"{"detail": "the chart is not there", "class": "chart-not-found"}"#,
        Some("the chart is not there"),
        Some("chart-not-found")
    )]
    #[case::no_class(r#"{"detail": "no"}"#, Some("no"), None)]
    #[case::terminal_control(r#"{"detail": "a\u001b[2Jb\n"}"#, Some("a [2Jb"), None)]
    #[case::class_with_blanks(r#"{"class": "not ready"}"#, None, None)]
    #[case::other_types(r#"{"detail": 1, "class": ["x"]}"#, None, None)]
    #[case::html("<h1>Not Found</h1>", None, None)]
    #[case::list("[]", None, None)]
    #[case::nothing("", None, None)]
    fn what_a_cloudlet_says_is_made_safe(
        #[case] body: &'static str,
        #[case] detail: Option<&str>,
        #[case] class: Option<&str>,
    ) {
        let told = answer(StatusCode::NOT_FOUND, body).told();

        let expected = Told {
            detail: detail.map(str::to_owned),
            class: class.map(str::to_owned),
        };
        assert_eq!(told, expected);
    }

    #[test]
    fn a_long_detail_is_cut() {
        let body = format!(r#"{{"detail": "{}"}}"#, "é".repeat(600));

        let told = answer(StatusCode::NOT_FOUND, body).told();

        assert_eq!(told.detail, Some("é".repeat(500)));
    }

    #[test]
    fn an_error_keeps_its_status_and_retry_after() {
        let mut refused = answer(StatusCode::TOO_MANY_REQUESTS, "slow down");
        refused.retry_after = Some(7);

        let problem = refused.into_problem();

        let expected = Problem::too_many_requests("the cloudlet answered 429", 7);
        assert_eq!(problem, expected);
    }

    #[rstest]
    #[case("7", Some(7))]
    #[case("99999999", Some(3600))]
    #[case("-1", None)]
    #[case("Wed, 21 Oct 2026 07:28:00 GMT", None)]
    fn retry_after_is_seconds(#[case] value: &'static str, #[case] expected: Option<u64>) {
        let headers = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static(value))]);

        assert_eq!(retry_after(&headers), expected);
    }

    fn answer(status: StatusCode, body: impl Into<Bytes>) -> Answer {
        Answer {
            status,
            retry_after: None,
            body: body.into(),
        }
    }
}
