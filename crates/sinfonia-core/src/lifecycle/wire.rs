//! A record as its device sees it.

use std::net::IpAddr;

use serde_json::Map;

use super::{Phase, Policy, Record, RecordStatus, Stage};
use crate::deployment::{CloudletDeployment, DeploymentName, Status};
use crate::key::PublicKey;
use crate::tunnel::{DnsEntry, HostName, HostPort, Interface, TunnelConfig};

/// The cloudlet's end of the tunnel, the same for all deployments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TunnelFacts {
    /// The cloudlet's public key.
    pub public_key: PublicKey,
    /// Where it listens, UDP.
    pub endpoint: HostPort,
    /// What devices route into the tunnel.
    pub allowed_ips: Vec<Interface>,
    /// The name server behind the tunnel.
    pub name_server: IpAddr,
    /// The domain of the cluster's Services, `cluster.local`.
    pub cluster_domain: HostName,
}

/// The deployment as answers show it; `None` when it has no place yet, ended or is being deleted. `ready` is whether
/// all that was installed runs now.
pub fn wire(
    record: &Record,
    tunnel: &TunnelFacts,
    ready: bool,
    policy: &Policy,
) -> Option<CloudletDeployment> {
    let Stage::Live(status) = record.stage() else {
        return None;
    };
    let phase = match status.phase {
        Phase::Expiring if record.is_called_back() => Phase::Initializing,
        phase => phase,
    };
    let ready = ready && phase == Phase::Deployed;
    let (shown, words) = match phase {
        Phase::Initializing => (Status::Initializing, "being installed"),
        Phase::Deployed if ready => (Status::Deployed, "ready"),
        Phase::Deployed => (Status::Deployed, "installed, not ready"),
        Phase::Expiring => (
            Status::Expiring,
            "its lease has passed, a request brings it back",
        ),
        Phase::Expired | Phase::Failed => return None,
    };
    Some(CloudletDeployment {
        deployment_name: Some(status.deployment_name.clone()),
        uuid: record.spec.uuid,
        application_key: record.spec.public_key,
        status: shown,
        created: Some(record.spec.created),
        tunnel_config: tunnel_config(status, tunnel),
        ready: Some(ready),
        expires: Some(record.end(policy)),
        message: Some(status.message.clone().unwrap_or_else(|| words.to_owned())),
        sandbox: None,
        cloudlet: None,
        other: Map::new(),
    })
}

fn tunnel_config(status: &RecordStatus, tunnel: &TunnelFacts) -> TunnelConfig {
    TunnelConfig {
        public_key: tunnel.public_key,
        allowed_ips: tunnel.allowed_ips.clone(),
        endpoint: tunnel.endpoint.clone(),
        address: vec![Interface::host(status.tunnel_address)],
        dns: dns(&status.deployment_name, tunnel),
    }
}

/// The name server, then the search domains as a Pod of the deployment has them. One that is too long to be a domain is
/// left out.
fn dns(name: &DeploymentName, tunnel: &TunnelFacts) -> Vec<DnsEntry> {
    let domain = &tunnel.cluster_domain;
    let domains = [
        format!("{name}.svc.{domain}"),
        format!("svc.{domain}"),
        domain.to_string(),
    ];
    let domains = domains
        .iter()
        .filter_map(|domain| domain.parse().ok())
        .map(DnsEntry::SearchDomain);
    std::iter::once(DnsEntry::Server(tunnel.name_server))
        .chain(domains)
        .collect()
}
