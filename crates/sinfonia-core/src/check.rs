//! Whether a file that people write can be used, told without using it.

use std::fmt;
use std::str::FromStr;

use serde_json::{Map, Value};

use crate::cloudlet_file::{CloudletFile, Warning};
use crate::diagnostic::Diagnostic;
use crate::policy::Policy;
use crate::recipe::{MOST_BYTES, Recipe};
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
            Self::Policy => match Policy::parse(text) {
                Err(error) => Findings::of_error(error),
                Ok(_) => Findings::default(),
            },
        }
    }
}

impl Findings {
    /// One thing that keeps a file from being used.
    pub fn of_error(error: Diagnostic) -> Self {
        Self {
            errors: vec![error],
            warnings: Vec::new(),
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
        Err(error) => Findings::of_error(error),
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
    let placed = |warning: &Warning| warning.locate(text);
    let unplaced = |warning: &Warning| {
        let position = Position::of_document(warning.document);
        let message = format!("{}: {}", warning.field, warning.message);
        Diagnostic::new("", position, message)
    };
    first_placed(&file.warnings, placed, unplaced)
}

/// Checks a recipe as all do who read it: Tier 1, a cluster and a sandbox.
fn check_recipe(text: &str) -> Findings {
    let mut findings = match Recipe::parse_with_policy(text) {
        Err(error) => Findings::of_error(error),
        Ok(recipe) => Findings {
            errors: part_errors(text, &recipe),
            warnings: ignored_fields(text),
        },
    };
    if text.len() > MOST_BYTES {
        findings.errors.insert(0, too_long(text.len()));
    }
    findings
}

/// What is wrong with the parts of a recipe that only some make sense of.
fn part_errors(text: &str, recipe: &Recipe) -> Vec<Diagnostic> {
    let parts = [
        ("sandbox", recipe.sandbox_backend().err()),
        ("isolation", recipe.wishes().err()),
    ];
    let wrong = parts.into_iter().filter_map(|(field, error)| {
        let position = yaml::position_of(text, 1, field);
        Some(Diagnostic::new(text, position, error?.to_string()))
    });
    wrong.collect()
}

fn ignored_fields(text: &str) -> Vec<Diagnostic> {
    let ignored = |text: &str, position: Position, field: &str| {
        Diagnostic::new(
            text,
            position,
            format!("{field}: this version ignores the field"),
        )
        .with_hint("it is no error, because others may know it; is it written right?")
    };
    let placed = |field: &String| ignored(text, yaml::position_of(text, 1, field), field);
    let unplaced = |field: &String| ignored("", Position::of_document(1), field);
    first_placed(
        &Recipe::ignored_fields(text).unwrap_or_default(),
        placed,
        unplaced,
    )
}

fn too_long(bytes: usize) -> Diagnostic {
    Diagnostic::of_file(format!(
        "the recipe has {bytes} bytes, at most {MOST_BYTES} are read"
    ))
    .with_hint("what is large in `values` belongs into the chart")
}

/// Makes diagnostics of many warnings, the first of them with their places.
fn first_placed<T>(
    warnings: &[T],
    placed: impl Fn(&T) -> Diagnostic,
    unplaced: impl Fn(&T) -> Diagnostic,
) -> Vec<Diagnostic> {
    let (first, further) = warnings.split_at(warnings.len().min(MOST_WARNINGS));
    let placed = first.iter().map(placed);
    placed.chain(further.iter().map(unplaced)).collect()
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

    #[rstest]
    #[case::cloudlets(FileKind::Cloudlets, "", |number| {
        format!("---\nendpoint: http://c{number}/api/v1/deploy?x=1\n")
    })]
    #[case::recipe(FileKind::Recipe, "chart: c\nversion: 0.1.0\n", |number| {
        format!("field{number}: x\n")
    })]
    fn of_many_warnings_all_are_told_and_the_first_with_their_places(
        #[case] kind: FileKind,
        #[case] begin: &str,
        #[case] odd: fn(usize) -> String,
    ) {
        let text: String = begin.to_owned() + &(0..40).map(odd).collect::<String>();

        let Findings { errors, warnings } = kind.check(&text);

        let are_placed = warnings.iter().map(|odd| odd.position.line.is_some());
        let expected = (0..40).map(|number| number < MOST_WARNINGS);
        assert!(are_placed.eq(expected), "{warnings:?}");
        assert_eq!(errors, []);
    }

    #[rstest]
    #[case::as_long_as_may_be(MOST_BYTES, &[])]
    #[case::too_long(MOST_BYTES + 1, &["the recipe has 65537 bytes, at most 65536 are read"])]
    fn a_recipe_has_at_most_as_many_bytes_as_are_read(
        #[case] bytes: usize,
        #[case] expected: &[&str],
    ) {
        let begin = "chart: c\nversion: 0.1.0\n";
        let text = begin.to_owned() + &"#".repeat(bytes - begin.len());

        let errors = FileKind::Recipe.check(&text).errors;

        let told: Vec<&str> = errors.iter().map(|error| error.message.as_str()).collect();
        assert_eq!(told, expected);
    }
}
