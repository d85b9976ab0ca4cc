use std::time::Duration;

use serde_json::json;
use sinfonia_testbed::{
    ControlPlane, KUBE_DNS_ADDRESS, NODE_ENDPOINT, NODE_NAME, NODE_PUBLIC_KEY, TestFolder,
    unique_name,
};

const SOON: Duration = Duration::from_secs(30);

#[test]
fn it_is_ready() {
    let cluster = ControlPlane::shared();

    let ready = cluster.request("GET", "/readyz", "", "").unwrap();

    assert_eq!(ready, (200, json!("ok")));
}

#[test]
fn its_node_carries_what_kilo_writes() {
    let cluster = ControlPlane::shared();

    let node = cluster
        .get_json(&format!("/api/v1/nodes/{NODE_NAME}"))
        .unwrap();

    let annotations = &node["metadata"]["annotations"];
    assert_eq!(annotations["kilo.squat.ai/key"], NODE_PUBLIC_KEY);
    assert_eq!(annotations["kilo.squat.ai/endpoint"], NODE_ENDPOINT);
    assert_eq!(node["status"]["conditions"][0]["type"], "Ready");
    assert_eq!(node["status"]["conditions"][0]["status"], "True");
}

#[test]
fn its_name_server_has_the_address_that_k3s_gives_it() {
    let cluster = ControlPlane::shared();

    let service = cluster
        .get_json("/api/v1/namespaces/kube-system/services/kube-dns")
        .unwrap();

    assert_eq!(service["spec"]["clusterIP"], KUBE_DNS_ADDRESS);
}

#[test]
fn a_namespace_gets_a_service_account_and_is_deleted_completely() {
    let cluster = ControlPlane::shared();
    let namespace = cluster.namespace("testbed").unwrap();
    let path = format!("/api/v1/namespaces/{}", namespace.name());
    let account = format!("{path}/serviceaccounts/default");
    cluster
        .wait_for(&account, SOON, |account| account.is_some())
        .unwrap();

    drop(namespace);

    cluster.wait_until_gone(&path, SOON).unwrap();
}

#[test]
fn a_manifest_may_define_a_kind_and_use_it() {
    let cluster = ControlPlane::shared();
    let group = format!("{}.example", unique_name("group"));
    let manifest = format!(
        "apiVersion: apiextensions.k8s.io/v1\n\
         kind: CustomResourceDefinition\n\
         metadata: {{name: things.{group}}}\n\
         spec:\n  \
           group: {group}\n  \
           scope: Namespaced\n  \
           names: {{kind: Thing, plural: things}}\n  \
           versions:\n    \
           - name: v1\n      served: true\n      storage: true\n      \
             schema: {{openAPIV3Schema: {{type: object, properties: {{size: {{type: integer}}}}}}}}\n\
         ---\n\
         ---\n\
         apiVersion: {group}/v1\nkind: Thing\nmetadata: {{name: one}}\nsize: 1\n"
    );

    let applied = cluster.apply(&manifest).unwrap();

    assert_eq!(applied[1]["size"], 1);
    let path = format!("/apis/{group}/v1/namespaces/default/things/one");
    assert_eq!(cluster.get_json(&path).unwrap()["size"], 1);
}

#[test]
fn a_service_account_may_do_what_its_roles_say_and_nothing_else() {
    let cluster = ControlPlane::shared();
    let namespace = cluster.namespace("testbed").unwrap();
    let name = namespace.name();
    let manifest = format!(
        "apiVersion: v1\nkind: ServiceAccount\nmetadata: {{name: tier2, namespace: {name}}}\n---\n\
         apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {{name: tier2, namespace: {name}}}\n\
         roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: view}}\n\
         subjects: [{{kind: ServiceAccount, name: tier2, namespace: {name}}}]\n"
    );
    cluster.apply(&manifest).unwrap();

    let token = cluster.token_of(name, "tier2").unwrap();

    let account = cluster.bearing(&token);
    let status = |path: &str| account.request("GET", path, "", "").unwrap().0;
    assert_eq!(
        status(&format!("/api/v1/namespaces/{name}/configmaps")),
        200
    );
    assert_eq!(status(&format!("/api/v1/namespaces/{name}/secrets")), 403);
    assert_eq!(status("/api/v1/nodes"), 403);
}

#[test]
fn a_kubeconfig_names_the_server_the_namespace_and_the_token_of_a_service_account() {
    let cluster = ControlPlane::shared();
    let folder = TestFolder::new().unwrap();
    let namespace = cluster.namespace("testbed").unwrap();
    let accounts = format!("/api/v1/namespaces/{}/serviceaccounts", namespace.name());
    let account =
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "tier2"}});
    cluster.create(&accounts, &account).unwrap();

    let path = cluster
        .kubeconfig_as_through(
            "https://proxy.example",
            namespace.name(),
            "tier2",
            folder.path(),
        )
        .unwrap();

    let text = std::fs::read_to_string(path).unwrap();
    let kubeconfig: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        kubeconfig["clusters"][0]["cluster"]["server"],
        "https://proxy.example"
    );
    assert_eq!(
        kubeconfig["contexts"][0]["context"]["namespace"],
        namespace.name()
    );
    let token = kubeconfig["users"][0]["user"]["token"].as_str().unwrap();
    let review = json!({
        "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token},
    });
    let review = cluster
        .create("/apis/authentication.k8s.io/v1/tokenreviews", &review)
        .unwrap();
    let user = format!("system:serviceaccount:{}:tier2", namespace.name());
    assert_eq!(review["status"]["user"]["username"], user);
}
