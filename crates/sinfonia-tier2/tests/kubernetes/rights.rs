//! What Tier 2 and the deployments may do in the cluster, as the API server sees it.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use rstest::rstest;
use serde_json::{Value, json};
use sinfonia_testbed::{Cluster, FaultProxy};

use crate::harness::{Cloudlet, OTHER, PATIENCE, PLAIN, RIGHTS, WEB, eventually, peer_path};

#[tokio::test(flavor = "multi_thread")]
async fn the_account_of_a_deployment_reaches_no_further_than_its_namespace() {
    let cloudlet = Cloudlet::new();
    let tier2 = cloudlet.tier2(&[]).await;
    tier2.post(PLAIN, 1).wait(60).granted().await;
    tier2.post(OTHER, 2).wait(60).granted().await;
    let (own, foreign) = (cloudlet.name_of(1), cloudlet.name_of(2));
    let token = cloudlet.cluster().token_of(&own, "sinfonia-deployer");
    let deployer = cloudlet.cluster().bearing(&token.unwrap());
    let get = |path: String| deployer.request("GET", &path, "", "").unwrap().0;

    assert_eq!(get(format!("/api/v1/namespaces/{own}/secrets")), 200);
    for resource in ["secrets", "configmaps", "pods", "serviceaccounts"] {
        for namespace in [&foreign, cloudlet.namespace(), "kube-system", "default"] {
            let path = format!("/api/v1/namespaces/{namespace}/{resource}");
            assert_eq!(get(path.clone()), 403, "{path}");
        }
    }
    for path in ["namespaces", "nodes", "secrets"] {
        assert_eq!(get(format!("/api/v1/{path}")), 403, "{path}");
    }
    assert_eq!(get("/apis/kilo.squat.ai/v1alpha1/peers".to_owned()), 403);
    assert_eq!(bind(&deployer, &own, "cluster-admin"), 403);
    assert_eq!(bind(&deployer, &own, "sinfonia-deployer"), 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn tier_2_reads_no_secrets_and_binds_no_other_role() {
    let cloudlet = Cloudlet::new();
    let tier2 = as_tier2(&cloudlet);
    let get = |path: &str| tier2.request("GET", path, "", "").unwrap().0;

    for namespace in [cloudlet.namespace(), "kube-system", "default"] {
        assert_eq!(get(&format!("/api/v1/namespaces/{namespace}/secrets")), 403);
        assert_eq!(bind(&tier2, namespace, "cluster-admin"), 403);
        assert_eq!(bind(&tier2, namespace, "admin"), 403);
    }
    let everywhere = json!({
        "metadata": {"name": cloudlet.namespace()},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "sinfonia-deployer"},
    });
    let path = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings";
    assert_eq!(post(&tier2, path, &everywhere), 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn tier_2_writes_no_config_map_but_the_wish_to_drain() {
    let cloudlet = Cloudlet::new();
    let tier2 = as_tier2(&cloudlet);
    let config_maps = |namespace: &str| format!("/api/v1/namespaces/{namespace}/configmaps");
    let own = config_maps(cloudlet.namespace());
    let apply = |path: &str, name: &str| {
        let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}});
        let path = format!("{path}/{name}?fieldManager=test&force=true");
        let kind = "application/apply-patch+yaml";
        tier2
            .request("PATCH", &path, kind, object.to_string())
            .unwrap()
            .0
    };

    assert_eq!(apply(&own, "sinfonia-tier2-drain"), 201);
    assert_eq!(apply(&own, "other"), 403);
    assert_eq!(apply(&config_maps("default"), "sinfonia-tier2-drain"), 403);
    let posted = post(&tier2, &own, &json!({"metadata": {"name": "other"}}));
    assert_eq!(posted, 403);
    assert_eq!(tier2.request("GET", &own, "", "").unwrap().0, 403);
}

#[rstest]
#[case::deployer("serviceaccounts", "sinfonia-deployer", true)]
#[case::another_account("serviceaccounts", "default", false)]
#[case::itself_elsewhere("serviceaccounts", "sinfonia-tier2", false)]
#[case::user("users", "testbed-admin", false)]
#[case::group("groups", "system:masters", false)]
#[tokio::test(flavor = "multi_thread")]
async fn tier_2_acts_as_no_other_account_than_the_deployments(
    #[case] resource: &str,
    #[case] name: &str,
    #[case] expected: bool,
) {
    let cloudlet = Cloudlet::new();
    let question = json!({"spec": {"resourceAttributes": {
        "verb": "impersonate", "resource": resource, "name": name, "namespace": "kube-system",
    }}});

    let path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
    let review = as_tier2(&cloudlet).create(path, &question).unwrap();

    assert_eq!(review["status"]["allowed"], expected);
}

/// What adoption needs beside the rest: taking away again what it looked for a release with.
const OF_ADOPTION: [(&str, &str); 2] = [("delete", "rolebindings"), ("delete", "serviceaccounts")];

#[tokio::test(flavor = "multi_thread")]
async fn every_right_is_used() {
    let cloudlet = Cloudlet::new();
    let proxy = FaultProxy::start(cloudlet.cluster()).unwrap();
    let kubeconfig = cloudlet.kubeconfig_through(&proxy);
    let options = ["--lease", "5s", "--grace", "1s"];
    let leader = cloudlet.tier2_with("first", &kubeconfig, &options).await;
    let other = cloudlet.tier2_with("second", &kubeconfig, &options).await;

    leader.post(WEB, 1).wait(0).granted().await;
    let name = cloudlet.name_of(1);
    // What happens is asked for when something takes its time.
    eventually(async || {
        let calls = proxy.calls();
        let watches_events = calls.iter().any(|call| call.is("watch", "events"));
        watches_events.then_some(()).ok_or("no watch".to_owned())
    })
    .await;
    cloudlet.run_pods(&name, true);
    leader.post(WEB, 1).wait(60).granted().await;
    let healed = cloudlet.find_peer(&name).unwrap()["metadata"]["uid"].clone();
    cloudlet.cluster().delete(&peer_path(&name)).unwrap();
    let is_new = |peer: Option<&Value>| peer.is_some_and(|peer| peer["metadata"]["uid"] != healed);
    let peer = peer_path(&name);
    cloudlet
        .cluster()
        .wait_for(&peer, PATIENCE, is_new)
        .unwrap();
    cloudlet.wait_for_phase(1, "Expired");
    leader.post(PLAIN, 2).wait(60).granted().await;
    let renewed = Timestamp::now() - SignedDuration::from_secs(3);
    let patch = json!({"spec": {"renewed": renewed.to_string()}});
    cloudlet
        .cluster()
        .patch(&cloudlet.record_path(2), &patch)
        .unwrap();
    for command in ["drain", "undrain"] {
        let said = crate::draining::run(&kubeconfig, &[command], &[]);
        assert_eq!(said.code, Some(0), "{said:?}");
    }
    leader.stop().await;
    other.post(PLAIN, 2).wait(60).granted().await;
    other.delete(PLAIN, 2).granted().await;
    cloudlet
        .cluster()
        .wait_until_gone(&cloudlet.record_path(2), PATIENCE)
        .unwrap();

    let mut used: BTreeSet<_> = OF_ADOPTION.map(owned).into();
    for call in proxy.calls() {
        if call.user_agent.starts_with("Helm") {
            continue;
        }
        // To apply is to patch what is there and to create what is not.
        if call.is("patch", "*") && call.query.contains("force=true") {
            used.insert(owned(("create", &call.resource)));
        }
        used.insert(owned((call.verb, &call.resource)));
    }
    let unused: Vec<_> = granted_rights().difference(&used).cloned().collect();
    assert_eq!(unused, []);
}

/// What the operator's rules give to Tier 2, except verbs that are no calls.
fn granted_rights() -> BTreeSet<(String, String)> {
    let documents = sinfonia_core::yaml::documents::<Value>(RIGHTS).unwrap();
    let mut rights = BTreeSet::new();
    for role in documents.into_iter().flatten() {
        if role["metadata"]["name"] != "sinfonia-tier2" {
            continue;
        }
        for rule in role["rules"].as_array().into_iter().flatten() {
            for (verb, resource) in texts(&rule["verbs"])
                .flat_map(|verb| texts(&rule["resources"]).map(move |resource| (verb, resource)))
            {
                if !["bind", "impersonate"].contains(&verb) {
                    rights.insert(owned((verb, resource)));
                }
            }
        }
    }
    rights
}

fn texts(list: &Value) -> impl Iterator<Item = &str> {
    list.as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
}

fn owned((verb, resource): (&str, &str)) -> (String, String) {
    (verb.to_owned(), resource.to_owned())
}

fn as_tier2(cloudlet: &Cloudlet) -> Cluster {
    let cluster = cloudlet.cluster();
    let token = cluster.token_of(cloudlet.namespace(), "sinfonia-tier2");
    cluster.bearing(&token.unwrap())
}

/// Tries to give the account `default` a role in a Namespace.
fn bind(as_whom: &Cluster, namespace: &str, role: &str) -> u16 {
    let binding = json!({
        "metadata": {"name": "more"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [{"kind": "ServiceAccount", "name": "default", "namespace": namespace}],
    });
    let path = format!("/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/rolebindings");
    post(as_whom, &path, &binding)
}

fn post(as_whom: &Cluster, path: &str, object: &Value) -> u16 {
    let body = object.to_string();
    as_whom
        .request("POST", path, "application/json", body)
        .unwrap()
        .0
}
