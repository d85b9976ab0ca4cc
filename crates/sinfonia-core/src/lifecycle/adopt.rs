//! Deployments that another program made.

use std::net::{IpAddr, Ipv4Addr};

use jiff::Timestamp;
use uuid::Uuid;

use super::{Peer, Phase, Policy, Record, RecordSpec, RecordStatus};
use crate::deployment::DeploymentName;

/// Name of the request that creates a record for what was adopted: one that no real request can have.
const ADOPTION: &str = "(adopted)";

/// A deployment as another program left it in the cluster: a Peer and a release of this name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Name of Namespace, Peer and release.
    pub name: DeploymentName,
    /// The recipe.
    pub uuid: Uuid,
    /// The device.
    pub peer: Peer,
    /// When it was created, if that is known.
    pub created: Option<Timestamp>,
}

/// The record of a deployment that was found. It counts as installed and ready, because somebody may be using it, and has a whole lease.
/// The device's address outside the tunnel is not known; its next request tells.
pub fn adopt(found: &Found, now: Timestamp, policy: &Policy) -> Record {
    let Found {
        name,
        uuid,
        peer,
        created,
    } = found;
    let created = created.unwrap_or(now);
    let spec = RecordSpec {
        uuid: *uuid,
        public_key: peer.public_key,
        client_address: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        created,
        created_by: ADOPTION.to_owned(),
        renewed: now,
        renewed_by: ADOPTION.to_owned(),
        renewals: 1,
    };
    let status = RecordStatus {
        phase: Phase::Deployed,
        since: now,
        renewals_seen: spec.renewals,
        deployment_name: name.clone(),
        tunnel_address: peer.address,
        started: created,
        lease_end: policy.lease_from(now),
        first_ready: Some(now),
        unknown_since: None,
        recipe_digest: None,
        failure: None,
        message: None,
        detail: None,
    };
    Record {
        status: Some(status),
        ..Record::new(spec)
    }
}

impl Record {
    /// Whether what runs is still what another program installed: nothing of it is changed. From when it is installed anew, it is ours.
    pub fn is_as_adopted(&self) -> bool {
        self.spec.created_by == ADOPTION
            && self.status.as_ref().is_some_and(|status| {
                matches!(status.phase, Phase::Deployed | Phase::Expiring)
                    && status.recipe_digest.is_none()
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lifecycle::fixtures::{at, peer, request};
    use crate::lifecycle::{
        DeployDecision, Desired, Next, Observed, Readiness, deploy, desired, reconcile,
    };

    #[test]
    fn what_was_adopted_is_left_as_it_is() {
        let policy = Policy::default();
        let record = adopt(&found(), at(0), &policy);

        assert_eq!(desired(&record), Desired::Running(peer(1)));
        assert_eq!(
            reconcile(
                &record,
                &Observed::running(peer(1)),
                &Readiness::default(),
                at(0),
                &policy
            ),
            Next::Rest
        );
    }

    #[test]
    fn the_first_request_tells_where_the_device_is() {
        let policy = Policy::default();
        let record = adopt(&found(), at(0), &policy);

        let decision = deploy(Some(&record), &request("second"), at(200), &policy);

        let DeployDecision::Renew(spec) = decision else {
            panic!("{decision:?}");
        };
        assert_eq!(spec.client_address, request("second").client_address);
        assert_eq!((spec.created, spec.renewed), (at(-1000), at(200)));
    }

    #[test]
    fn what_is_installed_anew_is_ours() {
        let policy = Policy::default();
        let record = adopt(&found(), at(0), &policy);
        let with = |phase, digest: Option<&str>| {
            let status = record.status.clone().map(|status| RecordStatus {
                phase,
                recipe_digest: digest.map(str::to_owned),
                ..status
            });
            Record {
                status,
                ..record.clone()
            }
            .is_as_adopted()
        };

        assert!(record.is_as_adopted());
        assert!(with(Phase::Expiring, None));
        assert!(!with(Phase::Initializing, None));
        assert!(!with(Phase::Deployed, Some("sha256:00")));
    }

    fn found() -> Found {
        Found {
            name: "brave-otter-x7k2p".parse().unwrap(),
            uuid: Uuid::nil(),
            peer: peer(1),
            created: Some(at(-1000)),
        }
    }
}
