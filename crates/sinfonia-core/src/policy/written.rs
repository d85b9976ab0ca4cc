//! `requires` and `prefer` as they stand in a file.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{EnumAccess, Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::text;
use crate::yaml::{self, Position};

/// The text of an expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct WrittenExpression(String);

/// Expressions that all must hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum WrittenRequirements {
    /// One, without a list around it.
    One(WrittenExpression),
    /// A list of them.
    List(Vec<WrittenExpression>),
}

/// Which expression of a file is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    field: &'static str,
    item: Option<usize>,
}

text::written_as!(WrittenExpression, "Expression", {
    "type": ["string", "number", "boolean"],
    "description": "A CEL expression over cloudlet.name, cloudlet.labels.NAME, cloudlet.location.lat and .lon, resources.NAME, client.address, client.location.lat and .lon, distance_km, rtt_ms, deployments and age_s. All numbers are doubles: 2.0.",
    "pattern": "\\S",
    "maxLength": super::compile::LONGEST,
});

impl JsonSchema for WrittenRequirements {
    fn schema_name() -> Cow<'static, str> {
        "Requirements".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let expression = generator.subschema_for::<WrittenExpression>();
        json_schema!({
            "allOf": [{"not": {"type": ["number", "boolean"]}}],
            "anyOf": [expression, {"type": "array", "items": {"allOf": [expression, {"not": {"type": "number"}}]}}, {"type": "null"}]
        })
    }
}

impl WrittenExpression {
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for WrittenRequirements {
    fn default() -> Self {
        Self::List(Vec::new())
    }
}

impl WrittenRequirements {
    /// The expressions with their places.
    pub(super) fn places(&self) -> impl Iterator<Item = (Place, &WrittenExpression)> {
        const FIELD: &str = "requires";
        let (expressions, is_list) = match self {
            Self::One(expression) => (std::slice::from_ref(expression), false),
            Self::List(expressions) => (expressions.as_slice(), true),
        };
        expressions
            .iter()
            .enumerate()
            .map(move |(index, expression)| {
                let item = is_list.then_some(index);
                (Place { field: FIELD, item }, expression)
            })
    }
}

impl Place {
    /// A field that holds one expression.
    pub(super) const fn of(field: &'static str) -> Self {
        Self { field, item: None }
    }

    /// Where it stands in the text.
    pub(super) fn position(self, text: &str) -> Position {
        match self.item {
            None => yaml::position_of(text, 1, self.field),
            Some(item) => yaml::position_of_item(text, 1, self.field, item),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.item {
            None => formatter.write_str(self.field),
            Some(item) => write!(formatter, "{}[{item}]", self.field),
        }
    }
}

impl<'de> Deserialize<'de> for WrittenExpression {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text::deserialize(deserializer, "an expression as text").map(Self)
    }
}

impl<'de> Deserialize<'de> for WrittenRequirements {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RequirementsVisitor)
    }
}

struct RequirementsVisitor;

impl<'de> Visitor<'de> for RequirementsVisitor {
    type Value = WrittenRequirements;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an expression as text, or a list of them")
    }

    fn visit_str<E>(self, text: &str) -> Result<WrittenRequirements, E> {
        Ok(WrittenRequirements::One(WrittenExpression(text.to_owned())))
    }

    fn visit_enum<A: EnumAccess<'de>>(self, _: A) -> Result<WrittenRequirements, A::Error> {
        // That is what YAML makes of a tag.
        Err(A::Error::custom(
            "an expression that begins with `!` stands in quotes",
        ))
    }

    fn visit_unit<E>(self) -> Result<WrittenRequirements, E> {
        Ok(WrittenRequirements::default())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<WrittenRequirements, A::Error> {
        let mut expressions = Vec::new();
        while let Some(expression) = items.next_element()? {
            expressions.push(expression);
        }
        Ok(WrittenRequirements::List(expressions))
    }
}
