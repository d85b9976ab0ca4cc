//! Asking Tier 1.

mod answer;
mod error;

use std::time::Duration;

use bytes::Bytes;
use http::header::AUTHORIZATION;
use reqwest::{Client, RequestBuilder};
use serde_json::Value;
use sinfonia_core::cloudlet::CandidateInfo;
use sinfonia_core::deployment::{CloudletDeployment, drop_nulls};
use sinfonia_core::key::PublicKey;
use sinfonia_core::location::Location;
use sinfonia_core::ranking::Explanation;
use sinfonia_core::recipe::Recipe;
use sinfonia_core::round_trip::{RoundTrips, X_RTT};
use sinfonia_service::client::{ANSWER_BYTES, read_bounded};
use sinfonia_service::tokens::OwnToken;
use sinfonia_service::trace_parent::TRACEPARENT;
use sinfonia_service::traces::Question;
use url::Url;
use uuid::Uuid;

use self::answer::Answer;
pub(crate) use self::error::{AskError, Trouble};
use crate::application::Application;
use crate::tier1_url::Tier1Url;

/// Time for an answer that no cloudlet has to work for.
const ANSWER_TIME: Duration = Duration::from_secs(30);

/// Time on top of what the server was asked to wait for at most.
const GRACE: Duration = Duration::from_secs(5);

/// Most bytes of a list of candidates: a few hundred for each, and there may be tens of thousands.
const CANDIDATES_BYTES: usize = 64 * 1024 * 1024;

/// What is said about where to deploy and how long to wait.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Wishes {
    /// Where the device is.
    pub(crate) location: Option<Location>,
    /// How many answers are wanted.
    pub(crate) results: Option<u32>,
    /// How many seconds the server may take; without it, as many as it sees fit.
    pub(crate) wait: Option<u32>,
    /// The only cloudlet that will do.
    pub(crate) cloudlet: Option<Uuid>,
    /// Cloudlets that will not do.
    pub(crate) exclude: Vec<Uuid>,
    /// Round trips that this device measured.
    pub(crate) round_trips: RoundTrips,
}

/// A Tier 1.
#[derive(Clone)]
pub(crate) struct Tier1 {
    client: Client,
    url: Tier1Url,
    token: Option<OwnToken>,
}

impl Wishes {
    /// The URL with what is said there.
    fn told(&self, url: Url) -> Url {
        let url = with(url, "results", self.results);
        let url = with(url, "cloudlet", self.cloudlet);
        let exclude = self.exclude.iter();
        exclude.fold(url, |url, one| with(url, "exclude", Some(one)))
    }

    /// The request with what is said in headers.
    fn told_beside(&self, mut request: RequestBuilder) -> RequestBuilder {
        if let Some(location) = self.location {
            request = request.header("x-location", location.to_string());
        }
        if !self.round_trips.is_empty() {
            request = request.header(X_RTT, self.round_trips.to_string());
        }
        request
    }
}

impl Tier1 {
    /// The Tier 1 at this URL, asked with this client. The token is shown with every request.
    pub(crate) const fn new(client: Client, url: Tier1Url, token: Option<OwnToken>) -> Self {
        Self { client, url, token }
    }

    /// Where it is.
    pub(crate) const fn url(&self) -> &Tier1Url {
        &self.url
    }

    /// Deploys the application for this key, or extends the lease of what is there.
    ///
    /// # Errors
    /// Tier 1 cannot be reached, refuses, or answers something else than deployments of this application for this key.
    pub(crate) async fn deploy(
        &self,
        application: Application,
        key: &PublicKey,
        wishes: &Wishes,
    ) -> Result<Vec<CloudletDeployment>, AskError> {
        let url = wishes.told(self.url.deploy(application, key));
        let mut request = wishes.told_beside(self.client.post(url));
        let mut within = ANSWER_TIME;
        if let Some(wait) = wishes.wait {
            request = request.header("prefer", format!("wait={wait}"));
            within = Duration::from_secs(wait.into()) + GRACE;
        }
        let body = self.send(request, ANSWER_BYTES, within).await?;
        let deployments = answer::deployments(&self.url, &body)?;
        deployments
            .into_iter()
            .map(|deployment| answer::ours(deployment, application, key))
            .collect()
    }

    /// Lists the cloudlets that would be tried, best first.
    ///
    /// # Errors
    /// Tier 1 cannot be reached, refuses, or answers something else than a list of cloudlets.
    pub(crate) async fn candidates(
        &self,
        application: Application,
        key: &PublicKey,
        wishes: &Wishes,
    ) -> Result<Vec<CandidateInfo>, AskError> {
        let url = wishes.told(self.url.deploy(application, key));
        let request = wishes.told_beside(self.client.get(url));
        let body = self.send(request, CANDIDATES_BYTES, ANSWER_TIME).await?;
        let value: Value = answer::json(&self.url, &body)?;
        answer::typed(drop_nulls(value))
    }

    /// Explains who would be tried, and why not the others.
    ///
    /// # Errors
    /// Tier 1 cannot be reached, refuses, or answers something else than an explanation.
    pub(crate) async fn explain(
        &self,
        application: Application,
        key: &PublicKey,
        wishes: &Wishes,
    ) -> Result<Explanation, AskError> {
        let url = with(self.url.explain(application, key), "limit", wishes.results);
        let request = wishes.told_beside(self.client.get(url));
        let body = self.send(request, CANDIDATES_BYTES, ANSWER_TIME).await?;
        // Nulls stay: they stand for what is not known of a cloudlet.
        answer::typed(answer::json(&self.url, &body)?)
    }

    /// Reads how far the deployment for this key is, on this cloudlet or on the one that Tier 1 remembers.
    ///
    /// # Errors
    /// Tier 1 cannot be reached, refuses, or answers something else than a deployment of this application for this key.
    pub(crate) async fn deployment(
        &self,
        application: Application,
        key: &PublicKey,
        cloudlet: Option<Uuid>,
    ) -> Result<CloudletDeployment, AskError> {
        let url = with(self.url.deployment(application, key), "cloudlet", cloudlet);
        let request = self.client.get(url);
        let body = self.send(request, ANSWER_BYTES, ANSWER_TIME).await?;
        let value: Value = answer::json(&self.url, &body)?;
        answer::ours(answer::typed(drop_nulls(value))?, application, key)
    }

    /// Deletes the deployment for this key, on this cloudlet or on the one that Tier 1 remembers.
    ///
    /// # Errors
    /// Tier 1 cannot be reached or refuses.
    pub(crate) async fn delete(
        &self,
        application: Application,
        key: &PublicKey,
        cloudlet: Option<Uuid>,
    ) -> Result<(), AskError> {
        let url = with(self.url.deployment(application, key), "cloudlet", cloudlet);
        let body = self
            .send(self.client.delete(url), ANSWER_BYTES, ANSWER_TIME)
            .await?;
        answer::nothing(&self.url, &body)
    }

    /// Reads the recipe of an application.
    ///
    /// # Errors
    /// Tier 1 cannot be reached, refuses, or answers something else than a recipe.
    pub(crate) async fn recipe(&self, application: Application) -> Result<Recipe, AskError> {
        let request = self.client.get(self.url.recipe(application));
        let body = self.send(request, ANSWER_BYTES, ANSWER_TIME).await?;
        // Nulls stay: in the values of a chart they remove a default.
        answer::typed(answer::json(&self.url, &body)?)
    }

    /// Sends a request, and gives the body of an answer that grants it.
    async fn send(
        &self,
        request: RequestBuilder,
        most: usize,
        within: Duration,
    ) -> Result<Bytes, AskError> {
        let request = match &self.token {
            Some(token) => request.header(AUTHORIZATION, token.authorization().clone()),
            None => request,
        };
        let unanswered = |error| AskError::unanswered(&self.url, within, &error);
        let request = request.timeout(within).build().map_err(unanswered)?;
        let question = Question::new(request.method(), "Tier 1", &self.url, None);
        let mut request = RequestBuilder::from_parts(self.client.clone(), request);
        if let Some(place) = question.parent() {
            request = request.header(TRACEPARENT, place.to_string());
        }
        let response = request.send().await.map_err(unanswered)?;
        question.answered(response.status());
        let head = Answer::head(&response);
        let body = read_bounded(response, most)
            .await
            .map_err(|error| AskError::unread(&self.url, within, error))?;
        tracing::debug!(status = head.status.as_u16(), bytes = body.len(), tier1 = %self.url, "Tier 1 answered");
        head.granted(&self.url, body)
    }
}

/// The URL, with a parameter if there is something to say.
fn with(mut url: Url, name: &str, value: Option<impl ToString>) -> Url {
    if let Some(value) = value {
        url.query_pairs_mut().append_pair(name, &value.to_string());
    }
    url
}
