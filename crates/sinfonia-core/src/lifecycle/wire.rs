//! A record as its device sees it.

use std::net::IpAddr;

use serde_json::Map;

use super::{Phase, Policy, Readiness, Record, RecordStatus, Stage};
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

/// The deployment as answers show it; `None` when it has no place yet, ended or is being deleted. `readiness` is
/// whether all that was installed runs now; where that is not known, the record's message counts.
pub fn wire(
    record: &Record,
    tunnel: &TunnelFacts,
    readiness: &Readiness,
    policy: &Policy,
) -> Option<CloudletDeployment> {
    let Stage::Live(status) = record.stage() else {
        return None;
    };
    let phase = match status.phase {
        Phase::Expiring if record.is_called_back() => Phase::Initializing,
        phase => phase,
    };
    let ready = readiness.is_ready() && phase == Phase::Deployed;
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
        message: Some(
            message(status, phase, readiness)
                .unwrap_or(words)
                .to_owned(),
        ),
        sandbox: None,
        cloudlet: None,
        other: Map::new(),
    })
}

/// What is said of what does not run: news first, then what the controller knew last.
fn message<'a>(
    status: &'a RecordStatus,
    phase: Phase,
    readiness: &'a Readiness,
) -> Option<&'a str> {
    let told = status.message.as_deref();
    match phase {
        Phase::Deployed if readiness.is_ready() => None,
        Phase::Deployed => readiness.message().or(told),
        _ => told,
    }
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
