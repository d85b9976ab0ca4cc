//! What an application needs of a cloudlet and what it prefers, written as data: CEL expressions over what is known of the cloudlet.
//!
//! `requires` are predicates that must all hold, `prefer` is a number of which more is better. Recipes may carry both, and so may the
//! operator's policy. An expression is checked and compiled when its file is read, so that a ranking evaluates it without looking at text.

mod compile;
mod expression;
mod facts;
mod fault;
mod variable;
mod written;

use std::fmt;

use schemars::JsonSchema;
use serde::Deserialize;

pub use self::expression::Unmet;
use self::expression::{Preference, Requirement};
pub use self::facts::Facts;
use self::written::{Place, WrittenExpression, WrittenRequirements};
use crate::diagnostic::Diagnostic;
use crate::text::WrittenText;
use crate::yaml;

/// Compiled needs and preferences. Clones share the expressions.
#[derive(Clone, Default, PartialEq)]
pub struct Policy {
    requires: Vec<Requirement>,
    prefer: Option<Preference>,
}

/// What an operator requires of cloudlets and prefers, for every recipe.
#[derive(Deserialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    expecting = "a mapping with requires, prefer and description"
)]
#[schemars(rename = "Policy")]
pub(crate) struct PolicyFile {
    /// Predicates that must all hold, or one.
    #[serde(default)]
    #[schemars(with = "Option<WrittenRequirements>")]
    requires: WrittenRequirements,
    /// A number of which more is better.
    prefer: Option<WrittenExpression>,
    /// What it is, for people.
    #[serde(rename = "description")]
    #[schemars(with = "Option<WrittenText>")]
    _description: Option<String>,
}

/// The part of a recipe that is a policy.
#[derive(Deserialize, JsonSchema)]
#[serde(expecting = "a mapping with the fields of a recipe")]
pub(crate) struct RecipePart {
    /// Predicates that must all hold of a cloudlet, or one.
    #[serde(default)]
    #[schemars(with = "Option<WrittenRequirements>")]
    requires: WrittenRequirements,
    /// A number of which more is better.
    prefer: Option<WrittenExpression>,
}

impl Policy {
    /// Reads an operator's policy: a YAML mapping with `requires`, one predicate or a list of them, `prefer` and `description`, all optional.
    ///
    /// # Errors
    /// The text is no such mapping, or the first expression that cannot be used, with its place in the text.
    pub fn parse(text: &str) -> Result<Self, Diagnostic> {
        let PolicyFile {
            requires, prefer, ..
        } = yaml::document(text).map_err(with_hint_on_quotes)?;
        Self::compile(text, &requires, prefer.as_ref())
    }

    /// Reads `requires` and `prefer` of a recipe, and ignores its other fields.
    ///
    /// # Errors
    /// The text is no mapping, or the first expression that cannot be used, with its place in the text.
    pub fn of_recipe(text: &str) -> Result<Self, Diagnostic> {
        let RecipePart { requires, prefer } = yaml::document(text).map_err(with_hint_on_quotes)?;
        Self::compile(text, &requires, prefer.as_ref())
    }

    fn compile(
        text: &str,
        requires: &WrittenRequirements,
        prefer: Option<&WrittenExpression>,
    ) -> Result<Self, Diagnostic> {
        let requirement = |(place, expression): (Place, &WrittenExpression)| {
            Requirement::compile(expression.as_str())
                .map_err(|fault| fault.within(text, place, expression.as_str()))
        };
        let preference = |expression: &WrittenExpression| {
            Preference::compile(expression.as_str())
                .map_err(|fault| fault.within(text, Place::of("prefer"), expression.as_str()))
        };
        Ok(Self {
            requires: requires
                .places()
                .map(requirement)
                .collect::<Result<_, _>>()?,
            prefer: prefer.map(preference).transpose()?,
        })
    }

    /// Whether it leaves some cloudlets out.
    pub fn has_requirement(&self) -> bool {
        !self.requires.is_empty()
    }

    /// Whether it prefers some cloudlets to others.
    pub fn has_preference(&self) -> bool {
        self.prefer.is_some()
    }

    /// Lets a cloudlet pass, or tells the first requirement that it does not meet, and why.
    ///
    /// # Errors
    /// A requirement is not met.
    pub fn check(&self, facts: &Facts<'_>) -> Result<(), Unmet> {
        self.requires
            .iter()
            .try_for_each(|requirement| requirement.check(facts))
    }

    /// How much it prefers a cloudlet; more is better. `None` where it prefers none, where something that it asks about is not known, or
    /// where the number is not finite.
    pub fn preference(&self, facts: &Facts<'_>) -> Option<f64> {
        self.prefer.as_ref()?.value(facts)
    }
}

/// Says what to do where YAML takes a part of an expression for its own.
fn with_hint_on_quotes(error: Diagnostic) -> Diagnostic {
    let of_syntax = [
        "mapping values",
        "mapping keys",
        "did not find",
        "while scanning",
        "while parsing",
    ];
    if of_syntax.iter().any(|words| error.message.contains(words)) {
        error.with_hint("an expression that begins with `!`, `[` or a quote, or in which a blank follows `:`, stands in quotes as a whole")
    } else {
        error
    }
}

impl fmt::Debug for Policy {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Policy")
            .field(
                "requires",
                &self
                    .requires
                    .iter()
                    .map(Requirement::text)
                    .collect::<Vec<_>>(),
            )
            .field("prefer", &self.prefer.as_ref().map(Preference::text))
            .finish()
    }
}

#[cfg(test)]
mod tests;
