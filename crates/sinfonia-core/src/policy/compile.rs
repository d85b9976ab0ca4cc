//! From the text of an expression to what can be evaluated, or to what is wrong with it.
//!
//! The parser takes all of CEL. What is refused here is what would fail later, what has no bound in its cost but the cloudlets' data, and
//! what cannot mean anything.

mod rewrite;
mod trial;

use std::collections::HashMap;
use std::ops::Range;

use cel::ParseErrors;
use cel::common::ast::{Expr, IdedExpr, SourceInfo, operators};

use self::rewrite::Rewriter;
use super::expression::{Compiled, ENVIRONMENT};
use super::fault::Fault;

/// Longest expression, in bytes. Nothing in an expression is evaluated twice, so that this bounds its cost as well.
pub(super) const LONGEST: usize = 1024;

/// Most levels of an expression: operands of operands, brackets in brackets. The interpreter recurses, and so this bounds its stack.
const DEEPEST: u16 = 32;

/// What an expression has to yield.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Whether a cloudlet will do.
    Requirement,
    /// How good it is.
    Preference,
}

/// Where the parts of a parsed expression stand in its text.
struct Places<'a> {
    text: &'a str,
    source: SourceInfo,
    /// Those of variables, whose paths are not there any more once they have numbers.
    variables: HashMap<u64, Range<usize>>,
}

/// Compiles an expression.
///
/// # Errors
/// The first thing that is wrong with it.
pub(super) fn compile(text: &str, kind: Kind) -> Result<Compiled, Fault> {
    check_length(text)?;
    let (parsed, source) = ENVIRONMENT
        .parser()
        .max_recursion_depth(DEEPEST)
        .parse_with_source_info(text)
        .map_err(|errors| syntax(text, &errors))?;
    if depth(&parsed) > DEEPEST.into() {
        return Err(too_deep(0));
    }
    let mut rewriter = Rewriter::new(Places {
        text,
        source,
        variables: HashMap::new(),
    });
    let program = rewriter.rewrite(&parsed)?;
    let Rewriter { places, variables } = rewriter;
    let compiled = Compiled {
        text: text.split_whitespace().collect::<Vec<_>>().join(" ").into(),
        program,
        variables,
    };
    trial::run(&compiled, kind, &places)?;
    Ok(compiled)
}

fn check_length(text: &str) -> Result<(), Fault> {
    if text.trim().is_empty() {
        return Err(Fault {
            message: "the expression is empty".to_owned(),
            hint: "put quotes around an expression that begins with `!`, or leave the field out"
                .to_owned(),
            span: 0..1,
        });
    }
    if text.len() > LONGEST {
        return Err(Fault {
            message: format!("the expression has {} bytes, more than {LONGEST}", text.len()),
            hint: "write several shorter ones as a list under `requires`, or measure what is computed here and report it".to_owned(),
            span: 0..1,
        });
    }
    Ok(())
}

fn too_deep(at: usize) -> Fault {
    Fault {
        message: format!("the expression has more than {DEEPEST} levels"),
        hint: "write several smaller ones as a list under `requires`, or measure what is computed here and report it".to_owned(),
        span: at..at + 1,
    }
}

fn depth(part: &IdedExpr) -> usize {
    let deepest = |parts: &[IdedExpr]| parts.iter().map(depth).max().unwrap_or_default();
    1 + match &part.expr {
        Expr::Call(call) => deepest(&call.args).max(call.target.as_deref().map_or(0, depth)),
        Expr::Select(select) => depth(&select.operand),
        Expr::List(list) => deepest(&list.elements),
        // Refused as a whole, whatever is in them.
        _ => 0,
    }
}

/// The first error of the parser, which tells further ones that follow from it.
fn syntax(text: &str, errors: &ParseErrors) -> Fault {
    let Some(error) = errors.errors.first() else {
        return Fault {
            message: "the expression cannot be read".to_owned(),
            hint: SYNTAX_HINT.to_owned(),
            span: 0..1,
        };
    };
    let at = offset(text, error.pos);
    if error.msg.contains("Recursion limit") {
        return too_deep(at);
    }
    let message = error.msg.trim_start_matches("Syntax error: ");
    let found = message.split_once('\'').map(|(_, rest)| {
        rest.split_once("' expecting")
            .map_or(rest, |(found, _)| found)
    });
    let found = found.unwrap_or_default().trim_end_matches('\'');
    let message = match message {
        _ if found == "<EOF>" => "the expression is not complete".to_owned(),
        _ if message.contains(" input '") => format!("`{found}` is not expected here"),
        _ if message.starts_with("token recognition") => format!("`{found}` cannot be read"),
        other => other.lines().next().unwrap_or_default().to_owned(),
    };
    let width = if found == "<EOF>" {
        1
    } else {
        found.chars().count().max(1)
    };
    Fault {
        message,
        hint: SYNTAX_HINT.to_owned(),
        span: at..at + width,
    }
}

const SYNTAX_HINT: &str = "an expression is written as resources.cpu_ratio < 0.8 && cloudlet.labels.region == \"eu\"; text stands in quotes, a decision is `a ? b : c`";

/// The character, counted from 0, at a line and column counted from 1. What comes after the end is its last character.
fn offset(text: &str, (line, column): (isize, isize)) -> usize {
    let line = usize::try_from(line).unwrap_or_default().max(1);
    let column = usize::try_from(column).unwrap_or_default().max(1);
    let before = text.split_inclusive('\n').take(line - 1);
    let before: usize = before.map(|line| line.chars().count()).sum();
    let last = text.trim_end().chars().count().saturating_sub(1);
    (before + column - 1).min(last)
}

impl Places<'_> {
    /// The characters of a part, as far as they are needed to point at it: those of an operator or of a function's name stand for the
    /// whole call.
    fn span(&self, part: &IdedExpr) -> Range<usize> {
        if let Some(span) = self.variables.get(&part.id) {
            return span.clone();
        }
        let (start, stop) = self.source.offset_for(part.id).unwrap_or_default();
        let (start, stop) = (start as usize, stop as usize);
        match &part.expr {
            Expr::Select(select) => {
                self.span(&select.operand).start..start + 1 + select.field.chars().count()
            }
            Expr::Call(call) if call.func_name == operators::INDEX => {
                let [group, name] = call.args.as_slice() else {
                    return start..stop + 1;
                };
                self.span(group).start..self.span(name).end + 1
            }
            // The parser tells the place of the parenthesis.
            Expr::Call(call) if self.character(start) == Some('(') => {
                start.saturating_sub(call.func_name.chars().count())..start
            }
            _ => start..stop + 1,
        }
    }

    fn character(&self, offset: usize) -> Option<char> {
        self.text.chars().nth(offset)
    }

    fn fault(&self, part: &IdedExpr, message: impl Into<String>, hint: impl Into<String>) -> Fault {
        Fault {
            message: message.into(),
            hint: hint.into(),
            span: self.span(part),
        }
    }
}
