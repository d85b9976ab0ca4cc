//! What the leading process does beside answering requests: adopting, settling, ending leases.

use std::sync::Arc;
use std::time::Duration;

use sinfonia_core::lifecycle::{Found, Record, RecordSpec, adopt};
use sinfonia_service::reload::causes;
use tokio::time::sleep;

use crate::cluster::ClusterError;
use crate::controller::Controller;
use crate::job_runner::JobRunner;
use crate::records::unless_stale;

/// Time after which a cluster that did not answer is asked again.
const RETRY: Duration = Duration::from_secs(1);

/// The work of the leading process.
pub(crate) struct Work {
    pub(crate) controller: Arc<Controller>,
    pub(crate) job_runner: JobRunner,
    pub(crate) job_interval: Duration,
}

impl Work {
    /// Works whenever this process leads. Returns only when a part of the work fails.
    pub(crate) async fn whenever_leading(self) {
        let mut leading = self.controller.cluster.leadership();
        loop {
            // Where nobody can change it any more, it stays as it is.
            if leading.wait_for(|leads| *leads).await.is_err() && !*leading.borrow() {
                return;
            }
            let lost = async {
                if leading.wait_for(|leads| !*leads).await.is_err() {
                    std::future::pending::<()>().await;
                }
            };
            tokio::select! {
                () = self.work() => return,
                () = lost => tracing::info!("another process leads, the work here ends"),
            }
            self.controller.metrics.count_leases().told();
        }
    }

    async fn work(&self) {
        // Names and addresses are handed out from what is known, so nothing older may be known than what the last leader wrote.
        while let Err(error) = take_over(&self.controller).await {
            tracing::warn!(%error, cause = causes(&error), "the work cannot be taken over yet");
            sleep(RETRY).await;
        }
        tokio::select! {
            ended = Arc::clone(&self.controller).run() => {
                if let Err(error) = ended {
                    tracing::error!(%error, "controller failed");
                }
            }
            () = self.job_runner.run(self.job_interval) => {}
        }
    }
}

/// Learns what there is, and makes records of what another program left behind.
async fn take_over(controller: &Controller) -> Result<(), ClusterError> {
    let Controller {
        records, cluster, ..
    } = controller;
    records.refresh().await?;
    for found in cluster.adoptable().await? {
        let (key, name) = (found.peer.public_key, &found.name);
        if record(controller, &found).await? {
            cluster.adopt(name).await?;
            tracing::info!(key = %key.short(), %name, "deployment of another program adopted");
        } else {
            tracing::warn!(key = %key.short(), %name, "the key of this Peer has another deployment, it is left alone");
        }
    }
    Ok(())
}

/// Makes a record of what was found; false when its key has another one. Nobody works on records meanwhile, so one without a status was
/// made here before a crash, or by a request. A request for the same recipe is served with what there is; one for another has to go, because
/// a second Peer with this key would break both tunnels.
async fn record(controller: &Controller, found: &Found) -> Result<bool, ClusterError> {
    let records = &controller.records;
    let Record { spec, status, .. } = adopt(found, controller.clock.now(), &controller.policy);
    let Some(status) = status else {
        return Ok(false);
    };
    loop {
        let Some(seen) = records.get(&spec.public_key) else {
            unless_stale(records.create(spec.clone()).await)?;
            continue;
        };
        let record = seen.record();
        let written = match &record.status {
            Some(known) => return Ok(known.deployment_name == found.name),
            None if record.spec.uuid == spec.uuid && record.spec.created_by != spec.created_by => {
                // That request did not create it, so it must not take it along when it is withdrawn.
                let taken_over = RecordSpec {
                    created: spec.created,
                    created_by: spec.created_by.clone(),
                    ..record.spec.clone()
                };
                records.write_spec(&seen, taken_over).await
            }
            None if record.spec.uuid == spec.uuid => {
                records.write_status(&seen, status.clone()).await
            }
            None if record.deleting => records.remove(&seen).await,
            None => records.delete(&seen).await,
        };
        unless_stale(written)?;
    }
}
