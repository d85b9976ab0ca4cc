//! What is wrong with an expression, and where: in its own text first, then in the file that holds it.

use std::ops::Range;

use super::written::Place;
use crate::diagnostic::Diagnostic;
use crate::yaml::locate_in_scalar;

/// What is wrong in the text of an expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    /// What is wrong.
    pub(super) message: String,
    /// What to do about it.
    pub(super) hint: String,
    /// The characters that are wrong, counted from 0.
    pub(super) span: Range<usize>,
}

impl Fault {
    /// The fault as one of the file that holds the expression.
    pub(super) fn within(self, file: &str, place: Place, expression: &str) -> Diagnostic {
        let start = place.position(file);
        let position = locate_in_scalar(file, start, expression, self.span.start).unwrap_or(start);
        Diagnostic::new(file, position, format!("{place}: {}", self.message))
            .of_width(self.span.len())
            .with_hint(self.hint)
    }
}
