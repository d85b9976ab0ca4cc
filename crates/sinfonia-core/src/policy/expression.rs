//! Compiled expressions and their evaluation.

use std::fmt;
use std::sync::{Arc, LazyLock};

use cel::common::types::{CelBool, CelDouble, CelInt, CelString};
use cel::common::value::CowVal;
use cel::context::VariableResolver;
use cel::{Context, Env, ExecutionError, IdedExpr, Value};
use serde_json::Map;

use super::compile::{self, Kind};
use super::facts::{Facts, Scalar};
use super::fault::Fault;
use super::variable::{Knowledge, Variable};

/// The functions and operators of expressions. Without macros: what looks like one is seen, and judged, as the call that was written.
pub(super) static ENVIRONMENT: LazyLock<Arc<Env>> =
    LazyLock::new(|| Arc::new(Env::default().with_optional_support(false).with_stdlib()));

/// A predicate that a cloudlet has to meet.
#[derive(Clone)]
pub(super) struct Requirement(Arc<Compiled>);

/// A number of which more is better.
#[derive(Clone)]
pub(super) struct Preference(Arc<Compiled>);

/// An expression whose variables are named by their places in a list.
pub(super) struct Compiled {
    /// What was written, in one line.
    pub(super) text: Arc<str>,
    pub(super) program: IdedExpr,
    pub(super) variables: Vec<Variable>,
}

/// A requirement that is not met, and why.
#[derive(Debug, Clone, PartialEq)]
pub struct Unmet {
    requirement: Arc<str>,
    pub(super) failure: Failure,
    values: Map<String, serde_json::Value>,
}

/// Why a requirement is not met.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Failure {
    /// It is false.
    False,
    /// Something that it asks about is not known; this says what.
    Unknown(String),
    /// It cannot be evaluated, for this reason.
    Impossible(String),
}

/// What came of an evaluation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Outcome {
    Truth(bool),
    Number(f64),
    Whole(i64),
    Text,
    Other,
}

impl Requirement {
    pub(super) fn compile(text: &str) -> Result<Self, Fault> {
        compile::compile(text, Kind::Requirement).map(|compiled| Self(Arc::new(compiled)))
    }

    /// The predicate as it was written, in one line.
    pub(super) fn text(&self) -> &str {
        &self.0.text
    }

    pub(super) fn check(&self, facts: &Facts<'_>) -> Result<(), Unmet> {
        let failure = match self.0.evaluate(facts) {
            Ok(Outcome::Truth(true)) => return Ok(()),
            Ok(Outcome::Truth(false)) => Failure::False,
            Ok(_) => Failure::Impossible("it is neither true nor false".to_owned()),
            Err(error) => match self.0.absent(&error) {
                Some(variable) => {
                    Failure::Unknown(variable.absence(facts, self.0.variables.len() == 1))
                }
                None => Failure::Impossible(told(&error)),
            },
        };
        Err(Unmet {
            requirement: Arc::clone(&self.0.text),
            failure,
            values: self
                .0
                .variables
                .iter()
                .map(|variable| variable.told(facts))
                .collect(),
        })
    }
}

impl Preference {
    pub(super) fn compile(text: &str) -> Result<Self, Fault> {
        compile::compile(text, Kind::Preference).map(|compiled| Self(Arc::new(compiled)))
    }

    pub(super) fn text(&self) -> &str {
        &self.0.text
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "whole numbers of expressions are sizes and rounded measurements"
    )]
    pub(super) fn value(&self, facts: &Facts<'_>) -> Option<f64> {
        match self.0.evaluate(facts) {
            Ok(Outcome::Number(number)) => Some(number).filter(|number| number.is_finite()),
            Ok(Outcome::Whole(number)) => Some(number as f64),
            Ok(_) | Err(_) => None,
        }
    }
}

impl Compiled {
    fn evaluate(&self, facts: &Facts<'_>) -> Result<Outcome, ExecutionError> {
        evaluate(&self.program, &self.variables, Knowledge::Of(facts))
    }

    /// The variable that an evaluation found to be unknown, if that is what it failed of.
    fn absent(&self, error: &ExecutionError) -> Option<&Variable> {
        absent(error, &self.variables)
    }
}

impl Unmet {
    /// The predicate as it was written, in one line.
    pub fn requirement(&self) -> &str {
        &self.requirement
    }

    /// The variables that it asks about with their values, null where they are not known.
    pub const fn values(&self) -> &Map<String, serde_json::Value> {
        &self.values
    }
}

impl fmt::Display for Unmet {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "requires {}: ", self.requirement)?;
        match &self.failure {
            Failure::Unknown(reason) | Failure::Impossible(reason) => formatter.write_str(reason),
            Failure::False if self.values.is_empty() => formatter.write_str("it is false"),
            Failure::False => {
                let value = |(name, value): (&String, &serde_json::Value)| match value {
                    serde_json::Value::Null => format!("{name} is not known"),
                    value => format!("{name} is {value}"),
                };
                let values: Vec<String> = self.values.iter().map(value).collect();
                formatter.write_str(&values.join(", "))
            }
        }
    }
}

impl PartialEq for Requirement {
    /// Equal texts are compiled equally.
    fn eq(&self, other: &Self) -> bool {
        self.text() == other.text()
    }
}

impl PartialEq for Preference {
    fn eq(&self, other: &Self) -> bool {
        self.text() == other.text()
    }
}

/// Evaluates a program whose variables go by their places in the list.
pub(super) fn evaluate(
    program: &IdedExpr,
    variables: &[Variable],
    knowledge: Knowledge<'_>,
) -> Result<Outcome, ExecutionError> {
    let lookup = Lookup {
        variables,
        knowledge,
    };
    let mut context = Context::with_env(Arc::clone(&ENVIRONMENT));
    context.set_variable_resolver(&lookup);
    let value = Value::resolve_val(program, &context)?;
    Ok(outcome(&value))
}

/// The variable that an evaluation found to be unknown, if that is what it failed of.
pub(super) fn absent<'a>(
    error: &ExecutionError,
    variables: &'a [Variable],
) -> Option<&'a Variable> {
    match error {
        ExecutionError::UndeclaredReference(name) => variables.get(name.parse::<usize>().ok()?),
        _ => None,
    }
}

/// What the evaluation failed of, for people.
pub(super) fn told(error: &ExecutionError) -> String {
    match error {
        ExecutionError::FunctionError { function, message } => format!("{function}: {message}"),
        error => error.to_string(),
    }
}

fn outcome(value: &CowVal<'_, '_>) -> Outcome {
    if let Some(truth) = value.downcast_ref::<CelBool>() {
        Outcome::Truth(*truth.inner())
    } else if let Some(number) = value.downcast_ref::<CelDouble>() {
        Outcome::Number(*number.inner())
    } else if let Some(number) = value.downcast_ref::<CelInt>() {
        Outcome::Whole(*number.inner())
    } else if value.downcast_ref::<CelString<'_>>().is_some() {
        Outcome::Text
    } else {
        Outcome::Other
    }
}

/// Finds the values of variables while an expression is evaluated, and only of those that it comes to.
struct Lookup<'a> {
    variables: &'a [Variable],
    knowledge: Knowledge<'a>,
}

impl VariableResolver for Lookup<'_> {
    fn resolve<'b>(&'b self, name: &str) -> Option<CowVal<'b, 'b>> {
        let variable = self.variables.get(name.parse::<usize>().ok()?)?;
        Some(match variable.value(self.knowledge)? {
            Scalar::Number(number) => CowVal::owned(CelDouble::from(number)),
            Scalar::Text(text) => CowVal::owned(CelString::from(text)),
            Scalar::Truth(truth) => CowVal::owned(CelBool::from(truth)),
        })
    }
}
