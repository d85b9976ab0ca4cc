//! What names may be, and serde for types that are text on the wire. The text is parsed inside the visitor, because only there does the YAML parser
//! add the field and line to an error.

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use serde::Deserializer;
use serde::de::{Error, Visitor};

/// Whether an expression can use a text as a name without quotes: letters, digits and `_`, no digit first.
pub(crate) fn is_identifier(text: &str) -> bool {
    let starts = |character: char| character.is_ascii_alphabetic() || character == '_';
    let follows = |character: char| starts(character) || character.is_ascii_digit();
    text.starts_with(starts) && text.chars().all(follows)
}

/// Reads a string and parses it; `expecting` completes "invalid type: integer `7`, expected …".
pub(crate) fn deserialize<'de, D, T>(
    deserializer: D,
    expecting: &'static str,
) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: fmt::Display>,
{
    deserializer.deserialize_str(TextVisitor {
        expecting,
        parsed: PhantomData,
    })
}

struct TextVisitor<T> {
    expecting: &'static str,
    parsed: PhantomData<T>,
}

impl<T: FromStr<Err: fmt::Display>> Visitor<'_> for TextVisitor<T> {
    type Value = T;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.expecting)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }
}
