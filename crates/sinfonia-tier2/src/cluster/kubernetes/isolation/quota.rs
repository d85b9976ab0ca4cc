//! How much a deployment may use, and what a container gets that does not say.

use serde_json::{Map, Value, json};
use sinfonia_core::isolation::Quota;

/// What a container asks for that asks for nothing: next to nothing.
const REQUESTS: [(&str, &str); 3] = [
    ("cpu", "50m"),
    ("memory", "64Mi"),
    ("ephemeral-storage", "64Mi"),
];
/// Where a container ends that knows no limit, so that several of them fit the quota. It has none for the processor: what nobody else asks
/// for may be used, and charts commonly say what they ask for and no limit, which may then not be less.
const LIMITS: [(&str, &str); 2] = [("memory", "1Gi"), ("ephemeral-storage", "2Gi")];

/// The ResourceQuota.
pub(super) fn quota_spec(quota: &Quota) -> Value {
    let mut hard = Map::new();
    for (resource, amount) in quota {
        let name = resource.as_str();
        let counted: &[&str] = match name {
            "cpu" | "storage" => &["requests."],
            "memory" | "ephemeral-storage" => &["requests.", "limits."],
            _ if resource.is_extended() => &["requests."],
            _ => &[""],
        };
        let entries = counted.iter().map(|prefix| format!("{prefix}{name}"));
        hard.extend(entries.map(|entry| (entry, json!(amount))));
    }
    json!({"hard": hard})
}

/// The LimitRange.
pub(super) fn limits_spec(quota: &Quota) -> Value {
    json!({"limits": [{
        "type": "Container",
        "default": within(quota, &LIMITS),
        "defaultRequest": within(quota, &REQUESTS),
    }]})
}

/// These amounts, none more than there is in all.
fn within(quota: &Quota, amounts: &[(&str, &str)]) -> Map<String, Value> {
    let amount = |resource: &str, usual: &str| {
        let most = quota
            .iter()
            .find(|(name, _)| name.as_str() == resource)
            .map(|(_, most)| most);
        match (most, usual.parse()) {
            (Some(most), Ok(usual)) if *most < usual => json!(most),
            _ => json!(usual),
        }
    };
    amounts
        .iter()
        .map(|(resource, usual)| ((*resource).to_owned(), amount(resource, usual)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_is_counted_and_what_would_hurt_others_is_limited() {
        let quota = quota(&[
            ("cpu", "4"),
            ("memory", "8Gi"),
            ("ephemeral-storage", "16Gi"),
            ("storage", "32Gi"),
            ("pods", "20"),
            ("services.nodeports", "0"),
            ("nvidia.com/gpu", "1"),
        ]);

        assert_eq!(
            quota_spec(&quota),
            json!({"hard": {
                "requests.cpu": "4",
                "requests.memory": "8Gi",
                "limits.memory": "8Gi",
                "requests.ephemeral-storage": "16Gi",
                "limits.ephemeral-storage": "16Gi",
                "requests.storage": "32Gi",
                "pods": "20",
                "services.nodeports": "0",
                "requests.nvidia.com/gpu": "1",
            }})
        );
    }

    #[test]
    fn a_container_that_says_nothing_fits_the_quota() {
        let roomy = limits_spec(&quota(&[("cpu", "4"), ("memory", "8Gi")]));
        let narrow = limits_spec(&quota(&[("cpu", "10m"), ("memory", "512Mi")]));

        let limits = |cpu, memory, limit| {
            json!({"limits": [{
                "type": "Container",
                "default": {"memory": limit, "ephemeral-storage": "2Gi"},
                "defaultRequest": {"cpu": cpu, "memory": memory, "ephemeral-storage": "64Mi"},
            }]})
        };
        assert_eq!(roomy, limits("50m", "64Mi", "1Gi"));
        assert_eq!(narrow, limits("10m", "64Mi", "512Mi"));
    }

    fn quota(entries: &[(&str, &str)]) -> Quota {
        entries
            .iter()
            .map(|(name, amount)| (name.parse().unwrap(), amount.parse().unwrap()))
            .collect()
    }
}
