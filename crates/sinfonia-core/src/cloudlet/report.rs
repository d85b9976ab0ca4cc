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
    /// Reads a report that says each thing once and as it should, in one go, as [`CloudletInfo::parse_report`] would; `None` where the body
    /// is no such report and has to be looked at closer.
    pub fn read_plain_report(body: &[u8]) -> Option<Self> {
        // A list of values would do for a struct.
        if !body.trim_ascii_start().starts_with(b"{") {
            return None;
        }
        let mut info: Self = serde_json::from_slice(body).ok()?;
        info.uuid?;
        within(&mut info.locations, MOST_LOCATIONS)?;
        within(&mut info.local_networks, MOST_NETWORKS)?;
        within(&mut info.accepted_clients, MOST_NETWORKS)?;
        within(&mut info.rejected_clients, MOST_NETWORKS)?;
        info.resources.iter_mut().for_each(normalise_resources);
        info.last_update = None;
        Some(info)
    }

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

/// Makes an empty list an absent one; `None` where there is a longer one.
fn within<T>(list: &mut Option<Vec<T>>, most: usize) -> Option<()> {
    let length = list.as_ref().map_or(0, Vec::len);
    if length == 0 {
        *list = None;
    }
    (length <= most).then_some(())
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
    use proptest::option::weighted;
    use proptest::prelude::*;
    use proptest::sample::select;
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

    #[test]
    fn what_tier_2_reports_is_read_in_one_go() {
        let body = json!({
            "uuid": "7c9e6679-7425-40de-944b-e07fc1f90ae7",
            "endpoint": "http://cloudlet:5000/api/v2/deploy",
            "name": "shop",
            "locations": [[40.44, -79.94]],
            "resources": {"cpu_ratio": 0.25, "gpu_ratio": 40},
            "rejected_clients": null,
            "last_update": "yesterday",
        });
        let mut plain = body.clone();
        plain["last_update"] = Value::Null;

        assert_eq!(
            CloudletInfo::read_plain_report(plain.to_string().as_bytes()),
            CloudletInfo::parse_report(body.clone()).ok()
        );
        assert_eq!(read_in_one_go(&body), None);
    }

    #[test]
    fn a_list_of_values_is_no_report() {
        let values = json!([
            "http://c/api/v1/deploy",
            "7c9e6679-7425-40de-944b-e07fc1f90ae7"
        ]);

        assert_eq!(read_in_one_go(&values), None);
    }

    proptest! {
        #[test]
        fn what_is_read_in_one_go_is_what_a_closer_look_finds(body in reports()) {
            if let Some(info) = read_in_one_go(&body) {
                prop_assert_eq!(CloudletInfo::parse_report(body), Ok(info));
            }
        }
    }

    fn read_in_one_go(body: &Value) -> Option<CloudletInfo> {
        CloudletInfo::read_plain_report(body.to_string().as_bytes())
    }

    /// Objects that are reports, or nearly.
    fn reports() -> impl Strategy<Value = Value> {
        let of =
            |values: Value| weighted(0.7, select(values.as_array().cloned().unwrap_or_default()));
        let identity = (
            of(json!([
                "7c9e6679-7425-40de-944b-e07fc1f90ae7",
                "{7C9E6679742540DE944BE07FC1F90AE7}",
                null,
                7
            ])),
            of(json!([
                "http://c/api/v1/deploy",
                "HTTP://C:80/x/api/v2/deploy/?y",
                "http://c/",
                null
            ])),
        );
        let lists = (
            of(json!([
                [[40.44, -79.94]],
                [["40.44", "-79.94"]],
                ["40.44,-79.94"],
                [[91, 0]],
                [],
                [null],
                null
            ])),
            of(json!([
                ["10.0.0.0/8", "::/0"],
                ["10.1.2.3/8"],
                ["10.0.0.0/33"],
                [],
                "10.0.0.0/8",
                [null],
                null
            ])),
        );
        let maps = (
            of(
                json!([{"cpu_ratio": 0.5, "gpu_ratio": 40}, {"gpu_ratio": -1}, {"x": null}, {"x": "1"}, {}, [], null]),
            ),
            of(json!([{"region": "eu"}, {"region": null}, {"region": 1}, {}, null])),
        );
        let rest = (
            of(json!(["shop", "", 7, null])),
            of(json!([
                ["00000000-0000-0000-0000-000000000000"],
                [],
                ["helloworld"],
                null
            ])),
            of(json!([true, false, "yes", null])),
            of(json!(["2026-11-22T15:09:00+00:00", "yesterday", null])),
        );
        (identity, lists, maps, rest).prop_map(|(identity, lists, maps, rest)| {
            let fields = [
                ("uuid", identity.0),
                ("endpoint", identity.1),
                ("locations", lists.0),
                ("local_networks", lists.1.clone()),
                ("accepted_clients", lists.1),
                ("resources", maps.0),
                ("labels", maps.1),
                ("name", rest.0),
                ("recipes", rest.1),
                ("draining", rest.2),
                ("last_update", rest.3),
            ];
            let said = fields
                .into_iter()
                .filter_map(|(name, value)| Some((name.to_owned(), value?)));
            Value::Object(said.collect())
        })
    }
}
