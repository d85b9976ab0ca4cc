//! Asking one cloudlet's Prometheus, or reading its page.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use http::header::{ACCEPT, AUTHORIZATION};
use sinfonia_core::cloudlet::{Resources, normalise_resources};
use sinfonia_core::metrics::{MetricsSource, Reading, ResourceName, Term};
use sinfonia_service::client::{ReadError, read_bounded};
use sinfonia_service::prometheus::{Measured, Prometheus, QueryError, RESOURCES, ResourceQuery};
use sinfonia_service::tokens::OwnToken;
use tokio::time::Instant;
use url::Url;

use super::Target;

/// Time for all questions of a scrape.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Most bytes of a page that are read: exporters of a node write some hundred thousand.
const PAGE_BYTES: usize = 2 * 1024 * 1024;
/// The format of pages that is understood.
const PAGE_FORMAT: &str = "text/plain;version=0.0.4";

/// Where one cloudlet's measurements come from.
pub(super) enum Source {
    Prometheus {
        server: Prometheus,
        queries: BTreeMap<ResourceName, String>,
    },
    Page(Page),
}

/// A page in Prometheus' text format.
pub(super) struct Page {
    client: reqwest::Client,
    url: Url,
    token: Option<OwnToken>,
    series: BTreeMap<ResourceName, Term>,
    /// What it said last, for rates.
    before: Option<(Reading, Instant)>,
}

/// What a scrape came to.
#[derive(Debug)]
pub(super) struct Scraped {
    /// What was measured.
    pub(super) resources: Resources,
    /// Why that is not all, or nothing.
    pub(super) error: Option<ScrapeError>,
}

/// Why something could not be measured.
#[derive(Debug, thiserror::Error)]
pub(super) enum ScrapeError {
    /// A Prometheus did not answer a query.
    #[error("its Prometheus cannot be asked")]
    Query(#[source] QueryError),
    /// A page cannot be reached, or not in time.
    #[error("its page does not answer")]
    Send(#[source] reqwest::Error),
    /// A page is refused.
    #[error("its page answered {0}")]
    Status(StatusCode),
    /// A page is too long or broke off.
    #[error("its page cannot be read")]
    Read(#[source] ReadError),
    /// A query of the file has a result, and it is no number: it matches nothing, or several series.
    #[error("its query `{0}` gives no single number; where it gives several, wrap it in sum(…)")]
    NoNumber(ResourceName),
    /// All went well, and nothing of it was there.
    #[error("none of what is asked for is measured there")]
    Nothing,
}

impl ScrapeError {
    /// Whether there was no answer.
    const fn is_trouble(&self) -> bool {
        !matches!(self, Self::NoNumber(_) | Self::Nothing)
    }
}

impl Source {
    pub(super) fn new(target: &Target, client: reqwest::Client) -> Self {
        let token = target.token.clone();
        match target.metrics.source.clone() {
            MetricsSource::Prometheus { url, queries } => Self::Prometheus {
                server: Prometheus::new(url, client, TIMEOUT).with_token(token),
                queries,
            },
            MetricsSource::Page { url, series } => Self::Page(Page {
                client,
                url,
                token,
                series,
                before: None,
            }),
        }
    }

    /// Asks once.
    pub(super) async fn scrape(&mut self) -> Scraped {
        match self {
            Self::Prometheus { server, queries } => ask(server, queries).await,
            Self::Page(page) => page.scrape().await.into(),
        }
    }
}

impl Page {
    async fn scrape(&mut self) -> Result<Resources, ScrapeError> {
        let body = self.fetch().await?;
        let now = Instant::now();
        let reading = Reading::of(&String::from_utf8_lossy(&body), &self.series);
        if reading.is_empty() {
            return Err(ScrapeError::Nothing);
        }
        let before = self.before.as_ref();
        let before = before.map(|(reading, then)| (reading, now.duration_since(*then)));
        let resources = reading.resources(&self.series, before);
        self.before = Some((reading, now));
        Ok(resources)
    }

    async fn fetch(&self) -> Result<Bytes, ScrapeError> {
        let mut request = self
            .client
            .get(self.url.clone())
            .header(ACCEPT, PAGE_FORMAT)
            .timeout(TIMEOUT);
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, token.authorization());
        }
        // The URL's query may be secret, so errors do without.
        let response = request
            .send()
            .await
            .map_err(|error| ScrapeError::Send(error.without_url()))?;
        if response.status() != StatusCode::OK {
            return Err(ScrapeError::Status(response.status()));
        }
        read_bounded(response, PAGE_BYTES)
            .await
            .map_err(ScrapeError::Read)
    }
}

impl Scraped {
    /// Whether it says nothing about the cloudlet, not even that nothing is measured there.
    pub(super) fn is_failure(&self) -> bool {
        self.resources.is_empty() && self.error.as_ref().is_some_and(ScrapeError::is_trouble)
    }
}

impl From<Result<Resources, ScrapeError>> for Scraped {
    fn from(result: Result<Resources, ScrapeError>) -> Self {
        match result {
            Ok(resources) => Self {
                resources,
                error: None,
            },
            Err(error) => Self {
                resources: Resources::new(),
                error: Some(error),
            },
        }
    }
}

/// Asks a Prometheus for what cloudlets report, and for what the file says beside it or in its place.
async fn ask(server: &Prometheus, own: &BTreeMap<ResourceName, String>) -> Scraped {
    let is_usual = |query: &&ResourceQuery<'_>| !own.keys().any(|name| name.as_str() == query.name);
    let mut queries: Vec<ResourceQuery<'_>> = RESOURCES.iter().filter(is_usual).copied().collect();
    queries.extend(own.iter().map(|(name, query)| ResourceQuery {
        name: name.as_str(),
        query,
        divisor: 1.0,
    }));
    let mut measured = server.resources(&queries).await;
    normalise_resources(&mut measured.resources);
    let Measured { resources, error } = measured;
    let no_number = || {
        let mut names = own.keys();
        let name = names.find(|name| !resources.contains_key(name.as_str()))?;
        Some(ScrapeError::NoNumber(name.clone()))
    };
    let nothing = || resources.is_empty().then_some(ScrapeError::Nothing);
    Scraped {
        error: error
            .map(ScrapeError::Query)
            .or_else(no_number)
            .or_else(nothing),
        resources,
    }
}
