//! Fetching the measurements of cloudlets of the file beside their reports, as its field `metrics` says.
//!
//! Each cloudlet has a task of its own, which begins somewhere in its interval and asks more rarely while it fails. Only so many ask at
//! once, and each for so long, so that thousands that hang take neither memory nor sockets from those that answer.

mod schedule;
mod source;

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use sinfonia_core::endpoint::Endpoint;
use sinfonia_core::metrics::Metrics;
use sinfonia_service::client::{self, ClientError, ClientSettings};
use sinfonia_service::reload::causes;
use sinfonia_service::tokens::OwnToken;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::task::AbortOnDropHandle;

use self::schedule::{offset, pause};
use self::source::{Scraped, Source};
use crate::metrics::{ScrapeMetrics, ScrapeOutcome};
use crate::registry::Registry;

/// Cloudlets that are asked at once. Those that hang, for 5 s every 2 minutes, leave room while they are fewer than 1,500.
const AT_ONCE: usize = 64;
/// Time that a connection is kept for the next question: within a scrape, not until the next one, because thousands of cloudlets would
/// hold as many connections.
const IDLE: Duration = Duration::from_secs(1);

/// A cloudlet of the file whose measurements are fetched.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Target {
    /// The cloudlet.
    pub(crate) endpoint: Endpoint,
    /// What is asked.
    pub(crate) metrics: Metrics,
    /// What is shown.
    pub(crate) token: Option<OwnToken>,
    /// The certificates that are trusted in place of those of all, if the cloudlet has a file of its own.
    pub(crate) authority: Option<Authority>,
}

/// A file of certificates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Authority {
    /// Where it is.
    pub(crate) path: PathBuf,
    /// What it holds.
    pub(crate) content: Arc<Vec<u8>>,
}

/// Targets whose certificates are good.
pub(crate) struct Prepared(Vec<(Target, reqwest::Client)>);

/// Fetches measurements. Dropped, it fetches no more.
pub struct Scraper {
    settings: ClientSettings,
    client: reqwest::Client,
    shared: Arc<Shared>,
    running: HashMap<Endpoint, Running>,
}

struct Running {
    target: Target,
    task: AbortOnDropHandle<()>,
}

/// What all tasks use.
struct Shared {
    registry: Registry,
    metrics: ScrapeMetrics,
    permits: Semaphore,
}

impl Scraper {
    /// Fetches nothing yet. Asks as the settings say, and hands what it learns to the registry.
    ///
    /// # Errors
    /// The certificates of the settings cannot be used.
    pub(crate) fn new(
        settings: ClientSettings,
        registry: Registry,
        metrics: ScrapeMetrics,
    ) -> Result<Self, ClientError> {
        let settings = ClientSettings {
            idle: IDLE,
            ..settings
        };
        Ok(Self {
            client: client::build(&settings)?,
            settings,
            shared: Arc::new(Shared {
                registry,
                metrics,
                permits: Semaphore::new(AT_ONCE),
            }),
            running: HashMap::new(),
        })
    }

    /// Checks the certificates of targets, and changes nothing yet.
    ///
    /// # Errors
    /// A target's certificates cannot be used; the endpoint says whose.
    pub(crate) fn prepare(
        &self,
        targets: Vec<Target>,
    ) -> Result<Prepared, (Endpoint, Box<ClientError>)> {
        let mut clients = HashMap::new();
        let mut prepared = Vec::with_capacity(targets.len());
        for target in targets {
            let path = target.authority.as_ref().map(|authority| &authority.path);
            let client = match path {
                None => self.client.clone(),
                Some(path) => match clients.get(path) {
                    Some(client) => reqwest::Client::clone(client),
                    None => {
                        let client = self
                            .client_trusting(path.clone())
                            .map_err(|error| (target.endpoint.clone(), Box::new(error)))?;
                        clients.insert(path.clone(), client.clone());
                        client
                    }
                },
            };
            prepared.push((target, client));
        }
        Ok(Prepared(prepared))
    }

    /// Fetches from these from now on, and from nobody else. Those that have not changed go on undisturbed.
    pub(crate) async fn follow(&mut self, Prepared(targets): Prepared) {
        let wanted: HashSet<&Endpoint> =
            targets.iter().map(|(target, _)| &target.endpoint).collect();
        let gone: Vec<Endpoint> = self
            .running
            .keys()
            .filter(|endpoint| !wanted.contains(endpoint))
            .cloned()
            .collect();
        for endpoint in gone {
            self.stop(&endpoint).await;
            self.shared.registry.unmeasured(&endpoint);
        }
        for (target, client) in targets {
            let running = self.running.get(&target.endpoint);
            if running.is_none_or(|running| running.target != target) {
                self.stop(&target.endpoint).await;
                self.start(target, client);
            }
        }
    }

    fn client_trusting(&self, path: PathBuf) -> Result<reqwest::Client, ClientError> {
        client::build(&ClientSettings {
            ca_file: Some(path),
            ..self.settings.clone()
        })
    }

    /// Ends a task. Afterwards it hands nothing to the registry any more.
    async fn stop(&mut self, endpoint: &Endpoint) {
        if let Some(Running { task, .. }) = self.running.remove(endpoint) {
            task.abort();
            // It was aborted, or had a bug that is in the log.
            let _ = task.await;
        }
    }

    fn start(&mut self, target: Target, client: reqwest::Client) {
        let source = Source::new(&target, client);
        let task = Arc::clone(&self.shared).keep_scraping(target.clone(), source);
        let task = AbortOnDropHandle::new(tokio::spawn(task));
        self.running
            .insert(target.endpoint.clone(), Running { target, task });
    }
}

impl Shared {
    /// Fetches again and again, for ever.
    async fn keep_scraping(self: Arc<Self>, target: Target, mut source: Source) {
        let interval = target.metrics.interval;
        sleep(offset(&target.endpoint, interval)).await;
        let mut failures = 0_u32;
        let mut is_troubled = false;
        loop {
            let begun = Instant::now();
            let scraped = self.scrape(&mut source).await;
            tell(&target.endpoint, is_troubled, &scraped);
            is_troubled = scraped.error.is_some();
            self.metrics.scraped(outcome(&scraped));
            if scraped.is_failure() {
                failures = failures.saturating_add(1);
            } else {
                failures = 0;
                let now = Timestamp::now();
                self.registry
                    .measured(&target.endpoint, scraped.resources, now);
            }
            sleep_until(begun + pause(interval, failures, random())).await;
        }
    }

    async fn scrape(&self, source: &mut Source) -> Scraped {
        // Nobody closes the semaphore; without a permit it would be one scrape more.
        let _permit = self.permits.acquire().await.ok();
        source.scrape().await
    }
}

/// Tells the log when a cloudlet begins and when it ceases to be in trouble.
fn tell(endpoint: &Endpoint, was_troubled: bool, scraped: &Scraped) {
    match &scraped.error {
        Some(error) if !was_troubled => {
            let cause = causes(error);
            let measured = scraped.resources.len();
            tracing::info!(%endpoint, %error, cause, measured, "metrics of a cloudlet cannot be fetched");
        }
        None if was_troubled => {
            tracing::info!(%endpoint, "metrics of a cloudlet are fetched again");
        }
        Some(_) | None => {}
    }
}

fn outcome(scraped: &Scraped) -> ScrapeOutcome {
    match &scraped.error {
        None => ScrapeOutcome::Measured,
        Some(_) if scraped.is_failure() => ScrapeOutcome::Failed,
        Some(_) if scraped.resources.is_empty() => ScrapeOutcome::Nothing,
        Some(_) => ScrapeOutcome::Partly,
    }
}

/// A number that differs between tasks and processes.
fn random() -> u32 {
    // Without randomness there is no jitter, and nothing worse.
    getrandom::u32().unwrap_or(u32::MAX / 2)
}

#[cfg(test)]
mod tests;
