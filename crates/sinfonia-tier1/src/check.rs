//! `sinfonia-tier1 check`: whether files can be used, told without starting.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;
use sinfonia_core::check::{FileKind, Findings};
use sinfonia_core::diagnostic::{Diagnostic, Severity};
use sinfonia_core::yaml;
use uuid::Uuid;

use crate::settings::CheckArgs;

/// What was found in all files.
#[derive(Debug)]
pub struct Report(Vec<Checked>);

/// What was found in one file.
#[derive(Debug)]
struct Checked {
    path: PathBuf,
    kind: Option<FileKind>,
    /// Whether it is YAML, but nothing says what it is.
    unknown: bool,
    findings: Findings,
}

#[derive(Serialize)]
struct ReportJson<'a> {
    good: bool,
    files: Vec<CheckedJson<'a>>,
}

#[derive(Serialize)]
struct CheckedJson<'a> {
    path: String,
    kind: Option<&'static str>,
    good: bool,
    findings: Vec<FindingJson<'a>>,
}

#[derive(Serialize)]
struct FindingJson<'a> {
    severity: &'static str,
    document: usize,
    line: Option<usize>,
    column: Option<usize>,
    message: &'a str,
    hint: Option<&'a str>,
}

impl Report {
    /// Checks files, and all YAML files in folders, in the order of their names.
    pub fn of(args: &CheckArgs) -> Self {
        let CheckArgs {
            files,
            kind,
            output: _,
        } = args;
        let checked = files.iter().flat_map(|path| check(path, *kind));
        Self(checked.collect())
    }

    /// Whether all can be used.
    pub fn is_good(&self) -> bool {
        self.0.iter().all(Checked::is_good)
    }

    /// The report for people; in colours or without.
    pub fn text(&self, colours: bool) -> String {
        let files = self.0.iter().map(|checked| checked.text(colours));
        files.collect()
    }

    /// The report for programs.
    ///
    /// # Errors
    /// None, as all of it is text and numbers.
    pub fn json(&self) -> serde_json::Result<String> {
        let report = ReportJson {
            good: self.is_good(),
            files: self.0.iter().map(Checked::json).collect(),
        };
        Ok(serde_json::to_string_pretty(&report)? + "\n")
    }
}

impl Checked {
    /// A file about which there is one thing to tell, and nothing was looked for.
    fn refused(path: &Path, error: Diagnostic) -> Self {
        Self {
            path: path.to_owned(),
            kind: None,
            unknown: false,
            findings: Findings::of_error(error),
        }
    }

    /// The same as one of a folder, where there may be other files too.
    fn skipped_if_unknown(mut self) -> Self {
        if self.unknown {
            self.findings.warnings.append(&mut self.findings.errors);
        }
        self
    }

    fn is_good(&self) -> bool {
        self.findings.errors.is_empty()
    }

    fn all(&self) -> impl Iterator<Item = (Severity, &Diagnostic)> {
        let Findings { errors, warnings } = &self.findings;
        let errors = errors.iter().map(|error| (Severity::Error, error));
        errors.chain(warnings.iter().map(|odd| (Severity::Warning, odd)))
    }

    fn text(&self, colours: bool) -> String {
        let path = self.path.display().to_string();
        let told = self.all().map(|(severity, diagnostic)| {
            let shown = diagnostic.render(severity, &path, colours);
            format!("{shown}\n\n")
        });
        let told: String = told.collect();
        let path = path.replace(char::is_control, "\u{fffd}");
        format!("{told}{path}: {}\n", self.verdict())
    }

    fn verdict(&self) -> String {
        let kind = self.kind.map_or("unknown", FileKind::name);
        let Findings { errors, warnings } = &self.findings;
        let result = match (errors.len(), warnings.len()) {
            (0, _) if self.kind.is_none() => "skipped".to_owned(),
            (0, 0) => "good".to_owned(),
            (0, odd) => format!("good, with {}", plural(odd, "warning")),
            (errors, _) => plural(errors, "error"),
        };
        format!("{kind}: {result}")
    }

    fn json(&self) -> CheckedJson<'_> {
        CheckedJson {
            path: self.path.display().to_string(),
            kind: self.kind.map(FileKind::name),
            good: self.is_good(),
            findings: self.all().map(finding_json).collect(),
        }
    }
}

fn finding_json((severity, diagnostic): (Severity, &Diagnostic)) -> FindingJson<'_> {
    FindingJson {
        severity: match severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        },
        document: diagnostic.position.document,
        line: diagnostic.position.line,
        column: diagnostic.position.column,
        message: &diagnostic.message,
        hint: diagnostic.hint.as_deref(),
    }
}

fn plural(number: usize, word: &str) -> String {
    let ending = if number == 1 { "" } else { "s" };
    format!("{number} {word}{ending}")
}

fn check(path: &Path, kind: Option<FileKind>) -> Vec<Checked> {
    if !path.is_dir() {
        return vec![check_file(path, kind)];
    }
    match yaml_files(path) {
        Ok(files) if files.is_empty() => {
            let error = Diagnostic::of_file("there is no YAML file (.yaml or .yml) in the folder");
            vec![Checked::refused(path, error)]
        }
        Ok(files) => {
            let checked = files.iter().map(|file| check_file(file, kind));
            checked.map(Checked::skipped_if_unknown).collect()
        }
        Err(error) => vec![unreadable(path, &error)],
    }
}

fn yaml_files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder)?.map(|entry| Ok(entry?.path()));
    let mut files = entries.collect::<io::Result<Vec<PathBuf>>>()?;
    let is_yaml = |file: &PathBuf| {
        let extension = file.extension();
        file.is_file()
            && extension.is_some_and(|extension| extension == "yaml" || extension == "yml")
    };
    files.retain(is_yaml);
    files.sort();
    Ok(files)
}

fn check_file(path: &Path, kind: Option<FileKind>) -> Checked {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) => return unreadable(path, &error),
    };
    let Ok(text) = String::from_utf8(bytes) else {
        return Checked::refused(path, Diagnostic::of_file("the file is not UTF-8 text"));
    };
    let Some(kind) = kind
        .or_else(|| FileKind::of(&text))
        .or_else(|| by_name(path))
    else {
        if let Some(error) = yaml::syntax_error(&text) {
            return Checked::refused(path, error);
        }
        let error = Diagnostic::of_file("the file has no field of cloudlets, recipes or policies");
        let error =
            error.with_hint("say what it is meant to be with --kind cloudlets, recipe or policy");
        return Checked {
            unknown: true,
            ..Checked::refused(path, error)
        };
    };
    let mut findings = kind.check(&text);
    if kind == FileKind::Recipe {
        findings.warnings.extend(misnamed(path));
    }
    Checked {
        path: path.to_owned(),
        kind: Some(kind),
        unknown: false,
        findings,
    }
}

fn unreadable(path: &Path, error: &io::Error) -> Checked {
    Checked::refused(
        path,
        Diagnostic::of_file(format!("cannot read it: {error}")),
    )
}

/// Recipes alone have names that say what they are.
fn by_name(path: &Path) -> Option<FileKind> {
    named(path).map(|_| FileKind::Recipe)
}

/// The uuid that a file is named by, written as services look for it.
fn named(path: &Path) -> Option<Uuid> {
    let stem = path.file_stem()?.to_str()?;
    let uuid: Uuid = stem.parse().ok()?;
    (uuid.to_string() == stem).then_some(uuid)
}

/// What keeps services from finding a recipe, however good it is: they read `<uuid>.yaml`.
fn misnamed(path: &Path) -> Option<Diagnostic> {
    let (reason, hint) = match named(path) {
        Some(_) if path.extension().is_some_and(|ending| ending == "yaml") => return None,
        Some(uuid) => (
            "its file's name does not end in .yaml",
            format!("name it {uuid}.yaml"),
        ),
        None => (
            "its file is not named by a uuid",
            "name it like 737b5001-d27a-413f-9806-abf9bfce6746.yaml".to_owned(),
        ),
    };
    let message = format!("nobody can ask for this recipe, because {reason}");
    Some(Diagnostic::of_file(message).with_hint(hint))
}
