//! Asking Tier 2, and what it answers.

use reqwest::{RequestBuilder, header::HeaderMap};
use serde_json::Value;

/// A request to be sent.
pub(crate) struct Ask(RequestBuilder);

/// What was answered.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

impl Ask {
    pub(crate) const fn new(request: RequestBuilder) -> Self {
        Self(request)
    }

    /// Has this header.
    pub(crate) fn header(self, name: &'static str, value: &str) -> Self {
        Self(self.0.header(name, value))
    }

    /// Waits this many seconds for the deployment to be ready.
    pub(crate) fn wait(self, seconds: u64) -> Self {
        self.header("prefer", &format!("wait={seconds}"))
    }

    /// Sends it and waits for the answer.
    pub(crate) async fn answer(self) -> Answer {
        self.answer_if_any().await.unwrap()
    }

    /// Sends it and waits for the answer, which may not come.
    pub(crate) async fn answer_if_any(self) -> Result<Answer, reqwest::Error> {
        let response = self.0.send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await?;
        Ok(Answer {
            status,
            headers,
            body: serde_json::from_str(&text).unwrap_or(Value::String(text)),
        })
    }

    /// Sends it, and asserts that it is granted; gives the deployment.
    pub(crate) async fn granted(self) -> Value {
        let answer = self.answer().await;
        assert_eq!(answer.status / 100, 2, "{answer:?}");
        match answer.body {
            Value::Array(mut list) if list.len() == 1 => list.remove(0),
            body => body,
        }
    }
}

impl Answer {
    /// Status and class of a problem.
    pub(crate) fn problem(&self) -> (u16, Option<&str>) {
        (self.status, self.body["class"].as_str())
    }

    /// What the problem is, in words.
    pub(crate) fn detail(&self) -> &str {
        self.body["detail"].as_str().unwrap_or_default()
    }
}
