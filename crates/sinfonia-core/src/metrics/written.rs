//! How `metrics` is written in the cloudlet file. All is judged inside visitors, where the YAML parser still knows the line.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::json;
use url::Url;

use super::{
    INTERVAL, LONGEST_INTERVAL, MOST_RESOURCES, Metrics, MetricsSource, ResourceName,
    SHORTEST_INTERVAL, Series, Take, Term,
};
use crate::cloudlet::Measurement;
use crate::text::{self, WrittenText};
use crate::time;

/// Why a mapping does not say where measurements are.
#[derive(Debug, thiserror::Error)]
enum MetricsError {
    #[error("name a Prometheus (prometheus: URL) or a page (endpoint: URL)")]
    NoSource,
    #[error("name either a Prometheus (prometheus) or a page (endpoint), not both")]
    TwoSources,
    #[error("`queries` are for a Prometheus; of a page name its `series`")]
    QueriesOfPage,
    #[error("`series` are for a page (endpoint); a Prometheus is asked `queries`")]
    SeriesOfPrometheus,
    #[error(
        "say which series of the page are which resource, such as series: {{queue: queue_length}}"
    )]
    NoSeries,
    #[error("the URL of a Prometheus has no query (?…); queries go into `queries`")]
    QueryInUrl,
    #[error("at most {MOST_RESOURCES} resources can be scraped of a cloudlet, not {0}")]
    TooMany(usize),
}

/// Why a text is no URL to scrape.
#[derive(Debug, thiserror::Error)]
enum UrlError {
    #[error(
        "`{text}` is not a URL ({reason}): expected something like http://prometheus.example:9090"
    )]
    Url {
        text: String,
        reason: url::ParseError,
    },
    #[error("a URL to scrape starts with http:// or https://, not {0}:")]
    Scheme(String),
    #[error(
        "a URL to scrape holds no user name or password; a token goes into a file (token_file)"
    )]
    UserInfo,
    #[error("a URL to scrape has no fragment (#…)")]
    Fragment,
}

/// A time that is no interval between scrapes.
#[derive(Debug, thiserror::Error)]
#[error(
    "an interval is {} to {} s, such as 15s, because measurements count for 45 s",
    SHORTEST_INTERVAL.as_secs(),
    LONGEST_INTERVAL.as_secs()
)]
struct IntervalError;

#[derive(Debug, thiserror::Error)]
#[error("a query is not empty")]
struct QueryError;

/// Where measurements can be fetched: from a Prometheus, or from a page in its text format.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(transform = one_source)]
struct Written {
    /// The base URL of a Prometheus, which is asked for what cloudlets report and for `queries`.
    prometheus: Option<ScrapeUrl>,
    /// What a Prometheus is asked besides: PromQL, each an instant vector of one.
    queries: Option<BTreeMap<ResourceName, Query>>,
    /// The URL of a page in Prometheus' text format.
    endpoint: Option<ScrapeUrl>,
    /// Which series of the page are which resource.
    series: Option<BTreeMap<ResourceName, Term>>,
    /// Time between two scrapes, 1s to 30s; 15s without it.
    interval: Option<Interval>,
    /// The file with the token that is shown, beside the cloudlet file.
    #[schemars(with = "Option<WrittenText>")]
    token_file: Option<PathBuf>,
    /// The file with the certificates (PEM) that are trusted, beside the cloudlet file.
    #[schemars(with = "Option<WrittenText>")]
    ca_file: Option<PathBuf>,
}

/// The series that count, and what is made of them.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct WrittenTerm {
    /// The series that count.
    series: Series,
    /// What is made of them.
    #[serde(default)]
    take: Take,
    /// What that is divided by.
    #[schemars(extend("exclusiveMinimum" = 0))]
    divide_by: Option<Measurement>,
}

struct ScrapeUrl(Url);

struct Query(String);

struct Interval(Duration);

text::written_as!(ScrapeUrl, "ScrapeUrl", {
    "type": "string",
    "format": "uri",
    "pattern": "^\\s*[hH][tT][tT][pP][sS]?:[^#]*$",
    "examples": ["http://prometheus.example:9090"],
});

text::written_as!(Query, "Query", {
    "type": ["string", "number"],
    "description": "PromQL",
    "pattern": "\\S",
});

text::written_as!(Interval, "Interval", {
    "description": "A time such as 15s, 1s to 30s; a bare number is seconds.",
    "anyOf": [
        {"type": "string"},
        {"type": "integer", "minimum": SHORTEST_INTERVAL.as_secs(), "maximum": LONGEST_INTERVAL.as_secs()},
    ],
    "examples": ["15s"],
});

impl JsonSchema for Metrics {
    fn schema_name() -> Cow<'static, str> {
        "Metrics".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        Written::json_schema(generator)
    }
}

impl JsonSchema for Term {
    fn schema_name() -> Cow<'static, str> {
        "Term".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "anyOf": [generator.subschema_for::<Series>(), WrittenTerm::json_schema(generator)]
        })
    }
}

/// Says that there is either a Prometheus or a page, and what goes with which.
fn one_source(schema: &mut Schema) {
    let absent = json!({"type": "null"});
    let sources = json!([
        {
            "required": ["prometheus"],
            "properties": {"prometheus": {"type": "string"}, "endpoint": absent, "series": absent},
        },
        {
            "required": ["endpoint", "series"],
            "properties": {
                "endpoint": {"type": "string"},
                "series": {"type": "object", "minProperties": 1},
                "prometheus": absent,
                "queries": absent,
            },
        },
    ]);
    schema.insert("anyOf".to_owned(), sources);
}

impl Written {
    fn into_metrics(self) -> Result<Metrics, MetricsError> {
        let source = match (self.prometheus, self.endpoint) {
            (Some(_), Some(_)) => return Err(MetricsError::TwoSources),
            (None, None) => return Err(MetricsError::NoSource),
            (Some(ScrapeUrl(url)), None) => prometheus(url, self.queries, self.series.is_some())?,
            (None, Some(ScrapeUrl(url))) => page(url, self.series, self.queries.is_some())?,
        };
        Ok(Metrics {
            source,
            interval: self.interval.map_or(INTERVAL, |interval| interval.0),
            token_file: self.token_file,
            ca_file: self.ca_file,
        })
    }
}

fn prometheus(
    url: Url,
    queries: Option<BTreeMap<ResourceName, Query>>,
    has_series: bool,
) -> Result<MetricsSource, MetricsError> {
    if has_series {
        return Err(MetricsError::SeriesOfPrometheus);
    }
    if url.query().is_some() {
        return Err(MetricsError::QueryInUrl);
    }
    let queries = queries.unwrap_or_default();
    check_number(queries.len())?;
    let queries = queries.into_iter();
    Ok(MetricsSource::Prometheus {
        url,
        queries: queries.map(|(name, Query(text))| (name, text)).collect(),
    })
}

fn page(
    url: Url,
    series: Option<BTreeMap<ResourceName, Term>>,
    has_queries: bool,
) -> Result<MetricsSource, MetricsError> {
    if has_queries {
        return Err(MetricsError::QueriesOfPage);
    }
    let series = series
        .filter(|series| !series.is_empty())
        .ok_or(MetricsError::NoSeries)?;
    check_number(series.len())?;
    Ok(MetricsSource::Page { url, series })
}

const fn check_number(resources: usize) -> Result<(), MetricsError> {
    if resources > MOST_RESOURCES {
        return Err(MetricsError::TooMany(resources));
    }
    Ok(())
}

impl<'de> Deserialize<'de> for Metrics {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MetricsVisitor)
    }
}

struct MetricsVisitor;

impl<'de> Visitor<'de> for MetricsVisitor {
    type Value = Metrics;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a mapping that names a Prometheus or a page")
    }

    fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<Metrics, A::Error> {
        Written::deserialize(MapAccessDeserializer::new(fields))?
            .into_metrics()
            .map_err(A::Error::custom)
    }
}

impl<'de> Deserialize<'de> for Term {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TermVisitor)
    }
}

struct TermVisitor;

impl<'de> Visitor<'de> for TermVisitor {
    type Value = Term;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the series as text, or a mapping with series, take and divide_by")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Term, E> {
        Ok(Term {
            series: text.parse().map_err(E::custom)?,
            take: Take::default(),
            divide_by: 1.0,
        })
    }

    fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<Term, A::Error> {
        let written = WrittenTerm::deserialize(MapAccessDeserializer::new(fields))?;
        let divide_by = written.divide_by.map_or(1.0, Measurement::value);
        if divide_by <= 0.0 {
            return Err(A::Error::custom("divide_by is a number above 0"));
        }
        Ok(Term {
            series: written.series,
            take: written.take,
            divide_by,
        })
    }
}

impl FromStr for ScrapeUrl {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        let url = Url::parse(text).map_err(|reason| UrlError::Url {
            text: text.escape_default().take(120).collect(),
            reason,
        })?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(UrlError::Scheme(url.scheme().to_owned()));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(UrlError::UserInfo);
        }
        if url.fragment().is_some() {
            return Err(UrlError::Fragment);
        }
        Ok(Self(url))
    }
}

impl<'de> Deserialize<'de> for ScrapeUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text::deserialize(deserializer, "a URL as text")
    }
}

impl FromStr for Query {
    type Err = QueryError;

    fn from_str(text: &str) -> Result<Self, QueryError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(QueryError);
        }
        Ok(Self(text.to_owned()))
    }
}

impl<'de> Deserialize<'de> for Query {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text::deserialize(deserializer, "a query as text")
    }
}

impl<'de> Deserialize<'de> for Interval {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(IntervalVisitor)
    }
}

/// Reads a time; a bare number is seconds, as on the command line.
struct IntervalVisitor;

impl Visitor<'_> for IntervalVisitor {
    type Value = Interval;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a time such as 15s")
    }

    fn visit_u64<E: Error>(self, seconds: u64) -> Result<Interval, E> {
        interval(Duration::from_secs(seconds)).map_err(E::custom)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Interval, E> {
        let time = time::parse_duration(text);
        time.and_then(|time| Duration::try_from(time).ok())
            .ok_or(IntervalError)
            .and_then(interval)
            .map_err(E::custom)
    }
}

fn interval(time: Duration) -> Result<Interval, IntervalError> {
    if (SHORTEST_INTERVAL..=LONGEST_INTERVAL).contains(&time) {
        Ok(Interval(time))
    } else {
        Err(IntervalError)
    }
}

#[cfg(test)]
mod tests;
