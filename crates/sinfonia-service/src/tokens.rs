//! Tokens that callers show as `Authorization: Bearer`, and the files that list them.

mod own;

use std::collections::HashMap;
use std::fmt::Write as _;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use http::HeaderMap;
use http::header::AUTHORIZATION;
use sha2::{Digest as _, Sha256};
use sinfonia_core::endpoint::{Endpoint, EndpointError};
use subtle::ConstantTimeEq;
use uuid::Uuid;

pub use self::own::OwnToken;

/// Why a token file is refused. No variant repeats a token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenFileError {
    /// The file is not UTF-8.
    #[error("the token file is not UTF-8 text")]
    Encoding,
    /// The file has no line with a token: it would shut everybody out.
    #[error(
        "the token file holds no token; expected one a line, the token, a blank, optionally its scope"
    )]
    Empty,
    /// A token holds characters that no header may carry.
    #[error("line {line}: a token is made of visible ASCII characters")]
    Token {
        /// The line, counted from 1.
        line: usize,
    },
    /// A scope is neither a uuid nor an endpoint nor `*`.
    #[error("line {line}: `{scope}` is no scope; expected a uuid, a deploy endpoint or *")]
    Scope {
        /// The line, counted from 1.
        line: usize,
        /// What stands there.
        scope: String,
        /// What is wrong with it as an endpoint.
        #[source]
        source: EndpointError,
    },
    /// Something follows the scope.
    #[error("line {line}: expected a token and optionally its scope, nothing more")]
    Words {
        /// The line, counted from 1.
        line: usize,
    },
    /// A token stands in the file twice.
    #[error("line {line} repeats the token of line {first}")]
    Repeated {
        /// The later line, counted from 1.
        line: usize,
        /// The earlier line, counted from 1.
        first: usize,
    },
}

/// What a token is good for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// Everything, written `*`. A token without a scope has this one.
    Any,
    /// The cloudlet of this uuid.
    Uuid(Uuid),
    /// The cloudlet of this endpoint.
    Endpoint(Endpoint),
}

/// What a request shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown<'a> {
    /// No bearer token.
    Nothing,
    /// A token that is not known.
    Wrong,
    /// A known token with this scope.
    Valid(&'a Scope),
}

/// The tokens of one file. They are kept as digests, and have no `Debug` and no `Display`.
pub struct Tokens(HashMap<Digest, Scope>);

/// SHA-256 of a token. It is compared in constant time; the map hashes it with keys of its own.
struct Digest([u8; 32]);

impl Tokens {
    /// Reads a token file: one a line, the token, a blank, optionally its scope. What follows a `#`, at the start of a line or after a
    /// blank, is a comment.
    ///
    /// # Errors
    /// A line is malformed, a token is there twice, or there is none.
    pub fn parse(text: &str) -> Result<Self, TokenFileError> {
        let mut tokens: HashMap<Digest, (Scope, usize)> = HashMap::new();
        for (index, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
            let number = index + 1;
            let Some((token, scope)) = parse_line(line, number)? else {
                continue;
            };
            if let Some((_, first)) = tokens.insert(Digest::of(token), (scope, number)) {
                return Err(TokenFileError::Repeated {
                    line: number,
                    first,
                });
            }
        }
        if tokens.is_empty() {
            return Err(TokenFileError::Empty);
        }
        Ok(Self(
            tokens
                .into_iter()
                .map(|(digest, (scope, _))| (digest, scope))
                .collect(),
        ))
    }

    /// Reads a token file as [`Tokens::parse`] does.
    ///
    /// # Errors
    /// The file is not UTF-8, or as there.
    pub fn parse_bytes(bytes: &[u8]) -> Result<Self, TokenFileError> {
        std::str::from_utf8(bytes)
            .map_err(|_| TokenFileError::Encoding)
            .and_then(Self::parse)
    }

    /// The scope of a token, if it is known.
    pub fn check(&self, token: &str) -> Option<&Scope> {
        self.0.get(&Digest::of(token))
    }

    /// The scopes of all tokens, in no order.
    pub fn scopes(&self) -> impl Iterator<Item = &Scope> {
        self.0.values()
    }

    /// What a request with these headers shows.
    pub fn shown(&self, headers: &HeaderMap) -> Shown<'_> {
        match bearer(headers).map(|token| self.check(token)) {
            None => Shown::Nothing,
            Some(None) => Shown::Wrong,
            Some(Some(scope)) => Shown::Valid(scope),
        }
    }
}

impl Shown<'_> {
    /// Whether the token is known.
    pub fn is_valid(self) -> bool {
        matches!(self, Self::Valid(_))
    }
}

impl Digest {
    fn of(token: &str) -> Self {
        Self(Sha256::digest(token).into())
    }
}

impl PartialEq for Digest {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for Digest {}

impl Hash for Digest {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl FromStr for Scope {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        if text == "*" {
            return Ok(Self::Any);
        }
        match Uuid::try_parse(text) {
            Ok(uuid) => Ok(Self::Uuid(uuid)),
            Err(_) => text.parse().map(Self::Endpoint),
        }
    }
}

/// The token of `Authorization: Bearer <token>`, the scheme in any case. Anything else shows none.
pub fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.trim().split_once(' ')?;
    let token = token.trim_start();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

/// Token and scope of a line, or nothing where it has none.
fn parse_line(line: &str, number: usize) -> Result<Option<(&str, Scope)>, TokenFileError> {
    let mut words = line
        .split_whitespace()
        .take_while(|word| !word.starts_with('#'));
    let Some(token) = words.next() else {
        return Ok(None);
    };
    if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(TokenFileError::Token { line: number });
    }
    let scope = match words.next() {
        None => Scope::Any,
        Some(scope) => scope.parse().map_err(|source| TokenFileError::Scope {
            line: number,
            scope: printable(scope),
            source,
        })?,
    };
    match words.next() {
        None => Ok(Some((token, scope))),
        Some(_) => Err(TokenFileError::Words { line: number }),
    }
}

/// A text fit for a message: escaped, and cut short.
fn printable(text: &str) -> String {
    let mut shown = String::new();
    for character in text.chars().take(60) {
        // Writing to a string never fails.
        let _ = write!(shown, "{}", character.escape_default());
    }
    shown
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use rstest::rstest;

    use super::*;

    const FILE: &str = "\
# report tokens
secret-of-cmu   https://cmu.example/api/v1/deploy   # the campus
secret-of-home\t00112233-4455-6677-8899-aabbccddeeff

  secret-of-all *
secret-alone # no scope
";

    #[rstest]
    #[case::endpoint("secret-of-cmu", Scope::Endpoint("https://cmu.example/api/v1/deploy".parse().unwrap()))]
    #[case::uuid(
        "secret-of-home",
        Scope::Uuid(Uuid::from_u128(0x00112233445566778899aabbccddeeff))
    )]
    #[case::any("secret-of-all", Scope::Any)]
    #[case::absent("secret-alone", Scope::Any)]
    fn a_token_has_the_scope_of_its_line(#[case] token: &str, #[case] scope: Scope) {
        assert_eq!(tokens(FILE).check(token), Some(&scope));
    }

    #[rstest]
    #[case::another("secret-of-nobody")]
    #[case::a_part("secret-of")]
    #[case::empty("")]
    #[case::a_comment("#")]
    #[case::a_scope("*")]
    fn another_token_is_not_known(#[case] token: &str) {
        assert_eq!(tokens(FILE).check(token), None);
    }

    #[rstest]
    #[case::nothing(
        "",
        "the token file holds no token; expected one a line, the token, a blank, optionally its scope"
    )]
    #[case::comments_only(
        "# nothing\n\n",
        "the token file holds no token; expected one a line, the token, a blank, optionally its scope"
    )]
    #[case::no_scope(
        "a *\nb everything",
        "line 2: `everything` is no scope; expected a uuid, a deploy endpoint or *"
    )]
    #[case::third_word(
        "\na * b",
        "line 2: expected a token and optionally its scope, nothing more"
    )]
    #[case::not_ascii("sécret", "line 1: a token is made of visible ASCII characters")]
    #[case::repeated("a\nb\na *", "line 3 repeats the token of line 1")]
    fn a_bad_file_is_refused_with_its_line(#[case] text: &str, #[case] expected: &str) {
        let error = Tokens::parse(text).err().unwrap();

        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn a_file_that_is_no_text_is_refused() {
        assert_eq!(
            Tokens::parse_bytes(b"a\xff").err(),
            Some(TokenFileError::Encoding)
        );
    }

    #[rstest]
    #[case::as_usual("Bearer abc", Some("abc"))]
    #[case::lower_case("bearer abc", Some("abc"))]
    #[case::blanks("Bearer   abc ", Some("abc"))]
    #[case::another_scheme("Basic abc", None)]
    #[case::no_token("Bearer ", None)]
    #[case::no_scheme("abc", None)]
    fn a_bearer_token_is_read_from_its_header(
        #[case] value: &'static str,
        #[case] expected: Option<&str>,
    ) {
        assert_eq!(bearer(&authorization(value)), expected);
    }

    #[test]
    fn a_request_shows_nothing_a_wrong_token_or_a_valid_one() {
        let tokens = tokens("secret\n");

        assert_eq!(tokens.shown(&HeaderMap::new()), Shown::Nothing);
        assert_eq!(tokens.shown(&authorization("Bearer guess")), Shown::Wrong);
        assert_eq!(
            tokens.shown(&authorization("Bearer secret")),
            Shown::Valid(&Scope::Any)
        );
    }

    fn tokens(text: &str) -> Tokens {
        Tokens::parse(text).unwrap_or_else(|error| panic!("{error}"))
    }

    fn authorization(value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_static(value))])
    }
}
