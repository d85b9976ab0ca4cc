//! YAML, the one place that knows the parser: its errors become a document's number, a line and a column.

use std::cell::Cell;
use std::fmt;

use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor,
};
use serde::{Deserialize, Serialize};

use crate::diagnostic::Diagnostic;

/// Where something stands in a stream of YAML documents. Lines, columns and documents are counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// The document's number in the stream, empty documents included.
    pub document: usize,
    /// The line in the stream, where it is known.
    pub line: Option<usize>,
    /// The column, where it is known.
    pub column: Option<usize>,
}

impl Position {
    /// A document as a whole, or somewhere in it.
    pub const fn of_document(document: usize) -> Self {
        Self {
            document,
            line: None,
            column: None,
        }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "document {}", self.document)?;
        if let Some(line) = self.line {
            write!(formatter, ", line {line}")?;
        }
        self.column
            .map_or(Ok(()), |column| write!(formatter, ", column {column}"))
    }
}

/// Reads a stream of documents; an empty document gives `None`.
///
/// # Errors
/// The first document that is not YAML or does not fit `T`.
pub fn documents<T: DeserializeOwned>(text: &str) -> Result<Vec<Option<T>>, Diagnostic> {
    each_document(text).collect()
}

/// Reads a stream of documents one by one, as [`documents`] does.
pub fn each_document<T: DeserializeOwned>(
    text: &str,
) -> impl Iterator<Item = Result<Option<T>, Diagnostic>> {
    let documents = serde_yaml::Deserializer::from_str(text).zip(1..);
    documents.map(move |(document, number)| {
        Option::<T>::deserialize(document).map_err(|error| diagnostic(text, number, &error))
    })
}

/// Reads a text that holds one document.
///
/// # Errors
/// The text is not YAML, empty, holds more than one document, or does not fit `T`.
pub fn document<T: DeserializeOwned>(text: &str) -> Result<T, Diagnostic> {
    let mut found = documents::<T>(text)?.into_iter().flatten();
    let at =
        |document, message: &str| Diagnostic::new(text, Position::of_document(document), message);
    let first = found.next().ok_or_else(|| at(1, "the file is empty"))?;
    if found.next().is_some() {
        return Err(at(2, "the file holds more than one document"));
    }
    Ok(first)
}

/// What keeps a text from being YAML at all, whatever it is meant to say; `None` where it is YAML.
pub fn syntax_error(text: &str) -> Option<Diagnostic> {
    documents::<IgnoredAny>(text).err()
}

/// Writes a value as one document.
///
/// # Errors
/// The value holds what YAML cannot say.
pub fn to_text<T: Serialize>(value: &T) -> Result<String, Diagnostic> {
    serde_yaml::to_string(value).map_err(|error| diagnostic("", 1, &error))
}

/// Where the value of a top-level field stands, for errors that only show when documents are compared with each other.
pub fn position_of(text: &str, document: usize, field: &str) -> Position {
    position_of_value(text, document, field, None)
}

/// Where an item, counted from 0, of the list in a top-level field stands.
pub fn position_of_item(text: &str, document: usize, field: &str, item: usize) -> Position {
    position_of_value(text, document, field, Some(item))
}

/// Where a character, counted from 0, of a scalar's value stands, if the scalar begins at `start`. Blanks may be written differently in
/// the file than they are read (line breaks, indentation), so places are found by what stands between them. `None` where the file writes
/// the value in another way, for example with escapes.
pub fn locate_in_scalar(
    text: &str,
    start: Position,
    value: &str,
    offset: usize,
) -> Option<Position> {
    let mut wanted = value
        .chars()
        .take(offset + 1)
        .filter(|character| !character.is_whitespace());
    let mut expected = wanted.next()?;
    let mut written = written_from(text, start)?
        .skip_while(|(_, character)| character.is_whitespace())
        .peekable();
    match written.peek()?.1 {
        '"' | '\'' => {
            written.next();
        }
        '|' | '>' => {
            let line = written.peek()?.0.line;
            while written.peek()?.0.line == line {
                written.next();
            }
        }
        _ => {}
    }
    let mut written = written.filter(|(_, character)| !character.is_whitespace());
    loop {
        let (mut place, mut character) = written.next()?;
        if character != expected && matches!(character, '\\' | '\'') {
            (place, character) = written.next()?;
        }
        if character != expected {
            return None;
        }
        match wanted.next() {
            Some(next) => expected = next,
            None => return Some(place),
        }
    }
}

fn position_of_value(text: &str, document: usize, field: &str, item: Option<usize>) -> Position {
    let unknown = Position::of_document(document);
    let Some(deserializer) = serde_yaml::Deserializer::from_str(text).nth(document - 1) else {
        return unknown;
    };
    let reached = Cell::new(false);
    let error = deserializer
        .deserialize_map(StopAt {
            field,
            item,
            reached: &reached,
        })
        .err();
    error
        .filter(|_| reached.get())
        .map_or(unknown, |error| position(document, &error))
}

/// The characters of a text from a position on, each with its own.
fn written_from(text: &str, start: Position) -> Option<impl Iterator<Item = (Position, char)>> {
    let (first_line, first_column) = (start.line?, start.column?);
    let lines = text
        .split_inclusive('\n')
        .zip(1..)
        .skip(first_line.checked_sub(1)?);
    Some(lines.flat_map(move |(content, line)| {
        let skipped = if line == first_line {
            first_column.saturating_sub(1)
        } else {
            0
        };
        let characters = content.chars().zip(1..).skip(skipped);
        characters.map(move |(character, column)| {
            let position = Position {
                line: Some(line),
                column: Some(column),
                ..start
            };
            (position, character)
        })
    }))
}

fn diagnostic(text: &str, document: usize, error: &serde_yaml::Error) -> Diagnostic {
    let told = error.to_string();
    let message = match error.location() {
        // The parser appends the place to its message; we say it in front, once.
        Some(place) => told.replace(
            &format!(" at line {} column {}", place.line(), place.column()),
            "",
        ),
        None => told,
    };
    let diagnostic = Diagnostic::new(text, position(document, error), message);
    if is_indented_by_a_tab(text, error) {
        return diagnostic.with_hint("indent with blanks: YAML takes no tabs there");
    }
    diagnostic
}

/// Whether the parser stopped at a tab that begins a line.
fn is_indented_by_a_tab(text: &str, error: &serde_yaml::Error) -> bool {
    let Some(place) = error.location() else {
        return false;
    };
    let line = text.lines().nth(place.line().saturating_sub(1));
    let before = line.map(|line| line.chars().take(place.column()));
    before.is_some_and(|mut before| {
        before.clone().last() == Some('\t') && before.all(char::is_whitespace)
    })
}

fn position(document: usize, error: &serde_yaml::Error) -> Position {
    let place = error.location();
    Position {
        document,
        line: place.as_ref().map(serde_yaml::Location::line),
        column: place.as_ref().map(serde_yaml::Location::column),
    }
}

/// Walks a mapping and fails at the value of one field, or at one item of it: the failure carries the place, which the parser tells in no other way.
struct StopAt<'a> {
    field: &'a str,
    item: Option<usize>,
    reached: &'a Cell<bool>,
}

impl<'de> Visitor<'de> for StopAt<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a mapping")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key::<String>()? {
            if name == self.field {
                return match self.item {
                    None => map.next_value_seed(Stop(self.reached)),
                    Some(item) => map.next_value_seed(StopAtItem {
                        item,
                        reached: self.reached,
                    }),
                };
            }
            map.next_value::<IgnoredAny>()?;
        }
        Ok(())
    }
}

struct StopAtItem<'a> {
    item: usize,
    reached: &'a Cell<bool>,
}

impl<'de> DeserializeSeed<'de> for StopAtItem<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for StopAtItem<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        for _ in 0..self.item {
            items.next_element::<IgnoredAny>()?;
        }
        items.next_element_seed(Stop(self.reached)).map(|_| ())
    }
}

struct Stop<'a>(&'a Cell<bool>);

impl<'de> DeserializeSeed<'de> for Stop<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        self.0.set(true);
        deserializer.deserialize_any(Nothing)
    }
}

/// Accepts nothing.
struct Nothing;

impl Visitor<'_> for Nothing {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("nothing")
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[test]
    fn a_field_is_found_in_its_document() {
        let text = "name: one\n---\nname: two\nendpoint: x\n";

        let position = position_of(text, 2, "endpoint");

        assert_eq!(
            position,
            Position {
                document: 2,
                line: Some(4),
                column: Some(11)
            }
        );
    }

    #[test]
    fn a_field_that_is_not_there_has_no_line() {
        let position = position_of("name: one\n", 1, "endpoint");

        assert_eq!(position, Position::of_document(1));
    }

    #[test]
    fn what_is_written_reads_back() {
        let value = serde_json::json!({"name": "a\u{1b}[0m: b", "list": [1, 2.5, null]});

        let text = to_text(&value).unwrap();

        assert_eq!(document::<serde_json::Value>(&text), Ok(value));
    }

    #[test]
    fn a_syntax_error_says_where() {
        let error = documents::<serde_json::Value>("a: 1\n---\nb: [1, 2\n").unwrap_err();

        assert_eq!((error.position.document, error.position.line), (2, Some(4)));
    }

    #[rstest]
    #[case::not_closed("a: [1\n", Some(None))]
    #[case::indented_by_chance("name: one\n  endpoint: x\n", Some(None))]
    #[case::indented_by_a_tab(
        "a:\n\tb: 1\n",
        Some(Some("indent with blanks: YAML takes no tabs there"))
    )]
    #[case::a_tab_elsewhere("a:\tb: c\n", Some(None))]
    #[case::good_whatever_it_says("- name: [one, two]\n---\n{}\n", None)]
    #[case::empty("", None)]
    fn what_is_no_yaml_is_told(#[case] text: &str, #[case] hint: Option<Option<&str>>) {
        let error = syntax_error(text);

        let told = error.as_ref().map(|error| error.hint.as_deref());
        assert_eq!(told, hint);
    }
}
