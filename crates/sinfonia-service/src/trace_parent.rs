//! The trace that a request belongs to, as it travels in the header `traceparent` (W3C Trace Context, level 1).

use std::fmt;
use std::num::{NonZeroU64, NonZeroU128};
use std::str::FromStr;

/// Name of the header.
pub const TRACEPARENT: http::HeaderName = http::HeaderName::from_static("traceparent");

/// Characters of a version 00 header: `00-`, 32 hex digits, `-`, 16 hex digits, `-`, 2 hex digits.
const LENGTH: usize = 55;

/// Trace and span of a request. It is written as version 00.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceParent {
    trace: NonZeroU128,
    span: NonZeroU64,
    flags: u8,
}

/// A text that is no `traceparent` header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a W3C traceparent")]
pub struct TraceParentError;

impl TraceParent {
    /// A new trace of the caller's entropy, not sampled. Zero is not allowed in a trace, one takes its place.
    pub fn new(trace: u128, span: u64) -> Self {
        Self {
            trace: NonZeroU128::new(trace).unwrap_or(NonZeroU128::MIN),
            span: nonzero(span),
            flags: 0,
        }
    }

    /// The same trace, one span further; `span` is the caller's entropy.
    #[must_use]
    pub fn child(self, span: u64) -> Self {
        Self {
            span: nonzero(span),
            ..self
        }
    }

    /// Trace, span and flags, of which the lowest bit says that the trace is recorded; nothing where trace or span is zero.
    pub fn from_parts(trace: u128, span: u64, flags: u8) -> Option<Self> {
        Some(Self {
            trace: NonZeroU128::new(trace)?,
            span: NonZeroU64::new(span)?,
            flags,
        })
    }

    /// Trace, span and flags.
    pub const fn parts(self) -> (u128, u64, u8) {
        (self.trace.get(), self.span.get(), self.flags)
    }

    /// The trace's identity: 32 hex digits.
    pub fn trace_id(&self) -> String {
        format!("{:032x}", self.trace)
    }
}

impl FromStr for TraceParent {
    type Err = TraceParentError;

    /// Later versions are read as far as version 00 goes, as the standard asks for.
    fn from_str(text: &str) -> Result<Self, TraceParentError> {
        let head = text
            .get(..LENGTH)
            .filter(|head| head.is_ascii())
            .ok_or(TraceParentError)?;
        let version = hex(&head[..2])?;
        let follows = text[LENGTH..].bytes().next();
        let complete = if version == 0 {
            follows.is_none()
        } else {
            matches!(follows, None | Some(b'-'))
        };
        let dashes = [2, 35, 52]
            .iter()
            .all(|&place| head.as_bytes()[place] == b'-');
        if version == 0xff || !complete || !dashes {
            return Err(TraceParentError);
        }
        let trace = NonZeroU128::new(hex(&head[3..35])?).ok_or(TraceParentError)?;
        let span = u64::try_from(hex(&head[36..52])?)
            .ok()
            .and_then(NonZeroU64::new)
            .ok_or(TraceParentError)?;
        let flags = u8::try_from(hex(&head[53..])?).map_err(|_| TraceParentError)?;
        Ok(Self { trace, span, flags })
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "00-{:032x}-{:016x}-{:02x}",
            self.trace, self.span, self.flags
        )
    }
}

fn nonzero(span: u64) -> NonZeroU64 {
    NonZeroU64::new(span).unwrap_or(NonZeroU64::MIN)
}

fn hex(digits: &str) -> Result<u128, TraceParentError> {
    if !digits
        .bytes()
        .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    {
        return Err(TraceParentError);
    }
    u128::from_str_radix(digits, 16).map_err(|_| TraceParentError)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    const EXAMPLE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_child_keeps_the_trace_and_its_flags() {
        let child = EXAMPLE.parse::<TraceParent>().unwrap().child(0x1234);

        assert_eq!(
            child.to_string(),
            "00-0af7651916cd43dd8448eb211c80319c-0000000000001234-01"
        );
    }

    #[test]
    fn a_later_version_is_continued_as_version_00() {
        let later = "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-what-comes";

        assert_eq!(later.parse::<TraceParent>().unwrap().to_string(), EXAMPLE);
    }

    #[rstest]
    #[case::empty("")]
    #[case::version_ff("ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")]
    #[case::upper_case("00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01")]
    #[case::trace_of_zeros("00-00000000000000000000000000000000-b7ad6b7169203331-01")]
    #[case::span_of_zeros("00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01")]
    #[case::longer("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x")]
    #[case::shorter("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0")]
    #[case::signed("00-+af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")]
    #[case::not_ascii_in_front("é0-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")]
    #[case::not_ascii("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0é")]
    fn what_is_no_traceparent_is_refused(#[case] text: &str) {
        assert_eq!(text.parse::<TraceParent>(), Err(TraceParentError));
    }

    proptest! {
        #[test]
        fn what_is_written_can_be_read(trace: u128, span: u64) {
            let parent = TraceParent::new(trace, span);

            prop_assert_eq!(parent.to_string().parse(), Ok(parent));
        }

        #[test]
        fn its_parts_make_it_anew(trace: u128, span: u64) {
            let parent = TraceParent::new(trace, span);
            let (trace, span, flags) = parent.parts();

            prop_assert_eq!(TraceParent::from_parts(trace, span, flags), Some(parent));
        }

        #[test]
        fn no_text_makes_the_parser_fail_badly(text in "\\PC{0,80}") {
            let _ = text.parse::<TraceParent>();
        }
    }
}
