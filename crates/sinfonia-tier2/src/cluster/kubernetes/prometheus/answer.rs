//! The answers to instant queries, parsed.

use std::collections::HashMap;

use serde::Deserialize;
use sinfonia_core::key::PublicKey;

/// Most characters of an error that are logged.
const ERROR_CHARACTERS: usize = 200;

/// A number as Prometheus writes it, infinite and none included.
pub(super) type Value = f64;

/// Why an answer is not a result.
#[derive(Debug, thiserror::Error)]
pub(super) enum AnswerError {
    /// It is not what the API of Prometheus describes.
    #[error("it is malformed")]
    Shape(#[from] serde_json::Error),
    /// A query has a result of another type than it must have.
    #[error("it holds no {0}")]
    Kind(&'static str),
}

#[derive(Deserialize)]
struct Success {
    data: Data,
}

#[derive(Deserialize)]
#[serde(tag = "resultType", content = "result", rename_all = "lowercase")]
enum Data {
    Vector(Vec<Sample>),
    Scalar(Point),
    // Only so that they are told apart from what is malformed.
    Matrix(serde::de::IgnoredAny),
    String(serde::de::IgnoredAny),
}

#[derive(Deserialize)]
struct Sample {
    metric: Labels,
    value: Point,
}

#[derive(Deserialize)]
struct Labels {
    #[serde(default)]
    public_key: String,
}

/// A time, and a number as text.
type Point = (f64, String);

#[derive(Deserialize)]
struct Failure {
    error: String,
}

/// A vector by the label `public_key`. What carries no WireGuard key there is none of our tunnels.
pub(super) fn vector(body: &[u8]) -> Result<HashMap<PublicKey, Value>, AnswerError> {
    let success: Success = serde_json::from_slice(body)?;
    let Data::Vector(samples) = success.data else {
        return Err(AnswerError::Kind("vector"));
    };
    let mut values = HashMap::with_capacity(samples.len());
    for sample in samples {
        let Ok(key) = sample.metric.public_key.parse() else {
            continue;
        };
        let value = number(&sample.value);
        // A key has several spellings. The larger number wins, as in the queries; any wins over none.
        let largest = values.entry(key).or_insert(value);
        *largest = largest.max(value);
    }
    Ok(values)
}

/// A scalar.
pub(super) fn scalar(body: &[u8]) -> Result<Value, AnswerError> {
    let success: Success = serde_json::from_slice(body)?;
    match success.data {
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

/// The number of a point. Rust spells those that are not finite as Prometheus does; what is no number at all is "not a number" too.
fn number((_, text): &Point) -> Value {
    text.parse().unwrap_or(Value::NAN)
}
