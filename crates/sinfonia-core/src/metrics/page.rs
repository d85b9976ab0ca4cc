//! Prometheus' text format, as far as one needs to pick numbers out of a page.
//!
//! <https://prometheus.io/docs/instrumenting/exposition_formats/> is the grammar. A line that does not follow it is passed over, because
//! what else is on the page is none of our business.

use std::str::FromStr;

use serde::{Deserialize, Deserializer};
use winnow::ascii::{multispace0, space0, space1};
use winnow::combinator::{alt, delimited, opt, preceded, repeat, separated, terminated};
use winnow::error::ContextError;
use winnow::prelude::*;
use winnow::token::{none_of, take_till, take_while};

use crate::text;

/// A text that names no series.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` names no series: expected a name and optionally labels, such as queue_length{{queue=\"inference\",host!=\"old\"}}"
)]
pub struct SeriesError(String);

/// The series of a page that have a name and fulfil conditions on labels, written as in PromQL, with `=` and `!=`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Series {
    name: String,
    conditions: Vec<Label>,
}

/// What a series' labels say, or have to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Label {
    name: String,
    relation: Relation,
    value: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Relation {
    Is,
    IsNot,
}

/// A line of a page of which only the name was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Line<'a> {
    /// The name of the series.
    pub(super) name: &'a str,
    rest: &'a str,
}

/// A number of a page.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Sample {
    /// What tells it from others of its name.
    pub(super) labels: Vec<Label>,
    /// The number, infinite and none included.
    pub(super) value: f64,
}

text::written_as!(Series, "Series", {
    "type": "string",
    "description": "Series of the page: a name, and labels that they must or must not have.",
    "minLength": 1,
    "examples": ["queue_length{model!=\"test\"}"],
});

impl Series {
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Whether a sample of a series of this name counts. As in PromQL, a label that is not there is empty.
    pub(super) fn takes(&self, sample: &Sample) -> bool {
        self.conditions.iter().all(|condition| {
            let mut labels = sample.labels.iter();
            let label = labels.find(|label| label.name == condition.name);
            let value = label.map_or("", |label| label.value.as_str());
            (value == condition.value) == (condition.relation == Relation::Is)
        })
    }
}

impl FromStr for Series {
    type Err = SeriesError;

    fn from_str(text: &str) -> Result<Self, SeriesError> {
        delimited(multispace0, series, multispace0)
            .parse(text)
            .map_err(|_| SeriesError(text.escape_default().take(120).collect()))
    }
}

impl<'de> Deserialize<'de> for Series {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text::deserialize(deserializer, "the series as text")
    }
}

/// The lines of a page that begin as a sample does.
pub(super) fn lines(page: &str) -> impl Iterator<Item = Line<'_>> {
    page.lines().filter_map(|line| {
        let mut rest = line.trim_start_matches([' ', '\t']);
        let name = metric_name(&mut rest).ok()?;
        Some(Line { name, rest })
    })
}

impl Line<'_> {
    /// The rest of the line, unless it is malformed. What follows the number, a time or an example, is not read.
    pub(super) fn sample(mut self) -> Option<Sample> {
        let (labels, value) = sample(&mut self.rest).ok()?;
        let only_says = labels.iter().all(|label| label.relation == Relation::Is);
        only_says.then_some(Sample { labels, value })
    }
}

type Parsed<T> = Result<T, ContextError>;

fn series(input: &mut &str) -> Parsed<Series> {
    let name = metric_name(input)?.to_owned();
    let conditions = opt(preceded(space0, labels)).parse_next(input)?;
    Ok(Series {
        name,
        conditions: conditions.unwrap_or_default(),
    })
}

/// What follows the name in a line: labels and a number.
fn sample(input: &mut &str) -> Parsed<(Vec<Label>, f64)> {
    let labelled = delimited(space0, labels, space0);
    let bare = space1.map(|_| Vec::new());
    // Rust spells numbers as the format does, those that are not finite included.
    let number = take_till(1.., [' ', '\t']).parse_to();
    (alt((labelled, bare)), number).parse_next(input)
}

fn labels(input: &mut &str) -> Parsed<Vec<Label>> {
    let comma = (space0, ',', space0);
    let list = terminated(separated(0.., label, comma), opt((space0, ',')));
    delimited(('{', space0), list, (space0, '}')).parse_next(input)
}

fn label(input: &mut &str) -> Parsed<Label> {
    let relation = alt(("=".value(Relation::Is), "!=".value(Relation::IsNot)));
    let relation = delimited(space0, relation, space0);
    let (name, relation, value) = (label_name, relation, quoted).parse_next(input)?;
    Ok(Label {
        name: name.to_owned(),
        relation,
        value,
    })
}

fn metric_name<'a>(input: &mut &'a str) -> Parsed<&'a str> {
    let first = |character: char| is_first(character) || character == ':';
    let further = |character: char| first(character) || character.is_ascii_digit();
    (take_while(1, first), take_while(0.., further))
        .take()
        .parse_next(input)
}

fn label_name<'a>(input: &mut &'a str) -> Parsed<&'a str> {
    let further = |character: char| is_first(character) || character.is_ascii_digit();
    (take_while(1, is_first), take_while(0.., further))
        .take()
        .parse_next(input)
}

fn is_first(character: char) -> bool {
    character.is_ascii_alphabetic() || character == '_'
}

fn quoted(input: &mut &str) -> Parsed<String> {
    let escaped = preceded('\\', alt(('\\', '"', 'n'.value('\n'))));
    let character = alt((none_of(['"', '\\']), escaped));
    let text = repeat(0.., character).fold(String::new, |mut text, character: char| {
        text.push(character);
        text
    });
    delimited('"', text, '"').parse_next(input)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::bare("load 1.5", &[], 1.5)]
    #[case::blanks("  load \t 1.5  ", &[], 1.5)]
    #[case::a_recording_rule("job:load:sum 1.5", &[], 1.5)]
    #[case::labels(r#"load{host="a",room="b"} 2"#, &[("host", "a"), ("room", "b")], 2.0)]
    #[case::blanks_everywhere(r#"load { host = "a" , room="b" , } 2"#, &[("host", "a"), ("room", "b")], 2.0)]
    #[case::no_blank_after_labels(r#"load{host="a"}2"#, &[("host", "a")], 2.0)]
    #[case::no_labels("load{} 2", &[], 2.0)]
    #[case::escapes(r#"load{path="C:\\x\n\"y\""} 2"#, &[("path", "C:\\x\n\"y\"")], 2.0)]
    #[case::odd_values(r#"load{a="b,c=d}"} 2"#, &[("a", "b,c=d}")], 2.0)]
    #[case::a_time("load 2 1543182234000", &[], 2.0)]
    #[case::an_example(r#"load 2 # {trace_id="x"} 1 1.5"#, &[], 2.0)]
    #[case::an_exponent("load 1.5e+3", &[], 1500.0)]
    #[case::infinite("load +Inf", &[], f64::INFINITY)]
    #[case::negative("load -7", &[], -7.0)]
    fn a_sample_has_labels_and_a_number(
        #[case] line: &str,
        #[case] labels: &[(&str, &str)],
        #[case] value: f64,
    ) {
        let labels = labels.iter().map(|(name, value)| Label {
            name: (*name).to_owned(),
            relation: Relation::Is,
            value: (*value).to_owned(),
        });
        let expected = Sample {
            labels: labels.collect(),
            value,
        };

        assert_eq!(samples(line), [expected]);
    }

    #[test]
    fn not_a_number_is_a_number_of_the_format() {
        assert!(samples("load NaN")[0].value.is_nan());
    }

    #[rstest]
    #[case::empty("")]
    #[case::a_comment("# TYPE load gauge")]
    #[case::no_number("load")]
    #[case::no_blank("load-1")]
    #[case::no_number_after_labels(r#"load{host="a"}"#)]
    #[case::a_word("load high")]
    #[case::no_quotes("load{host=a} 1")]
    #[case::another_relation(r#"load{host!="a"} 1"#)]
    #[case::not_closed(r#"load{host="a" 1"#)]
    #[case::quote_not_closed(r#"load{host="a} 1"#)]
    #[case::an_unknown_escape(r#"load{host="\x"} 1"#)]
    #[case::no_comma(r#"load{a="b"c="d"} 1"#)]
    #[case::a_page_for_people("<html><body>load 1</body></html>")]
    #[case::a_digit_first("7load 1")]
    fn what_is_no_sample_is_passed_over(#[case] line: &str) {
        assert_eq!(samples(line), []);
    }

    #[rstest]
    #[case::all_of_a_name("load", &[true, true, true])]
    #[case::a_label(r#"load{host="a"}"#, &[true, false, false])]
    #[case::not_a_label(r#" load { host != "a" } "#, &[false, true, true])]
    #[case::a_label_that_is_not_there(r#"load{host=""}"#, &[false, false, true])]
    #[case::two(r#"load{host!="",room="2"}"#, &[false, true, false])]
    #[case::none("load{}", &[true, true, true])]
    fn a_series_is_named_by_conditions_on_its_labels(
        #[case] series: &str,
        #[case] expected: &[bool],
    ) {
        let series: Series = series.parse().unwrap();

        let page = "load{host=\"a\"} 1\nload{host=\"b\",room=\"2\"} 2\nload 3\n";

        let taken: Vec<bool> = samples(page)
            .iter()
            .map(|sample| series.takes(sample))
            .collect();
        assert_eq!(taken, expected);
    }

    #[rstest]
    #[case("")]
    #[case("7load")]
    #[case("load 1")]
    #[case("load{host=~\"a\"}")]
    #[case("sum(load)")]
    fn what_names_no_series_is_refused(#[case] text: &str) {
        let refused = text.parse::<Series>();

        assert_eq!(refused, Err(SeriesError(text.escape_default().collect())));
    }

    proptest! {
        #[test]
        fn no_page_makes_the_parser_fail_badly(page in "([a-z]{1,3}|[{}\"=,# \\\\]|!=|\n|[0-9.]{1,3}|\\PC){0,40}") {
            let _ = samples(&page);
            let _ = page.parse::<Series>();
        }

        #[test]
        fn every_value_of_a_label_survives(value in "\\PC{0,12}", number in -1e9..1e9) {
            let written = value.replace('\\', "\\\\").replace('"', "\\\"");
            let line = format!("load{{host=\"{written}\"}} {number}");

            let label = Label { name: "host".to_owned(), relation: Relation::Is, value };
            prop_assert_eq!(samples(&line), [Sample { labels: vec![label], value: number }]);
        }
    }

    fn samples(page: &str) -> Vec<Sample> {
        lines(page).filter_map(Line::sample).collect()
    }
}
