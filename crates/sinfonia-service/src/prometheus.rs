//! Asking a Prometheus: instant queries, their answers, and what is used of a cluster.

mod answer;
mod resources;

use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, StreamExt};
use reqwest::StatusCode;
use reqwest::header::AUTHORIZATION;
use serde::de::DeserializeOwned;
use sinfonia_core::cloudlet::{Measurement, Resources};
use tokio::time::Instant;
use url::Url;

pub use self::answer::{AnswerError, Sample};
use self::answer::{refusal, scalar, vector};
pub use self::resources::{RESOURCES, ResourceQuery};
use crate::client::{ANSWER_BYTES, ReadError, read_bounded};
use crate::tokens::OwnToken;

/// Most bytes of a vector that are read: a series takes some 120, so this is room for a hundred thousand.
const VECTOR_BYTES: usize = 16 * 1024 * 1024;
/// Resources that are asked for at once.
const AT_ONCE: usize = 4;

/// A Prometheus server.
#[derive(Debug, Clone)]
pub struct Prometheus {
    client: reqwest::Client,
    /// Where it takes instant queries.
    url: Url,
    token: Option<OwnToken>,
    timeout: Duration,
}

/// What is measured, as far as it could be asked for.
#[derive(Debug)]
pub struct Measured {
    /// The measurements; what is missing or not finite is left out.
    pub resources: Resources,
    /// Why the first of the others could not be asked for.
    pub error: Option<QueryError>,
}

/// Why a query has no result.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// It cannot be reached, or not in time.
    #[error("it does not answer")]
    Send(#[source] reqwest::Error),
    /// It answered that the query failed.
    #[error("it answered {status}: {text}")]
    Refused {
        /// The status.
        status: StatusCode,
        /// Its words, escaped and cut short.
        text: String,
    },
    /// Its answer is too long or broke off.
    #[error("its answer cannot be read")]
    Read(#[from] ReadError),
    /// Its answer is not a result.
    #[error("it answered something else than a result")]
    Answer(#[from] AnswerError),
}

impl Prometheus {
    /// The server at this URL, which may have a path of its own. Each question, with its answers, has `timeout`.
    pub fn new(mut url: Url, client: reqwest::Client, timeout: Duration) -> Self {
        let path = format!("{}/api/v1/query", url.path().trim_end_matches('/'));
        url.set_path(&path);
        Self {
            client,
            url,
            token: None,
            timeout,
        }
    }

    /// The same server, which wants to see this token.
    #[must_use]
    pub fn with_token(self, token: Option<OwnToken>) -> Self {
        Self { token, ..self }
    }

    /// The series of an instant vector, with those of their labels that `L` names.
    ///
    /// # Errors
    /// It does not answer, refuses the query, or answers something else than a vector.
    pub async fn vector<L: DeserializeOwned>(
        &self,
        query: &str,
    ) -> Result<Vec<Sample<L>>, QueryError> {
        Ok(vector(
            &self.ask(query, VECTOR_BYTES, self.deadline()).await?,
        )?)
    }

    /// What is measured by these queries, each a vector of one, all within the server's time. One that fails does not hide the others.
    pub async fn resources(&self, queries: &[ResourceQuery<'_>]) -> Measured {
        let deadline = self.deadline();
        // Collected, because a stream that holds the closure cannot be boxed.
        let asked: Vec<_> = queries
            .iter()
            .map(|query| self.resource(query, deadline))
            .collect();
        let mut answers = stream::iter(asked).buffer_unordered(AT_ONCE);
        let mut measured = Measured {
            resources: Resources::new(),
            error: None,
        };
        while let Some(answer) = answers.next().await {
            match answer {
                Ok((name, value)) => measured.take(name, value),
                Err(error) => measured.error = measured.error.or(Some(error)),
            }
        }
        measured
    }

    async fn resource<'a>(
        &self,
        query: &ResourceQuery<'a>,
        deadline: Instant,
    ) -> Result<(&'a str, f64), QueryError> {
        // A comment may end the query, so what follows begins a line of its own.
        let text = format!("scalar({}\n)", query.query);
        let value = scalar(&self.ask(&text, ANSWER_BYTES, deadline).await?)?;
        Ok((query.name, value / query.divisor))
    }

    /// The answer to an instant query.
    async fn ask(&self, query: &str, most: usize, deadline: Instant) -> Result<Bytes, QueryError> {
        let mut url = self.url.clone();
        url.query_pairs_mut().append_pair("query", query);
        let left = deadline.saturating_duration_since(Instant::now());
        let mut request = self.client.get(url).timeout(left);
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, token.authorization());
        }
        // The URL may hold a password, so errors do without.
        let response = request
            .send()
            .await
            .map_err(|error| QueryError::Send(error.without_url()))?;
        let status = response.status();
        let body = read_bounded(response, most).await?;
        if !status.is_success() {
            let text = refusal(&body);
            return Err(QueryError::Refused { status, text });
        }
        Ok(body)
    }

    fn deadline(&self) -> Instant {
        Instant::now() + self.timeout
    }
}

impl Measured {
    fn take(&mut self, name: &str, value: f64) {
        if let Ok(value) = Measurement::try_from(value) {
            self.resources.insert(name.to_owned(), value);
        }
    }
}

#[cfg(test)]
mod tests;
