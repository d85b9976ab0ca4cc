//! The commands beside `deploy`.

use std::fs;

use rstest::rstest;
use serde_json::{Value, json};
use wiremock::matchers::{method, path};
use wiremock::{Mock, ResponseTemplate};

use crate::device::{
    CLOUDLET, Device, HELLOWORLD, URL_SAFE_KEY, answer, problem, ready, starting, without,
};

#[tokio::test]
async fn candidates_are_told_best_first_with_reasons() {
    let device = Device::new().await;
    device.lists(answer(&candidates())).await;

    insta::assert_snapshot!(device.run("candidates helloworld --location 40.44,-79.94 --results 2"), @r"
    exit 0
    -- stdout
    RANK  CLOUDLET    DISTANCE  REASON
    1     Pittsburgh  4.3 km    location
    2     Paris       -         random
    -- stderr
    ");
    assert_eq!(
        device.asked().await,
        [format!(
            "GET /api/v1/deploy/{HELLOWORLD}/{URL_SAFE_KEY}?results=2"
        )]
    );
    assert_eq!(
        device.header("x-location").await.as_deref(),
        Some("40.44,-79.94")
    );
}

#[tokio::test]
async fn candidates_as_json_are_the_answer() {
    let device = Device::new().await;
    device.lists(answer(&candidates())).await;

    let output = device
        .command("candidates helloworld -o json")
        .output()
        .unwrap();

    assert_eq!(
        serde_json::from_slice::<Value>(&output.stdout).unwrap(),
        candidates()
    );
}

#[tokio::test]
async fn candidates_are_explained_with_all_that_decided() {
    let device = Device::new().await;
    device.explains(answer(&explanation())).await;

    insta::assert_snapshot!(device.run("candidates helloworld --explain --location 40.44,-79.94 --results 5"), @r"
    exit 0
    -- stdout
    RANK  CLOUDLET    CLASS   REASON    DISTANCE  RTT  RECIPE PREFERS  OPERATOR PREFERS
    1     Pittsburgh  normal  location  4.2 km    -    -               -0.1

    LEFT OUT  BECAUSE IT
    Paris     requires resources.gpu_ratio < 0.8: none reported
    and 3 more
    -- stderr
    note: the recipe is not there
    ");
    assert_eq!(
        device.asked().await,
        [format!(
            "GET /api/v1/explain?uuid={HELLOWORLD}&key={URL_SAFE_KEY}&limit=5"
        )]
    );
    assert_eq!(
        device.header("x-location").await.as_deref(),
        Some("40.44,-79.94")
    );
}

#[tokio::test]
async fn an_explanation_as_json_is_the_answer() {
    let device = Device::new().await;
    device.explains(answer(&explanation())).await;

    let output = device
        .command("candidates helloworld --explain -o json")
        .output()
        .unwrap();

    assert_eq!(
        serde_json::from_slice::<Value>(&output.stdout).unwrap(),
        explanation()
    );
}

#[tokio::test]
async fn explanations_that_are_for_operators_need_a_token() {
    let device = Device::new().await;
    device
        .explains(problem(401, "explanations are for operators"))
        .await;

    insta::assert_snapshot!(device.run("candidates helloworld --explain"), @r"
    exit 1
    -- stdout
    -- stderr
    error: nothing is explained of helloworld: explanations are for operators (401 Unauthorized, request r-1)
    hint: show an operator's token with --token FILE, or ask for less: sinfonia-tier3 candidates helloworld --tier1-url http://tier1
    ");
}

#[tokio::test]
async fn candidates_do_not_wait_for_a_first_deployment() {
    let device = Device::without_keys().await;
    Mock::given(method("GET"))
        .respond_with(answer(&candidates()))
        .mount(&device.tier1)
        .await;

    let told = device.run("candidates helloworld");

    assert!(told.starts_with("exit 0"), "{told}");
}

#[tokio::test]
async fn status_tells_how_far_it_is() {
    let device = Device::new().await;
    device.tells(answer(&starting())).await;

    insta::assert_snapshot!(device.run(&format!("status helloworld --cloudlet {CLOUDLET}")), @r"
    exit 0
    -- stdout
    DEPLOYMENT         CLOUDLET    STATUS        READY  ADDRESS    ENDPOINT           EXPIRES
    brave-otter-x7k2p  Pittsburgh  Initializing  no     10.5.17.4  203.0.113.7:51820  2099-01-01
    -- stderr
    note: waiting for 1 of 2 Pods
    ");
    assert_eq!(
        device.asked().await,
        [format!(
            "GET /api/v1/deployments/{HELLOWORLD}/{URL_SAFE_KEY}?cloudlet={CLOUDLET}"
        )]
    );
}

#[tokio::test]
async fn status_as_json_is_the_deployment() {
    let device = Device::new().await;
    device.tells(answer(&without(ready(), &["Cloudlet"]))).await;

    let output = device
        .command("status helloworld -o json")
        .output()
        .unwrap();

    assert_eq!(
        serde_json::from_slice::<Value>(&output.stdout).unwrap(),
        without(ready(), &["Cloudlet"])
    );
}

#[tokio::test]
async fn status_and_delete_need_a_key_and_make_none() {
    let device = Device::without_keys().await;

    insta::assert_snapshot!(device.run("status helloworld"), @r"
    exit 1
    -- stdout
    -- stderr
    error: helloworld was never deployed from here: $HOME/caches/sinfonia/00000000-0000-0000-0000-000000000000 holds no key for it
    hint: deploy it first: sinfonia-tier3 deploy helloworld --tier1-url http://tier1
    ");
    insta::assert_snapshot!(device.run("delete helloworld"), @r"
    exit 1
    -- stdout
    -- stderr
    error: helloworld was never deployed from here: $HOME/caches/sinfonia/00000000-0000-0000-0000-000000000000 holds no key for it
    hint: deploy it first: sinfonia-tier3 deploy helloworld --tier1-url http://tier1
    ");
    assert!(!device.key_entry().exists());
}

#[tokio::test]
async fn delete_gives_everything_back() {
    let device = Device::new().await;
    device.deletes(ResponseTemplate::new(204)).await;

    insta::assert_snapshot!(device.run("delete helloworld"), @r"
    exit 0
    -- stdout
    -- stderr
    deleted helloworld
    ");
    assert_eq!(
        device.asked().await,
        [format!(
            "DELETE /api/v1/deployments/{HELLOWORLD}/{URL_SAFE_KEY}"
        )]
    );
    assert!(device.key_entry().exists());
}

#[tokio::test]
async fn an_older_server_that_cannot_delete_is_no_failure() {
    for status in [404, 405] {
        let device = Device::new().await;
        device.deletes(ResponseTemplate::new(status)).await;

        insta::allow_duplicates! {
            insta::assert_snapshot!(device.run("delete helloworld"), @r"
            exit 0
            -- stdout
            -- stderr
            this Tier 1 cannot delete deployments; helloworld ends by itself once its lease has passed
            ");
        }
    }
}

#[tokio::test]
async fn a_tier1_that_remembers_nothing_cannot_delete() {
    let device = Device::new().await;
    device
        .deletes(problem(404, "no deployment is remembered for this key"))
        .await;

    insta::assert_snapshot!(device.run("delete helloworld"), @r"
    exit 1
    -- stdout
    -- stderr
    error: helloworld was not deleted: no deployment is remembered for this key (404 Not Found, request r-1)
    hint: name the cloudlet that has it with --cloudlet UUID, or let its lease end
    ");
}

#[rstest]
#[case("http_proxy")]
#[case("ALL_PROXY")]
#[tokio::test]
async fn no_proxy_is_taken_from_the_environment(#[case] variable: &str) {
    let device = Device::new().await;
    device.deletes(ResponseTemplate::new(204)).await;

    let output = device
        .command("delete helloworld")
        .env(variable, "http://127.0.0.1:9")
        .output()
        .unwrap();

    assert_eq!(output.status.code(), Some(0), "{}", device.told(&output));
}

#[tokio::test]
async fn operators_show_their_token() {
    let device = Device::new().await;
    device.deletes(ResponseTemplate::new(204)).await;
    fs::write(device.folder().join("token"), "# mine\nsecret *\n").unwrap();

    let told = device.run("delete helloworld --token token --debug");

    assert!(told.starts_with("exit 0"), "{told}");
    assert!(!told.contains("secret"), "{told}");
    assert_eq!(
        device.header("authorization").await.as_deref(),
        Some("Bearer secret")
    );
}

#[tokio::test]
async fn a_recipe_tells_its_chart() {
    let device = Device::new().await;
    recipe(&device, answer(&json!({"chart": "charts/helloworld", "version": "0.1.0", "description": "Says hello", "values": {"replicas": 1, "old": null}}))).await;

    insta::assert_snapshot!(device.run("recipe helloworld"), @r"
    exit 0
    -- stdout
    CHART        charts/helloworld
    VERSION      0.1.0
    DESCRIPTION  Says hello
    VALUES       old: null
                 replicas: 1
    -- stderr
    ");
    insta::assert_snapshot!(device.run("recipe helloworld --output yaml"), @r"
    exit 0
    -- stdout
    chart: charts/helloworld
    version: 0.1.0
    description: Says hello
    values:
      old: null
      replicas: 1
    -- stderr
    ");
}

#[tokio::test]
async fn a_hidden_recipe_can_be_deployed_all_the_same() {
    let device = Device::new().await;
    recipe(&device, problem(403, "the recipe is restricted")).await;

    insta::assert_snapshot!(device.run("recipe helloworld"), @r"
    exit 1
    -- stdout
    -- stderr
    error: the recipe of helloworld cannot be shown: the recipe is restricted (403 Forbidden, request r-1)
    hint: a recipe that is hidden can be deployed all the same: sinfonia-tier3 deploy helloworld --tier1-url http://tier1
    ");
}

#[tokio::test]
async fn every_shell_gets_a_script() {
    let device = Device::new().await;

    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let told = device.run(&format!("completions {shell}"));

        assert!(told.starts_with("exit 0"), "{told}");
        assert!(told.contains("candidates"), "{shell}");
    }
}

#[tokio::test]
async fn each_command_has_a_manual_page() {
    let device = Device::new().await;

    let told = device.run("man manual");

    assert!(told.starts_with("exit 0"), "{told}");
    for page in ["", "-deploy", "-exec", "-shell", "-status"] {
        let page = format!("manual/sinfonia-tier3{page}.1");
        let text = std::fs::read_to_string(device.folder().join(page)).unwrap();
        assert!(text.contains(".TH sinfonia-tier3"), "{text}");
    }
}

#[tokio::test]
async fn a_path_prefix_and_a_given_api_path_are_understood() {
    let device = Device::new().await;
    let place = format!("/edge/api/v1/deployments/{HELLOWORLD}/{URL_SAFE_KEY}");
    Mock::given(method("DELETE"))
        .and(path(place))
        .respond_with(ResponseTemplate::new(204))
        .mount(&device.tier1)
        .await;

    for tail in ["/edge", "/edge/", "/edge/api/v1", "/edge/api/v1/"] {
        let url = format!("{}{tail}", device.tier1.uri());
        let told = device.run(&format!("delete helloworld --tier1-url {url}"));

        assert!(told.starts_with("exit 0"), "{told}");
    }
}

async fn recipe(device: &Device, answer: ResponseTemplate) {
    Mock::given(method("GET"))
        .and(path(format!("/api/v1/recipe/{HELLOWORLD}/")))
        .respond_with(answer)
        .mount(&device.tier1)
        .await;
}

fn explanation() -> Value {
    let cloudlet = |name: &str| json!({"uuid": CLOUDLET, "name": name, "endpoint": "http://cloudlet:5000/api/v1/deploy"});
    json!({
        "client": {"address": "128.2.3.4", "location": [40.44, -79.94]},
        "candidates": [{
            "rank": 1, "cloudlet": cloudlet("Pittsburgh"), "matcher": "location", "distance_km": 4.25, "class": "normal",
            "parts": {
                "remembered": false, "class": "normal", "group": 1, "distance_km": 4.25, "hash": u64::MAX, "operator_prefer": -0.1,
            },
        }],
        "excluded": [{
            "cloudlet": cloudlet("Paris"), "rule": "recipe_requires",
            "values": {"requires": "resources.gpu_ratio < 0.8", "resources.gpu_ratio": null},
            "reason": "requires resources.gpu_ratio < 0.8: none reported",
        }],
        "candidates_total": 1,
        "excluded_total": 4,
        "note": "the recipe is not there",
    })
}

fn candidates() -> Value {
    json!([
        {"endpoint": "http://near:5000/api/v1/deploy", "uuid": CLOUDLET, "name": "Pittsburgh", "locations": [[40.4439, -79.9444]], "Rank": 1, "Matcher": "location", "DistanceKm": 4.3},
        {"endpoint": "http://far:5000/api/v1/deploy", "name": "Paris", "Rank": 2, "Matcher": "random"},
    ])
}
