//! WireGuard keys: the device's public key names its deployment, in many spellings.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};
use x25519_dalek::StaticSecret;

use crate::text;

/// Bytes in a Curve25519 key.
pub const KEY_BYTES: usize = 32;

/// Characters of a public key that logs, traces and errors show.
const SHORT_CHARACTERS: usize = 8;

/// Why a text is not a WireGuard key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The text has neither the length of base64 (43, or 44 padded) nor that of hexadecimal (64).
    #[error(
        "a WireGuard key has 43 base64 characters, 44 with padding, or 64 hex digits; this one has {0}"
    )]
    Length(usize),
    /// A character belongs to neither base64 alphabet.
    #[error("character {position} of the key, `{character}`, is not base64")]
    Character {
        /// Place of the character, counted from 1.
        position: usize,
        /// The character, escaped for print.
        character: String,
    },
    /// The last character carries bits beyond the 32 bytes of a key.
    #[error("the last character of the key does not fit 32 bytes of base64")]
    TrailingBits,
}

/// A WireGuard public key: 32 bytes, the identity of a device's application.
///
/// [`FromStr`] takes standard and URL-safe base64, with and without padding, and 64 hex digits. [`fmt::Display`] and serde
/// write standard base64 with padding, as `wg` does. [`fmt::Debug`] shows the first 8 characters only, so that logs never hold a key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey([u8; KEY_BYTES]);

text::written_as!(PublicKey, "PublicKey", {
    "type": "string",
    "description": "A WireGuard public key in base64.",
    "examples": ["+/v7DGZ7gZlS2SmhtSvYHFgPX4xoaL2uSOTaONZ3Zn8="],
});

impl PublicKey {
    /// The key made of these bytes.
    pub const fn from_bytes(bytes: [u8; KEY_BYTES]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes of the key.
    pub const fn as_bytes(&self) -> &[u8; KEY_BYTES] {
        &self.0
    }

    /// URL-safe base64 without padding: how the key travels in a path.
    pub fn url_safe(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }

    /// The first 8 characters, for logs and messages.
    pub fn short(&self) -> String {
        let mut text = STANDARD_NO_PAD.encode(self.0);
        text.truncate(SHORT_CHARACTERS);
        text
    }

    /// The name of the record that this key owns in a cluster: `wg-` and the first 40 hex digits of SHA-256 over its bytes.
    pub fn record_name(&self) -> String {
        let digest = Sha256::digest(self.0);
        let hex: String = digest
            .iter()
            .take(20)
            .map(|byte| format!("{byte:02x}"))
            .collect();
        format!("wg-{hex}")
    }

    /// The value of the label `findcloudlet.org/key`: `wg-<URL-safe key without padding>-pubkey`.
    pub fn label_value(&self) -> String {
        format!("wg-{}-pubkey", self.url_safe())
    }
}

impl FromStr for PublicKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        decode(text).map(Self)
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&STANDARD.encode(self.0))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "PublicKey({}…)", self.short())
    }
}

impl Serialize for PublicKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PublicKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text::deserialize(deserializer, "a WireGuard key as text")
    }
}

/// A WireGuard private key. It has no `Debug` and no `Display`, so that it cannot reach a log by accident.
#[derive(Clone)]
pub struct PrivateKey(StaticSecret);

impl PrivateKey {
    /// Makes a key of 32 bytes of the caller's entropy, clamped as Curve25519 asks for (RFC 7748 §5).
    pub fn from_entropy(mut bytes: [u8; KEY_BYTES]) -> Self {
        bytes[0] &= 248;
        bytes[31] = (bytes[31] & 127) | 64;
        Self(StaticSecret::from(bytes))
    }

    /// Reads a key in any spelling that [`PublicKey`] knows.
    ///
    /// # Errors
    /// The text is not 32 bytes of base64 or hexadecimal; the error does not repeat it.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        decode(text).map(|bytes| Self(StaticSecret::from(bytes)))
    }

    /// The public key that belongs to this one.
    pub fn public_key(&self) -> PublicKey {
        PublicKey(x25519_dalek::PublicKey::from(&self.0).to_bytes())
    }

    /// The 32 bytes, for the tunnel.
    pub fn as_bytes(&self) -> &[u8; KEY_BYTES] {
        self.0.as_bytes()
    }

    /// Standard base64 with padding, for configuration files and the key cache alone.
    pub fn to_base64(&self) -> String {
        STANDARD.encode(self.0.as_bytes())
    }
}

fn decode(text: &str) -> Result<[u8; KEY_BYTES], KeyError> {
    if text.len() == 2 * KEY_BYTES && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return decode_hex(text);
    }
    let body = text.strip_suffix('=').unwrap_or(text);
    let misfit = body
        .chars()
        .enumerate()
        .find(|(_, character)| !is_base64(*character));
    if let Some((index, character)) = misfit {
        return Err(KeyError::Character {
            position: index + 1,
            character: character.escape_default().to_string(),
        });
    }
    if body.len() != 43 {
        return Err(KeyError::Length(text.len()));
    }
    let standard = body.replace('-', "+").replace('_', "/");
    let bytes = STANDARD_NO_PAD
        .decode(standard)
        .map_err(|_| KeyError::TrailingBits)?;
    bytes.try_into().map_err(|_| KeyError::Length(text.len()))
}

fn decode_hex(text: &str) -> Result<[u8; KEY_BYTES], KeyError> {
    let mut bytes = [0; KEY_BYTES];
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let digits = std::str::from_utf8(pair).map_err(|_| KeyError::Length(text.len()))?;
        *byte = u8::from_str_radix(digits, 16).map_err(|_| KeyError::Length(text.len()))?;
    }
    Ok(bytes)
}

fn is_base64(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, '+' | '/' | '-' | '_')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    const STANDARD_KEY: &str = "+/v7DGZ7gZlS2SmhtSvYHFgPX4xoaL2uSOTaONZ3Zn8=";

    #[rstest]
    #[case::standard("+/v7DGZ7gZlS2SmhtSvYHFgPX4xoaL2uSOTaONZ3Zn8=")]
    #[case::standard_without_padding("+/v7DGZ7gZlS2SmhtSvYHFgPX4xoaL2uSOTaONZ3Zn8")]
    #[case::url_safe("-_v7DGZ7gZlS2SmhtSvYHFgPX4xoaL2uSOTaONZ3Zn8=")]
    #[case::url_safe_without_padding("-_v7DGZ7gZlS2SmhtSvYHFgPX4xoaL2uSOTaONZ3Zn8")]
    fn every_base64_spelling_is_the_same_key(#[case] spelling: &str) {
        assert_eq!(
            spelling.parse::<PublicKey>().unwrap().to_string(),
            STANDARD_KEY
        );
    }

    #[rstest]
    #[case::empty("", KeyError::Length(0))]
    #[case::too_short("aGVsbG8=", KeyError::Length(8))]
    #[case::padding_twice("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==", KeyError::Character { position: 44, character: "=".into() })]
    #[case::line_break("AAAA\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", KeyError::Character { position: 5, character: "\\n".into() })]
    #[case::bits_beyond_the_key(
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA/",
        KeyError::TrailingBits
    )]
    #[case::half_a_hex_key("00112233445566778899aabbccddeeff", KeyError::Length(32))]
    fn what_is_no_key_is_refused_with_its_reason(#[case] text: &str, #[case] expected: KeyError) {
        assert_eq!(text.parse::<PublicKey>(), Err(expected));
    }

    #[test]
    fn record_and_label_are_named_as_the_cluster_contract_says() {
        let key = PublicKey::from_bytes([0; 32]);

        assert_eq!(
            key.record_name(),
            "wg-66687aadf862bd776c8fc18b8e9f8e2008971485"
        );
        assert_eq!(
            key.label_value(),
            "wg-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA-pubkey"
        );
    }

    #[test]
    fn debug_shows_eight_characters_only() {
        let key: PublicKey = STANDARD_KEY.parse().unwrap();

        assert_eq!(format!("{key:?}"), "PublicKey(+/v7DGZ7…)");
    }

    #[test]
    fn public_key_belongs_to_the_private_one() {
        // RFC 7748 §5.2, the first iteration: the scalar is the base point's own coordinate.
        let private = PrivateKey::parse(&format!("09{}", "0".repeat(62)));

        let expected: PublicKey =
            "422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079"
                .parse()
                .unwrap();
        assert_eq!(private.map(|key| key.public_key()), Ok(expected));
    }

    proptest! {
        #[test]
        fn every_key_survives_each_of_its_spellings(bytes: [u8; 32]) {
            let key = PublicKey::from_bytes(bytes);
            let hex: String = bytes.iter().map(|byte| format!("{byte:02X}")).collect();

            prop_assert_eq!(key.to_string().parse(), Ok(key));
            prop_assert_eq!(key.to_string().trim_end_matches('=').parse(), Ok(key));
            prop_assert_eq!(key.url_safe().parse(), Ok(key));
            prop_assert_eq!(hex.parse(), Ok(key));
        }

        #[test]
        fn no_text_makes_the_parser_fail_badly(text in "\\PC*") {
            let _ = text.parse::<PublicKey>();
        }
    }
}
