//! Which node devices open their tunnel to.

use std::cmp::Reverse;
use std::fmt::Display;
use std::str::FromStr;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Node;
use kube::ResourceExt;
use sinfonia_core::key::PublicKey;
use sinfonia_core::tunnel::HostPort;

/// Annotation with a node's public key.
const KEY: &str = "kilo.squat.ai/key";
/// Annotation with where a node listens.
const ENDPOINT: &str = "kilo.squat.ai/endpoint";
/// Annotation with a node's address in the WireGuard network, which only leaders have.
const WIREGUARD_IP: &str = "kilo.squat.ai/wireguard-ip";
/// Annotation with when Kilo's agent last wrote, in UNIX seconds; it does so every 30 s.
const LAST_SEEN: &str = "kilo.squat.ai/last-seen";

/// How long what Kilo's agent wrote is worth anything: 6 of its rounds, because a busy API server delays some.
const STALE_AFTER: SignedDuration = SignedDuration::from_mins(3);

/// A node, as far as it says what Kilo made of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct KiloNode {
    pub(super) name: String,
    pub(super) ready: bool,
    pub(super) role: Role,
}

/// What a node is to Kilo.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Role {
    /// None that devices can open a tunnel to: Kilo does not run there, or another node leads.
    Other,
    /// It says something that nobody can understand; the text completes "node X …".
    Malformed(String),
    /// It leads, and takes tunnels.
    Leader {
        gateway: Gateway,
        last_seen: Timestamp,
    },
}

/// The end of the tunnel as a node says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Gateway {
    pub(super) public_key: PublicKey,
    pub(super) endpoint: HostPort,
}

impl KiloNode {
    /// What the node says.
    pub(super) fn of(node: &Node) -> Self {
        Self {
            name: node.name_any(),
            ready: is_ready(node),
            role: role(node).unwrap_or_else(Role::Malformed),
        }
    }
}

/// The end of the tunnel: of the nodes that lead, the one that Kilo's agent wrote to last, then a Ready one, then the one with the smallest
/// name.
///
/// # Errors
/// There is none; the text tells an operator why.
pub(super) fn choose<'a>(
    nodes: impl IntoIterator<Item = &'a KiloNode>,
    now: Timestamp,
) -> Result<Gateway, String> {
    let nodes = Vec::from_iter(nodes);
    let leaders = nodes.iter().filter_map(|node| match &node.role {
        Role::Leader { gateway, last_seen } => Some((node, gateway, *last_seen)),
        Role::Other | Role::Malformed(_) => None,
    });
    let newest = leaders
        .max_by_key(|(node, _, last_seen)| (*last_seen, node.ready, Reverse(node.name.as_str())));
    match newest {
        Some((_, gateway, last_seen)) if now.duration_since(last_seen) <= STALE_AFTER => {
            Ok(gateway.clone())
        }
        Some((node, _, last_seen)) => Err(format!(
            "the annotations of Kilo are out of date, node {} was last seen {} s ago; does Kilo's agent run there?",
            node.name,
            now.duration_since(last_seen).as_secs()
        )),
        None => Err(why_none(&nodes)),
    }
}

fn why_none(nodes: &[&KiloNode]) -> String {
    let malformed = nodes
        .iter()
        .filter_map(|node| match &node.role {
            Role::Malformed(what) => Some((node.name.as_str(), what)),
            Role::Other | Role::Leader { .. } => None,
        })
        .min();
    match malformed {
        Some((name, what)) => format!("no node leads in Kilo's network, and node {name} {what}"),
        None if nodes.is_empty() => "the cluster has no nodes".to_owned(),
        None => format!(
            "no node carries Kilo's annotations {KEY}, {ENDPOINT} and {WIREGUARD_IP}; does Kilo run in the cluster?"
        ),
    }
}

fn role(node: &Node) -> Result<Role, String> {
    let (Some(key), Some(endpoint), Some(_)) = (
        annotation(node, KEY),
        annotation(node, ENDPOINT),
        annotation(node, WIREGUARD_IP),
    ) else {
        return Ok(Role::Other);
    };
    let last_seen = annotation(node, LAST_SEEN).unwrap_or_default();
    let last_seen = last_seen
        .parse()
        .ok()
        .and_then(|seconds| Timestamp::from_second(seconds).ok())
        .ok_or_else(|| {
            let found = last_seen.escape_debug().take(20).collect::<String>();
            format!("carries no UNIX time in {LAST_SEEN}: `{found}`")
        })?;
    let gateway = Gateway {
        public_key: parse(KEY, key)?,
        endpoint: parse(ENDPOINT, endpoint)?,
    };
    Ok(Role::Leader { gateway, last_seen })
}

fn parse<T: FromStr<Err: Display>>(annotation: &str, text: &str) -> Result<T, String> {
    text.parse()
        .map_err(|error| format!("carries a wrong {annotation}: {error}"))
}

/// An annotation that says something; Kilo empties some where it could remove them.
fn annotation<'a>(node: &'a Node, name: &str) -> Option<&'a str> {
    let value = node.annotations().get(name)?;
    Some(value.as_str()).filter(|value| !value.is_empty())
}

fn is_ready(node: &Node) -> bool {
    let conditions = node
        .status
        .iter()
        .flat_map(|status| status.conditions.iter().flatten());
    conditions
        .into_iter()
        .any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

#[cfg(test)]
mod tests;
