//! The identity of a request, which crosses the tiers in the header `X-Request-ID`.

use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue};
use uuid::Builder;

use crate::trace_parent::{TRACEPARENT, TraceParent};

/// Name of the header.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Longest identity that is taken over from a caller, in characters.
const LONGEST: usize = 128;

/// Identity of one request. The front puts it among the request's extensions, into the answer's header, the log and problem documents.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RequestId(Arc<str>);

/// Where the identity of a request comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestIds {
    /// Each request gets a new one, whatever the caller says.
    Always,
    /// The caller's is taken over when it is sane, else the request gets a new one.
    TakeOver,
}

/// Bytes of entropy that one request needs.
const DRAWN: usize = 40;

thread_local! {
    /// What the system gave for the next hundred requests of a thread, so that not each of them asks it.
    static STOCK: RefCell<Vec<[u8; DRAWN]>> = const { RefCell::new(Vec::new()) };
}

/// Entropy that one request needs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entropy {
    id: [u8; 16],
    trace: [u8; 16],
    span: [u8; 8],
}

impl RequestId {
    /// A new identity, a version 4 UUID of the caller's entropy.
    pub fn from_entropy(bytes: [u8; 16]) -> Self {
        Self(
            Builder::from_random_bytes(bytes)
                .into_uuid()
                .to_string()
                .into(),
        )
    }

    /// Reads an identity: 1 to 128 letters, digits, dots, underscores and hyphens of ASCII.
    pub fn parse(text: &str) -> Option<Self> {
        let sane = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        ((1..=LONGEST).contains(&text.len()) && text.bytes().all(sane)).then(|| Self(text.into()))
    }

    /// The identity as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The identity as a header's value.
    pub fn header_value(&self) -> Option<HeaderValue> {
        HeaderValue::from_str(&self.0).ok()
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl RequestIds {
    /// The identity of a request with these headers.
    pub(crate) fn choose(self, headers: &HeaderMap, entropy: &Entropy) -> RequestId {
        let taken_over = match self {
            Self::Always => None,
            Self::TakeOver => headers
                .get(X_REQUEST_ID)
                .and_then(|value| RequestId::parse(value.to_str().ok()?)),
        };
        taken_over.unwrap_or_else(|| RequestId::from_entropy(entropy.id))
    }
}

impl Entropy {
    /// Draws from the system: a request's identity gives the right to undo it, so nobody may guess one.
    pub(crate) fn draw() -> Result<Self, getrandom::Error> {
        let drawn = STOCK.with_borrow_mut(|stock| {
            if let Some(drawn) = stock.pop() {
                return Ok(drawn);
            }
            let mut fresh = [[0; DRAWN]; 100];
            getrandom::fill(fresh.as_flattened_mut())?;
            let [last, others @ ..] = fresh;
            stock.extend(others);
            Ok(last)
        })?;
        let [id, trace, span] = [&drawn[..16], &drawn[16..32], &drawn[32..]];
        let mut entropy = Self {
            id: [0; 16],
            trace: [0; 16],
            span: [0; 8],
        };
        entropy.id.copy_from_slice(id);
        entropy.trace.copy_from_slice(trace);
        entropy.span.copy_from_slice(span);
        Ok(entropy)
    }
}

/// The trace that a request with these headers comes from, if it says so.
pub(crate) fn caller_trace(headers: &HeaderMap) -> Option<TraceParent> {
    headers.get(TRACEPARENT)?.to_str().ok()?.parse().ok()
}

/// The caller's trace, one span further, or a new one.
pub(crate) fn continue_trace(caller: Option<TraceParent>, entropy: &Entropy) -> TraceParent {
    let span = u64::from_be_bytes(entropy.span);
    match caller {
        Some(parent) => parent.child(span),
        None => TraceParent::new(u128::from_be_bytes(entropy.trace), span),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use rstest::rstest;

    use super::*;

    const NEW: &str = "07070707-0707-4707-8707-070707070707";

    #[rstest]
    #[case::sane("abc-1.2_3", "abc-1.2_3")]
    #[case::empty("", NEW)]
    #[case::blank("a b", NEW)]
    #[case::markup("<b>", NEW)]
    fn a_sane_identity_is_taken_over(#[case] given: &str, #[case] expected: &str) {
        let id = RequestIds::TakeOver.choose(&headers(X_REQUEST_ID, given), &entropy());

        assert_eq!(id.as_str(), expected);
    }

    #[test]
    fn an_identity_that_is_too_long_is_replaced() {
        assert_eq!(
            RequestId::parse(&"x".repeat(128)).map(|id| id.as_str().len()),
            Some(128)
        );
        assert_eq!(RequestId::parse(&"x".repeat(129)), None);
    }

    #[test]
    fn always_means_that_the_callers_identity_does_not_count() {
        let id = RequestIds::Always.choose(&headers(X_REQUEST_ID, "abc"), &entropy());

        assert_eq!(id.as_str(), NEW);
    }

    #[test]
    fn a_trace_is_continued_with_a_new_span() {
        let given = headers(
            TRACEPARENT,
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        );

        let trace = continue_trace(caller_trace(&given), &entropy());

        assert_eq!(
            trace.to_string(),
            "00-0af7651916cd43dd8448eb211c80319c-0909090909090909-01"
        );
    }

    #[test]
    fn without_a_valid_trace_a_new_one_starts() {
        let given = headers(TRACEPARENT, "nonsense");

        let trace = continue_trace(caller_trace(&given), &entropy());

        assert_eq!(
            trace.to_string(),
            "00-08080808080808080808080808080808-0909090909090909-00"
        );
    }

    #[test]
    fn no_two_requests_draw_the_same() {
        let drawn: HashSet<_> = (0..1000)
            .map(|_| Entropy::draw().unwrap())
            .map(|entropy| (entropy.id, entropy.trace, entropy.span))
            .collect();

        let ids: HashSet<_> = drawn.iter().map(|(id, ..)| id).collect();
        assert_eq!([drawn.len(), ids.len()], [1000, 1000]);
    }

    fn entropy() -> Entropy {
        Entropy {
            id: [7; 16],
            trace: [8; 16],
            span: [9; 8],
        }
    }

    fn headers(name: HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_str(value).unwrap())])
    }
}
