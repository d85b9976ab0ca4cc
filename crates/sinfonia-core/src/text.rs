//! What names may be, and serde for types that are text on the wire. The text is parsed inside the visitor, because only there does the YAML parser
//! add the field and line to an error.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
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

/// Text in a file, for schemas: where text is meant, the YAML parser takes numbers and yes or no for it. What is written is always text.
pub(crate) struct WrittenText;

impl JsonSchema for WrittenText {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Text".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        if generator.contract().is_deserialize() {
            json_schema!({"type": ["string", "number", "boolean"]})
        } else {
            json_schema!({"type": "string"})
        }
    }
}

/// Gives types that are written in a way of their own the JSON Schema that is said here.
macro_rules! written_as {
    ($type:ty, $name:literal, $schema:tt) => {
        impl schemars::JsonSchema for $type {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                $name.into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!($schema)
            }
        }
    };
}

pub(crate) use written_as;
