//! The token that reports are sent with.

use http::HeaderValue;

/// Why a file holds no report token. No variant repeats what it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReportTokenError {
    /// It has no line with a token.
    #[error("the file holds no token; expected one line with it")]
    Empty,
    /// It has several.
    #[error("the file holds several tokens; expected the one to report with")]
    Several,
    /// What it holds can be sent in no header.
    #[error("a token is made of visible ASCII characters")]
    Malformed,
}

/// A token to report with. It has no `Debug` and no `Display`.
#[derive(Clone)]
pub(crate) struct ReportToken(HeaderValue);

impl ReportToken {
    /// Reads a token file: the first word of its only line that is neither empty nor a comment (`#`).
    ///
    /// # Errors
    /// There is no such line, more than one, or the token is malformed.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, ReportTokenError> {
        let text = std::str::from_utf8(bytes).map_err(|_| ReportTokenError::Malformed)?;
        let first_words = text
            .lines()
            .filter_map(|line| line.split_whitespace().next());
        let mut tokens = first_words.filter(|word| !word.starts_with('#'));
        let token = tokens.next().ok_or(ReportTokenError::Empty)?;
        if tokens.next().is_some() {
            return Err(ReportTokenError::Several);
        }
        if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(ReportTokenError::Malformed);
        }
        let mut header = HeaderValue::from_str(&format!("Bearer {token}"))
            .map_err(|_| ReportTokenError::Malformed)?;
        header.set_sensitive(true);
        Ok(Self(header))
    }

    /// The value of `Authorization`.
    pub(crate) fn header(&self) -> HeaderValue {
        self.0.clone()
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::alone("secret\n")]
    #[case::scoped("secret 00112233-4455-6677-8899-aabbccddeeff # ours\n")]
    #[case::behind_a_comment("# of Tier 1\n\n  secret\n")]
    fn a_token_is_the_first_word_of_its_line(#[case] text: &str) {
        let token = ReportToken::parse(text.as_bytes());

        assert_eq!(token.ok().unwrap().header(), "Bearer secret");
    }

    #[rstest]
    #[case::empty("", ReportTokenError::Empty)]
    #[case::comments("# nothing\n", ReportTokenError::Empty)]
    #[case::two("one\ntwo\n", ReportTokenError::Several)]
    #[case::not_ascii("sécret", ReportTokenError::Malformed)]
    fn a_file_without_the_one_token_is_refused(
        #[case] text: &str,
        #[case] expected: ReportTokenError,
    ) {
        assert_eq!(ReportToken::parse(text.as_bytes()).err(), Some(expected));
    }

    #[test]
    fn a_token_is_not_shown_with_its_header() {
        let token = ReportToken::parse(b"secret").ok().unwrap();

        assert_eq!(format!("{:?}", token.header()), "Sensitive");
    }
}
