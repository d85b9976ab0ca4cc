//! The charts, with real helm and a real API server.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use rstest::rstest;
use serde_json::{Value, json};
use sinfonia_core::yaml;
use sinfonia_testbed::{Cluster, ControlPlane, Programs, TestFolder, TestNamespace, unique_name};

use super::charts::ValueSet;

/// The version of Kubernetes that templates are rendered for where no API server says one.
pub(super) const KUBERNETES: &str = "1.37.0";
/// What differs between two renderings of the same chart: the token, and versions, which releases change.
const DIFFERENT_EACH_TIME: [(&str, &str); 4] = [
    (
        "deploy-tokens: [A-Za-z0-9+/=]{64}",
        "deploy-tokens: [token]",
    ),
    (
        r"helm\.sh/chart: sinfonia-\S+",
        "helm.sh/chart: sinfonia-[version]",
    ),
    (
        r"app\.kubernetes\.io/version: \S+",
        "app.kubernetes.io/version: [version]",
    ),
    (
        r#"ghcr\.io/cmusatyalab/sinfonia:[^"\s]+"#,
        "ghcr.io/cmusatyalab/sinfonia:[version]",
    ),
];
/// Held while helm changes the cluster: two charts that look at once whether a role is there both make it.
static CHANGING: Mutex<()> = Mutex::new(());
/// Far longer than a policy takes to count.
const PATIENCE: Duration = Duration::from_secs(60);
/// What has to be said.
pub(super) const NEEDED: [&str; 2] = ["--set", "sinfoniaRecipes=https://recipes.example/"];
/// What another test's Tier 2 has in this cluster already.
const SHARED: [&str; 4] = [NEEDED[0], NEEDED[1], "--set", "crds.install=false"];

#[rstest]
#[case::helm_3(|programs: Programs| programs.helm3)]
#[case::helm_4(|programs: Programs| programs.helm4)]
fn helm_has_nothing_to_complain_about(#[case] choose: fn(Programs) -> PathBuf) {
    let folder = TestFolder::new().unwrap();
    let helm = Helm::new(choose(Programs::find_or_hint().unwrap()), folder.path());

    for set in ValueSet::all(folder.path()) {
        let lint = ["lint", "--strict", "--kube-version", KUBERNETES];
        helm.of(set.chart).run(&[&lint[..], &set.words()].concat());
    }
}

#[test]
fn helloworld_has_its_name_whatever_the_release_is_called() {
    let cluster = ControlPlane::shared();
    let folder = TestFolder::new().unwrap();
    let namespace = cluster.namespace("chart").unwrap();
    let helm = Helm::new(Programs::find_or_hint().unwrap().helm4, folder.path()).of("helloworld");

    helm.release(&cluster, &namespace, &["install", namespace.name()], &[]);

    let services = format!("/api/v1/namespaces/{}/services", namespace.name());
    let service = cluster.get_json(&format!("{services}/helloworld")).unwrap();
    assert_eq!(service["spec"]["ports"][0]["port"], 80);
}

#[rstest]
#[case::tier2("tier2", &[])]
#[case::tier1("tier1", &TIER1)]
#[case::everything("everything", &EVERYTHING)]
fn the_chart_renders_as_before(#[case] name: &str, #[case] values: &[&str]) {
    let folder = TestFolder::new().unwrap();
    let helm = Helm::new(Programs::find_or_hint().unwrap().helm4, folder.path());
    let template = ["template", "edge", "--namespace", "sinfonia"];
    let version = ["--kube-version", KUBERNETES];

    // The definition of the records has a test of its own.
    let rendered = helm.run(&[&template[..], &version, &SHARED, values].concat());

    insta::with_settings!({filters => DIFFERENT_EACH_TIME}, {
        insta::assert_snapshot!(name, rendered);
    });
}

#[rstest]
#[case::no_replica("replicaCount=0", "replicaCount")]
#[case::a_slip_of_the_pen("sinfoniaTier1URL=http://tier1.example", "sinfoniaTier1URL")]
#[case::a_url_that_is_none("sinfoniaTier2Url=cloudlet.example", "sinfoniaTier2Url")]
#[case::no_name_of_a_secret("tier2.imagePullSecrets={name: registry}", "imagePullSecrets")]
#[case::an_egress_that_is_none("clientGuard.clientEgress=all", "clientEgress")]
#[case::a_volume_without_a_name("extraVolumes[0].emptyDir.medium=Memory", "extraVolumes")]
#[case::a_mount_that_leads_nowhere(
    "extraVolumeMounts[0].name=extra,extraVolumeMounts[0].mountPath=extra",
    "mountPath"
)]
#[case::a_network_that_is_none("tier2.trustedProxies={tier1.example}", "trustedProxies")]
#[case::a_path_that_is_none("ingress.hosts[0].paths={/}", "ingress")]
#[case::a_collector_that_is_none("telemetry.otlpEndpoint=collector:4317", "otlpEndpoint")]
#[case::a_quantity_that_is_none("tier2.quota.memory=lots", "quota")]
#[case::a_shortlist_of_nobody("tier1.shortlist=0", "shortlist")]
#[case::a_threshold_that_is_none("tier1.overload.cpu_ratio=high", "overload")]
fn values_that_make_no_sense_are_refused(#[case] value: &str, #[case] told: &str) {
    let folder = TestFolder::new().unwrap();
    let helm = Helm::new(Programs::find_or_hint().unwrap().helm4, folder.path());

    let template = ["template", "--kube-version", KUBERNETES, "--set", value];
    let ran = helm.try_run(&[&template[..], &NEEDED].concat());

    assert!(!ran.status.success());
    let stderr = String::from_utf8_lossy(&ran.stderr).into_owned();
    assert!(stderr.contains(told), "{stderr}");
}

#[test]
fn recipes_have_to_be_named() {
    let folder = TestFolder::new().unwrap();
    let helm = Helm::new(Programs::find_or_hint().unwrap().helm4, folder.path());

    let ran = helm.try_run(&["template", "--kube-version", KUBERNETES]);

    assert!(!ran.status.success());
    let stderr = String::from_utf8_lossy(&ran.stderr).into_owned();
    assert!(stderr.contains("sinfoniaRecipes is missing"), "{stderr}");
}

#[test]
fn the_chart_gives_the_rights_and_the_definition_that_deploy_tier2_gives() {
    let folder = TestFolder::new().unwrap();
    let helm = Helm::new(Programs::find_or_hint().unwrap().helm4, folder.path());

    let template = ["template", "edge", "--kube-version", KUBERNETES];
    let rendered = helm.run(&[&template[..], &NEEDED].concat());

    let read = |file: &str| fs::read_to_string(repository().join(file)).unwrap();
    let deployed = ["rbac.yaml", "guard.yaml"].map(|file| read(&format!("deploy/tier2/{file}")));
    assert_eq!(rules(&rendered), rules(&deployed.join("---\n")));
    assert_eq!(
        read("charts/sinfonia/files/crd.yaml"),
        read("deploy/tier2/crd.yaml")
    );
    assert!(rendered.contains("name: cloudletdeployments.findcloudlet.org"));
}

#[test]
fn an_installation_keeps_its_token_and_leaves_alone_what_others_made() {
    let cluster = ControlPlane::shared();
    let folder = TestFolder::new().unwrap();
    let namespace = cluster.namespace("chart").unwrap();
    let helm = Helm::new(Programs::find_or_hint().unwrap().helm4, folder.path());
    let secret = format!(
        "/api/v1/namespaces/{}/secrets/edge-sinfonia-deploy-tokens",
        namespace.name()
    );

    helm.release(&cluster, &namespace, &["install", "edge"], &SHARED);
    let token = cluster.get_json(&secret).unwrap()["data"].clone();
    helm.release(&cluster, &namespace, &["upgrade", "edge"], &SHARED);
    let kept = cluster.get_json(&secret).unwrap()["data"].clone();
    helm.release(&cluster, &namespace, &["uninstall", "edge"], &[]);

    assert!(token["deploy-tokens"].is_string(), "{token}");
    assert_eq!(kept, token);
    let roles = "/apis/rbac.authorization.k8s.io/v1/clusterroles";
    assert!(
        cluster
            .find(&format!("{roles}/sinfonia-deployer"))
            .unwrap()
            .is_some()
    );
}

#[test]
fn tier_2_can_do_nothing_outside_the_namespaces_of_deployments() {
    let cluster = ControlPlane::shared();
    let folder = TestFolder::new().unwrap();
    let namespace = cluster.namespace("chart").unwrap();
    let helm = Helm::new(Programs::find_or_hint().unwrap().helm4, folder.path());
    helm.release(&cluster, &namespace, &["install", "edge"], &SHARED);
    let token = cluster.token_of(namespace.name(), "edge-sinfonia").unwrap();
    let tier2 = cluster.bearing(&token);
    let (deployment, other) = (
        unique_name("deployment"),
        cluster.namespace("other").unwrap(),
    );
    let labels = json!({"findcloudlet.org": "deployment"});
    let accounts = |namespace: &str| format!("/api/v1/namespaces/{namespace}/serviceaccounts");
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "sinfonia-deployer"}});
    wait_for_policy(&cluster, &tier2);

    let labelled = tier2.create(
        "/api/v1/namespaces",
        &namespace_object(&deployment, &labels),
    );
    let inside = tier2.create(&accounts(&deployment), &account);
    let isolate = |namespace: &str| {
        ISOLATION.map(|(group, resource, spec)| {
            let spec: Value = serde_json::from_str(spec).unwrap();
            let object = json!({"metadata": {"name": "sinfonia-isolation"}, "spec": spec});
            let path = format!("{group}/namespaces/{namespace}/{resource}");
            tier2.create(&path, &object).map(drop)
        })
    };
    let (isolated, other_isolated) = (isolate(&deployment), isolate(other.name()));
    let outside = tier2.create(&accounts(other.name()), &account);
    let own = tier2.create(&accounts(namespace.name()), &account);
    let path = format!("/api/v1/namespaces/{}", other.name());
    let label_other = tier2.patch(&path, &json!({"metadata": {"labels": labels}}));
    let delete_other = tier2.delete(&format!("/api/v1/namespaces/{}", other.name()));
    let delete_own = tier2.delete(&format!("/api/v1/namespaces/{}", namespace.name()));
    let delete_deployment = tier2.delete(&format!("/api/v1/namespaces/{deployment}"));

    labelled.unwrap();
    inside.unwrap();
    isolated.into_iter().for_each(Result::unwrap);
    delete_deployment.unwrap();
    for refused in [
        outside.map(drop),
        own.map(drop),
        label_other.map(drop),
        delete_other,
        delete_own,
    ]
    .into_iter()
    .chain(other_isolated)
    {
        let refusal = refused.unwrap_err().to_string();
        assert!(refusal.contains("Tier 2 "), "{refusal}");
    }
    helm.release(&cluster, &namespace, &["uninstall", "edge"], &[]);
}

#[test]
fn a_service_of_a_deployment_has_no_addresses_of_its_own_choice() {
    let cluster = ControlPlane::shared();
    let folder = TestFolder::new().unwrap();
    let namespace = cluster.namespace("chart").unwrap();
    let helm = Helm::new(Programs::find_or_hint().unwrap().helm4, folder.path());
    helm.release(&cluster, &namespace, &["install", "edge"], &SHARED);
    let (deployment, other) = (
        cluster.namespace("deployment").unwrap(),
        cluster.namespace("other").unwrap(),
    );
    let labels = json!({"metadata": {"labels": {"findcloudlet.org": "deployment"}}});
    let path = format!("/api/v1/namespaces/{}", deployment.name());
    cluster.patch(&path, &labels).unwrap();
    let make = |namespace: &TestNamespace, external: Value| {
        let service = json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {"name": unique_name("web")},
            "spec": {"ports": [{"port": 80}], "externalIPs": external},
        });
        let path = format!("/api/v1/namespaces/{}/services", namespace.name());
        cluster.create(&path, &service)
    };

    // A policy counts a moment after it was made.
    let deadline = Instant::now() + PATIENCE;
    let refusal = loop {
        match make(&deployment, json!(["192.0.2.1"])) {
            Err(refusal) => break refusal.to_string(),
            Ok(_) => assert!(Instant::now() < deadline, "the policy refuses nothing"),
        }
        thread::sleep(Duration::from_millis(200));
    };
    let (ordinary, elsewhere) = (
        make(&deployment, json!([])),
        make(&other, json!(["192.0.2.1"])),
    );

    assert!(refusal.contains("has no externalIPs"), "{refusal}");
    ordinary.unwrap();
    elsewhere.unwrap();
    helm.release(&cluster, &namespace, &["uninstall", "edge"], &[]);
}

/// What keeps deployments apart: API, resource, and a spec that the API server takes.
const ISOLATION: [(&str, &str, &str); 3] = [
    (
        "/apis/networking.k8s.io/v1",
        "networkpolicies",
        r#"{"podSelector": {}}"#,
    ),
    ("/api/v1", "resourcequotas", r#"{"hard": {"pods": "1"}}"#),
    ("/api/v1", "limitranges", r#"{"limits": []}"#),
];

/// Waits until Tier 2 may not make any Namespace that it likes: a policy counts a moment after it was made.
fn wait_for_policy(cluster: &Cluster, tier2: &Cluster) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let name = unique_name("probe");
        let probe = namespace_object(&name, &json!({}));
        if tier2.create("/api/v1/namespaces", &probe).is_err() {
            return;
        }
        cluster
            .delete(&format!("/api/v1/namespaces/{name}"))
            .unwrap();
        assert!(Instant::now() < deadline, "the policy refuses nothing");
        thread::sleep(Duration::from_millis(200));
    }
}

/// A Tier 1.
pub(super) const TIER1: [&str; 10] = [
    "--set",
    "sinfoniaTier1=true",
    "--set",
    "tier1.reportTokens.existingSecret=reports,tier1.trustedProxies={10.42.0.0/16},tier1.dashboard=false",
    "--set",
    "tier1.cloudlets=endpoint: http://cloudlet.example/api/v1/deploy",
    "--set",
    "tier1.policy=requires: resources.cpu_ratio < 0.8",
    "--set-json",
    r#"tier1.shortlist=16,tier1.overload={"queue":1000000,"cpu_ratio":0.8},tier1.maxInFlightPerCloudlet=8,tier1.maxReportedCloudlets=2000000"#,
];

/// A Tier 2 with all that there is.
pub(super) const EVERYTHING: [&str; 34] = [
    "--set",
    "sinfoniaTier1Url={https://tier1.example,https://tier1.example.org}",
    "--set",
    "sinfoniaTier2Url=https://cloudlet.example",
    "--set",
    "tier2.name=Downtown,tier2.tunnelEndpoint=203.0.113.7:51820",
    "--set-json",
    "tier2.locations=[[40.44,-79.94]]",
    "--set",
    "tier2.trustedProxies={192.0.2.0/24},tier2.localNetworks={198.51.100.0/24}",
    "--set",
    "tier2.deployToken.existingSecret=mine,tier2.reportToken.existingSecret=reports,tier2.imagePullSecrets={backends}",
    "--set",
    "extraArgs={--max-deployments=20},telemetry.otlpEndpoint=http://collector.monitoring:4318",
    "--set-json",
    r#"tier2.quota={"memory":"4Gi","cpu":2,"pods":12345678},tier2.maxQuota={"nvidia.com/gpu":4}"#,
    "--set",
    "tier2.clusterCidrs={10.42.0.0/16,10.43.0.0/16},tier2.privilegedRecipes={755e5883-0788-44da-8778-2113eddf4271}",
    "--set",
    "imagePullSecrets[0].name=registry",
    "--set",
    "ingress.enabled=true,ingress.className=nginx",
    "--set",
    "podMonitor.enabled=true",
    "--set",
    "extraVolumes[0].name=extra,extraVolumes[0].secret.secretName=extra",
    "--set",
    "extraVolumeMounts[0].name=extra,extraVolumeMounts[0].mountPath=/etc/extra",
    "--set",
    "nodeSelector.disk=ssd,priorityClassName=system-cluster-critical",
    "--set",
    "serviceAccount.name=tier2",
    "--set",
    "clientGuard.clientEgress=internet,clientGuard.clusterCIDRs={10.42.0.0/15}",
];

/// A helm, one of our charts, and where helm keeps its files.
pub(super) struct Helm<'a> {
    program: PathBuf,
    chart: &'static str,
    home: &'a Path,
}

impl<'a> Helm<'a> {
    pub(super) const fn new(program: PathBuf, home: &'a Path) -> Self {
        Self {
            program,
            chart: "sinfonia",
            home,
        }
    }

    /// The same for another of our charts.
    pub(super) fn of(&self, chart: &'static str) -> Self {
        Self {
            program: self.program.clone(),
            chart,
            home: self.home,
        }
    }

    /// Does something with the chart, and gives what helm prints.
    pub(super) fn run(&self, arguments: &[&str]) -> String {
        let ran = self.try_run(arguments);
        told(&ran);
        String::from_utf8(ran.stdout).unwrap()
    }

    pub(super) fn try_run(&self, arguments: &[&str]) -> Output {
        self.command()
            .args(arguments)
            .arg(self.chart())
            .output()
            .unwrap()
    }

    /// Does something with a release of the chart.
    fn release(
        &self,
        cluster: &Cluster,
        namespace: &TestNamespace,
        what: &[&str],
        values: &[&str],
    ) {
        let mut command = self.command();
        command
            .arg("--kubeconfig")
            .arg(cluster.kubeconfig())
            .args(["--namespace", namespace.name()])
            .args(what);
        if what[0] != "uninstall" {
            command.arg(self.chart());
        }
        let _one_at_a_time = CHANGING.lock();
        told(&command.args(values).output().unwrap());
    }

    fn chart(&self) -> PathBuf {
        repository().join("charts").join(self.chart)
    }

    pub(super) fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.env_clear().env("HOME", self.home);
        command
    }
}

pub(super) fn told(ran: &Output) {
    assert!(
        ran.status.success(),
        "{}{}",
        String::from_utf8_lossy(&ran.stdout),
        String::from_utf8_lossy(&ran.stderr)
    );
}

fn namespace_object(name: &str, labels: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
}

/// What roles allow, by kind, in an order of their own: names differ, and where things are.
fn rules(text: &str) -> Vec<(String, Value)> {
    let documents = yaml::documents::<Value>(text).unwrap();
    let roles = documents.into_iter().flatten().filter_map(|document| {
        let kind = document["kind"].as_str()?.to_owned();
        matches!(kind.as_str(), "ClusterRole" | "Role").then(|| (kind, document["rules"].clone()))
    });
    let mut found: Vec<(String, Value)> = roles.collect();
    found.sort_by_key(|(kind, rules)| (kind.clone(), rules.to_string()));
    found
}

pub(super) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}
