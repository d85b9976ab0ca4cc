//! What is wrong with a file that people write, and where: cloudlet files, recipes and policies are all told about in this one way.

use std::fmt;
use std::ops::Range;

use annotate_snippets::{AnnotationKind, Level, Origin, Renderer, Snippet};

use crate::yaml::Position;

/// What is wrong, or odd, at one place of a file. Displayed in one line, and another one with the hint; [`Diagnostic::render`] shows the place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{position}: {message}{hint}", hint = HintLine(.hint.as_deref()))]
pub struct Diagnostic {
    /// Where it is.
    pub position: Position,
    /// The field and what would be right.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// The line of the file, where it is known.
    line: Option<Box<str>>,
    /// The characters of it that are meant, counted from 0.
    span: Range<usize>,
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// The file is not used.
    Error,
    /// The file is used, but says something odd.
    Warning,
}

struct HintLine<'a>(Option<&'a str>);

impl Diagnostic {
    /// Something about a place of a text. What is meant is the word there.
    pub fn new(text: &str, position: Position, message: impl Into<String>) -> Self {
        let line = line(text, position);
        let start = position.column.map_or(0, |column| column.saturating_sub(1));
        let word = line.as_deref().map_or(0, |line| word(line, start));
        Self {
            position,
            message: message.into(),
            hint: None,
            span: start..start + word.max(1),
            line,
        }
    }

    /// Something about a file as a whole.
    pub fn of_file(message: impl Into<String>) -> Self {
        Self::new("", Position::of_document(1), message)
    }

    /// The same with a hint.
    #[must_use]
    pub fn with_hint(self, hint: impl Into<String>) -> Self {
        Self {
            hint: Some(hint.into()),
            ..self
        }
    }

    /// The same about so many characters of the line.
    #[must_use]
    pub fn of_width(self, characters: usize) -> Self {
        let start = self.span.start;
        Self {
            span: start..start + characters.max(1),
            ..self
        }
    }

    /// Shows it in several lines, without a line break at the end: what it is, the file's path, line and column, the line with carets, the
    /// hint; in colours or without.
    pub fn render(&self, severity: Severity, path: &str, colours: bool) -> String {
        let level = match severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        // The renderer makes harmless what a terminal would obey, but not in paths.
        let path = path.replace(char::is_control, "\u{fffd}");
        let title = level.primary_title(self.title());
        let report = match (&self.line, self.position.line) {
            (Some(line), Some(number)) => {
                let carets = AnnotationKind::Primary.span(self.bytes(line));
                let snippet = Snippet::source(&**line).line_start(number).path(&path);
                title.element(snippet.annotation(carets))
            }
            _ => title.element(Origin::path(&path)),
        };
        let hint = self.hint.as_deref();
        let hint = hint.map(|hint| Level::HELP.with_name("hint").message(hint));
        let renderer = if colours {
            Renderer::styled()
        } else {
            Renderer::plain()
        };
        renderer.render(&[report.elements(hint)])
    }

    /// The message with the document's number, unless it is about the file as a whole.
    fn title(&self) -> String {
        match self.position {
            Position {
                document: 1,
                line: None,
                ..
            } => self.message.clone(),
            Position { document, .. } => format!("document {document}: {}", self.message),
        }
    }

    /// The span in bytes.
    fn bytes(&self, line: &str) -> Range<usize> {
        let byte = |character: usize| {
            let mut places = line.char_indices().map(|(byte, _)| byte);
            places.nth(character).unwrap_or(line.len())
        };
        byte(self.span.start)..byte(self.span.end)
    }
}

/// The line at a position; where the text has ended before it, the end of the line is meant.
fn line(text: &str, position: Position) -> Option<Box<str>> {
    let number = position.line?.checked_sub(1)?;
    Some(text.lines().nth(number).unwrap_or_default().into())
}

/// Length of what stands at a character, up to the next blank or sign of YAML.
fn word(line: &str, start: usize) -> usize {
    let ends = |character: char| character.is_whitespace() || ",]}".contains(character);
    let rest = line.chars().skip(start);
    let word: String = rest.take_while(|character| !ends(*character)).collect();
    word.trim_end_matches(':').chars().count()
}

impl fmt::Display for HintLine<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .map_or(Ok(()), |hint| write!(formatter, "\nhint: {hint}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_is_shown_with_what_to_do() {
        let text = "name: Zürich\nendpoint: ftp://zürich.example, # no\n";

        let shown = Diagnostic::new(text, at(2, 11), "endpoint: not http")
            .with_hint("write http://")
            .render(Severity::Error, "cloudlets.yaml", false);

        insta::assert_snapshot!(shown, @r"
        error: document 1: endpoint: not http
         --> cloudlets.yaml:2:11
          |
        2 | endpoint: ftp://zürich.example, # no
          |           ^^^^^^^^^^^^^^^^^^^^
          |
          = hint: write http://
        ");
    }

    #[test]
    fn what_has_no_line_is_told_with_the_file_alone() {
        let position = Position::of_document(2);

        let shown = Diagnostic::new("", position, "the file holds more than one document").render(
            Severity::Warning,
            "recipe.yaml",
            false,
        );

        insta::assert_snapshot!(shown, @r"
        warning: document 2: the file holds more than one document
        --> recipe.yaml
        ");
    }

    #[test]
    fn a_place_beyond_the_text_and_what_a_terminal_would_obey_do_no_harm() {
        let beyond = Diagnostic::new("a: [1\n", at(2, 1), "never\u{1b}[2J closed").render(
            Severity::Error,
            "\u{1b}[31m.yaml",
            false,
        );
        let controls = Diagnostic::new("a: \u{1b}[31m\u{7}\n", at(1, 4), "odd").render(
            Severity::Error,
            "a.yaml",
            false,
        );

        assert!(!format!("{beyond}{controls}").contains(['\u{1b}', '\u{7}']));
        insta::assert_snapshot!(beyond, @r"
        error: document 1: never␛[2J closed
         --> �[31m.yaml:2:1
          |
        2 |
          | ^
        ");
    }

    fn at(line: usize, column: usize) -> Position {
        Position {
            document: 1,
            line: Some(line),
            column: Some(column),
        }
    }
}
