//! Tries an expression, and each part of it, with samples: of one everything is known, of the other nothing that may be absent.
//!
//! A part is tried by itself, because an operator that decides early would hide what is wrong behind it.

use cel::ExecutionError;
use cel::common::ast::{CallExpr, Expr, IdedExpr, LiteralValue, operators};

use super::super::expression::{Compiled, Outcome, absent, evaluate, told};
use super::super::fault::Fault;
use super::super::variable::{Knowledge, Variable};
use super::{Kind, Places};

const SAMPLES: [Knowledge<'static>; 2] = [Knowledge::Everything, Knowledge::Nothing];

const OF_TEXT: &str = "labels are text; double(cloudlet.labels.NAME) reads one as a number, and text stands in quotes";

/// What a part yields in a trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Type {
    Truth,
    Double,
    Whole,
    Text,
    Other,
}

struct Trial<'a> {
    variables: &'a [Variable],
    places: &'a Places<'a>,
}

/// Tries an expression.
///
/// # Errors
/// A part cannot be evaluated, or the whole yields something else than is wanted.
pub(super) fn run(compiled: &Compiled, kind: Kind, places: &Places<'_>) -> Result<(), Fault> {
    let trial = Trial {
        variables: &compiled.variables,
        places,
    };
    trial.parts(&compiled.program)?;
    trial.outcomes(&compiled.program, kind)
}

impl Trial<'_> {
    /// Tries the calls within a part, the innermost first, so that the one that is wrong is named and not one around it.
    fn parts(&self, part: &IdedExpr) -> Result<(), Fault> {
        let Expr::Call(call) = &part.expr else {
            return Ok(());
        };
        let target = call.target.as_deref();
        target
            .into_iter()
            .chain(&call.args)
            .try_for_each(|part| self.parts(part))?;
        self.equality(part, call)?;
        SAMPLES
            .into_iter()
            .try_for_each(|sample| match self.evaluate(part, sample) {
                Err(error) if self.counts(&error) => Err(self.fault(part, call, &error)),
                _ => Ok(()),
            })
    }

    /// Values of different types are never equal, which CEL takes for an answer; here it is a slip.
    fn equality(&self, part: &IdedExpr, call: &CallExpr) -> Result<(), Fault> {
        let is_equality = matches!(
            call.func_name.as_str(),
            operators::EQUALS | operators::NOT_EQUALS
        );
        let [Some(left), Some(right)] =
            [0, 1].map(|index| call.args.get(index).and_then(|arg| self.kind_of(arg)))
        else {
            return Ok(());
        };
        if !is_equality || left == right || (left.is_number() && right.is_number()) {
            return Ok(());
        }
        Err(self.mismatch(part, call, &[left, right]))
    }

    /// Checks what comes out at the end of each branch.
    fn outcomes(&self, part: &IdedExpr, kind: Kind) -> Result<(), Fault> {
        if let Expr::Call(call) = &part.expr
            && call.func_name == operators::CONDITIONAL
        {
            let branches = call.args.iter().skip(1);
            return branches
                .into_iter()
                .try_for_each(|branch| self.outcomes(branch, kind));
        }
        let Some(found) = self.kind_of(part) else {
            return Ok(());
        };
        let (message, hint) = match kind {
            Kind::Requirement if found == Type::Truth => return Ok(()),
            Kind::Preference if found.is_number() => return Ok(()),
            Kind::Requirement => (
                "a requirement is true or false",
                "compare it, as in resources.cpu_ratio < 0.8",
            ),
            Kind::Preference if found == Type::Text => ("a preference is a number", OF_TEXT),
            Kind::Preference => (
                "a preference is a number",
                "write a number for each case, as in (cloudlet.labels.tier == \"gold\" ? 1.0 : 0.0)",
            ),
        };
        let message = format!("{message}, this is {}", found.told());
        Err(self.places.fault(part, message, hint))
    }

    fn kind_of(&self, part: &IdedExpr) -> Option<Type> {
        let outcome = SAMPLES
            .into_iter()
            .find_map(|sample| self.evaluate(part, sample).ok())?;
        Some(match outcome {
            Outcome::Truth(_) => Type::Truth,
            Outcome::Number(_) => Type::Double,
            Outcome::Whole(_) => Type::Whole,
            Outcome::Text => Type::Text,
            Outcome::Other => Type::Other,
        })
    }

    fn evaluate(&self, part: &IdedExpr, sample: Knowledge<'_>) -> Result<Outcome, ExecutionError> {
        evaluate(part, self.variables, sample)
    }

    /// Whether an error is one of the expression: what is absent, or of an unfortunate value, is one of a cloudlet.
    fn counts(&self, error: &ExecutionError) -> bool {
        let of_a_value = matches!(
            error,
            ExecutionError::DivisionByZero(_)
                | ExecutionError::RemainderByZero(_)
                | ExecutionError::Overflow(..)
                | ExecutionError::FunctionError { .. }
        );
        !of_a_value && absent(error, self.variables).is_none()
    }

    fn fault(&self, part: &IdedExpr, call: &CallExpr, error: &ExecutionError) -> Fault {
        let operands: Vec<&IdedExpr> = call
            .target
            .as_deref()
            .into_iter()
            .chain(&call.args)
            .collect();
        let types: Option<Vec<Type>> = operands
            .iter()
            .map(|operand| self.kind_of(operand))
            .collect();
        match types {
            Some(types) if types.len() == operands.len() => self.mismatch(part, call, &types),
            _ => self
                .places
                .fault(part, told(error), "see which values it is given"),
        }
    }

    fn mismatch(&self, part: &IdedExpr, call: &CallExpr, types: &[Type]) -> Fault {
        let given: Vec<&str> = types.iter().map(|found| found.told()).collect();
        let name = symbol(&call.func_name);
        let message = format!("`{name}` does not take {}", given.join(" and "));
        let whole = call
            .args
            .iter()
            .find_map(|arg| whole_number(arg).map(|number| (arg, number)));
        match whole {
            Some((arg, number)) if types.contains(&Type::Double) => self.places.fault(
                arg,
                message,
                format!("all numbers are doubles: write {number}.0"),
            ),
            _ if types.contains(&Type::Text)
                && (is_arithmetic(name) || types.iter().any(|found| found.is_number())) =>
            {
                self.places.fault(part, message, OF_TEXT)
            }
            _ if types.contains(&Type::Whole) && types.contains(&Type::Double) => {
                self.places.fault(
                    part,
                    message,
                    "all numbers are doubles: write double(…) around the whole number",
                )
            }
            _ => self
                .places
                .fault(part, message, expectation(&call.func_name)),
        }
    }
}

impl Type {
    const fn is_number(self) -> bool {
        matches!(self, Self::Double | Self::Whole)
    }

    const fn told(self) -> &'static str {
        match self {
            Self::Truth => "true or false",
            Self::Double => "a number",
            Self::Whole => "a whole number",
            Self::Text => "text",
            Self::Other => "a list",
        }
    }
}

fn whole_number(part: &IdedExpr) -> Option<String> {
    match &part.expr {
        Expr::Literal(LiteralValue::Int(number)) => Some(number.inner().to_string()),
        _ => None,
    }
}

/// An operator as it is written.
fn symbol(name: &str) -> &str {
    match name {
        operators::CONDITIONAL => "? :",
        operators::IN => "in",
        name => name.trim_matches('_'),
    }
}

/// Whether an operator takes nothing but numbers.
fn is_arithmetic(symbol: &str) -> bool {
    matches!(symbol, "-" | "*" | "/" | "%")
}

fn expectation(name: &str) -> &'static str {
    match name {
        operators::CONDITIONAL => {
            "what stands before `?` is true or false, as in resources.cpu_ratio < 0.8"
        }
        operators::LOGICAL_AND | operators::LOGICAL_OR | operators::LOGICAL_NOT => {
            "it joins what is true or false, as in resources.cpu_ratio < 0.8"
        }
        operators::MODULO => "it takes whole numbers: int(x) % 2",
        operators::SUBSTRACT | operators::MULTIPLY | operators::DIVIDE | operators::NEGATE => {
            "it takes numbers, all of them doubles, as 1.0"
        }
        _ => "both sides have to be of one type",
    }
}
