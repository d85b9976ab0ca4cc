//! Answers on stdout.

mod explanation;
mod table;

use std::fmt::Write as _;
use std::io::{self, IsTerminal as _};

use serde::Serialize;
use sinfonia_core::yaml;

pub(crate) use sinfonia_service::stdout::print;

pub(crate) use self::explanation::explanation;
pub(crate) use self::table::{candidates, deployments, recipe};
use crate::printable::is_obeyed;

/// Writes lines whose escape sequences only a terminal gets.
///
/// # Errors
/// Those of [`print`].
pub(crate) fn print_coloured(lines: &[String]) -> io::Result<()> {
    let text = format!("{}\n", lines.join("\n"));
    let stdout = io::stdout();
    match anstream::AutoStream::choice(&stdout) {
        anstream::ColorChoice::Never => print(anstream::adapter::strip_str(&text).to_string()),
        _ => print(text),
    }
}

/// The columns that a table may have: those of the terminal; as many as it needs where stdout is none.
pub(crate) fn width() -> Option<u16> {
    let stdout = io::stdout();
    let size = stdout
        .is_terminal()
        .then(|| terminal_size::terminal_size_of(&stdout));
    size.flatten().map(|(width, _)| width.0)
}

/// An answer as JSON, which no terminal takes for more than text.
///
/// # Errors
/// None for values that came as JSON.
pub(crate) fn json<T: Serialize>(value: &T) -> io::Result<String> {
    Ok(harmless(&serde_json::to_string_pretty(value)?))
}

/// An answer as JSON in one line, which no terminal takes for more than text.
///
/// # Errors
/// None for values that came as JSON.
pub(crate) fn json_line<T: Serialize>(value: &T) -> io::Result<String> {
    Ok(harmless(&serde_json::to_string(value)?))
}

/// JSON with all escaped that a terminal would obey, and with a line break at its end.
fn harmless(json: &str) -> String {
    let mut safe = String::with_capacity(json.len() + 1);
    for character in json.chars() {
        // All that JSON itself leaves unescaped stands within strings, but for its own line breaks.
        if is_obeyed(character) && character != '\n' {
            // Writing to a string never fails.
            let _ = write!(safe, "\\u{:04x}", u32::from(character));
        } else {
            safe.push(character);
        }
    }
    safe.push('\n');
    safe
}

/// An answer as YAML, which no terminal takes for more than text.
///
/// # Errors
/// None for values that came as JSON.
pub(crate) fn yaml<T: Serialize>(value: &T) -> io::Result<String> {
    let text = yaml::to_text(value).map_err(io::Error::other)?;
    // The writer leaves what turns the direction of writing as it is, and JSON is YAML too.
    if text.chars().any(|sign| is_obeyed(sign) && sign != '\n') {
        return json(value);
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn json_survives_and_shows_nothing_that_a_terminal_obeys() {
        let value = json!([{"name": "a\u{9b}2J\u{7f}\n\u{1b}[0m\u{202e}", "n": 1.5}]);

        let text = json(&value).unwrap();

        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&text).unwrap(),
            value
        );
        assert!(
            !text
                .chars()
                .any(|character| is_obeyed(character) && character != '\n'),
            "{text}"
        );
    }

    #[test]
    fn json_in_a_line_is_one_line() {
        let value = json!({"name": "a\u{9b}2J\n"});

        let text = json_line(&value).unwrap();

        assert_eq!(text, "{\"name\":\"a\\u009b2J\\n\"}\n");
    }

    #[test]
    fn yaml_shows_nothing_that_a_terminal_obeys() {
        let value = json!({"name": "a\u{9b}2J\u{7f}\u{1b}[0m", "turned\u{202e}": "\u{2066}"});

        let text = yaml(&value).unwrap();

        assert_eq!(yaml::document::<serde_json::Value>(&text).unwrap(), value);
        assert!(
            !text
                .chars()
                .any(|character| is_obeyed(character) && character != '\n'),
            "{text}"
        );
    }
}
