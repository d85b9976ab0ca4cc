//! Records that others than Tier 2 write.

use jiff::Timestamp;
use rstest::rstest;
use serde_json::{Value, json};
use sinfonia_testbed::command;

use crate::harness::{Cloudlet, DEFINITION, OTHER, PLAIN, eventually, key};

#[test]
fn the_definition_that_operators_apply_is_that_of_the_program() {
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_sinfonia-tier2"));

    let output = command(program).arg("crd").output().unwrap();

    assert_eq!(String::from_utf8(output.stdout).unwrap(), DEFINITION);
}

#[rstest]
#[case::no_key("publicKey", json!("no key"))]
#[case::key_too_short("publicKey", json!("AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEB"))]
#[case::key_with_spare_bits("publicKey", json!("AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQF="))]
#[case::uuid_in_capitals("uuid", json!("ABCDEF00-0000-0000-0000-000000000000"))]
#[case::no_uuid("uuid", json!("plain"))]
#[case::no_time("renewed", json!("yesterday"))]
#[case::no_renewal("renewals", json!(0))]
#[case::long_address("clientAddress", json!("1".repeat(46)))]
#[case::absent("created", Value::Null)]
#[tokio::test(flavor = "multi_thread")]
async fn the_api_server_refuses_a_malformed_record(#[case] field: &str, #[case] value: Value) {
    let cloudlet = Cloudlet::new();
    let mut record = record(1);
    record["spec"][field] = value;

    let (status, answer) = create(&cloudlet, &record);

    assert_eq!(status, 422, "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_server_lets_nobody_change_the_key_or_write_an_unknown_phase() {
    let cloudlet = Cloudlet::new();
    create(&cloudlet, &record(1));
    let patch = |path: &str, patch: Value| {
        let kind = "application/merge-patch+json";
        let answer = cloudlet
            .cluster()
            .request("PATCH", path, kind, patch.to_string());
        answer.unwrap()
    };
    let path = cloudlet.record_path(1);

    let rekeyed = patch(&path, json!({"spec": {"publicKey": key(2).to_string()}}));
    let now = Timestamp::now().to_string();
    let status = |phase: &str| {
        json!({"status": {
            "phase": phase, "since": now, "renewalsSeen": 1, "deploymentName": "brave-otter-x7k2p",
            "tunnelAddress": "10.5.17.4", "started": now, "leaseEnd": now,
        }})
    };
    let unknown = patch(&format!("{path}/status"), status("Dreaming"));
    let known = patch(&format!("{path}/status"), status("Failed"));

    assert_eq!(
        (rekeyed.0, unknown.0, known.0),
        (422, 422, 200),
        "{known:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_made_by_hand_is_served_and_reclaimed() {
    let cloudlet = Cloudlet::new();
    let tier2 = cloudlet.tier2(&[]).await;

    let (status, answer) = create(&cloudlet, &record(1));

    assert_eq!(status, 201, "{answer}");
    let deployment = eventually(async || {
        let answer = tier2.get(PLAIN, 1).answer().await;
        let ready = answer.status == 200 && answer.body["Ready"] == true;
        ready
            .then_some(answer.body.clone())
            .ok_or(format!("{answer:?}"))
    })
    .await;
    let name = deployment["DeploymentName"].as_str().unwrap();
    assert_eq!(cloudlet.release(name).as_deref(), Some("deployed"));
    cloudlet.cluster().delete(&cloudlet.record_path(1)).unwrap();
    cloudlet.wait_until_reclaimed(name);
    eventually(async || {
        cloudlet
            .record(1)
            .map_or(Ok(()), |record| Err(record.to_string()))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_is_not_named_after_its_key_is_left_alone() {
    let cloudlet = Cloudlet::new();
    let tier2 = cloudlet.tier2(&[]).await;
    let deployment = tier2.post(PLAIN, 1).wait(60).granted().await;
    let mut misnamed = record(1);
    misnamed["metadata"]["name"] = json!("wg-of-somebody-else");
    misnamed["spec"]["uuid"] = json!(OTHER);

    let (status, answer) = create(&cloudlet, &misnamed);

    assert_eq!(status, 201, "{answer}");
    let path = format!("{}/wg-of-somebody-else", records_path(&cloudlet));
    // What comes later is seen later.
    tier2.post(PLAIN, 2).wait(60).granted().await;
    assert_eq!(tier2.get(PLAIN, 1).granted().await, deployment);
    assert_eq!(tier2.get(OTHER, 1).answer().await.status, 404);
    assert_eq!(cloudlet.cluster().get_json(&path).unwrap(), answer);
    cloudlet.cluster().delete(&path).unwrap();
    tier2.post(PLAIN, 3).wait(60).granted().await;
    assert_eq!(tier2.get(PLAIN, 1).granted().await, deployment);
}

/// A record as a person would write it.
fn record(number: u8) -> Value {
    let now = Timestamp::now().to_string();
    json!({
        "apiVersion": "findcloudlet.org/v1alpha1",
        "kind": "CloudletDeployment",
        "metadata": {"name": key(number).record_name()},
        "spec": {
            "uuid": PLAIN,
            "publicKey": key(number).to_string(),
            "clientAddress": "192.0.2.1",
            "created": now,
            "createdBy": "by-hand",
            "renewed": now,
            "renewedBy": "",
            "renewals": 1,
        },
    })
}

fn create(cloudlet: &Cloudlet, record: &Value) -> (u16, Value) {
    let (path, body) = (records_path(cloudlet), record.to_string());
    let cluster = cloudlet.cluster();
    cluster
        .request("POST", &path, "application/json", body)
        .unwrap()
}

fn records_path(cloudlet: &Cloudlet) -> String {
    format!(
        "/apis/findcloudlet.org/v1alpha1/namespaces/{}/cloudletdeployments",
        cloudlet.namespace()
    )
}
