//! What is wrong with an expression, and where: in its own text first, then in the file that holds it.

use std::fmt;
use std::ops::Range;

use super::written::Place;
use crate::yaml::{Position, locate_in_scalar};

/// Most characters of a line that are shown around the place.
const SHOWN: usize = 100;

/// An expression of a file that cannot be used. Displayed in several lines: where and what, the line with a caret, and a hint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{position}: {field}: {message}{excerpt}\nhint: {hint}")]
pub struct ExpressionError {
    position: Position,
    field: String,
    message: String,
    excerpt: Excerpt,
    hint: String,
}

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

/// A line of the file, with a caret under the place.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Excerpt {
    number: Option<usize>,
    line: String,
    /// Characters before the place.
    before: usize,
    /// Characters that are wrong.
    width: usize,
}

impl Fault {
    /// The fault as one of the file that holds the expression.
    pub(super) fn within(self, file: &str, place: Place, expression: &str) -> Box<ExpressionError> {
        let start = place.position(file);
        let position = locate_in_scalar(file, start, expression, self.span.start).unwrap_or(start);
        Box::new(ExpressionError {
            position,
            field: place.to_string(),
            message: self.message,
            excerpt: Excerpt::of(file, position, self.span.len()),
            hint: self.hint,
        })
    }
}

impl Excerpt {
    fn of(file: &str, position: Position, width: usize) -> Self {
        let line = position
            .line
            .and_then(|line| file.lines().nth(line.checked_sub(1)?));
        let column = position.column.map_or(0, |column| column.saturating_sub(1));
        let characters: Vec<char> = line.unwrap_or_default().chars().collect();
        let begin = if characters.len() <= SHOWN {
            0
        } else {
            column.saturating_sub(SHOWN / 2)
        };
        let end = characters.len().min(begin + SHOWN);
        let shown = characters.get(begin..end).unwrap_or_default().iter();
        // What a terminal would obey is shown as a blank, which keeps the caret in its place.
        let line: String = shown
            .map(|character| {
                if character.is_control() {
                    ' '
                } else {
                    *character
                }
            })
            .collect();
        let before = column.saturating_sub(begin);
        Self {
            number: position.line,
            before,
            width: width.min(end.saturating_sub(begin + before)).max(1),
            line,
        }
    }
}

impl fmt::Display for Excerpt {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(number) = self.number else {
            return Ok(());
        };
        let margin = number.to_string().len();
        let (before, carets) = (" ".repeat(self.before), "^".repeat(self.width));
        write!(
            formatter,
            "\n{number} | {}\n{:margin$} | {before}{carets}",
            self.line, ""
        )
    }
}
