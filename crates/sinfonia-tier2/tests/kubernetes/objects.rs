//! The objects that a deployment is made of, as other programs find them.

use reqwest::header::ACCEPT;
use serde_json::{Value, json};
use sinfonia_service::client::{ClientSettings, build};

use crate::harness::{Cloudlet, PLAIN, isolation_paths, name_of, peer_path};

/// How `kubectl get` asks for columns.
const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io";

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_is_made_of_these_objects() {
    let cloudlet = Cloudlet::new();
    let tier2 = cloudlet.tier2(&[]).await;
    let deployment = tier2.post(PLAIN, 1).wait(60).granted().await;
    let name = name_of(&deployment);

    let namespace = format!("/api/v1/namespaces/{name}");
    let bindings = "/apis/rbac.authorization.k8s.io/v1/namespaces";
    let [policy, quota, limits] = isolation_paths(name);
    let objects = json!({
        "namespace": described(&cloudlet, &namespace, name),
        "peer": described(&cloudlet, &peer_path(name), name),
        "serviceAccount": described(&cloudlet, &format!("{namespace}/serviceaccounts/sinfonia-deployer"), name),
        "roleBinding": described(&cloudlet, &format!("{bindings}/{name}/rolebindings/sinfonia-deployer"), name),
        "networkPolicy": described(&cloudlet, &policy, name),
        "resourceQuota": described(&cloudlet, &quota, name),
        "limitRange": described(&cloudlet, &limits, name),
        "configMap": described(&cloudlet, &format!("{namespace}/configmaps/settings"), name),
    });

    insta::assert_yaml_snapshot!(objects, {
        r#".**["findcloudlet.org/created"]"# => "[time]",
        ".resourceQuota.status" => "[what is used]",
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_says_what_was_asked_for_and_how_far_that_is() {
    let cloudlet = Cloudlet::new();
    let tier2 = cloudlet.tier2(&[]).await;
    let post = tier2.post(PLAIN, 1).header("x-request-id", "a-request");
    let deployment = post.wait(60).granted().await;
    cloudlet.record_when(1, |record| !record["status"]["firstReady"].is_null());

    let record = described(&cloudlet, &cloudlet.record_path(1), name_of(&deployment));

    insta::assert_yaml_snapshot!(record, {
        ".metadata.generation" => "[count]",
        ".metadata.namespace" => "[namespace]",
        ".spec.created" => "[time]",
        ".spec.renewed" => "[time]",
        ".status.conditions[].lastTransitionTime" => "[time]",
        ".status.firstReady" => "[time]",
        ".status.leaseEnd" => "[time]",
        ".status.recipeDigest" => "[digest]",
        ".status.since" => "[time]",
        ".status.started" => "[time]",
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn records_are_listed_in_columns() {
    let cloudlet = Cloudlet::new();
    let cluster = cloudlet.cluster();
    let client = build(&ClientSettings {
        ca_file: Some(cluster.ca_file()),
        ..ClientSettings::new("test")
    });
    let url = format!(
        "{}/apis/findcloudlet.org/v1alpha1/namespaces/{}/cloudletdeployments",
        cluster.url(),
        cloudlet.namespace()
    );

    let asked = client.unwrap().get(url).bearer_auth(cluster.token());
    let answer = asked.header(ACCEPT, TABLE).send().await.unwrap();

    let table: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
    let columns: Vec<&str> = table["columnDefinitions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|column| column["name"].as_str().unwrap())
        .collect();
    let expected = [
        "Name",
        "Phase",
        "Deployment",
        "Address",
        "Recipe",
        "Lease End",
        "Age",
        "Client",
        "Message",
    ];
    assert_eq!(columns, expected);
}

/// What is at a path, without what differs from one time to the next: the deployment's name and what the API server counts.
fn described(cloudlet: &Cloudlet, path: &str, name: &str) -> Value {
    let mut object = cloudlet.cluster().get_json(path).unwrap();
    let metadata = object["metadata"].as_object_mut().unwrap();
    for counted in [
        "creationTimestamp",
        "managedFields",
        "resourceVersion",
        "uid",
    ] {
        metadata.remove(counted);
    }
    let text = object.to_string().replace(name, "[name]");
    serde_json::from_str(&text).unwrap()
}
