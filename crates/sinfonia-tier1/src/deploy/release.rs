//! Taking back what a request has deployed and its client never got.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use sinfonia_service::reload::causes;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use crate::forward::{Call, CallError, Forward};
use crate::in_flight::InFlight;

/// Releases that are under way or wait at once; beyond it leases have to end what is left over.
const MOST: usize = 1024;
/// Those of them at one cloudlet, so that one that hangs leaves room for the others.
const MOST_PER_CLOUDLET: usize = 128;
/// Time that a cloudlet gets for a release.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Pauses before each try of a release.
const PAUSES: [Duration; 4] = [
    Duration::ZERO,
    Duration::from_secs(1),
    Duration::from_secs(5),
    Duration::from_secs(20),
];

/// Releases deployments beside requests. Clones share their work.
#[derive(Debug, Clone)]
pub(crate) struct Releases {
    forward: Forward,
    runtime: Handle,
    running: TaskTracker,
    places: Arc<Semaphore>,
    places_per_cloudlet: InFlight,
}

/// What a cloudlet was asked for on a client's behalf. Dropping it releases what the cloudlet may have deployed by then, whatever the
/// reason: a time-out, a client that has gone, a shutdown, a panic.
#[derive(Debug)]
pub(crate) struct Claim {
    call: Option<Call>,
    releases: Releases,
}

/// Why a release has to be tried again.
#[derive(Debug, thiserror::Error)]
enum ReleaseError {
    #[error("the cloudlet does not answer in time")]
    TimedOut,
    #[error("the cloudlet cannot be asked")]
    Call(#[from] CallError),
    #[error("the cloudlet answered {0}")]
    Status(StatusCode),
}

impl Releases {
    /// Releases through this client, on the current runtime.
    pub(crate) fn new(forward: Forward) -> Self {
        Self {
            forward,
            runtime: Handle::current(),
            running: TaskTracker::new(),
            places: Arc::new(Semaphore::new(MOST)),
            places_per_cloudlet: InFlight::new(MOST_PER_CLOUDLET),
        }
    }

    /// Claims what a call is going to deploy.
    pub(crate) fn claim(&self, call: Call) -> Claim {
        Claim {
            call: Some(call),
            releases: self.clone(),
        }
    }

    /// Waits until all releases are done, at most this long.
    pub(crate) async fn finish(&self, time: Duration) {
        self.running.close();
        if tokio::time::timeout(time, self.running.wait())
            .await
            .is_err()
        {
            tracing::warn!(
                releases = self.running.len(),
                "deployments could not be released in time, their leases end them"
            );
        }
    }

    fn start(&self, call: Call) {
        let cloudlet = &call.known.cloudlet.endpoint;
        let place = Arc::clone(&self.places).try_acquire_owned().ok();
        let place = place.zip(self.places_per_cloudlet.take(cloudlet));
        if place.is_none() {
            tracing::warn!(%cloudlet, "too many deployments to release, their leases end them");
            return;
        }
        let forward = self.forward.clone();
        let release = async move {
            release(&forward, &call).await;
            drop(place);
        };
        self.running.spawn_on(release, &self.runtime);
    }
}

impl Claim {
    /// The client gets it, or nothing was deployed.
    pub(crate) fn settle(mut self) {
        self.call = None;
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if let Some(call) = self.call.take() {
            self.releases.start(call);
        }
    }
}

async fn release(forward: &Forward, call: &Call) {
    let cloudlet = &call.known.cloudlet.endpoint;
    let request_id = call.request_id.as_str();
    for pause in PAUSES {
        tokio::time::sleep(pause).await;
        match try_release(forward, call).await {
            Ok(status) => {
                let status = status.as_u16();
                return tracing::debug!(request_id, %cloudlet, status, "deployment released");
            }
            Err(error) => {
                let cause = causes(&error);
                tracing::debug!(%error, cause, request_id, %cloudlet, "deployment not released yet");
            }
        }
    }
    tracing::info!(request_id, %cloudlet, "deployment not released, its lease ends it");
}

/// An older Tier 2 answers that it knows no such call. That is as good as it gets.
async fn try_release(forward: &Forward, call: &Call) -> Result<StatusCode, ReleaseError> {
    let answer = tokio::time::timeout(TIMEOUT, forward.release(call))
        .await
        .map_err(|_| ReleaseError::TimedOut)??;
    match answer.status {
        StatusCode::TOO_MANY_REQUESTS => Err(ReleaseError::Status(answer.status)),
        status if status.is_server_error() => Err(ReleaseError::Status(status)),
        status => Ok(status),
    }
}
