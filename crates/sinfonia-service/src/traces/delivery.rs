//! Delivery of spans to the collector.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{
    Protocol, RetryPolicy, SpanExporter, WithExportConfig as _, WithHttpConfig as _,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SpanData, SpanExporter as Exporter};
use reqwest::Client;
use tokio::runtime::{Builder, Runtime};
use url::Url;

use super::{Program, TracesError};
use crate::client::{self, ANSWER_BYTES, ClientSettings, read_bounded};
use crate::reload::causes;
use crate::settings::ClientArgs;

/// Time that a collector has for one answer.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Delivers spans. What cannot be delivered is lost; the log tells when that begins and when it is over, not of each.
#[derive(Debug)]
pub(super) struct Delivery {
    exporter: SpanExporter,
    collector: Url,
    cause: Cause,
    /// Spans that were lost since one was delivered.
    lost: AtomicUsize,
}

/// Why the collector did not answer last time, if it did not. The exporter keeps that to itself.
#[derive(Debug, Clone, Default)]
struct Cause(Arc<Mutex<Option<String>>>);

/// Our HTTP client, on a runtime of its own: spans are delivered on a thread of their own, also when all else has ended.
struct Sender {
    client: Client,
    /// There until this is dropped.
    runtime: Option<Runtime>,
    cause: Cause,
}

impl Delivery {
    /// Delivers the spans of this program to a collector, at the URL of its traces.
    ///
    /// # Errors
    /// What asks the collector cannot be made, or a variable of OpenTelemetry asks for what there is not.
    pub(super) fn new(
        collector: Url,
        program: Program,
        client: &ClientArgs,
    ) -> Result<Self, TracesError> {
        let cause = Cause::default();
        let sender = Sender::new(program, client, cause.clone())?;
        let retry = match program {
            Program::Service(_) => RetryPolicy::recommended(),
            Program::Command(_) => RetryPolicy::disabled(),
        };
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(sender)
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(collector.as_str())
            .with_retry_policy(retry)
            .build()?;
        Ok(Self {
            exporter,
            collector,
            cause,
            lost: AtomicUsize::new(0),
        })
    }
}

impl Exporter for Delivery {
    /// Never fails: the SDK would tell of each failure.
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        match self.exporter.export(batch).await {
            Ok(()) => {
                let lost = self.lost.swap(0, Ordering::Relaxed);
                if lost > 0 {
                    tracing::info!(lost, "traces are delivered again");
                }
            }
            Err(error) => {
                let error = self.cause.take().unwrap_or_else(|| error.to_string());
                if self.lost.fetch_add(spans, Ordering::Relaxed) == 0 {
                    tracing::warn!(error, collector = %self.collector, "traces cannot be delivered, and are lost until they can");
                } else {
                    tracing::debug!(error, spans, "traces are lost");
                }
            }
        }
        Ok(())
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        let lost = self.lost.load(Ordering::Relaxed);
        if lost > 0 {
            tracing::info!(lost, "traces were lost since the last delivery");
        }
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

impl Cause {
    fn set(&self, cause: Option<String>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = cause;
    }

    fn take(&self) -> Option<String> {
        let mut cause = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        cause.take()
    }
}

impl Sender {
    fn new(program: Program, client: &ClientArgs, cause: Cause) -> Result<Self, TracesError> {
        let runtime = Builder::new_current_thread().enable_all().build();
        let settings = ClientSettings {
            ca_file: client.ca_file.clone(),
            // Between deliveries nobody would notice that the collector has closed a connection.
            idle: Duration::ZERO,
            ..ClientSettings::new(program.name())
        };
        Ok(Self {
            client: client::build(&settings)?,
            runtime: Some(runtime.map_err(TracesError::Runtime)?),
            cause,
        })
    }

    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let mut request = reqwest::Request::try_from(request)?;
        *request.timeout_mut() = Some(TIMEOUT);
        let asked = self.client.execute(request).await;
        // The log names the collector beside it.
        let response = asked.map_err(reqwest::Error::without_url)?;
        let (status, headers) = (response.status(), response.headers().clone());
        let mut answer = Response::new(read_bounded(response, ANSWER_BYTES).await?);
        *answer.status_mut() = status;
        *answer.headers_mut() = headers;
        Ok(answer)
    }
}

#[async_trait]
impl HttpClient for Sender {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        // The thread that delivers waits for nothing else.
        let Some(runtime) = &self.runtime else {
            return Err("the program ends".into());
        };
        let sent = runtime.block_on(self.send(request));
        let cause = |error: &HttpError| format!("{error}: {}", causes(error.as_ref()));
        self.cause.set(sent.as_ref().err().map(cause));
        sent
    }
}

impl Drop for Sender {
    /// A look-up of the collector's name may still be under way, and nobody waits for it.
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl fmt::Debug for Sender {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Sender")
    }
}
