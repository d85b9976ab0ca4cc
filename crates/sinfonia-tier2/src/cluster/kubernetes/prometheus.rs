//! What Prometheus measures: the traffic of all tunnels, and what is used of the cluster.

mod answer;
mod outage;
mod queries;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::time::Duration;

use axum::body::Bytes;
use futures_util::future::{join, join_all};
use jiff::{SignedDuration, Timestamp};
use sinfonia_core::cloudlet::{Measurement, Resources};
use sinfonia_core::key::PublicKey;
use sinfonia_core::lifecycle::{Activity, activity_of};
use sinfonia_service::client::{ReadError, read_bounded};
use url::Url;

use self::answer::{AnswerError, Value, refusal, scalar, vector};
use self::outage::Outage;

/// Most bytes of an answer that are read: a tunnel takes some 120, so this is room for a hundred thousand.
const ANSWER_BYTES: usize = 16 * 1024 * 1024;

/// Time for a query and its answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A Prometheus server.
#[derive(Debug)]
pub(crate) struct Prometheus {
    client: reqwest::Client,
    /// Where it takes instant queries.
    url: Url,
    activities: Outage,
    resources: Outage,
}

/// Why a query has no result.
#[derive(Debug, thiserror::Error)]
enum QueryError {
    #[error("it does not answer")]
    Send(#[source] reqwest::Error),
    #[error("it answered {status}: {text}")]
    Refused {
        status: reqwest::StatusCode,
        text: String,
    },
    #[error("its answer cannot be read")]
    Read(#[from] ReadError),
    #[error("it answered something else than a result")]
    Answer(#[from] AnswerError),
}

impl Prometheus {
    /// The server at this URL, which may have a path of its own.
    pub(crate) fn new(mut url: Url, client: reqwest::Client) -> Self {
        let path = format!("{}/api/v1/query", url.path().trim_end_matches('/'));
        url.set_path(&path);
        Self {
            client,
            url,
            activities: Outage::default(),
            resources: Outage::default(),
        }
    }

    /// What is known about the traffic of all tunnels; a key that is not in it is one of which nothing is known.
    pub(crate) async fn activities(
        &self,
        lease: SignedDuration,
        now: Timestamp,
    ) -> HashMap<PublicKey, Activity> {
        let (handshakes, changes) = join(
            self.by_key(queries::handshakes(lease)),
            self.by_key(queries::changes(lease)),
        )
        .await;
        let error = handshakes.as_ref().err().or(changes.as_ref().err());
        self.activities
            .note(error, "the traffic of the tunnels is unknown");
        // One measurement can still prove that a tunnel is in use.
        let handshakes = handshakes.unwrap_or_default();
        let changes = changes.unwrap_or_default();
        combine(&handshakes, &changes, now, lease)
    }

    /// What is used of the cluster; what is not measured is left out.
    pub(crate) async fn resources(&self) -> Resources {
        let values = join_all(queries::RESOURCES.iter().map(|resource| async move {
            let value = self.scalar(resource.query).await?;
            Ok::<_, QueryError>((resource.name, value / resource.divisor))
        }))
        .await;
        let error = values.iter().find_map(|value| value.as_ref().err());
        self.resources
            .note(error, "what is used of the cluster is unknown");
        values
            .into_iter()
            .flatten()
            .filter_map(|(name, value)| Some((name.to_owned(), Measurement::try_from(value).ok()?)))
            .collect()
    }

    async fn by_key(&self, query: String) -> Result<HashMap<PublicKey, Value>, QueryError> {
        Ok(vector(&self.ask(&query).await?)?)
    }

    async fn scalar(&self, query: &str) -> Result<Value, QueryError> {
        Ok(scalar(&self.ask(&format!("scalar({query})")).await?)?)
    }

    /// The answer to an instant query.
    async fn ask(&self, query: &str) -> Result<Bytes, QueryError> {
        let mut url = self.url.clone();
        url.query_pairs_mut().append_pair("query", query);
        // The URL may hold a password, so errors do without.
        let response = self
            .client
            .get(url)
            .timeout(TIMEOUT)
            .send()
            .await
            .map_err(|error| QueryError::Send(error.without_url()))?;
        let status = response.status();
        let body = read_bounded(response, ANSWER_BYTES).await?;
        if !status.is_success() {
            let text = refusal(&body);
            return Err(QueryError::Refused { status, text });
        }
        Ok(body)
    }
}

/// The activity of each tunnel about which the measurements say anything.
fn combine(
    handshakes: &HashMap<PublicKey, Value>,
    changes: &HashMap<PublicKey, Value>,
    now: Timestamp,
    lease: SignedDuration,
) -> HashMap<PublicKey, Activity> {
    let keys = handshakes.keys().chain(changes.keys());
    keys.map(|key| {
        let handshake = handshakes.get(key).copied();
        let changes = changes.get(key).copied();
        (*key, activity_of(handshake, changes, now, lease))
    })
    .filter(|(_, activity)| *activity != Activity::Unknown)
    .collect()
}
