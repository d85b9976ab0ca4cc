//! The example recipes, and the charts that they name.

use std::fs;

use sinfonia_core::recipe::{ChartReference, Recipe};
use sinfonia_testbed::{Programs, TestFolder};
use uuid::Uuid;

use super::chart::{Helm, repository, told};

#[test]
fn example_recipes_are_read_to_the_last_field() {
    let examples = examples();

    assert_eq!(examples.len(), 3);
    for (name, text) in examples {
        let recipe = Recipe::parse(&text).unwrap();
        assert_eq!(
            name,
            format!("{}.yaml", name[..36].parse::<Uuid>().unwrap())
        );
        assert_eq!(Recipe::ignored_fields(&text).unwrap(), [""; 0], "{name}");
        recipe.wishes().unwrap();
        recipe.sandbox_backend().unwrap();
        assert!(recipe.description.is_some(), "{name}");
    }
}

#[test]
fn packaged_charts_make_the_example_recipes_a_repository() {
    let folder = TestFolder::new().unwrap();
    let helm = Helm::new(Programs::find_or_hint().unwrap().helm4, folder.path());

    let charts = fs::read_dir(repository().join("charts")).unwrap();
    let charts = charts.map(|chart| chart.unwrap().path());
    let mut package = helm.command();
    package.arg("package").args(charts).arg("--destination");
    told(&package.arg(folder.path().join("charts")).output().unwrap());

    for (name, text) in examples() {
        let recipe = Recipe::parse(&text).unwrap();
        assert!(matches!(recipe.chart, ChartReference::Path(_)), "{name}");
        let archive = format!("{}-{}.tgz", recipe.chart, recipe.version);
        assert!(folder.path().join(&archive).is_file(), "{name}: {archive}");
    }
}

/// The example recipe of this uuid.
pub(super) fn example(uuid: &str) -> Recipe {
    let file = repository().join(format!("examples/recipes/{uuid}.yaml"));
    Recipe::parse(&fs::read_to_string(file).unwrap()).unwrap()
}

/// The names and texts of all example recipes.
fn examples() -> Vec<(String, String)> {
    let files = fs::read_dir(repository().join("examples/recipes")).unwrap();
    let files = files.map(|file| file.unwrap().path());
    // The packaged charts may lie beside them.
    let files = files.filter(|file| {
        file.extension()
            .is_some_and(|extension| extension == "yaml")
    });
    files
        .map(|file| {
            let name = file.file_name().unwrap().to_str().unwrap().to_owned();
            (name, fs::read_to_string(file).unwrap())
        })
        .collect()
}
