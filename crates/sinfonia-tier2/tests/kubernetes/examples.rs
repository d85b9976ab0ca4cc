//! The example recipes with the charts of this repository, as somebody who follows the README makes a repository of them: they are installed
//! with a deployment's own rights, and their pods are let in within what every deployment may use.

use std::fs;
use std::path::Path;
use std::process::Command;

use rstest::rstest;
use sinfonia_testbed::Programs;

use crate::harness::Cloudlet;

/// What a cluster with GPUs has that the control plane has not.
const RUNTIME_CLASS: &str = "\
apiVersion: node.k8s.io/v1
kind: RuntimeClass
metadata: {name: nvidia}
handler: nvidia
";

#[rstest]
#[case::helloworld("00000000-0000-0000-0000-000000000000", &[])]
#[case::openrtist_on_a_processor("737b5001-d27a-413f-9806-abf9bfce6746", &[])]
#[case::openrtist_on_a_gpu("755e5883-0788-44da-8778-2113eddf4271", &[])]
#[case::where_gpus_are_for_those_that_ask("755e5883-0788-44da-8778-2113eddf4271", &["--quota", "nvidia.com/gpu=0"])]
#[tokio::test(flavor = "multi_thread")]
async fn an_example_runs_within_what_every_deployment_may_use(
    #[case] recipe: &str,
    #[case] options: &[&str],
) {
    let cloudlet = Cloudlet::new();
    cloudlet.cluster().apply(RUNTIME_CLASS).unwrap();
    write_examples(cloudlet.folder());
    let tier2 = cloudlet.tier2(options).await;

    let waiting = tokio::spawn(tier2.post(recipe, 1).wait(60).granted());
    cloudlet.run_pods(&cloudlet.name_of(1), true);

    assert_eq!(waiting.await.unwrap()["Ready"], true);
}

/// Makes the examples the repository in `recipes` below a folder.
fn write_examples(folder: &Path) {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let recipes = folder.join("recipes");
    let files = |path: &str| {
        let entries = fs::read_dir(sources.join(path)).unwrap();
        entries.map(|entry| entry.unwrap().path())
    };
    for file in files("examples/recipes").filter(|file| file.is_file()) {
        fs::copy(&file, recipes.join(file.file_name().unwrap())).unwrap();
    }
    let packaged = Command::new(Programs::find_or_hint().unwrap().helm4)
        .env_clear()
        .env("HOME", folder)
        .arg("package")
        .args(files("charts"))
        .arg("--destination")
        .arg(recipes.join("charts"))
        .output()
        .unwrap();
    assert!(packaged.status.success(), "{packaged:?}");
}
