//! Whether what was installed runs.

use std::fmt;

use super::{Failure, Phase, Record, RecordStatus, Stage};

/// Longest [`Line`], in characters: a little more than a line of a terminal takes, twice.
const LONGEST: usize = 300;

/// Whether all that was installed runs, and why not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Readiness {
    /// All of it runs.
    Ready,
    /// Some of it does not, and may still; with what is missing, where that is known.
    NotYet(Option<Line>),
    /// Some of it does not, and never will.
    Never(Failure),
}

/// A text for people, on one line: no control characters, nothing that reverses the direction of writing, blanks alone and not at
/// its ends, at most 300 characters. What the cluster says is told in these.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line(String);

impl Readiness {
    /// Whether all of it runs.
    pub const fn is_ready(&self) -> bool {
        matches!(self, Self::Ready)
    }

    /// Why not all of it runs, where that is known.
    pub fn message(&self) -> Option<&str> {
        match self {
            Self::Ready => None,
            Self::NotYet(message) => message.as_ref().map(Line::as_str),
            Self::Never(failure) => Some(&failure.message),
        }
    }
}

impl Default for Readiness {
    /// Nothing is known.
    fn default() -> Self {
        Self::NotYet(None)
    }
}

impl Line {
    /// Makes a line of any text.
    pub fn new(text: &str) -> Self {
        let words = text.split(|character: char| character.is_whitespace() || is_obeyed(character));
        let mut line = String::new();
        let mut left = LONGEST;
        for word in words.filter(|word| !word.is_empty()) {
            let gap = if line.is_empty() { "" } else { " " };
            let length = gap.len() + word.chars().count();
            if length > left {
                let shown = word.chars().take(left.saturating_sub(gap.len() + 1));
                line.extend(gap.chars().chain(shown));
                // There is room for it, unless the last word fits exactly.
                while line.chars().count() >= LONGEST {
                    line.pop();
                }
                line.push('…');
                break;
            }
            line.push_str(gap);
            line.push_str(word);
            left -= length;
        }
        Self(line)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Line {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// The status that tells why a deployment does not run yet, if its record does not say that already. Once it was ready nobody needs
/// that in the record, and what never will be ready fails instead.
pub fn tell(record: &Record, readiness: &Readiness) -> Option<RecordStatus> {
    let Stage::Live(status) = record.stage() else {
        return None;
    };
    let Readiness::NotYet(Some(message)) = readiness else {
        return None;
    };
    let is_news = status.message.as_deref() != Some(message.as_str());
    let matters = status.phase == Phase::Deployed && status.first_ready.is_none();
    (matters && is_news).then(|| RecordStatus {
        message: Some(message.to_string()),
        ..status.clone()
    })
}

/// Whether a terminal may take this character for more than a sign to show: control characters, bidirectional overrides, embeddings and
/// isolates (UAX #9).
fn is_obeyed(character: char) -> bool {
    character.is_control() || matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;
    use crate::lifecycle::FailureClass;
    use crate::lifecycle::fixtures::{record, with};

    #[rstest]
    #[case::plain("pulling image “x”", "pulling image “x”")]
    #[case::lines("one\n two\r\n", "one two")]
    #[case::colours("\u{1b}[31mred", "[31mred")]
    #[case::right_to_left("a\u{202e}b", "a b")]
    #[case::nothing(" \n", "")]
    fn a_line_holds_nothing_that_a_terminal_obeys(#[case] text: &str, #[case] expected: &str) {
        assert_eq!(Line::new(text).as_str(), expected);
    }

    #[rstest]
    #[case::as_long_as_may_be("x".repeat(300), "x".repeat(300))]
    #[case::one_word("x".repeat(301), format!("{}…", "x".repeat(299)))]
    #[case::at_a_blank(format!("{} yy", "x".repeat(298)), format!("{} …", "x".repeat(298)))]
    #[case::no_room_left(format!("{} yy", "x".repeat(300)), format!("{}…", "x".repeat(299)))]
    fn a_long_line_is_cut(#[case] text: String, #[case] expected: String) {
        assert_eq!(Line::new(&text).as_str(), expected);
    }

    proptest! {
        #[test]
        fn a_line_is_short_and_stays_as_it_is(text: String) {
            let line = Line::new(&text);

            prop_assert!(line.as_str().chars().count() <= LONGEST);
            prop_assert!(!line.as_str().chars().any(is_obeyed));
            prop_assert_eq!(Line::new(line.as_str()), line);
        }
    }

    #[test]
    fn news_are_told_once() {
        let record = with(record(Phase::Deployed), |status| status.first_ready = None);

        let status = tell(&record, &pulling()).unwrap();

        assert_eq!(status.message.as_deref(), Some("pulling image x"));
        let told = Record {
            status: Some(status),
            ..record
        };
        assert_eq!(tell(&told, &pulling()), None);
    }

    #[rstest]
    #[case::was_ready_once(record(Phase::Deployed), pulling())]
    #[case::being_installed(record(Phase::Initializing), pulling())]
    #[case::over(record(Phase::Failed), pulling())]
    #[case::nothing_known(new(), Readiness::default())]
    #[case::runs(new(), Readiness::Ready)]
    #[case::fails_instead(new(), Readiness::Never(Failure {
        class: FailureClass::NotReady,
        message: "no image".to_owned(),
        detail: None,
    }))]
    #[case::being_deleted(Record { deleting: true, ..new() }, pulling())]
    fn what_does_not_matter_is_not_told(#[case] record: Record, #[case] readiness: Readiness) {
        assert_eq!(tell(&record, &readiness), None);
    }

    fn new() -> Record {
        with(record(Phase::Deployed), |status| status.first_ready = None)
    }

    fn pulling() -> Readiness {
        Readiness::NotYet(Some(Line::new("pulling image x")))
    }
}
