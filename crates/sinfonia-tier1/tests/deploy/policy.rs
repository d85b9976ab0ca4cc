use std::path::PathBuf;
use std::time::Duration;

use http::Method;
use rstest::rstest;
use serde_json::json;
use tempfile::TempDir;

use crate::tier1::{self, Cloudlets, KEY, OPEN_RECIPE, Running, uuid};
use crate::tier2::{Does, FakeTier2};

/// Longest wait for a changed file to count.
const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::test]
async fn a_recipe_gets_the_nearest_cloudlet_that_meets_its_requirements() {
    let files = Files::new();
    files.recipe("requires: resources.gpu_ratio < 0.8\n");
    let (tier1, _) = files
        .tier1(&[
            "",
            "resources: {gpu_ratio: 0.93}",
            "resources: {gpu_ratio: 0.1}",
        ])
        .await;

    let answer = tier1.deploy("").await;

    assert_eq!(answer.cloudlets(), [uuid(3)]);
}

#[tokio::test]
async fn the_operator_sends_clients_to_the_cheapest() {
    let files = Files::new();
    files.recipe("");
    files.policy("prefer: -double(cloudlet.labels.price)\n");
    let (tier1, _) = files
        .tier1(&["labels: {price: '0.30'}", "labels: {price: '0.10'}", ""])
        .await;

    let (post, get) = (
        tier1.deploy("").await,
        tier1
            .ask(Method::GET, &path(), &[("x-location", "0,0")])
            .await,
    );

    assert_eq!(post.cloudlets(), [uuid(2)]);
    let order: Vec<_> = get
        .body
        .as_array()
        .unwrap()
        .iter()
        .map(|candidate| candidate["uuid"].clone())
        .collect();
    // Remembered first by now, then the one without a price, which takes the median.
    assert_eq!(json!(order), json!([uuid(2), uuid(3), uuid(1)]));
}

#[tokio::test]
async fn where_no_cloudlet_will_do_nobody_is_asked() {
    let files = Files::new();
    files.recipe("");
    files.policy("requires: cloudlet.labels.region == 'eu'\n");
    let (tier1, fakes) = files.tier1(&["labels: {region: us}"]).await;

    let answer = tier1.deploy("").await;

    assert_eq!(answer.problem(503), "no cloudlet serves 127.0.0.1");
    assert_eq!(fakes[0].asked(&Method::POST).len(), 0);
    let metrics = tier1.ask_admin("/metrics").await;
    let expected = "cloudlets_excluded_total{rule=\"operator_requires\"} 1";
    assert!(metrics.contains(expected), "{metrics}");
}

#[tokio::test]
async fn an_explanation_tells_what_was_required_and_preferred() {
    let files = Files::new();
    files.recipe("requires: resources.gpu_ratio < 0.8\n");
    files.policy("prefer: -double(cloudlet.labels.price)\n");
    let (tier1, _) = files
        .tier1(&["resources: {gpu_ratio: 0.5}\nlabels: {price: '0.25'}", ""])
        .await;

    let answer = tier1.get("/explain?location=0,0").await;

    let candidate = &answer.body["candidates"][0];
    assert_eq!(candidate["parts"]["operator_prefer"], json!(-0.25));
    assert_eq!(
        answer.body["excluded"][0],
        json!({
            "cloudlet": answer.body["excluded"][0]["cloudlet"],
            "rule": "recipe_requires",
            "values": {"requires": "resources.gpu_ratio < 0.8", "resources.gpu_ratio": null},
            "reason": "requires resources.gpu_ratio < 0.8: none reported",
        })
    );
}

#[rstest]
#[case::unknown(
    "00000000-0000-0000-0000-00000000000f",
    "there is no recipe 00000000-0000-0000-0000-00000000000f: told without what it requires and prefers"
)]
#[case::malformed(
    OPEN_RECIPE,
    "recipe 00000000-0000-0000-0000-000000000000 cannot be read from the repository at present: told without what it requires and prefers"
)]
#[tokio::test]
async fn an_explanation_says_when_the_recipe_is_not_known(
    #[case] recipe: &str,
    #[case] note: &str,
) {
    let files = Files::new();
    files.recipe("requires: nonsense\n");
    let (tier1, _) = files.tier1(&[""]).await;

    let answer = tier1
        .get(&format!("/explain?location=0,0&uuid={recipe}"))
        .await;

    assert_eq!(answer.status.as_u16(), 200);
    assert_eq!(answer.body["note"], note);
    assert_eq!(answer.body["candidates"][0]["cloudlet"]["uuid"], uuid(1));
}

#[tokio::test]
async fn a_recipe_whose_expressions_cannot_be_used_is_unavailable() {
    let files = Files::new();
    files.recipe("prefer: resources.cpu_ratio * 2\n");
    let (tier1, fakes) = files.tier1(&[""]).await;

    let answer = tier1.deploy("").await;

    assert_eq!(
        answer.problem(503),
        "recipe 00000000-0000-0000-0000-000000000000 cannot be read from the repository at present"
    );
    assert_eq!(fakes[0].asked(&Method::POST).len(), 0);
}

#[tokio::test]
async fn a_changed_policy_counts_without_a_restart() {
    let files = Files::new();
    files.recipe("");
    files.policy("requires: cloudlet.name == 'cloudlet 1'\n");
    let (tier1, _) = files.tier1(&["", ""]).await;

    files.policy("requires: cloudlet.name == 'cloudlet 2'\n");

    let changed = async {
        while tier1.ask(Method::GET, &path(), &[]).await.body[0]["uuid"] != uuid(2) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, changed).await.unwrap();
}

#[tokio::test]
async fn a_bad_policy_is_refused_at_the_start() {
    let files = Files::new();
    files.recipe("");
    files.policy("# the greenest\nprefer: -resources.carbon * 2\n");

    let options = files.options();
    let options = options.each_ref().map(String::as_str);
    let error = tier1::start(files.folder.path(), &Cloudlets::default(), &options)
        .await
        .err()
        .unwrap();

    let (path, wrong) = error.within_file().unwrap();
    assert_eq!(path, files.folder.path().join("policy.yaml"));
    insta::assert_snapshot!(wrong, @r"
    document 1, line 2, column 29: prefer: `*` does not take a number and a whole number
    hint: all numbers are doubles: write 2.0
    ");
}

/// A folder with a recipe and a policy.
struct Files {
    folder: TempDir,
}

impl Files {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        std::fs::create_dir(folder.path().join("recipes")).unwrap();
        let files = Self { folder };
        files.policy("{}\n");
        files
    }

    fn recipe(&self, more: &str) {
        let text = format!("chart: example\nversion: 0.1.0\n{more}");
        std::fs::write(self.recipes().join(format!("{OPEN_RECIPE}.yaml")), text).unwrap();
    }

    fn policy(&self, text: &str) {
        std::fs::write(self.folder.path().join("policy.yaml"), text).unwrap();
    }

    fn recipes(&self) -> PathBuf {
        self.folder.path().join("recipes")
    }

    /// A Tier 1 with cloudlets of which the file says more.
    async fn tier1(&self, cloudlets: &[&str]) -> (Running, Vec<FakeTier2>) {
        let (mut file, mut fakes) = (Cloudlets::default(), Vec::new());
        for more in cloudlets {
            let fake = FakeTier2::start(Does::Deploys).await;
            file = file.and(fake.address, more);
            fakes.push(fake);
        }
        let options = self.options();
        (
            Running::with_options(file, &options.each_ref().map(String::as_str)).await,
            fakes,
        )
    }

    fn options(&self) -> [String; 2] {
        [
            format!("--recipes={}", self.recipes().display()),
            format!(
                "--policy={}",
                self.folder.path().join("policy.yaml").display()
            ),
        ]
    }
}

fn path() -> String {
    format!("/deploy/{OPEN_RECIPE}/{KEY}")
}
