//! What Prometheus measures: the traffic of all tunnels, and what is used of the cluster.

mod outage;
mod queries;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::time::Duration;

use futures_util::future::join;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use sinfonia_core::cloudlet::Resources;
use sinfonia_core::key::PublicKey;
use sinfonia_core::lifecycle::{Activity, activity_of};
use sinfonia_service::prometheus::{Prometheus as Server, QueryError, RESOURCES};
use url::Url;

use self::outage::Outage;

/// Time for a query and its answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A Prometheus server.
#[derive(Debug)]
pub(crate) struct Prometheus {
    server: Server,
    activities: Outage,
    resources: Outage,
}

#[derive(Deserialize)]
struct Labels {
    #[serde(default)]
    public_key: String,
}

impl Prometheus {
    /// The server at this URL, which may have a path of its own.
    pub(crate) fn new(url: Url, client: reqwest::Client) -> Self {
        Self {
            server: Server::new(url, client, TIMEOUT),
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
        let measured = self.server.resources(&RESOURCES).await;
        self.resources.note(
            measured.error.as_ref(),
            "what is used of the cluster is unknown",
        );
        measured.resources
    }

    /// A vector by the label `public_key`. What carries no WireGuard key there is none of our tunnels.
    async fn by_key(&self, query: String) -> Result<HashMap<PublicKey, f64>, QueryError> {
        let samples = self.server.vector::<Labels>(&query).await?;
        let mut values = HashMap::with_capacity(samples.len());
        for sample in samples {
            let Ok(key) = sample.labels.public_key.parse() else {
                continue;
            };
            // A key has several spellings. The larger number wins, as in the queries; any wins over none.
            let largest = values.entry(key).or_insert(sample.value);
            *largest = largest.max(sample.value);
        }
        Ok(values)
    }
}

/// The activity of each tunnel about which the measurements say anything.
fn combine(
    handshakes: &HashMap<PublicKey, f64>,
    changes: &HashMap<PublicKey, f64>,
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
