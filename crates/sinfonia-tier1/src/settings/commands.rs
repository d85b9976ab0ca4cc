//! What Tier 1 does besides running.

use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use clap::{Args, Subcommand, ValueEnum};
use clap_complete::Shell;
use sinfonia_core::check::FileKind;

const CHECK_EXAMPLES: &str = "\
Examples:
  See whether Tier 1 would start with these files:
    sinfonia-tier1 check cloudlets.yaml policy.yaml

  Check all recipes of a folder before they are published, for programs:
    sinfonia-tier1 check --output json recipes/ | jq '.files[] | select(.good | not)'

  Have a file taken for what it is meant to be:
    sinfonia-tier1 check --kind recipe draft.yaml

What is wrong and what is odd is shown with its place. It ends with 0 if all can be used,
else with 1. Files of tokens and certificates that a cloudlet file names are not looked at.";

const SCHEMA_EXAMPLES: &str = "\
Examples:
  Let an editor complete and check a cloudlet file:
    sinfonia-tier1 schema cloudlets >cloudlets.schema.json
  and in the first line of cloudlets.yaml, for editors with yaml-language-server:
    # yaml-language-server: $schema=cloudlets.schema.json";

const OPENAPI_EXAMPLES: &str = "\
Examples:
  Have a client of the API made, or anything else that reads OpenAPI:
    sinfonia-tier1 openapi >tier1.json

  See what a request for a deployment may be answered with:
    sinfonia-tier1 openapi | jq '.paths[].post | select(.operationId == \"deploy\").responses'

A Tier 1 that runs shows the same to people at /api/v1/ui/, and lets them send requests.";

const COMPLETIONS_EXAMPLES: &str = "\
Examples:
  sinfonia-tier1 completions bash >~/.local/share/bash-completion/completions/sinfonia-tier1
  sinfonia-tier1 completions zsh >~/.zfunc/_sinfonia-tier1
  sinfonia-tier1 completions fish >~/.config/fish/completions/sinfonia-tier1.fish";

/// What Tier 1 can do besides running.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum Task {
    /// Checks cloudlet files, recipes and policies without starting
    #[command(after_long_help = CHECK_EXAMPLES)]
    Check(CheckArgs),
    /// Prints the JSON Schema of cloudlet files, recipes or policies, for editors
    #[command(after_long_help = SCHEMA_EXAMPLES)]
    Schema(SchemaArgs),
    /// Prints the description of the API (OpenAPI 3.1), as it is served at /api/v1/openapi.json
    #[command(after_long_help = OPENAPI_EXAMPLES)]
    Openapi,
    /// Prints a script that completes the command line in a shell
    #[command(after_long_help = COMPLETIONS_EXAMPLES)]
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Writes the manual pages, for packages
    #[command(hide = true)]
    Man {
        /// Folder to write them into
        #[arg(value_name = "DIR")]
        folder: PathBuf,
    },
}

/// What is checked.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct CheckArgs {
    /// Files to check; of a folder all YAML files in it
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// What the files are [default: what they look like by their fields]
    #[arg(long, value_name = "KIND", value_parser = kinds())]
    pub kind: Option<FileKind>,
    /// Form of the report
    #[arg(long, value_name = "FORM", value_enum, default_value_t = ReportForm::Text)]
    pub output: ReportForm,
}

/// Which schema is printed.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct SchemaArgs {
    /// Kind of file
    #[arg(value_name = "KIND", value_parser = kinds())]
    pub kind: FileKind,
}

/// Form of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ReportForm {
    /// For people
    Text,
    /// For programs
    Json,
}

fn kinds() -> impl clap::builder::TypedValueParser<Value = FileKind> {
    let names = FileKind::ALL.map(FileKind::name);
    PossibleValuesParser::new(names).try_map(|name| name.parse::<FileKind>())
}
