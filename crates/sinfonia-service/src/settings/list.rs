//! Options that hold lists.

use std::fmt::Display;
use std::str::FromStr;

use serde_json::Value;

/// What one occurrence of an option, or its variable, holds: a JSON list (`["a","b"]`) or values separated by commas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct List<T>(pub Vec<T>);

/// Why a text is not a list.
#[derive(Debug, thiserror::Error)]
pub enum ListError {
    /// It begins like a JSON list and is none.
    #[error("begins with `[` but is no JSON list such as [\"a\",\"b\"]: {0}")]
    Json(String),
    /// A value of the list is malformed.
    #[error("{0}")]
    Value(String),
}

impl<T> FromStr for List<T>
where
    T: FromStr,
    T::Err: Display,
{
    type Err = ListError;

    fn from_str(text: &str) -> Result<Self, ListError> {
        let text = text.trim();
        let words = if text.starts_with('[') {
            json_words(text)?
        } else {
            comma_words(text)
        };
        let values = words.iter().map(|word| {
            word.parse()
                .map_err(|error: T::Err| ListError::Value(error.to_string()))
        });
        values.collect::<Result<_, _>>().map(Self)
    }
}

/// The values of all occurrences of an option.
pub fn flatten<T: Clone>(lists: &[List<T>]) -> Vec<T> {
    lists
        .iter()
        .flat_map(|list| list.0.iter().cloned())
        .collect()
}

fn comma_words(text: &str) -> Vec<String> {
    text.split(',')
        .map(str::trim)
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

fn json_words(text: &str) -> Result<Vec<String>, ListError> {
    let values: Vec<Value> =
        serde_json::from_str(text).map_err(|error| ListError::Json(error.to_string()))?;
    let word = |value| match value {
        Value::String(word) => word,
        other => other.to_string(),
    };
    Ok(values.into_iter().map(word).collect())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::one("1", &[1])]
    #[case::commas("1,2,3", &[1, 2, 3])]
    #[case::blanks_and_empty_values(" 1 , ,2,", &[1, 2])]
    #[case::json("[1, 2]", &[1, 2])]
    #[case::json_strings(r#"["1","2"]"#, &[1, 2])]
    #[case::empty_json("[]", &[])]
    fn a_list_is_json_or_separated_by_commas(#[case] text: &str, #[case] expected: &[u8]) {
        assert_eq!(text.parse::<List<u8>>().unwrap(), List(expected.to_vec()));
    }

    #[rstest]
    #[case::value("1,x", "invalid digit found in string")]
    #[case::json(
        "[1,",
        "begins with `[` but is no JSON list such as [\"a\",\"b\"]: EOF while parsing a value at line 1 column 3"
    )]
    fn what_is_wrong_with_a_list_is_told(#[case] text: &str, #[case] expected: &str) {
        assert_eq!(text.parse::<List<u8>>().unwrap_err().to_string(), expected);
    }

    #[test]
    fn the_values_of_all_occurrences_count() {
        assert_eq!(flatten(&[List(vec![1]), List(vec![2, 3])]), [1, 2, 3]);
    }
}
