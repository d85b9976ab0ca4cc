//! A token that this program shows to another service.

use http::HeaderValue;

use super::{TokenFileError, parse_line};

/// A token of our own, as the value of `Authorization`. It has no `Display`, and its `Debug` does not tell it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnToken(HeaderValue);

impl OwnToken {
    /// Reads the first token of a token file; its scope and further tokens are of no interest to who shows it.
    ///
    /// # Errors
    /// The file is not UTF-8, the line is malformed, or no line holds a token.
    pub fn parse_bytes(bytes: &[u8]) -> Result<Self, TokenFileError> {
        let text = std::str::from_utf8(bytes).map_err(|_| TokenFileError::Encoding)?;
        let lines = text.trim_start_matches('\u{feff}').lines();
        for (number, line) in (1..).zip(lines) {
            if let Some((token, _)) = parse_line(line, number)? {
                return Self::new(token).ok_or(TokenFileError::Token { line: number });
            }
        }
        Err(TokenFileError::Empty)
    }

    /// The value of the header `Authorization`, marked as sensitive.
    pub const fn authorization(&self) -> &HeaderValue {
        &self.0
    }

    fn new(token: &str) -> Option<Self> {
        let mut value = HeaderValue::try_from(format!("Bearer {token}")).ok()?;
        value.set_sensitive(true);
        Some(Self(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_token_of_the_file_is_shown() {
        let token = OwnToken::parse_bytes(b"# for CMU\n\nsecret * # all\nother\n").unwrap();

        assert_eq!(token.authorization(), "Bearer secret");
    }

    #[test]
    fn debug_does_not_tell_the_token() {
        let token = OwnToken::parse_bytes(b"secret").unwrap();

        assert_eq!(format!("{token:?}"), "OwnToken(Sensitive)");
    }

    #[test]
    fn a_file_without_a_token_is_refused() {
        assert_eq!(
            OwnToken::parse_bytes(b"# nothing\n"),
            Err(TokenFileError::Empty)
        );
    }
}
