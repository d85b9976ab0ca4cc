//! What keeps deployments apart, on a real API server: it is there before anything runs, lets nothing through that it should not, comes back,
//! and is not for the deployments to change.

use std::fs;

use rstest::rstest;
use serde_json::{Value, json};
use sinfonia_testbed::{
    ApiCall, ControlPlane, FaultProxy, Programs, TestFolder, unique_name, write_chart,
};

use crate::harness::{
    Cloudlet, PLAIN, Tier2, WEB, eventually, isolation_paths, items, name_of, namespace_path,
};

const RECIPE: &str = "20000000-0000-0000-0000-000000000000";
/// Kinds of what keeps a deployment apart.
const ISOLATION: [&str; 3] = ["networkpolicies", "resourcequotas", "limitranges"];
const ENFORCE: &str = "pod-security.kubernetes.io/enforce";

const OWN_POLICY: &str = "\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: open}
spec: {podSelector: {}, ingress: [{}], egress: [{}]}
";
const NODE_PORT: &str = "\
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {type: NodePort, selector: {app: web}, ports: [{port: 80}]}
";
const PRIVILEGED: &str =
    "containers: [{name: web, image: web:1, securityContext: {privileged: true}}]";

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_is_apart_before_helm_begins() {
    let cloudlet = Cloudlet::new();
    let proxy = FaultProxy::start(cloudlet.cluster()).unwrap();
    let tier2 = cloudlet.tier2_through(&proxy, &[]).await;

    tier2.post(PLAIN, 1).wait(60).granted().await;

    let calls = proxy.calls();
    let first_of_helm = calls
        .iter()
        .position(|call| call.user_agent.starts_with("Helm"));
    for resource in ISOLATION {
        let made = calls.iter().position(|call| call.is("patch", resource));
        assert!(made.unwrap() < first_of_helm.unwrap(), "{resource}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn helm_waits_until_the_cluster_counts_what_the_quota_is_about() {
    let first = ControlPlane::shared();
    let folder = TestFolder::new().unwrap();
    let programs = Programs::find_or_hint().unwrap();
    let name = unique_name("counting");
    let mut plane = ControlPlane::second(&first, &programs, &name, folder.path()).unwrap();
    let cloudlet = Cloudlet::alone_on(&plane.cluster());
    let proxy = FaultProxy::start(cloudlet.cluster()).unwrap();
    let tier2 = cloudlet.tier2_through(&proxy, &[]).await;
    let calls_of = |user_agent: &str, resource: &str| {
        let calls = proxy.calls();
        let is_one =
            |call: &&ApiCall| call.user_agent.starts_with(user_agent) && call.is("get", resource);
        calls.iter().filter(is_one).count()
    };

    // Nothing counts what there is without it.
    plane.stop_controller_manager();
    tier2.post(PLAIN, 1).wait(0).granted().await;
    eventually(async || match calls_of("", "resourcequotas") {
        looks if looks > 5 => Ok(()),
        looks => Err(format!("{looks} looks at the quota")),
    })
    .await;
    let of_helm = calls_of("Helm", "*");
    plane.start_controller_manager().unwrap();

    assert_eq!(of_helm, 0);
    tier2.post(PLAIN, 1).wait(60).granted().await;
    assert!(calls_of("Helm", "*") > 0);
}

#[rstest]
#[case::a_privileged_container(PRIVILEGED)]
#[case::the_nodes_network("hostNetwork: true, containers: [{name: web, image: web:1}]")]
#[case::the_nodes_files(
    "volumes: [{name: root, hostPath: {path: /}}], containers: [{name: web, image: web:1}]"
)]
#[tokio::test(flavor = "multi_thread")]
async fn pods_that_reach_the_node_are_not_let_in(#[case] pod: &str) {
    let cloudlet = Cloudlet::new();
    recipe(&cloudlet, &deployment(pod), "");
    let tier2 = cloudlet.tier2(&[]).await;

    tier2.post(RECIPE, 1).wait(0).granted().await;

    let refusal = refused_pods(&cloudlet, &cloudlet.name_of(1));
    assert!(
        refusal.contains("violates PodSecurity \"baseline:latest\""),
        "{refusal}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recipe_that_the_operator_names_gets_the_privileges_that_it_asks_for() {
    let cloudlet = Cloudlet::new();
    let wish = "isolation: {podSecurity: privileged}\n";
    recipe(&cloudlet, &deployment(PRIVILEGED), wish);
    let tier2 = cloudlet.tier2(&["--privileged-recipes", RECIPE]).await;

    let waiting = tier2.post(RECIPE, 1).wait(60);
    let waiting = tokio::spawn(waiting.granted());
    let name = cloudlet.name_of(1);
    cloudlet.run_pods(&name, true);

    assert_eq!(waiting.await.unwrap()["Ready"], true);
    let namespace = cloudlet.find_namespace(&name).unwrap();
    assert_eq!(namespace["metadata"]["labels"][ENFORCE], "privileged");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chart_that_says_nothing_of_resources_runs_within_the_quota() {
    let cloudlet = Cloudlet::new();
    let tier2 = cloudlet.tier2(&[]).await;

    tier2.post(WEB, 1).wait(0).granted().await;
    let name = cloudlet.name_of(1);
    cloudlet.run_pods(&name, true);

    let pods = cloudlet
        .cluster()
        .get_json(&format!("{}/pods", namespace_path(&name)));
    let container = &items(&pods.unwrap())[0]["spec"]["containers"][0];
    let expected = json!({
        "requests": {"cpu": "50m", "memory": "64Mi", "ephemeral-storage": "64Mi"},
        "limits": {"memory": "1Gi", "ephemeral-storage": "2Gi"},
    });
    assert_eq!(container["resources"], expected);
}

#[rstest]
#[case::more_than_usual("{requests: {cpu: 5}}", "", &[])]
#[case::more_than_the_operators_usual("{requests: {cpu: 2}}", "", &["--quota", "cpu=1"])]
#[case::more_memory_than_wished("{limits: {memory: 10Gi}}", "isolation: {quota: {memory: 9Gi}}\n", &[])]
#[case::a_second_gpu("{limits: {nvidia.com/gpu: 2}}", "", &[])]
#[tokio::test(flavor = "multi_thread")]
async fn pods_beyond_the_quota_are_not_let_in(
    #[case] resources: &str,
    #[case] wish: &str,
    #[case] options: &[&str],
) {
    let cloudlet = Cloudlet::new();
    let pod = format!("containers: [{{name: web, image: web:1, resources: {resources}}}]");
    recipe(&cloudlet, &deployment(&pod), wish);
    let tier2 = cloudlet.tier2(options).await;

    tier2.post(RECIPE, 1).wait(0).granted().await;

    let refusal = refused_pods(&cloudlet, &cloudlet.name_of(1));
    assert!(
        refusal.contains("exceeded quota: sinfonia-isolation"),
        "{refusal}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recipe_gets_what_it_asks_for_within_the_operators_maximum() {
    let cloudlet = Cloudlet::new();
    let pod = "containers: [{name: web, image: web:1, resources: {requests: {cpu: 12}, limits: {nvidia.com/gpu: 3}}}]";
    let wish = "isolation: {quota: {cpu: 12, nvidia.com/gpu: 3}}\n";
    recipe(&cloudlet, &deployment(pod), wish);
    let tier2 = cloudlet
        .tier2(&["--max-quota", "cpu=12,nvidia.com/gpu=3"])
        .await;

    tier2.post(RECIPE, 1).wait(0).granted().await;

    cloudlet.run_pods(&cloudlet.name_of(1), true);
}

#[rstest]
#[case::more_than_the_maximum(
    "{quota: {cpu: 9}}",
    "the recipe asks for 9 of cpu, this cloudlet gives at most 8"
)]
#[case::privileges(
    "{podSecurity: privileged}",
    "the recipe asks for privileged pods, which this cloudlet does not allow it"
)]
#[case::nonsense(
    "{podSecurity: all}",
    "isolation: unknown variant `all`, expected one of `privileged`, `baseline`, `restricted`"
)]
#[tokio::test(flavor = "multi_thread")]
async fn a_recipe_that_asks_for_too_much_is_refused_before_anything_is_made(
    #[case] isolation: &str,
    #[case] expected: &str,
) {
    let cloudlet = Cloudlet::new();
    let wish = format!("isolation: {isolation}\n");
    recipe(
        &cloudlet,
        &deployment("containers: [{name: web, image: web:1}]"),
        &wish,
    );
    let proxy = FaultProxy::start(cloudlet.cluster()).unwrap();
    let tier2 = cloudlet.tier2_through(&proxy, &[]).await;

    let posted = tier2.post(RECIPE, 1).wait(60).answer().await;

    assert_eq!(posted.problem(), (500, Some("refused")), "{posted:?}");
    assert_eq!(posted.detail(), expected);
    let read = tier2.get(RECIPE, 1).answer().await;
    assert_eq!(read.problem(), (404, Some("refused")), "{read:?}");
    for call in proxy.calls() {
        let makes = ["namespaces", "peers"]
            .iter()
            .any(|kind| call.is("patch", kind));
        assert!(!makes && !call.user_agent.starts_with("Helm"), "{call:?}");
    }
}

#[rstest]
#[case::a_policy_of_its_own(
    OWN_POLICY,
    "the chart makes a NetworkPolicy, ResourceQuota or LimitRange of its own, which every deployment here has already; switch it off in the values of the recipe, often with networkPolicy.enabled: false"
)]
#[case::a_port_of_every_node(NODE_PORT, "the cluster refused a part of the chart")]
#[tokio::test(flavor = "multi_thread")]
async fn a_chart_that_would_open_what_is_closed_is_refused(
    #[case] template: &str,
    #[case] expected: &str,
) {
    let cloudlet = Cloudlet::new();
    recipe(&cloudlet, template, "");
    let tier2 = cloudlet.tier2(&[]).await;

    let posted = tier2.post(RECIPE, 1).wait(60).answer().await;

    assert_eq!(posted.problem(), (500, Some("refused")), "{posted:?}");
    assert_eq!(posted.detail(), expected);
    cloudlet.wait_until_reclaimed(&cloudlet.name_of(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_deletes_or_changes_comes_back_as_it_was() {
    let cloudlet = Cloudlet::new();
    let (_tier2, name) = deployed(&cloudlet, &["--resync-interval", "1s"]).await;
    let paths = isolation_paths(&name);
    let before = paths
        .clone()
        .map(|path| cloudlet.cluster().get_json(&path).unwrap());
    let specs = before.map(|object| object["spec"].clone());
    let is_back = |index: usize| {
        let spec = specs[index].clone();
        move |found: Option<&Value>| found.is_some_and(|found| found["spec"] == spec)
    };

    for (index, path) in paths.iter().enumerate() {
        cloudlet.cluster().delete(path).unwrap();
        cloudlet.when(path, is_back(index));
    }
    let changes = [
        json!({"spec": {"ingress": [{}]}}),
        json!({"spec": {"hard": {"pods": "1000"}}}),
        json!({"spec": {"limits": []}}),
    ];
    for (index, (path, change)) in paths.iter().zip(changes).enumerate() {
        cloudlet.cluster().patch(path, &change).unwrap();
        cloudlet.when(path, is_back(index));
    }
    let namespace = namespace_path(&name);
    let open = json!({"metadata": {"labels": {ENFORCE: "privileged"}}});
    cloudlet.cluster().patch(&namespace, &open).unwrap();
    cloudlet.when(&namespace, |namespace| {
        namespace.is_some_and(|namespace| namespace["metadata"]["labels"][ENFORCE] == "baseline")
    });
    let record = cloudlet.record_in(1, "Deployed");
    assert_eq!(record["status"]["deploymentName"], *name);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_that_runs_stays_whatever_becomes_of_its_recipe() {
    let cloudlet = Cloudlet::new();
    let pod = deployment("containers: [{name: web, image: web:1}]");
    recipe(&cloudlet, &pod, "isolation: {quota: {cpu: 8}}\n");
    let tier2 = cloudlet.tier2(&["--resync-interval", "1s"]).await;
    tier2.post(RECIPE, 1).wait(0).granted().await;
    let name = cloudlet.name_of(1);
    cloudlet.run_pods(&name, true);
    cloudlet.record_when(1, |record| !record["status"]["firstReady"].is_null());
    let [_, quota, _] = isolation_paths(&name);
    let has = |cpu: &'static str| {
        move |quota: Option<&Value>| {
            quota.is_some_and(|quota| quota["spec"]["hard"]["requests.cpu"] == cpu)
        }
    };
    cloudlet.when(&quota, has("8"));

    recipe(&cloudlet, &pod, "isolation: {quota: {cpu: 100}}\n");

    cloudlet.when(&quota, has("4"));
    let again = tier2.post(RECIPE, 1).wait(60).granted().await;
    assert_eq!(
        (name_of(&again), &again["Ready"]),
        (name.as_str(), &json!(true))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_as_it_should_be_is_not_written_again() {
    let cloudlet = Cloudlet::new();
    let proxy = FaultProxy::start(cloudlet.cluster()).unwrap();
    let options = [
        "--resync-interval",
        "1s",
        "--quota",
        "cpu=0.5,memory=2048Mi",
    ];
    let tier2 = cloudlet.tier2_through(&proxy, &options).await;
    tier2.post(PLAIN, 1).wait(60).granted().await;
    cloudlet.record_when(1, |record| !record["status"]["firstReady"].is_null());
    proxy.forget_calls();

    let looked = || {
        let calls = proxy.calls();
        calls
            .iter()
            .filter(|call| call.is("get", "limitranges"))
            .count()
    };
    eventually(async || match looked() {
        looks if looks > 3 => Ok(()),
        looks => Err(format!("{looks} looks")),
    })
    .await;

    let calls = proxy.calls();
    let writes: Vec<_> = calls.iter().filter(|call| call.is("patch", "*")).collect();
    assert!(writes.is_empty(), "{writes:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_cannot_open_what_is_closed() {
    let cloudlet = Cloudlet::new();
    let (_tier2, name) = deployed(&cloudlet, &[]).await;
    let cluster = cloudlet.cluster();
    let token = cluster.token_of(&name, "sinfonia-deployer").unwrap();
    let deployer = cluster.bearing(&token);
    let merge = "application/merge-patch+json";
    let ask = |method: &str, path: &str, body: &str| {
        deployer.request(method, path, merge, body).unwrap().0
    };

    for path in isolation_paths(&name) {
        let (collection, _) = path.rsplit_once('/').unwrap();
        let answers = [
            ask("GET", &path, ""),
            ask("PATCH", &path, r#"{"spec": {"hard": {"pods": "1000"}}}"#),
            ask("DELETE", &path, ""),
            ask("DELETE", collection, ""),
            deployer.request("POST", collection, "application/json", r#"{"metadata": {"name": "open"}, "spec": {"podSelector": {}, "hard": {}, "limits": []}}"#).unwrap().0,
        ];
        assert_eq!(answers, [403; 5], "{path}");
    }
    let label = json!({"metadata": {"labels": {ENFORCE: "privileged"}}});
    let namespace = namespace_path(&name);
    assert_eq!(ask("PATCH", &namespace, &label.to_string()), 403);
    assert_eq!(ask("DELETE", &namespace, ""), 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_joins_is_out_of_reach_at_once() {
    let first = ControlPlane::shared();
    let folder = TestFolder::new().unwrap();
    let programs = Programs::find_or_hint().unwrap();
    let name = unique_name("isolation");
    let plane = ControlPlane::second(&first, &programs, &name, folder.path()).unwrap();
    let cluster = plane.cluster();
    let cloudlet = Cloudlet::alone_on(&cluster);
    let (_tier2, name) = deployed(&cloudlet, &["--resync-interval", "1h"]).await;
    let [policy, ..] = isolation_paths(&name);
    let says = |policy: &Value, text: &str| policy["spec"].to_string().contains(text);
    let alone = cluster.get_json(&policy).unwrap();
    assert!(
        says(&alone, "10.42.0.0/24") && !says(&alone, "192.0.2.7/32\"}}"),
        "{alone}"
    );

    let node = json!({
        "metadata": {"name": "other"},
        "spec": {"podCIDR": "10.42.1.0/24", "podCIDRs": ["10.42.1.0/24"]},
    });
    cluster.create("/api/v1/nodes", &node).unwrap();

    let joined = cloudlet.when(&policy, |policy| {
        policy.is_some_and(|policy| says(policy, "10.42.0.0/23"))
    });
    let from = joined.unwrap()["spec"]["ingress"][0]["from"].clone();
    let gateway = json!({"ipBlock": {"cidr": "192.0.2.7/32"}});
    assert!(from.as_array().unwrap().contains(&gateway), "{from}");
}

/// Writes the recipe, with a chart of this template.
fn recipe(cloudlet: &Cloudlet, template: &str, more: &str) {
    let recipes = cloudlet.folder().join("recipes");
    write_chart(
        &recipes,
        "made",
        "0.1.0",
        &[("templates/made.yaml", template)],
    )
    .unwrap();
    let text = format!("chart: made\nversion: 0.1.0\n{more}");
    fs::write(recipes.join(format!("{RECIPE}.yaml")), text).unwrap();
}

/// A Deployment of such pods.
fn deployment(pod: &str) -> String {
    format!(
        "\
apiVersion: apps/v1
kind: Deployment
metadata: {{name: web}}
spec:
  selector: {{matchLabels: {{app: web}}}}
  template: {{metadata: {{labels: {{app: web}}}}, spec: {{{pod}}}}}
"
    )
}

/// Why the pods of a Deployment were not let in; asserts that there are none.
fn refused_pods(cloudlet: &Cloudlet, name: &str) -> String {
    let path = format!("/apis/apps/v1/namespaces/{name}/replicasets");
    let refusal = |sets: &Value| {
        let set = items(sets).into_iter().next()?;
        let conditions = set["status"]["conditions"].as_array()?.clone();
        let failure = conditions
            .iter()
            .find(|condition| condition["type"] == "ReplicaFailure")?;
        failure["message"].as_str().map(str::to_owned)
    };
    let sets = cloudlet.when(&path, |sets| sets.and_then(refusal).is_some());
    let pods = cloudlet
        .cluster()
        .get_json(&format!("{}/pods", namespace_path(name)));
    assert_eq!(items(&pods.unwrap()), [Value::Null; 0]);
    sets.as_ref().and_then(refusal).unwrap()
}

/// A Tier 2 with a deployment that runs, and its name.
async fn deployed(cloudlet: &Cloudlet, options: &[&str]) -> (Tier2, String) {
    let tier2 = cloudlet.tier2(options).await;
    let deployment = tier2.post(PLAIN, 1).wait(60).granted().await;
    cloudlet.record_when(1, |record| !record["status"]["firstReady"].is_null());
    let name = name_of(&deployment).to_owned();
    (tier2, name)
}
