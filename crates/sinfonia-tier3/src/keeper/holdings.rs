//! What is deployed for this device, and giving it back.

use std::future::Future;
use std::time::Duration;

use sinfonia_core::deployment::{CloudletDeployment, CloudletReference};
use sinfonia_core::key::PublicKey;
use tokio::time::timeout;
use uuid::Uuid;

use crate::events::{Audience, Event};
use crate::failure::Call;
use crate::session::{self, Session};

/// Time in which a cloudlet that was left has to take back what it holds: it was silent, and most likely still is.
const LEFT_TIME: Duration = Duration::from_secs(3);

/// What is deployed for this device.
#[derive(Debug, Clone)]
pub(crate) struct Holdings {
    /// The deployment that the tunnel leads to.
    in_use: CloudletDeployment,
    /// Cloudlets that hold something that the tunnel does not lead to.
    left: Vec<CloudletReference>,
    /// Whether a request was given up before it was known where it led to something.
    unknown: bool,
}

impl Holdings {
    /// One deployment alone.
    pub(crate) const fn new(in_use: CloudletDeployment) -> Self {
        Self {
            in_use,
            left: Vec::new(),
            unknown: false,
        }
    }

    /// The deployment that the tunnel leads to.
    pub(crate) const fn in_use(&self) -> &CloudletDeployment {
        &self.in_use
    }

    /// Where that is, if the server told.
    pub(crate) const fn cloudlet(&self) -> Option<&CloudletReference> {
        self.in_use.cloudlet.as_ref()
    }

    /// Who the cloudlet is to which the tunnel leads, if the server told.
    pub(crate) fn identity(&self) -> Option<Uuid> {
        self.cloudlet().map(|cloudlet| cloudlet.uuid)
    }

    /// Notes a newer answer about the deployment in use.
    pub(crate) fn update(&mut self, told: CloudletDeployment) {
        let cloudlet = told.cloudlet.or(self.in_use.cloudlet.take());
        self.in_use = CloudletDeployment { cloudlet, ..told };
    }

    /// Notes that the tunnel leads to another deployment.
    pub(crate) fn move_to(&mut self, deployment: CloudletDeployment) {
        let old = std::mem::replace(&mut self.in_use, deployment);
        self.leave(&old);
    }

    /// Notes that something is deployed that the tunnel does not lead to.
    pub(crate) fn leave(&mut self, deployment: &CloudletDeployment) {
        self.left.extend(deployment.cloudlet.clone());
        let in_use = self.identity();
        self.left.retain(|left| Some(left.uuid) != in_use);
        self.left.dedup_by_key(|left| left.uuid);
    }

    /// Notes that a request was given up before its answer came.
    pub(crate) const fn give_up_request(&mut self) {
        self.unknown = true;
    }

    /// Gives back everything; where that fails, it ends with its lease.
    pub(crate) fn release(&self, session: &Session, key: &PublicKey, audience: Audience) {
        let in_use = self.identity();
        let work = session.tier1.delete(session.application, key, in_use);
        match session.ask(Call::Delete, work) {
            Ok(()) => audience.hear(&Event::Released {
                cloudlet: self.cloudlet(),
            }),
            Err(error) => audience.hear(&Event::NotReleased {
                reason: format!(
                    "{} could not be deleted, it ends by itself once its lease has passed: {error}",
                    session.application
                ),
            }),
        }
        // Nothing can be asked without a runtime, which was told already.
        let _ = session::run(self.release_others(session, key));
    }

    async fn release_others(&self, session: &Session, key: &PublicKey) {
        let delete = |cloudlet| session.tier1.delete(session.application, key, cloudlet);
        if self.unknown {
            in_time(delete(None)).await;
        }
        for left in &self.left {
            in_time(delete(Some(left.uuid))).await;
        }
    }
}

async fn in_time<E: std::fmt::Display>(delete: impl Future<Output = Result<(), E>>) {
    match timeout(LEFT_TIME, delete).await {
        Ok(Ok(())) => tracing::debug!("deleted what was left behind"),
        Ok(Err(error)) => tracing::info!(%error, "what was left behind ends with its lease"),
        Err(_) => tracing::info!("what was left behind ends with its lease"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_was_left_is_known_until_it_is_in_use_again() {
        let mut holdings = Holdings::new(on(1));

        holdings.move_to(on(2));
        let after_one = left(&holdings);
        holdings.move_to(on(1));

        assert_eq!((after_one, left(&holdings)), (vec![1], vec![2]));
    }

    #[test]
    fn a_new_deployment_on_the_same_cloudlet_leaves_nothing() {
        let mut holdings = Holdings::new(on(1));

        holdings.move_to(on(1));

        assert_eq!(left(&holdings), [0; 0]);
    }

    #[test]
    fn a_newer_answer_that_does_not_tell_the_cloudlet_is_from_the_same() {
        let mut holdings = Holdings::new(on(1));
        let mut told = on(1);
        told.cloudlet = None;
        told.message = Some("newer".into());

        holdings.update(told);

        assert_eq!(holdings.in_use().message.as_deref(), Some("newer"));
        assert_eq!(holdings.identity(), Some(Uuid::from_u128(1)));
    }

    fn left(holdings: &Holdings) -> Vec<u128> {
        let left = holdings.left.iter();
        left.map(|cloudlet| cloudlet.uuid.as_u128()).collect()
    }

    fn on(cloudlet: u128) -> CloudletDeployment {
        serde_json::from_value(json!({
            "UUID": "00000000-0000-0000-0000-000000000000",
            "ApplicationKey": "QROKEJzmRbhtdJleQSlp1HgZi1Tm6HcTgAtO8Q38Vhw=",
            "Status": "Deployed",
            "TunnelConfig": {
                "publicKey": "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=",
                "allowedIPs": ["0.0.0.0/0"],
                "endpoint": "203.0.113.7:51820",
                "address": ["10.5.17.4"],
                "dns": ["10.43.0.10"],
            },
            "Cloudlet": {
                "uuid": Uuid::from_u128(cloudlet),
                "name": "a",
                "endpoint": "http://cloudlet:5000/api/v1/deploy",
            },
        }))
        .unwrap()
    }
}
