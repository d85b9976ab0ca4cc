//! Recipes: what an application's backend is made of.

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU16;
use std::str::FromStr;

use schemars::JsonSchema;
use semver::Version;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};
use url::Url;
use uuid::Uuid;

use crate::diagnostic::Diagnostic;
use crate::isolation::Wishes;
use crate::policy::{Policy, RecipePart};
use crate::text::{self, WrittenText};
use crate::tunnel::HostPort;
use crate::yaml;

/// The recipe that everyone may use to try Sinfonia: an nginx that answers `http://helloworld/` through the tunnel.
pub const HELLOWORLD: Uuid = Uuid::nil();

/// Longest recipe file, in bytes, that is read.
pub const MOST_BYTES: usize = 64 * 1024;

/// The fields of a recipe file that this version reads.
const KNOWN_FIELDS: [&str; 9] = [
    "chart",
    "version",
    "description",
    "values",
    "restricted",
    "sandbox",
    "isolation",
    "requires",
    "prefer",
];

/// Why a part of a recipe was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecipeError {
    /// The chart would leave the repository, or is reached in a way that is not allowed.
    #[error(
        "`{0}` is not a chart reference: expected a path below the repository, such as charts/example, or an https:// or oci:// URL"
    )]
    Chart(String),
    /// What is said about the sandbox is malformed.
    #[error("sandbox: {0}")]
    Sandbox(String),
    /// What is said about isolation is malformed.
    #[error("isolation: {0}")]
    Isolation(String),
    /// The version is none.
    #[error("`{0}` is not a chart version: expected three numbers, such as 0.1.0")]
    Version(String),
}

/// Where a chart is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChartReference {
    /// A path below the recipe's repository, its parts separated by `/`; never leaves it.
    Path(String),
    /// An absolute https URL.
    Https(Url),
    /// A repository of a container registry: `oci://…`.
    Oci(Url),
}

text::written_as!(ChartReference, "ChartReference", {
    "type": "string",
    "description": "A path below the repository, or an https:// or oci:// URL.",
    "pattern": "^([hH][tT][tT][pP][sS]|[oO][cC][iI])://|^(?!\\.{0,2}(/|$))[A-Za-z0-9_.+-]+(/(?!\\.{0,2}(/|$))[A-Za-z0-9_.+-]+)*$",
    "examples": ["charts/example", "oci://registry.example/charts/example"],
});

text::written_as!(ChartVersion, "ChartVersion", {
    "type": "string",
    "description": "The version of the chart: three numbers (SemVer), also with a leading v.",
    "pattern": "^v?[0-9]+\\.[0-9]+\\.[0-9]+([-+].*)?$",
    "examples": ["0.1.0"],
});

/// A recipe: what an application's backend is made of, and what it wants of a cloudlet.
#[derive(JsonSchema)]
#[schemars(rename = "Recipe")]
pub(crate) struct RecipeFile {
    #[schemars(flatten)]
    _recipe: Recipe,
    #[schemars(flatten)]
    _policy: RecipePart,
}

impl FromStr for ChartReference {
    type Err = RecipeError;

    fn from_str(text: &str) -> Result<Self, RecipeError> {
        let error = || RecipeError::Chart(text.escape_default().take(120).collect());
        if text.contains("://") {
            let url = Url::parse(text).map_err(|_| error())?;
            return match url.scheme() {
                "https" => Ok(Self::Https(url)),
                "oci" => Ok(Self::Oci(url)),
                _ => Err(error()),
            };
        }
        let plain = |character: char| {
            character.is_ascii_alphanumeric() || matches!(character, '-' | '_' | '.' | '+')
        };
        let part =
            |part: &str| !part.is_empty() && part != "." && part != ".." && part.chars().all(plain);
        if text.split('/').all(part) {
            Ok(Self::Path(text.to_owned()))
        } else {
            Err(error())
        }
    }
}

impl fmt::Display for ChartReference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => formatter.write_str(path),
            Self::Https(url) | Self::Oci(url) => url.fmt(formatter),
        }
    }
}

impl<'de> Deserialize<'de> for ChartReference {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text::deserialize(deserializer, "a chart reference as text")
    }
}

impl Serialize for ChartReference {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A chart's version: SemVer, a leading `v` allowed as helm does. Kept as written, because it is part of a file's name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ChartVersion(String);

impl FromStr for ChartVersion {
    type Err = RecipeError;

    fn from_str(text: &str) -> Result<Self, RecipeError> {
        match Version::parse(text.strip_prefix('v').unwrap_or(text)) {
            Ok(_) => Ok(Self(text.to_owned())),
            Err(_) => Err(RecipeError::Version(
                text.escape_default().take(80).collect(),
            )),
        }
    }
}

impl fmt::Display for ChartVersion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for ChartVersion {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text::deserialize(deserializer, "a chart version as text")
    }
}

/// What an application's backend is made of. Serialised as the API shows it, without `restricted`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Recipe {
    /// The chart.
    pub chart: ChartReference,
    /// The chart's version.
    pub version: ChartVersion,
    /// What it is, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<WrittenText>")]
    pub description: Option<String>,
    /// Values that are merged over the chart's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub values: Option<Map<String, Value>>,
    /// Whether the API hides it; true unless the file says otherwise. Deploying is not affected.
    #[serde(default = "restricted_by_default", skip_serializing)]
    pub restricted: bool,
    /// What stands in for the chart in a sandbox, as it was written; only a sandbox has to make sense of it.
    #[serde(default, skip_serializing)]
    #[schemars(with = "Option<SandboxBackend>")]
    pub sandbox: Option<Value>,
    /// What its deployments need beside what every deployment gets, as it was written; only a cluster has to make sense of it.
    #[serde(default, skip_serializing)]
    #[schemars(with = "Option<Wishes>")]
    pub isolation: Option<Value>,
    /// What it requires and prefers of cloudlets; empty where it was read by somebody who chooses none.
    #[serde(skip)]
    pub policy: Policy,
}

/// What stands in for a chart where there is no cluster to install it in.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SandboxBackend {
    /// TCP ports of the deployment, and the programs of the sandbox's machine that answer there.
    #[serde(default)]
    pub forward: BTreeMap<NonZeroU16, HostPort>,
}

impl Recipe {
    /// Reads a recipe file. Fields that this version does not know are no error, because other implementations add theirs.
    ///
    /// # Errors
    /// The file is no YAML, lacks `chart` or `version`, or holds a malformed field.
    pub fn parse(text: &str) -> Result<Self, Diagnostic> {
        yaml::document(text)
    }

    /// Reads a recipe file as [`Recipe::parse`] does, and what it requires and prefers of cloudlets, for those who choose one.
    ///
    /// # Errors
    /// Those of [`Recipe::parse`], and an expression that cannot be used, with its place in the text.
    pub fn parse_with_policy(text: &str) -> Result<Self, Diagnostic> {
        Ok(Self {
            policy: Policy::of_recipe(text)?,
            ..Self::parse(text)?
        })
    }

    /// What stands in for the chart in a sandbox; nothing, where the recipe says nothing.
    ///
    /// # Errors
    /// It says something else than ports and programs.
    pub fn sandbox_backend(&self) -> Result<SandboxBackend, RecipeError> {
        let Some(sandbox) = &self.sandbox else {
            return Ok(SandboxBackend::default());
        };
        SandboxBackend::deserialize(sandbox)
            .map_err(|error| RecipeError::Sandbox(without_place(&error)))
    }

    /// What its deployments need beside what every deployment gets; nothing, where the recipe says nothing.
    ///
    /// # Errors
    /// It says something else than a quota and a level of pod security.
    pub fn wishes(&self) -> Result<Wishes, RecipeError> {
        let Some(isolation) = &self.isolation else {
            return Ok(Wishes::default());
        };
        Wishes::deserialize(isolation)
            .map_err(|error| RecipeError::Isolation(without_place(&error)))
    }

    /// The fields of a recipe file that this version ignores, by name; worth a warning.
    ///
    /// # Errors
    /// The file is no YAML mapping.
    pub fn ignored_fields(text: &str) -> Result<Vec<String>, Diagnostic> {
        let fields: Map<String, Value> = yaml::document(text)?;
        Ok(fields
            .into_iter()
            .map(|(name, _)| name)
            .filter(|name| !KNOWN_FIELDS.contains(&name.as_str()))
            .collect())
    }
}

/// What is wrong with a value, without a position within it: it has no text.
fn without_place(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let place = text.find(" at line ").unwrap_or(text.len());
    text[..place].to_owned()
}

const fn restricted_by_default() -> bool {
    true
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use rstest::rstest;
    use serde_json::json;

    use super::*;
    use crate::check::FileKind;
    use crate::isolation::PodSecurity;
    use crate::schema;

    #[test]
    fn a_recipe_is_restricted_unless_it_says_otherwise() {
        let recipe = Recipe::parse("chart: charts/example\nversion: 0.1.0\n").unwrap();

        assert!(recipe.restricted);
        assert_eq!(recipe.chart, ChartReference::Path("charts/example".into()));
    }

    #[test]
    fn the_api_shows_chart_version_description_and_values() {
        let recipe = Recipe::parse("chart: example\nversion: 0.1.0\ndescription: Hello\nvalues: {a: {b: 1}}\nrestricted: false\n").unwrap();

        let shown = serde_json::to_value(&recipe).unwrap();

        assert_eq!(
            shown,
            json!({"chart": "example", "version": "0.1.0", "description": "Hello", "values": {"a": {"b": 1}}})
        );
    }

    #[test]
    fn fields_of_others_are_no_error_but_told() {
        let text = "chart: example\nversion: 0.1.0\nprice: 1.0\nowners: [me]\n";

        assert!(Recipe::parse(text).is_ok());
        assert_eq!(Recipe::ignored_fields(text).unwrap(), ["owners", "price"]);
    }

    #[test]
    fn editors_complete_the_fields_that_are_read() {
        let schema = schema::of_file(FileKind::Recipe);

        let completed: BTreeSet<&str> = schema["properties"]
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        assert_eq!(completed, BTreeSet::from(KNOWN_FIELDS));
    }

    #[test]
    fn what_is_required_and_preferred_is_read_by_those_who_choose_cloudlets() {
        let text = "chart: example\nversion: 0.1.0\nrequires: [resources.gpu_ratio < 0.8]\nprefer: -distance_km\n";

        let recipe = Recipe::parse_with_policy(text).unwrap();

        assert_eq!(recipe.policy, Policy::of_recipe(text).unwrap());
        assert_eq!(Recipe::parse(text).unwrap().policy, Policy::default());
        assert_eq!(Recipe::ignored_fields(text).unwrap(), [""; 0]);
        assert_eq!(
            serde_json::to_value(&recipe).unwrap(),
            json!({"chart": "example", "version": "0.1.0"})
        );
    }

    #[test]
    fn an_expression_that_cannot_be_used_is_the_trouble_of_those_who_choose_cloudlets_alone() {
        let text = "chart: example\nversion: 0.1.0\nprefer: nonsense\n";

        assert!(Recipe::parse(text).is_ok());
        let error = Recipe::parse_with_policy(text).unwrap_err().to_string();
        assert_eq!(
            error.lines().next(),
            Some("document 1, line 3, column 9: prefer: there is no variable `nonsense`")
        );
    }

    #[test]
    fn programs_of_the_sandboxs_machine_stand_in_for_the_chart() {
        let text = "chart: example\nversion: 0.1.0\nsandbox: {forward: {80: 127.0.0.1:8080, 443: 'localhost:8443'}}\n";

        let recipe = Recipe::parse(text).unwrap();

        let forward = recipe.sandbox_backend().unwrap().forward.into_iter();
        let forward: Vec<_> = forward
            .map(|(port, to)| format!("{port} -> {to}"))
            .collect();
        assert_eq!(forward, ["80 -> 127.0.0.1:8080", "443 -> localhost:8443"]);
        assert_eq!(Recipe::ignored_fields(text).unwrap(), [""; 0]);
        assert_eq!(
            serde_json::to_value(&recipe).unwrap(),
            json!({"chart": "example", "version": "0.1.0"})
        );
    }

    #[rstest]
    #[case::a_port_forwarded_nowhere(
        "{forward: {80: 8080}}",
        "sandbox: invalid type: integer `8080`, expected host:port as text"
    )]
    #[case::no_port(
        "{forward: {0: '127.0.0.1:8080'}}",
        "sandbox: invalid value: integer `0`, expected a nonzero u16"
    )]
    #[case::a_slip_of_the_pen(
        "{forwards: {}}",
        "sandbox: unknown field `forwards`, expected `forward`"
    )]
    fn what_a_sandbox_cannot_make_sense_of_is_its_own_trouble(
        #[case] sandbox: &str,
        #[case] expected: &str,
    ) {
        let text = format!("chart: example\nversion: 0.1.0\nsandbox: {sandbox}\n");

        let recipe = Recipe::parse(&text).unwrap();

        let error = recipe.sandbox_backend().unwrap_err();
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn a_recipe_may_wish_for_more_than_every_deployment_gets() {
        let text = "chart: example\nversion: 0.1.0\nisolation: {quota: {cpu: 8, memory: 16Gi, nvidia.com/gpu: 1}, podSecurity: privileged}\n";

        let recipe = Recipe::parse(text).unwrap();

        let wishes = recipe.wishes().unwrap();
        let quota = wishes.quota.iter();
        let quota: Vec<_> = quota
            .map(|(name, amount)| format!("{name}={amount}"))
            .collect();
        assert_eq!(quota, ["cpu=8", "memory=16Gi", "nvidia.com/gpu=1"]);
        assert_eq!(wishes.pod_security, PodSecurity::Privileged);
        assert_eq!(Recipe::ignored_fields(text).unwrap(), [""; 0]);
        assert_eq!(
            serde_json::to_value(&recipe).unwrap(),
            json!({"chart": "example", "version": "0.1.0"})
        );
    }

    #[rstest]
    #[case::no_quantity(
        "{quota: {cpu: lots}}",
        "isolation: `lots` is not a quantity: expected an amount such as 4, 500m or 16Gi"
    )]
    #[case::no_resource(
        "{quota: {gpu: 1}}",
        "isolation: `gpu` is no resource that can be limited: expected cpu, memory, ephemeral-storage, storage, pods, persistentvolumeclaims, services, services.loadbalancers, services.nodeports, configmaps, secrets or one of a vendor such as nvidia.com/gpu"
    )]
    #[case::no_level(
        "{podSecurity: none}",
        "isolation: unknown variant `none`, expected one of `privileged`, `baseline`, `restricted`"
    )]
    #[case::a_slip_of_the_pen(
        "{quotas: {}}",
        "isolation: unknown field `quotas`, expected `quota` or `podSecurity`"
    )]
    fn a_wish_that_makes_no_sense_is_the_clusters_trouble_alone(
        #[case] isolation: &str,
        #[case] expected: &str,
    ) {
        let text = format!("chart: example\nversion: 0.1.0\nisolation: {isolation}\n");

        let recipe = Recipe::parse(&text).unwrap();

        assert_eq!(recipe.wishes().unwrap_err().to_string(), expected);
    }

    #[rstest]
    #[case("charts/example")]
    #[case("example")]
    #[case("https://charts.example/example")]
    #[case("oci://registry.example/charts/example")]
    fn charts_are_found_below_the_repository_or_by_url(#[case] text: &str) {
        assert_eq!(text.parse::<ChartReference>().unwrap().to_string(), text);
    }

    #[rstest]
    #[case::parent("../example")]
    #[case::parent_inside("charts/../../example")]
    #[case::absolute("/etc/example")]
    #[case::file_url("file:///etc/example")]
    #[case::plain_http("http://charts.example/example")]
    #[case::file_scheme_without_slashes("file:example")]
    #[case::backslash("charts\\example")]
    #[case::escaped("charts/%2e%2e/example")]
    #[case::empty("")]
    fn a_chart_never_leaves_the_repository(#[case] text: &str) {
        assert!(matches!(
            text.parse::<ChartReference>(),
            Err(RecipeError::Chart(_))
        ));
    }

    #[rstest]
    #[case::no_chart(
        "version: 0.1.0\n",
        "document 1, line 1, column 1: missing field `chart`"
    )]
    #[case::no_version(
        "chart: example\n",
        "document 1, line 1, column 1: missing field `version`"
    )]
    #[case::a_number(
        "chart: example\nversion: 0.1\n",
        "document 1, line 2, column 10: version: `0.1` is not a chart version: expected three numbers, such as 0.1.0"
    )]
    #[case::no_semver(
        "chart: example\nversion: '0.1'\n",
        "document 1, line 2, column 10: version: `0.1` is not a chart version: expected three numbers, such as 0.1.0"
    )]
    #[case::values_are_a_map(
        "chart: example\nversion: 0.1.0\nvalues: 3\n",
        "document 1, line 3, column 9: values: invalid type: integer `3`, expected a map"
    )]
    #[case::empty("", "document 1: the file is empty")]
    #[case::two(
        "chart: e\nversion: 0.1.0\n---\nchart: e\nversion: 0.1.0\n",
        "document 2: the file holds more than one document"
    )]
    fn a_bad_recipe_says_where_and_what(#[case] text: &str, #[case] expected: &str) {
        assert_eq!(Recipe::parse(text).unwrap_err().to_string(), expected);
    }
}
