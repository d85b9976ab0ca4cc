//! The answers to instant queries, parsed.

use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};

/// Most characters of an error that are logged.
const ERROR_CHARACTERS: usize = 200;

/// Why an answer is not a result.
#[derive(Debug, thiserror::Error)]
pub enum AnswerError {
    /// It is not what the API of Prometheus describes.
    #[error("it is malformed")]
    Shape(#[from] serde_json::Error),
    /// A query has a result of another type than it must have.
    #[error("it holds no {0}")]
    Kind(&'static str),
}

/// A series of a vector.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample<L> {
    /// Its labels.
    pub labels: L,
    /// Its number as Prometheus writes it, infinite and none included.
    pub value: f64,
}

#[derive(Deserialize)]
struct Success<R> {
    data: R,
}

#[derive(Deserialize)]
#[serde(tag = "resultType", content = "result", rename_all = "lowercase")]
#[serde(bound = "L: DeserializeOwned")]
enum Data<L> {
    Vector(Vec<Labelled<L>>),
    Scalar(Point),
    // Only so that they are told apart from what is malformed.
    Matrix(IgnoredAny),
    String(IgnoredAny),
}

#[derive(Deserialize)]
struct Labelled<L> {
    metric: L,
    value: Point,
}

/// A time, and a number as text.
type Point = (f64, String);

#[derive(Deserialize)]
struct Failure {
    error: String,
}

/// The series of a vector.
pub(super) fn vector<L: DeserializeOwned>(body: &[u8]) -> Result<Vec<Sample<L>>, AnswerError> {
    let Data::Vector(series) = result(body)? else {
        return Err(AnswerError::Kind("vector"));
    };
    let sample = |series: Labelled<L>| Sample {
        labels: series.metric,
        value: number(&series.value),
    };
    Ok(series.into_iter().map(sample).collect())
}

/// A scalar.
pub(super) fn scalar(body: &[u8]) -> Result<f64, AnswerError> {
    match result::<IgnoredAny>(body)? {
        Data::Scalar(point) => Ok(number(&point)),
        Data::Vector(_) | Data::Matrix(_) | Data::String(_) => Err(AnswerError::Kind("scalar")),
    }
}

/// What an answer that refuses a query says, fit for a log.
pub(super) fn refusal(body: &[u8]) -> String {
    let error = match serde_json::from_slice::<Failure>(body) {
        Ok(failure) => failure.error,
        Err(_) => String::from_utf8_lossy(body).into_owned(),
    };
    error.escape_debug().take(ERROR_CHARACTERS).collect()
}

fn result<L: DeserializeOwned>(body: &[u8]) -> Result<Data<L>, AnswerError> {
    let success: Success<Data<L>> = serde_json::from_slice(body)?;
    Ok(success.data)
}

/// The number of a point. Rust spells those that are not finite as Prometheus does; what is no number at all is "not a number" too.
fn number((_, text): &Point) -> f64 {
    text.parse().unwrap_or(f64::NAN)
}
