//! Whether a file that people write can be used, told without using it.

use std::fmt;
use std::str::FromStr;

use serde_json::{Map, Value};

use crate::cloudlet_file::{CloudletFile, Warning};
use crate::diagnostic::Diagnostic;
use crate::policy::Policy;
use crate::recipe::{Recipe, RecipeError};
use crate::yaml::{self, Position};

/// Most warnings of a file that are told with their place: finding it takes a look at all that stands before.
const MOST_WARNINGS: usize = 32;

/// Fields by which cloudlets are known. What others have as well, such as `name` or `version`, says nothing.
const OF_CLOUDLETS: [&str; 8] = [
    "endpoint",
    "location",
    "locations",
    "local_networks",
    "accepted_clients",
    "rejected_clients",
    "resources",
    "token_file",
];
/// Fields by which a recipe is known.
const OF_RECIPES: [&str; 4] = ["chart", "restricted", "sandbox", "isolation"];
/// Fields by which a policy is known, where there are none of a recipe, which may have these as well.
const OF_POLICIES: [&str; 2] = ["requires", "prefer"];

/// The kinds of files that people write for Sinfonia.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// Cloudlets, a stream of documents.
    Cloudlets,
    /// A recipe.
    Recipe,
    /// An operator's policy.
    Policy,
}

/// A text that names no kind of file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected cloudlets, recipe or policy")]
pub struct FileKindError;

/// What was found in a file.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Findings {
    /// What keeps it from being used.
    pub errors: Vec<Diagnostic>,
    /// What is odd but usable.
    pub warnings: Vec<Diagnostic>,
}

impl FileKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Cloudlets, Self::Recipe, Self::Policy];

    /// Its name on command lines and in answers.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cloudlets => "cloudlets",
            Self::Recipe => "recipe",
            Self::Policy => "policy",
        }
    }

    /// The kind that a text looks like by its fields, also where it is no good YAML; `None` where it has none of them.
    pub fn of(text: &str) -> Option<Self> {
        let fields = fields(text);
        let is_one_of = |known: &[&str], field: &String| known.contains(&field.as_str());
        let count = |known: &[&str]| {
            fields
                .iter()
                .filter(|field| is_one_of(known, field))
                .count()
        };
        let (cloudlets, recipe) = (count(&OF_CLOUDLETS), count(&OF_RECIPES));
        match cloudlets.max(recipe) {
            0 if count(&OF_POLICIES) > 0 => Some(Self::Policy),
            0 => None,
            _ if cloudlets > recipe => Some(Self::Cloudlets),
            _ => Some(Self::Recipe),
        }
    }

    /// What is wrong with a text and what is odd, if it is meant to be of this kind.
    pub fn check(self, text: &str) -> Findings {
        match self {
            Self::Cloudlets => check_cloudlets(text),
            Self::Recipe => check_recipe(text),
            Self::Policy => Findings {
                errors: Policy::parse(text).err().into_iter().collect(),
                ..Findings::default()
            },
        }
    }
}

/// The names of a text's top-level fields, as the parser sees them, or else as they stand at the beginning of lines.
fn fields(text: &str) -> Vec<String> {
    match yaml::documents::<Map<String, Value>>(text) {
        Ok(documents) => {
            let documents = documents.into_iter().flatten();
            documents
                .flat_map(|fields| fields.into_iter().map(|(name, _)| name))
                .collect()
        }
        Err(_) => text.lines().filter_map(field).collect(),
    }
}

fn field(line: &str) -> Option<String> {
    let (name, _) = line.trim_start_matches('{').split_once(':')?;
    Some(name.trim_matches(['"', '\'']).to_owned())
}

fn check_cloudlets(text: &str) -> Findings {
    match CloudletFile::parse(text) {
        Err(error) => Findings {
            errors: vec![error],
            ..Findings::default()
        },
        Ok(file) => Findings {
            warnings: cloudlet_warnings(text, &file),
            ..Findings::default()
        },
    }
}

fn cloudlet_warnings(text: &str, file: &CloudletFile) -> Vec<Diagnostic> {
    if file.entries.is_empty() {
        return vec![Diagnostic::of_file("the file holds no cloudlet")];
    }
    let (placed, further) = file
        .warnings
        .split_at(file.warnings.len().min(MOST_WARNINGS));
    let placed = placed.iter().map(|warning| warning.locate(text));
    placed.chain(further.iter().map(unplaced)).collect()
}

fn unplaced(warning: &Warning) -> Diagnostic {
    let position = Position {
        document: warning.document,
        line: None,
        column: None,
    };
    Diagnostic::new(
        "",
        position,
        format!("{}: {}", warning.field, warning.message),
    )
}

/// Checks a recipe as all do who read it: Tier 1, a cluster and a sandbox.
fn check_recipe(text: &str) -> Findings {
    let at = |field: &str, message: String| {
        Diagnostic::new(text, yaml::position_of(text, 1, field), message)
    };
    let located = |error: RecipeError| match error {
        RecipeError::File(error) => error,
        RecipeError::Chart(_) => at("chart", error.to_string()),
        RecipeError::Version(_) => at("version", error.to_string()),
        RecipeError::Sandbox(_) => at("sandbox", error.to_string()),
        RecipeError::Isolation(_) => at("isolation", error.to_string()),
    };
    let recipe = match Recipe::parse_with_policy(text) {
        Ok(recipe) => recipe,
        Err(error) => {
            return Findings {
                errors: vec![located(error)],
                ..Findings::default()
            };
        }
    };
    let sandbox = recipe.sandbox_backend().err();
    let isolation = recipe.wishes().err();
    let ignored = |field: String| {
        at(&field, format!("{field}: this version ignores the field"))
            .with_hint("it is no error, because others may know it; is it written right?")
    };
    Findings {
        errors: sandbox.into_iter().chain(isolation).map(located).collect(),
        warnings: Recipe::ignored_fields(text)
            .unwrap_or_default()
            .into_iter()
            .map(ignored)
            .collect(),
    }
}

impl FromStr for FileKind {
    type Err = FileKindError;

    fn from_str(text: &str) -> Result<Self, FileKindError> {
        let mut kinds = Self::ALL.into_iter();
        kinds.find(|kind| kind.name() == text).ok_or(FileKindError)
    }
}

impl fmt::Display for FileKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::diagnostic::Severity;

    #[rstest]
    #[case::cloudlets("endpoint: http://c/api/v1/deploy\n", Some(FileKind::Cloudlets))]
    #[case::without_an_endpoint("name: c\nlocation: [1, 2]\n", Some(FileKind::Cloudlets))]
    #[case::in_a_later_document("---\n---\nresources: {}\n", Some(FileKind::Cloudlets))]
    #[case::a_recipe("chart: c\nversion: 0.1.0\nrequires: 'true'\n", Some(FileKind::Recipe))]
    #[case::json("{\n  \"chart\": \"c\"\n}\n", Some(FileKind::Recipe))]
    #[case::a_policy("description: d\nprefer: -distance_km\n", Some(FileKind::Policy))]
    #[case::no_good_yaml("# c\nendpoint: [http://c\n", Some(FileKind::Cloudlets))]
    #[case::no_good_flow("{chart: c, version: [\n", Some(FileKind::Recipe))]
    #[case::an_expression_without_quotes("prefer: a ? b : c\n", Some(FileKind::Policy))]
    #[case::something_else("name: c\nversion: 1.0.0\nservices: {}\n", None)]
    #[case::a_list("- endpoint\n", None)]
    #[case::nothing("", None)]
    fn a_file_is_known_by_its_fields(#[case] text: &str, #[case] expected: Option<FileKind>) {
        assert_eq!(FileKind::of(text), expected);
    }

    #[rstest]
    #[case::cloudlets(FileKind::Cloudlets, include_str!("../../../examples/cloudlets.yaml"))]
    #[case::recipe(FileKind::Recipe, include_str!("../../../examples/recipes/755e5883-0788-44da-8778-2113eddf4271.yaml"))]
    #[case::policy(FileKind::Policy, include_str!("../../../examples/policy.yaml"))]
    fn about_the_examples_there_is_nothing_to_tell(#[case] kind: FileKind, #[case] text: &str) {
        assert_eq!(FileKind::of(text), Some(kind));
        assert_eq!(kind.check(text), Findings::default());
    }

    #[test]
    fn what_is_found_is_told_with_its_place() {
        let cloudlets = "endpoint: http://c/api/v1/deploy?x=1\nrejected_clients: []\n";
        let recipe = "chart: c\nversion: 0.1.0\nrequries: 'true'\nsandbox: {forwards: {}}\nisolation:\n  quota: {cpu: lots}\n";
        let files = [
            (FileKind::Cloudlets, cloudlets),
            (FileKind::Cloudlets, ""),
            (FileKind::Recipe, recipe),
            (FileKind::Recipe, "chart: ../c\nversion: 0.1.0\n"),
            (FileKind::Policy, "requires: rtt < 20.0\n"),
        ];

        let told = files.map(|(kind, text)| {
            let Findings { errors, warnings } = kind.check(text);
            let errors = errors.into_iter().map(|error| (error, Severity::Error));
            let warnings = warnings.into_iter().map(|odd| (odd, Severity::Warning));
            let all = errors.chain(warnings);
            let all: Vec<_> = all
                .map(|(what, severity)| what.render(severity, "f.yaml", false))
                .collect();
            all.join("\n")
        });

        insta::assert_snapshot!(told.join("\n\n"));
    }
}
