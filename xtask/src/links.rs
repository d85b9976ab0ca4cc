//! What the repository's documents link to is there: files, and in them the names that a link shows as code.

use std::fs;
use std::path::{Path, PathBuf};

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};
use rstest::rstest;

use crate::cargo::workspace;

/// Folders whose documents are not the repository's.
const FOREIGN: [&str; 3] = [".git", "node_modules", "target"];

/// What stands before a name where Rust code defines it.
const KEYWORDS: [&str; 8] = [
    "const", "enum", "fn", "mod", "static", "struct", "trait", "type",
];

/// A link or an image.
struct Link {
    target: String,
    /// What its text shows as code.
    names: Vec<String>,
}

#[test]
fn documents_link_to_files_that_are_there_and_define_what_is_named() {
    let documents = documents(workspace());

    let faults: Vec<String> = documents
        .iter()
        .flat_map(|document| {
            let text = fs::read_to_string(document).unwrap();
            let faults = faults(document.parent().unwrap(), &text).into_iter();
            faults.map(|fault| format!("{}: {fault}", document.display()))
        })
        .collect();

    assert!(documents.contains(&workspace().join("crates/README.md")));
    assert_eq!(faults, Vec::<String>::new());
}

#[rstest]
#[case::file("See [the code](code.rs).", &[])]
#[case::folder("See [`all`](..).", &[])]
#[case::elsewhere("See [it](https://example.org/gone) and [below](#below).", &[])]
#[case::part_of_a_file("See [the code](code.rs#part).", &[])]
#[case::no_link("`[code](gone.rs)`\n\n```md\n[code](gone.rs)\n```", &[])]
#[case::function("See [`walk`](code.rs).", &[])]
#[case::method("See [`Fleet::walk`](code.rs).", &[])]
#[case::in_another_language("See [`replicas`](values.yaml).", &[])]
#[case::gone("See [the code](gone.rs).", &["gone.rs is not there"])]
#[case::gone_with_a_part("| a |\n|---|\n| ![](gone.png#a) |", &["gone.png is not there"])]
#[case::only_called("See [`run`](code.rs).", &["code.rs does not define run"])]
#[case::part_of_a_word("See [`wal`](code.rs).", &["code.rs does not define wal"])]
#[case::other_owner("See [`Herd::walk`](code.rs).", &["code.rs does not define Herd::walk"])]
#[case::one_of_two("See [`walk`, `run`](code.rs).", &["code.rs does not define run"])]
#[case::not_in_another_language("See [`pods`](values.yaml).", &["values.yaml does not define pods"])]
fn a_link_that_leads_nowhere_is_told(#[case] document: &str, #[case] expected: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let code = "impl Fleet {\n    pub const fn walk<T>(&self) {\n        run();\n    }\n}\n";
    fs::write(folder.path().join("code.rs"), code).unwrap();
    fs::write(folder.path().join("values.yaml"), "replicas: 2\n").unwrap();

    assert_eq!(faults(folder.path(), document), expected);
}

/// All Markdown files under a folder.
fn documents(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let own = entries.filter(|entry| !FOREIGN.iter().any(|foreign| entry.file_name() == *foreign));
    own.flat_map(|entry| {
        let path = entry.path();
        match entry.file_type().unwrap() {
            kind if kind.is_dir() => documents(&path),
            _ if path.extension().is_some_and(|extension| extension == "md") => vec![path],
            _ => vec![],
        }
    })
    .collect()
}

/// What is wrong with the links of a document in a folder.
fn faults(folder: &Path, document: &str) -> Vec<String> {
    let links = links(document).into_iter();
    links.flat_map(|link| link.faults(folder)).collect()
}

fn links(document: &str) -> Vec<Link> {
    let mut links: Vec<Link> = Vec::new();
    let mut is_within = false;
    for event in Parser::new_ext(document, Options::ENABLE_TABLES) {
        match event {
            Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                is_within = true;
                links.push(Link {
                    target: dest_url.into_string(),
                    names: Vec::new(),
                });
            }
            Event::End(TagEnd::Link | TagEnd::Image) => is_within = false,
            Event::Code(name) if is_within => {
                let link = links.last_mut().unwrap();
                link.names.push(name.into_string());
            }
            _ => {}
        }
    }
    links
}

impl Link {
    fn faults(&self, folder: &Path) -> Vec<String> {
        let target = self.target.split('#').next().unwrap_or_default();
        if target.is_empty() || target.contains(':') {
            return Vec::new();
        }
        let path = folder.join(target);
        if !path.exists() {
            return vec![format!("{target} is not there")];
        }
        // A folder defines nothing.
        let Ok(text) = fs::read_to_string(&path) else {
            return Vec::new();
        };
        let is_rust = path.extension().is_some_and(|extension| extension == "rs");
        let missing = self.names.iter().filter(|name| {
            if is_rust {
                !defines(&text, name)
            } else {
                !text.contains(*name)
            }
        });
        missing
            .map(|name| format!("{target} does not define {name}"))
            .collect()
    }
}

/// Whether Rust code defines a name, and speaks of what the name is said to belong to.
fn defines(code: &str, path: &str) -> bool {
    let is_of_a_word = |character: char| character.is_alphanumeric() || character == '_';
    let words: Vec<&str> = code
        .split(|character| !is_of_a_word(character))
        .filter(|word| !word.is_empty())
        .collect();
    let (owner, name) = path.rsplit_once("::").unwrap_or(("", path));
    let is_defined = words
        .windows(2)
        .any(|pair| KEYWORDS.contains(&pair[0]) && pair[1] == name);
    is_defined && (owner.is_empty() || words.contains(&owner))
}
