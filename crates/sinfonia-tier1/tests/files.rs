//! The files that people write, as the program checks them without starting.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use clap::CommandFactory;
use insta::assert_snapshot;
use sinfonia_tier1::settings::Settings;
use tempfile::TempDir;

const RECIPE: &str = "737b5001-d27a-413f-9806-abf9bfce6746.yaml";

#[test]
fn the_examples_are_good() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");

    let output = run(
        &root,
        &["check", "examples", "examples/recipes", "examples/replay"],
    );

    assert_snapshot!(text(&output), @r"
    examples/cloudlets.yaml: cloudlets: good
    warning: the file has no field of cloudlets, recipes or policies
    --> examples/compose.yaml
     = hint: say what it is meant to be with --kind cloudlets, recipe or policy

    examples/compose.yaml: unknown: skipped
    examples/metrics.yaml: cloudlets: good
    examples/policy.yaml: policy: good
    examples/recipes/00000000-0000-0000-0000-000000000000.yaml: recipe: good
    examples/recipes/737b5001-d27a-413f-9806-abf9bfce6746.yaml: recipe: good
    examples/recipes/755e5883-0788-44da-8778-2113eddf4271.yaml: recipe: good
    examples/replay/cheapest.yaml: policy: good
    examples/replay/fleet.yaml: cloudlets: good
    examples/replay/greenest.yaml: policy: good
    ");
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn what_is_wrong_and_what_is_odd_is_shown_with_its_place() {
    let folder = broken_files();

    let output = run(folder.path(), &["check", "."]);

    assert_eq!(output.status.code(), Some(1));
    assert_snapshot!(text(&output), @r"
    error: document 1: version: `0.1` is not a chart version: expected three numbers, such as 0.1.0
     --> ./737b5001-d27a-413f-9806-abf9bfce6746.yaml:2:10
      |
    2 | version: 0.1
      |          ^^^

    ./737b5001-d27a-413f-9806-abf9bfce6746.yaml: recipe: 1 error
    warning: nobody can ask for this recipe, because its file's name does not end in .yaml
    --> ./755e5883-0788-44da-8778-2113eddf4271.yml
     = hint: name it 755e5883-0788-44da-8778-2113eddf4271.yaml

    ./755e5883-0788-44da-8778-2113eddf4271.yml: recipe: good, with 1 warning
    error: document 2: accepted_clients[1]: `10.0.0.0/33` is not a network: what follows the slash is neither a prefix length (0 to 32, IPv6 to 128) nor a netmask
     --> ./cloudlets.yaml:8:5
      |
    8 |   - 10.0.0.0/33
      |     ^^^^^^^^^^^

    ./cloudlets.yaml: cloudlets: 1 error
    warning: document 1: endpoint: its query is ignored
     --> ./odd.yaml:1:11
      |
    1 | endpoint: http://one.example/api/v1/deploy?x=1
      |           ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^

    ./odd.yaml: cloudlets: good, with 1 warning
    error: document 1: prefer: `*` does not take a number and a whole number
     --> ./policy.yaml:2:29
      |
    2 | prefer: -resources.carbon * 2
      |                             ^
      |
      = hint: all numbers are doubles: write 2.0

    ./policy.yaml: policy: 1 error
    warning: nobody can ask for this recipe, because its file is not named by a uuid
    --> ./recipe.yaml
     = hint: name it like 737b5001-d27a-413f-9806-abf9bfce6746.yaml

    ./recipe.yaml: recipe: good, with 1 warning
    warning: the file has no field of cloudlets, recipes or policies
    --> ./something.yml
     = hint: say what it is meant to be with --kind cloudlets, recipe or policy

    ./something.yml: unknown: skipped
    ");
}

#[test]
fn programs_get_the_same_as_json() {
    let folder = broken_files();

    let output = run(
        folder.path(),
        &["check", "--output=json", "policy.yaml", "odd.yaml"],
    );

    assert_eq!(output.status.code(), Some(1));
    assert_snapshot!(text(&output), @r#"
    {
      "good": false,
      "files": [
        {
          "path": "policy.yaml",
          "kind": "policy",
          "good": false,
          "findings": [
            {
              "severity": "error",
              "document": 1,
              "line": 2,
              "column": 29,
              "message": "prefer: `*` does not take a number and a whole number",
              "hint": "all numbers are doubles: write 2.0"
            }
          ]
        },
        {
          "path": "odd.yaml",
          "kind": "cloudlets",
          "good": true,
          "findings": [
            {
              "severity": "warning",
              "document": 1,
              "line": 1,
              "column": 11,
              "message": "endpoint: its query is ignored",
              "hint": null
            }
          ]
        }
      ]
    }
    "#);
}

#[test]
fn a_file_can_be_taken_for_what_it_is_meant_to_be() {
    let folder = broken_files();
    fs::write(folder.path().join("draft.yaml"), "descripton: Hello\n").unwrap();

    let unknown = run(folder.path(), &["check", "draft.yaml"]);
    let recipe = run(folder.path(), &["check", "--kind=recipe", "draft.yaml"]);

    assert_snapshot!(text(&unknown) + "\n" + &text(&recipe), @r"
    error: the file has no field of cloudlets, recipes or policies
    --> draft.yaml
     = hint: say what it is meant to be with --kind cloudlets, recipe or policy

    draft.yaml: unknown: 1 error

    error: document 1: missing field `chart`
     --> draft.yaml:1:1
      |
    1 | descripton: Hello
      | ^^^^^^^^^^

    warning: nobody can ask for this recipe, because its file is not named by a uuid
    --> draft.yaml
     = hint: name it like 737b5001-d27a-413f-9806-abf9bfce6746.yaml

    draft.yaml: recipe: 1 error
    ");
}

#[test]
fn what_cannot_be_read_is_told() {
    let folder = broken_files();
    fs::create_dir(folder.path().join("empty")).unwrap();
    fs::write(folder.path().join("latin1.yaml"), b"name: Z\xfcrich\n").unwrap();

    let output = run(
        folder.path(),
        &["check", "nowhere.yaml", "empty", "latin1.yaml"],
    );

    assert_eq!(output.status.code(), Some(1));
    assert_snapshot!(text(&output), @r"
    error: cannot read it: No such file or directory (os error 2)
    --> nowhere.yaml

    nowhere.yaml: unknown: 1 error
    error: there is no YAML file (.yaml or .yml) in the folder
    --> empty

    empty: unknown: 1 error
    error: the file is not UTF-8 text
    --> latin1.yaml

    latin1.yaml: unknown: 1 error
    ");
}

#[test]
fn what_is_no_yaml_is_refused_with_its_place_whatever_it_is_meant_to_be() {
    let folder = tempfile::tempdir().unwrap();
    let indented = "name: one\n  endpoint: http://one.example/api/v1/deploy\n";
    fs::write(folder.path().join("indented.yaml"), indented).unwrap();

    let output = run(folder.path(), &["check", "."]);

    assert_eq!(output.status.code(), Some(1));
    assert_snapshot!(text(&output), @r"
    error: document 1: mapping values are not allowed in this context
     --> ./indented.yaml:2:11
      |
    2 |   endpoint: http://one.example/api/v1/deploy
      |           ^

    ./indented.yaml: unknown: 1 error
    ");
}

#[test]
fn the_help_of_check_has_examples() {
    let mut command = Settings::command().term_width(100);
    let check = command.find_subcommand_mut("check").unwrap();

    assert_snapshot!(check.render_long_help());
}

#[test]
fn the_help_of_openapi_has_examples() {
    let mut command = Settings::command().term_width(100);
    let openapi = command.find_subcommand_mut("openapi").unwrap();

    assert_snapshot!(openapi.render_long_help());
}

#[test]
fn each_command_has_a_manual_page() {
    let folder = tempfile::tempdir().unwrap();

    let output = run(folder.path(), &["man", "share/man1"]);

    assert_eq!(
        (text(&output), output.status.code()),
        (String::new(), Some(0))
    );
    let pages = fs::read_dir(folder.path().join("share/man1")).unwrap();
    let pages = pages.map(|page| page.unwrap().file_name().into_string().unwrap());
    let mut pages: Vec<String> = pages.collect();
    pages.sort();
    let expected = [
        "sinfonia-tier1-check.1",
        "sinfonia-tier1-completions.1",
        "sinfonia-tier1-openapi.1",
        "sinfonia-tier1-schema.1",
        "sinfonia-tier1.1",
    ];
    assert_eq!(pages, expected);
}

fn broken_files() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let files = [
        (
            "cloudlets.yaml",
            "name: one\nendpoint: http://one.example/api/v1/deploy\n---\nname: two\nendpoint: http://two.example/api/v1/deploy\naccepted_clients:\n  - 10.0.0.0/8\n  - 10.0.0.0/33\n",
        ),
        (
            "odd.yaml",
            "endpoint: http://one.example/api/v1/deploy?x=1\n",
        ),
        (
            "policy.yaml",
            "description: greenest\nprefer: -resources.carbon * 2\n",
        ),
        (
            RECIPE,
            "chart: charts/example\nversion: 0.1\nsandbox: {forward: {80: 127.0.0.1:8080}}\n",
        ),
        ("recipe.yaml", "chart: charts/example\nversion: 0.1.0\n"),
        (
            "755e5883-0788-44da-8778-2113eddf4271.yml",
            "chart: charts/example\nversion: 0.1.0\n",
        ),
        ("something.yml", "name: something else\n"),
    ];
    for (name, text) in files {
        fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

fn run(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sinfonia-tier1"))
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .output()
        .unwrap()
}

fn text(output: &Output) -> String {
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    String::from_utf8(output.stdout.clone()).unwrap()
}
