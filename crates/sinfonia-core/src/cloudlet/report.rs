//! A cloudlet's report to Tier 1, read field by field so that a refusal names the field.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::{CloudletInfo, Resources, normalise_resources};

/// Most locations of a report: each is a place of its own in the index of all cloudlets.
const MOST_LOCATIONS: usize = 64;
/// Most networks of each list of a report.
const MOST_NETWORKS: usize = 512;

/// Why a report was refused. Nothing of a refused report is taken.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReportError {
    /// The body is JSON, but no object.
    #[error("a report is a JSON object")]
    NotAnObject,
    /// A required field is missing or null.
    #[error("the report lacks `{0}`")]
    Missing(&'static str),
    /// A field holds something else than it should.
    #[error("`{field}` is malformed: {reason}")]
    Malformed {
        /// The field.
        field: &'static str,
        /// What is wrong with its value.
        reason: String,
    },
}

impl CloudletInfo {
    /// Reads a report: `uuid` and `endpoint` are required, unknown fields are ignored, null and an empty list count as absent.
    /// A null within a list is malformed: a list of networks that lost an entry would mean something else. `last_update` is Tier 1's to
    /// stamp and is not read.
    ///
    /// # Errors
    /// The value is no object, lacks a required field, or a field is malformed.
    pub fn parse_report(body: Value) -> Result<Self, ReportError> {
        let Value::Object(fields) = body else {
            return Err(ReportError::NotAnObject);
        };
        let mut fields = without_nulls(fields);
        let uuid = take(&mut fields, "uuid")?.ok_or(ReportError::Missing("uuid"))?;
        let endpoint = take(&mut fields, "endpoint")?.ok_or(ReportError::Missing("endpoint"))?;
        let mut resources: Option<Resources> = take(&mut fields, "resources")?;
        resources.iter_mut().for_each(normalise_resources);
        Ok(Self {
            endpoint,
            uuid: Some(uuid),
            name: take(&mut fields, "name")?,
            locations: take_list(&mut fields, "locations", MOST_LOCATIONS)?,
            local_networks: take_list(&mut fields, "local_networks", MOST_NETWORKS)?,
            accepted_clients: take_list(&mut fields, "accepted_clients", MOST_NETWORKS)?,
            rejected_clients: take_list(&mut fields, "rejected_clients", MOST_NETWORKS)?,
            resources,
            last_update: None,
            labels: take(&mut fields, "labels")?,
            recipes: take(&mut fields, "recipes")?,
            draining: take(&mut fields, "draining")?,
        })
    }
}

fn without_nulls(fields: Map<String, Value>) -> Map<String, Value> {
    let kept = fields.into_iter().filter(|(_, value)| !value.is_null());
    kept.map(|(name, value)| match value {
        Value::Object(fields) => (name, Value::Object(without_nulls(fields))),
        other => (name, other),
    })
    .collect()
}

fn take<T: DeserializeOwned>(
    fields: &mut Map<String, Value>,
    field: &'static str,
) -> Result<Option<T>, ReportError> {
    let value = fields.remove(field).map(serde_json::from_value).transpose();
    value.map_err(|error| ReportError::Malformed {
        field,
        reason: error.to_string(),
    })
}

fn take_list<T: DeserializeOwned>(
    fields: &mut Map<String, Value>,
    field: &'static str,
    most: usize,
) -> Result<Option<Vec<T>>, ReportError> {
    let list: Option<Vec<T>> = take(fields, field)?;
    match &list {
        Some(list) if list.len() > most => {
            let reason = format!("it holds {} entries, at most {most} are taken", list.len());
            Err(ReportError::Malformed { field, reason })
        }
        _ => Ok(list.filter(|list| !list.is_empty())),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;
    use crate::cloudlet::Measurement;

    #[rstest]
    #[case::locations("locations", json!([40.44, -79.94]), 64)]
    #[case::networks("local_networks", json!("10.0.0.0/8"), 512)]
    #[case::accepted("accepted_clients", json!("10.0.0.0/8"), 512)]
    #[case::rejected("rejected_clients", json!("10.0.0.0/8"), 512)]
    fn a_list_has_a_longest_length(
        #[case] field: &'static str,
        #[case] entry: Value,
        #[case] most: usize,
    ) {
        let report = |length: usize| {
            let mut body = json!({"uuid": "7c9e6679-7425-40de-944b-e07fc1f90ae7", "endpoint": "http://c/api/v1/deploy"});
            body[field] = vec![entry.clone(); length].into();
            CloudletInfo::parse_report(body)
        };

        let reason = format!("it holds {} entries, at most {most} are taken", most + 1);
        assert!(report(most).is_ok());
        assert_eq!(
            report(most + 1),
            Err(ReportError::Malformed { field, reason })
        );
    }

    #[test]
    fn a_report_of_an_existing_cloudlet_is_taken() {
        let report = CloudletInfo::parse_report(json!({
            "uuid": "7c9e6679-7425-40de-944b-e07fc1f90ae7",
            "endpoint": "http://cloudlet:5000/api/v2/deploy",
            "resources": {"cpu_ratio": 0.25, "gpu_ratio": 40, "net_rx_rate": null},
            "accepted_clients": [],
            "rejected_clients": null,
            "something_else": true,
        }))
        .unwrap();

        let mut expected = CloudletInfo::at("http://cloudlet:5000/api/v1/deploy".parse().unwrap());
        expected.uuid = Some("7c9e6679-7425-40de-944b-e07fc1f90ae7".parse().unwrap());
        expected.resources = Some(Resources::from([
            ("cpu_ratio".into(), Measurement(0.25)),
            ("gpu_ratio".into(), Measurement(0.4)),
        ]));
        assert_eq!(report, expected);
    }

    #[rstest]
    #[case::a_list(json!([]), "a report is a JSON object")]
    #[case::no_uuid(json!({"endpoint": "http://c/api/v1/deploy"}), "the report lacks `uuid`")]
    #[case::null_uuid(json!({"uuid": null, "endpoint": "http://c/api/v1/deploy"}), "the report lacks `uuid`")]
    #[case::no_endpoint(json!({"uuid": "7c9e6679-7425-40de-944b-e07fc1f90ae7"}), "the report lacks `endpoint`")]
    fn a_report_without_its_identity_is_refused(#[case] body: Value, #[case] expected: &str) {
        assert_eq!(
            CloudletInfo::parse_report(body).unwrap_err().to_string(),
            expected
        );
    }

    #[rstest]
    #[case("uuid", json!("me"))]
    #[case("endpoint", json!("http://c/"))]
    #[case("name", json!(7))]
    #[case("locations", json!([[91, 0]]))]
    #[case("local_networks", json!(["10.0.0.0/33"]))]
    #[case("accepted_clients", json!("10.0.0.0/8"))]
    #[case("rejected_clients", json!([["10.0.0.0/8"]]))]
    #[case("rejected_clients", json!([null]))]
    #[case("locations", json!([[40, -79, null]]))]
    #[case("resources", json!({"cpu_ratio": "low"}))]
    #[case("labels", json!({"region": 1}))]
    #[case("recipes", json!(["helloworld"]))]
    #[case("draining", json!("yes"))]
    fn a_malformed_field_is_named(#[case] field: &str, #[case] value: Value) {
        let mut body = json!({"uuid": "7c9e6679-7425-40de-944b-e07fc1f90ae7", "endpoint": "http://c/api/v1/deploy"});
        body[field] = value;

        let error = CloudletInfo::parse_report(body).unwrap_err();

        assert!(matches!(error, ReportError::Malformed { field: named, .. } if named == field));
    }
}
