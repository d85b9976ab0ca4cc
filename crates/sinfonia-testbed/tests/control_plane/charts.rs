//! All charts with all values that make a difference: the API server takes what they render, and their schemas know their values.

use std::fs;
use std::path::Path;
use std::time::Duration;

use rstest::rstest;
use serde_json::{Map, Value, json};
use sinfonia_core::yaml;
use sinfonia_testbed::{Cluster, ControlPlane, Programs, TestFolder};

use super::chart::{EVERYTHING, Helm, KUBERNETES, NEEDED, TIER1, repository};
use super::recipes::example;

/// Far longer than a Namespace takes to have its ServiceAccount.
const PATIENCE: Duration = Duration::from_secs(60);
/// The recipes of OpenRTiST.
const ON_A_PROCESSOR: &str = "737b5001-d27a-413f-9806-abf9bfce6746";
const ON_A_GPU: &str = "755e5883-0788-44da-8778-2113eddf4271";
/// Values of an OpenRTiST that is different in all respects.
const OTHER_OPENRTIST: [&str; 6] = [
    "--set",
    "image.tag=stable,args={--timing},podSecurityContext.runAsNonRoot=true,podSecurityContext.runAsUser=65532",
    "--set",
    "gpu.enabled=true,gpu.count=2,gpu.resource=amd.com/gpu,nodeSelector.disk=ssd,resources.limits=null",
    "--set-json",
    r#"env=[{"name":"HOME","value":"/tmp"}],tolerations=[{"key":"amd.com/gpu","operator":"Exists"}]"#,
];
/// A Tier 1 with all that there is.
const ALL_OF_TIER1: [&str; 8] = [
    "--set",
    "tier1.operatorTokens.existingSecret=operators,tier1.matchers={network,location},tier1.allowAnonymousReports={10.0.0.0/8}",
    "--set",
    "ingress.enabled=true,service.type=LoadBalancer,podMonitor.enabled=true,podAnnotations.a=b,podLabels.c=d",
    "--set",
    "prometheusRule.enabled=true,grafanaDashboard.enabled=true",
    "--set-json",
    r#"env=[{"name":"RUST_LOG","value":"info"}]"#,
];
/// A Tier 2 with as little as there can be.
const NEXT_TO_NOTHING: [&str; 4] = [
    "--set",
    "rbac.create=false,serviceAccount.create=false,crds.install=false,admissionPolicy.enabled=false,clientGuard.enabled=false",
    "--set",
    "networkPolicy.enabled=false,podDisruptionBudget.enabled=false,tier2.deployToken.enabled=false,service.type=NodePort",
];
/// Need definitions that come with the Prometheus operator, which is not here.
const NEED_AN_OPERATOR: [&str; 2] = ["PodMonitor", "PrometheusRule"];
/// What OpenRTiST's pods need of a cluster where GPUs have a runtime class of their own.
const RUNTIME_CLASS: &str = "\
apiVersion: node.k8s.io/v1
kind: RuntimeClass
metadata: {name: nvidia}
handler: nvidia
";

/// Values of a chart that make a difference.
pub(super) struct ValueSet {
    pub(super) chart: &'static str,
    name: &'static str,
    arguments: Vec<String>,
}

impl ValueSet {
    /// All of them; files of values go into this folder.
    pub(super) fn all(folder: &Path) -> Vec<Self> {
        let [tier1, everything] = [&TIER1[..], &EVERYTHING].map(|set| [set, &NEEDED].concat());
        let all_of_tier1 = [&tier1[..], &ALL_OF_TIER1].concat();
        vec![
            Self::new("helloworld", "as it is", &[]),
            Self::of_recipe("openrtist", ON_A_PROCESSOR, folder),
            Self::of_recipe("openrtist", ON_A_GPU, folder),
            Self::new("openrtist", "different", &OTHER_OPENRTIST),
            Self::new("sinfonia", "Tier 2", &NEEDED),
            Self::new("sinfonia", "all of Tier 2", &everything),
            Self::new(
                "sinfonia",
                "little",
                &[&NEEDED[..], &NEXT_TO_NOTHING].concat(),
            ),
            Self::new("sinfonia", "Tier 1", &tier1),
            Self::new("sinfonia", "all of Tier 1", &all_of_tier1),
            Self::of_environment("development"),
            Self::of_environment("production"),
        ]
    }

    /// The arguments that tell helm.
    pub(super) fn words(&self) -> Vec<&str> {
        self.arguments.iter().map(String::as_str).collect()
    }

    fn new(chart: &'static str, name: &'static str, arguments: &[&str]) -> Self {
        let arguments = arguments.iter().map(|word| (*word).to_owned()).collect();
        Self {
            chart,
            name,
            arguments,
        }
    }

    /// The values of an example recipe.
    fn of_recipe(chart: &'static str, uuid: &'static str, folder: &Path) -> Self {
        let values = example(uuid).values.unwrap_or_default();
        let file = folder.join(format!("{uuid}.json"));
        fs::write(&file, Value::Object(values).to_string()).unwrap();
        Self::new(chart, uuid, &["--values", file.to_str().unwrap()])
    }

    /// The values that deploy/tier1/helmfile.yaml gives in one of its environments.
    fn of_environment(environment: &'static str) -> Self {
        let values = repository().join("deploy/tier1/values");
        let files = ["sinfonia".to_owned(), format!("sinfonia.{environment}")];
        let files = files.map(|file| format!("{}/{file}.yaml", values.display()));
        let arguments = files.iter().flat_map(|file| ["--values", file]);
        Self::new("sinfonia", environment, &arguments.collect::<Vec<_>>())
    }

    /// What the chart makes of them in this Namespace.
    fn render(&self, helm: &Helm<'_>, namespace: &str) -> String {
        let template = ["template", "edge", "--namespace", namespace];
        let version = ["--kube-version", KUBERNETES];
        let arguments = [&template[..], &version, &self.words()].concat();
        helm.of(self.chart).run(&arguments)
    }
}

#[rstest]
#[case::cpu("openrtist_cpu", ON_A_PROCESSOR)]
#[case::gpu("openrtist_gpu", ON_A_GPU)]
fn openrtist_renders_as_before(#[case] name: &str, #[case] recipe: &'static str) {
    let folder = TestFolder::new().unwrap();
    let helm = Helm::new(Programs::find_or_hint().unwrap().helm4, folder.path());

    let rendered = ValueSet::of_recipe("openrtist", recipe, folder.path()).render(&helm, "edge");

    insta::assert_snapshot!(name, rendered);
}

#[test]
fn the_api_server_takes_all_charts_with_all_values() {
    let cluster = ControlPlane::shared();
    let folder = TestFolder::new().unwrap();
    let helm = Helm::new(Programs::find_or_hint().unwrap().helm4, folder.path());
    let namespace = cluster.namespace("charts").unwrap();
    keep_the_node_out_of_reach(&cluster, namespace.name());
    cluster.apply(RUNTIME_CLASS).unwrap();

    for set in ValueSet::all(folder.path()) {
        let told = format!("{} ({})", set.chart, set.name);
        let objects = objects(&set.render(&helm, namespace.name()));
        assert!(!objects.is_empty(), "{told}");
        for object in objects {
            let taken = cluster.dry_run(&object, namespace.name());
            taken.unwrap_or_else(|error| panic!("{told}: {error}: {object}"));
            // Sinfonia's own pods have ServiceAccounts that are not there, and one needs its node.
            if let Some(pod) = pod_of(&object).filter(|_| set.chart != "sinfonia") {
                let taken = cluster.dry_run(&pod, namespace.name());
                taken.unwrap_or_else(|error| panic!("{told}: {error}: {pod}"));
            }
        }
    }
}

#[rstest]
#[case("helloworld")]
#[case("openrtist")]
#[case("sinfonia")]
fn the_schema_of_a_chart_has_its_values_and_no_others(#[case] chart: &str) {
    let chart = repository().join("charts").join(chart);
    let values = fs::read_to_string(chart.join("values.yaml")).unwrap();
    let values: Value = yaml::document(&values).unwrap();
    let schema = fs::read(chart.join("values.schema.json")).unwrap();
    let schema: Value = serde_json::from_slice(&schema).unwrap();

    let differences = differences(&schema, &schema, &values, "values");

    assert_eq!(differences, [""; 0]);
}

#[rstest]
#[case::where_tier_2_tells_its_state(&[], "exec deployment/edge-sinfonia -- sinfonia-tier2 ready")]
#[case::the_token(&[], "get secret edge-sinfonia-deploy-tokens -o")]
#[case::the_token_of_the_operators_own(&["tier2.deployToken.existingSecret=mine"], "get secret mine -o")]
#[case::a_cloudlet_that_reports_to_nobody(&["sinfoniaTier2Url=http://edge.example"], "set sinfoniaTier1Url")]
#[case::how_to_ask_tier_1(&["sinfoniaTier1=true"], "sinfonia-tier3 candidates helloworld --tier1-url")]
#[case::a_tier_1_without_cloudlets(&["sinfoniaTier1=true"], "It knows no cloudlet")]
#[case::a_proxy_in_front(&["sinfoniaTier1=true", "ingress.enabled=true"], "--set tier1.trustedProxies")]
fn the_notes_say_what_is_next(#[case] values: &[&str], #[case] expected: &str) {
    let notes = notes(values);

    assert!(notes.contains(expected), "{notes}");
}

#[rstest]
#[case::a_tier_1_with_tokens(&["sinfoniaTier1=true", "tier1.reportTokens.existingSecret=reports"], "It knows no cloudlet")]
#[case::a_proxy_that_is_trusted(
    &["sinfoniaTier1=true", "ingress.enabled=true", "tier1.trustedProxies={10.42.0.0/16}"],
    "tier1.trustedProxies"
)]
#[case::no_tokens(&["tier2.deployToken.enabled=false"], "deploy token")]
#[case::no_guard(&["clientGuard.enabled=false"], "guard")]
#[case::a_cloudlet_that_reports(
    &["sinfoniaTier1Url=http://tier1.example", "sinfoniaTier2Url=http://edge.example"],
    "reports to nobody"
)]
fn the_notes_keep_quiet_about_what_is_not_there(#[case] values: &[&str], #[case] word: &str) {
    let notes = notes(values);

    assert!(!notes.contains(word), "{notes}");
}

/// What helm says after an installation of charts/sinfonia with these values.
fn notes(values: &[&str]) -> String {
    let folder = TestFolder::new().unwrap();
    let helm = Helm::new(Programs::find_or_hint().unwrap().helm4, folder.path());
    let install = ["install", "edge", "--dry-run=client", "--output", "json"];
    let values = values.iter().flat_map(|value| ["--set", value]);
    let arguments: Vec<_> = install.into_iter().chain(NEEDED).chain(values).collect();
    let release: Value = serde_json::from_str(&helm.run(&arguments)).unwrap();
    release["info"]["notes"].as_str().unwrap().to_owned()
}

/// Lets no pod in that reaches the node, as Tier 2 does for deployments, and waits until pods can be made at all.
fn keep_the_node_out_of_reach(cluster: &Cluster, namespace: &str) {
    let path = format!("/api/v1/namespaces/{namespace}");
    let labels = json!({"pod-security.kubernetes.io/enforce": "baseline"});
    let labelled = cluster.patch(&path, &json!({"metadata": {"labels": labels}}));
    labelled.unwrap();
    let account = format!("{path}/serviceaccounts/default");
    let made = cluster.wait_for(&account, PATIENCE, |account| account.is_some());
    made.unwrap();
}

/// What a chart renders, without what needs an operator.
fn objects(rendered: &str) -> Vec<Value> {
    let documents = yaml::documents::<Value>(rendered).unwrap();
    let objects = documents.into_iter().flatten();
    objects
        .filter(|object| NEED_AN_OPERATOR.iter().all(|kind| object["kind"] != *kind))
        .collect()
}

/// A pod of what makes pods.
fn pod_of(object: &Value) -> Option<Value> {
    let template = object.pointer("/spec/template")?;
    Some(json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "pod", "labels": template["metadata"]["labels"]},
        "spec": template["spec"],
    }))
}

/// What a schema has that the values have not, and the other way round, down to where all keys are allowed.
fn differences(root: &Value, schema: &Value, values: &Value, path: &str) -> Vec<String> {
    let schema = resolved(root, schema);
    let Some(known) = schema["properties"].as_object() else {
        return Vec::new();
    };
    let nothing = Map::new();
    let set = values.as_object().unwrap_or(&nothing);
    let is_open = schema["additionalProperties"] != false;
    let open = is_open.then(|| format!("{path} takes what it does not know"));
    let unknown = set.keys().filter(|key| !known.contains_key(*key));
    let unknown = unknown.map(|key| format!("{path}.{key} is not in the schema"));
    // Helm's own, for subcharts.
    let unset = known.keys().filter(|key| *key != "global");
    let unset = unset.filter(|key| !set.contains_key(*key));
    let unset = unset.map(|key| format!("{path}.{key} is in the schema alone"));
    let below = known
        .iter()
        .filter_map(|(key, schema)| Some((key, schema, set.get(key)?)));
    let below = below.flat_map(|(key, schema, values)| {
        differences(root, schema, values, &format!("{path}.{key}"))
    });
    open.into_iter()
        .chain(unknown)
        .chain(unset)
        .chain(below)
        .collect()
}

/// A schema, or the definition that it refers to.
fn resolved<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    let reference = schema["$ref"].as_str();
    let reference = reference.and_then(|reference| reference.strip_prefix('#'));
    reference.map_or(schema, |pointer| root.pointer(pointer).unwrap())
}
