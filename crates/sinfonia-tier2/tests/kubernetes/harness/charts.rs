//! The recipes of the tests, and their charts.

use std::fs;
use std::path::Path;

use sinfonia_testbed::write_chart;

/// Installs at once and has nothing that must run.
pub(crate) const PLAIN: &str = "00000000-0000-0000-0000-000000000000";
/// The same under another uuid.
pub(crate) const OTHER: &str = "00000000-0000-0000-0000-000000000001";
/// A Deployment, which is ready when somebody runs its pods.
pub(crate) const WEB: &str = "00000000-0000-0000-0000-000000000002";
/// A hook: a Job before the installation, which waits for somebody who runs it.
pub(crate) const HOOK: &str = "00000000-0000-0000-0000-000000000003";
/// Recipes that cannot be installed, each with the class of its failure.
pub(crate) const FAILING: [(&str, &str); 7] = [
    ("10000000-0000-0000-0000-000000000000", "chart-not-found"),
    ("10000000-0000-0000-0000-000000000001", "chart-not-found"),
    ("10000000-0000-0000-0000-000000000002", "bad-values"),
    ("10000000-0000-0000-0000-000000000003", "bad-values"),
    ("10000000-0000-0000-0000-000000000004", "refused"),
    ("10000000-0000-0000-0000-000000000005", "refused"),
    ("10000000-0000-0000-0000-000000000006", "refused"),
];

const CONFIG_MAP: &str = "\
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {greeting: {{ .Values.greeting | default \"hello\" | quote }}}
";
const DEPLOYMENT: &str = "\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 1
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers: [{name: web, image: web:1}]
";
const HOOK_JOB: &str = "\
apiVersion: batch/v1
kind: Job
metadata:
  name: prepare
  annotations: {helm.sh/hook: pre-install}
spec:
  backoffLimit: 0
  template:
    spec:
      restartPolicy: Never
      containers: [{name: prepare, image: prepare:1}]
";
const CLUSTER_ROLE: &str = "\
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: \"{{ .Release.Name }}\"}
rules: [{apiGroups: [\"\"], resources: [secrets], verbs: [get]}]
";
const ELSEWHERE: &str = "\
apiVersion: v1
kind: ConfigMap
metadata: {name: elsewhere, namespace: default}
";
const HOOK_ELSEWHERE: &str = "\
apiVersion: v1
kind: ConfigMap
metadata:
  name: elsewhere
  namespace: default
  annotations: {helm.sh/hook: post-install}
";
const SCHEMA: &str = r#"{"type": "object", "properties": {"greeting": {"type": "string"}}}"#;

/// Writes the recipes into `recipes` below a folder.
pub(crate) fn write_recipes(folder: &Path) {
    let recipes = folder.join("recipes");
    fs::create_dir_all(&recipes).unwrap();
    let recipe = |uuid: &str, chart: &str, more: &str| {
        let text = format!("chart: {chart}\nversion: 0.1.0\n{more}");
        fs::write(recipes.join(format!("{uuid}.yaml")), text).unwrap();
    };
    let chart = |name: &str, files: &[(&str, &str)]| {
        write_chart(&recipes, name, "0.1.0", files).unwrap();
    };
    let config_map = ("templates/settings.yaml", CONFIG_MAP);
    chart("plain", &[config_map]);
    recipe(PLAIN, "plain", "values: {greeting: good morning}\n");
    recipe(OTHER, "plain", "");
    chart("web", &[config_map, ("templates/web.yaml", DEPLOYMENT)]);
    recipe(WEB, "web", "");
    chart("hook", &[config_map, ("templates/prepare.yaml", HOOK_JOB)]);
    recipe(HOOK, "hook", "");
    let [absent, invalid, template, values, role, elsewhere, hook] = FAILING.map(|(uuid, _)| uuid);
    recipe(absent, "absent", "");
    fs::write(recipes.join("invalid-0.1.0.tgz"), "no chart").unwrap();
    recipe(invalid, "invalid", "");
    chart("template", &[("templates/bad.yaml", "{{ fail \"no\" }}\n")]);
    recipe(template, "template", "");
    chart("values", &[config_map, ("values.schema.json", SCHEMA)]);
    recipe(values, "values", "values: {greeting: 3}\n");
    chart("role", &[config_map, ("templates/role.yaml", CLUSTER_ROLE)]);
    recipe(role, "role", "");
    chart(
        "elsewhere",
        &[config_map, ("templates/elsewhere.yaml", ELSEWHERE)],
    );
    recipe(elsewhere, "elsewhere", "");
    chart(
        "hook-elsewhere",
        &[config_map, ("templates/elsewhere.yaml", HOOK_ELSEWHERE)],
    );
    recipe(hook, "hook-elsewhere", "");
}
