//! Whether what is there is what should be there, whatever the API server made of how it was written.

use kube::api::DynamicObject;
use serde_json::Value;
use sinfonia_core::quantity::Quantity;

/// Whether an object is as wanted. Limits that somebody added to a quota stay: they let nothing more through.
pub(super) fn is_as_wanted(wanted: &Value, found: &DynamicObject) -> bool {
    let (wanted, found) = (&wanted["spec"], &found.data["spec"]);
    match wanted["hard"].as_object() {
        Some(hard) => hard
            .iter()
            .all(|(resource, amount)| same(amount, &found["hard"][resource])),
        None => same(wanted, found),
    }
}

/// Whether the cluster enforces a quota: it has counted what there is, and knows of each limit that is wanted.
pub(super) fn is_counted(wanted: &Value, found: &DynamicObject) -> bool {
    let (wanted, status) = (&wanted["spec"]["hard"], &found.data["status"]);
    let limits = wanted.as_object();
    limits.into_iter().flatten().all(|(resource, amount)| {
        same(amount, &status["hard"][resource]) && status["used"][resource].is_string()
    })
}

fn same(wanted: &Value, found: &Value) -> bool {
    match (wanted, found) {
        (Value::Object(wanted), Value::Object(found)) => {
            wanted.len() == found.len()
                && wanted
                    .iter()
                    .all(|(key, value)| found.get(key).is_some_and(|found| same(value, found)))
        }
        (Value::Array(wanted), Value::Array(found)) => {
            wanted.len() == found.len()
                && wanted
                    .iter()
                    .zip(found)
                    .all(|(wanted, found)| same(wanted, found))
        }
        (Value::String(wanted), Value::String(found)) => {
            wanted == found || same_amount(wanted, found)
        }
        _ => wanted == found,
    }
}

/// Whether both are quantities, and as much.
fn same_amount(wanted: &str, found: &str) -> bool {
    match (wanted.parse::<Quantity>(), found.parse::<Quantity>()) {
        (Ok(wanted), Ok(found)) => wanted == found,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    #[rstest]
    #[case::the_same(json!({"hard": {"pods": "20"}}), json!({"hard": {"pods": "20"}}), true)]
    #[case::in_other_words(json!({"hard": {"cpu": "0.5"}}), json!({"hard": {"cpu": "500m"}}), true)]
    #[case::more(json!({"hard": {"cpu": "4"}}), json!({"hard": {"cpu": "5"}}), false)]
    #[case::without(json!({"hard": {"cpu": "4", "pods": "2"}}), json!({"hard": {"cpu": "4"}}), false)]
    #[case::one_more(json!({"hard": {"cpu": "4"}}), json!({"hard": {"cpu": "4", "pods": "2"}}), true)]
    #[case::for_fewer_pods(json!({"podSelector": {}}), json!({"podSelector": {"matchLabels": {"a": "b"}}}), false)]
    #[case::another_rule(json!({"egress": [{"to": []}]}), json!({"egress": [{"to": []}, {}]}), false)]
    #[case::another_address(json!({"cidr": "10.5.0.1/32"}), json!({"cidr": "10.5.0.2/32"}), false)]
    #[case::nothing(json!({"podSelector": {}}), Value::Null, false)]
    fn what_is_not_as_wanted_is_found(
        #[case] wanted: Value,
        #[case] found: Value,
        #[case] expected: bool,
    ) {
        let found = json!({"apiVersion": "v1", "kind": "Any", "metadata": {}, "spec": found});
        let found = serde_json::from_value(found).unwrap();

        assert_eq!(is_as_wanted(&json!({"spec": wanted}), &found), expected);
    }
}
