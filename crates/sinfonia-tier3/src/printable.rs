//! Text of others, made fit for a terminal.

use std::fmt;

/// Longest text of others that a message repeats, in characters.
const LONGEST: usize = 500;

/// A text without anything that a terminal obeys or that hides: no control characters, nothing that reverses the direction of writing, no
/// characters without width that join nothing, and at most 500 characters. Line breaks and tabs are blanks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Printable(String);

impl Printable {
    /// Replaces what is not fit by `�`.
    pub(crate) fn new(text: &str) -> Self {
        let mut shown: String = text.trim().chars().take(LONGEST).map(shown).collect();
        if text.trim().chars().nth(LONGEST).is_some() {
            shown.push('…');
        }
        Self(shown)
    }

    /// The text.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Printable {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Whether a terminal may take this character for more than a sign to show.
pub(crate) fn is_obeyed(character: char) -> bool {
    // Bidirectional overrides, embeddings and isolates (UAX #9).
    character.is_control() || matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn shown(character: char) -> char {
    match character {
        '\n' | '\r' | '\t' => ' ',
        other if is_obeyed(other) || is_hidden(other) => '\u{fffd}',
        other => other,
    }
}

/// Whether nobody sees this character, and no script or emoji needs it: two names that look alike would be different ones.
const fn is_hidden(character: char) -> bool {
    matches!(character, '\u{ad}' | '\u{180e}' | '\u{200b}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::plain("no cloudlet at “Zürich”", "no cloudlet at “Zürich”")]
    #[case::colours("\u{1b}[31mred", "�[31mred")]
    #[case::lines("one\ntwo\r\n", "one two")]
    #[case::right_to_left("a\u{202e}b", "a�b")]
    #[case::csi_of_eight_bits("a\u{9b}2J", "a�2J")]
    #[case::a_blank_without_width("a\u{200b}b\u{feff}", "a�b�")]
    #[case::joined_emoji("\u{1f469}\u{200d}\u{1f680}", "\u{1f469}\u{200d}\u{1f680}")]
    #[case::an_unjoined_letter("\u{645}\u{6cc}\u{200c}\u{62e}", "\u{645}\u{6cc}\u{200c}\u{62e}")]
    fn what_a_terminal_obeys_or_what_hides_is_replaced(#[case] text: &str, #[case] expected: &str) {
        assert_eq!(Printable::new(text).as_str(), expected);
    }

    #[test]
    fn a_long_text_is_cut() {
        assert_eq!(
            Printable::new(&"x".repeat(501)).as_str(),
            format!("{}…", "x".repeat(500))
        );
    }

    proptest! {
        #[test]
        fn nothing_printable_is_obeyed(text: String) {
            prop_assert!(!Printable::new(&text).as_str().chars().any(is_obeyed));
        }
    }
}
