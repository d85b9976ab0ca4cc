//! Every failure says what to do next.

use std::fs;
use std::net::TcpListener;

use rstest::rstest;
use serde_json::json;
use wiremock::ResponseTemplate;

use crate::device::{Device, answer, of_class, problem, ready};

#[tokio::test]
async fn nobody_said_where_tier1_is() {
    let device = Device::new().await;

    let output = device
        .command("deploy helloworld")
        .env_remove("SINFONIA_TIER1_URL")
        .output()
        .unwrap();

    insta::assert_snapshot!(device.told(&output), @r"
    exit 1
    -- stdout
    -- stderr
    error: nothing says where Tier 1 is
    hint: give --tier1-url https://tier1.example, or export SINFONIA_TIER1_URL
    ");
}

#[tokio::test]
async fn what_was_said_is_no_url() {
    let device = Device::new().await;

    insta::assert_snapshot!(device.run("deploy helloworld --tier1-url localhost:5000"), @r"
    exit 1
    -- stdout
    -- stderr
    error: `localhost:5000` is not a URL: http:// or https:// is missing
    hint: write http://localhost:5000 or https://localhost:5000
    ");
    insta::assert_snapshot!(device.run("deploy helloworld --tier1-url ftp://tier1"), @r"
    exit 1
    -- stdout
    -- stderr
    error: Tier 1 is reached over http:// or https://, not ftp://
    hint: a URL of Tier 1 looks like https://tier1.example or http://192.0.2.7:5000
    ");
}

#[tokio::test]
async fn tier1_is_unreachable() {
    let device = Device::new().await;
    let gone = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = gone.local_addr().unwrap().to_string();
    drop(gone);

    let told = device.run(&format!("deploy helloworld --tier1-url http://{address}"));

    insta::assert_snapshot!(told.replace(&address, "gone"), @r"
    exit 1
    -- stdout
    -- stderr
    deploying helloworld through http://gone…
    error: cannot reach Tier 1 at http://gone: Connection refused (os error 111)
    hint: check the address, and whether Tier 1 runs: curl -i http://gone/
    ");
}

#[tokio::test]
async fn tier1_speaks_plain_http() {
    let device = Device::new().await;
    let url = device.tier1.uri().replace("http:", "https:");

    let told = device.run(&format!("deploy helloworld --tier1-url {url}"));

    insta::assert_snapshot!(told, @r"
    exit 1
    -- stdout
    -- stderr
    deploying helloworld through https://tier1…
    error: cannot reach Tier 1 at https://tier1: received corrupt message of type InvalidContentType
    hint: it seems to speak plain http: --tier1-url http://tier1
    ");
}

#[tokio::test]
async fn the_recipe_is_unknown() {
    let device = Device::new().await;
    device
        .deploys(problem(404, "there is no such recipe"))
        .await;

    insta::assert_snapshot!(device.run("deploy helloworld"), @r"
    exit 1
    -- stdout
    -- stderr
    deploying helloworld through http://tier1…
    error: helloworld was not deployed: there is no such recipe (404 Not Found, request r-1)
    hint: check the uuid; the operator of http://tier1 knows which recipes there are, helloworld is usual: sinfonia-tier3 recipe helloworld --tier1-url http://tier1
    ");
}

#[tokio::test]
async fn no_cloudlet_qualifies() {
    let device = Device::new().await;
    device
        .deploys(problem(503, "no cloudlet qualifies").insert_header("retry-after", "7"))
        .await;

    insta::assert_snapshot!(device.run("deploy helloworld"), @r"
    exit 1
    -- stdout
    -- stderr
    deploying helloworld through http://tier1…
    error: helloworld was not deployed: no cloudlet qualifies (503 Service Unavailable, request r-1)
    hint: try again in 7 s, or see which cloudlets there are: sinfonia-tier3 candidates helloworld --tier1-url http://tier1
    ");
}

#[tokio::test]
async fn there_are_no_candidates() {
    let device = Device::new().await;
    device.lists(problem(404, "no cloudlet qualifies")).await;

    insta::assert_snapshot!(device.run("candidates helloworld"), @r"
    exit 1
    -- stdout
    -- stderr
    error: there are no candidates for helloworld: no cloudlet qualifies (404 Not Found, request r-1)
    hint: check the uuid, and which cloudlets there are: curl -s http://tier1/api/v1/cloudlets/
    ");
}

#[tokio::test]
async fn every_cloudlet_failed() {
    let device = Device::new().await;
    device
        .deploys(of_class(
            502,
            "all 2 cloudlets failed",
            Some("chart-not-found"),
        ))
        .await;

    insta::assert_snapshot!(device.run("deploy helloworld"), @r"
    exit 1
    -- stdout
    -- stderr
    deploying helloworld through http://tier1…
    error: helloworld was not deployed: all 2 cloudlets failed (502 Bad Gateway, chart-not-found, request r-1)
    hint: try again later, or see which cloudlets there are: sinfonia-tier3 candidates helloworld --tier1-url http://tier1
    ");
}

#[tokio::test]
async fn the_key_is_taken() {
    let device = Device::new().await;
    device
        .deploys(problem(
            409,
            "the key holds another application's deployment",
        ))
        .await;

    insta::assert_snapshot!(device.run("deploy helloworld"), @r"
    exit 1
    -- stdout
    -- stderr
    deploying helloworld through http://tier1…
    error: helloworld was not deployed: the key holds another application's deployment (409 Conflict, request r-1)
    hint: this device's key serves something else there; take a new key: rm $HOME/caches/sinfonia/00000000-0000-0000-0000-000000000000 && sinfonia-tier3 deploy helloworld --tier1-url http://tier1
    ");
}

#[tokio::test]
async fn a_token_is_missing() {
    let device = Device::new().await;
    device.deploys(problem(401, "a token is needed")).await;

    insta::assert_snapshot!(device.run("deploy helloworld"), @r"
    exit 1
    -- stdout
    -- stderr
    deploying helloworld through http://tier1…
    error: helloworld was not deployed: a token is needed (401 Unauthorized, request r-1)
    hint: show the token that the operator of http://tier1 gave you: --token FILE
    ");
}

#[tokio::test]
async fn what_stands_before_tier1_wants_a_token() {
    let device = Device::new().await;
    device
        .deploys(ResponseTemplate::new(403).set_body_raw("<html>no</html>", "text/html"))
        .await;

    insta::assert_snapshot!(device.run("deploy helloworld"), @r"
    exit 1
    -- stdout
    -- stderr
    deploying helloworld through http://tier1…
    error: helloworld was not deployed: HTTP 403 Forbidden
    hint: show a token that the operator of http://tier1 gave you: --token FILE
    ");
}

#[tokio::test]
async fn the_device_has_too_many_deployments() {
    let device = Device::new().await;
    device
        .deploys(problem(429, "this client has 4 deployments").insert_header("retry-after", "60"))
        .await;

    insta::assert_snapshot!(device.run("deploy helloworld"), @r"
    exit 1
    -- stdout
    -- stderr
    deploying helloworld through http://tier1…
    error: helloworld was not deployed: this client has 4 deployments (429 Too Many Requests, request r-1)
    hint: try again in 60 s, or delete what you no longer need: sinfonia-tier3 delete UUID --tier1-url http://tier1
    ");
}

#[tokio::test]
async fn the_url_is_that_of_a_web_site() {
    let device = Device::new().await;
    device
        .deploys(ResponseTemplate::new(404).set_body_raw("<html>nothing here</html>", "text/html"))
        .await;
    device
        .lists(ResponseTemplate::new(200).set_body_raw("<html>welcome</html>", "text/html"))
        .await;

    insta::assert_snapshot!(device.run("deploy helloworld"), @r"
    exit 1
    -- stdout
    -- stderr
    deploying helloworld through http://tier1…
    error: http://tier1 answers, but not as a Tier 1 does: 404 Not Found, text/html
    hint: check the scheme, host, port and path prefix of Tier 1's URL; under the right one this gives a list: curl -i http://tier1/api/v1/cloudlets/
    ");
    insta::assert_snapshot!(device.run("candidates helloworld"), @r"
    exit 1
    -- stdout
    -- stderr
    error: http://tier1 answers, but not as a Tier 1 does: what it says is no JSON
    hint: check the scheme, host, port and path prefix of Tier 1's URL; under the right one this gives a list: curl -i http://tier1/api/v1/cloudlets/
    ");
}

#[rstest]
#[case::deploy("deploy helloworld --quiet")]
#[case::candidates("candidates helloworld")]
#[case::status("status helloworld")]
#[case::delete("delete helloworld")]
#[case::recipe("recipe helloworld")]
#[tokio::test]
async fn the_url_is_that_of_another_of_our_services(#[case] line: &str) {
    let device = Device::new().await;
    device.knows_no_path().await;

    let told = device.run(line);

    assert!(told.starts_with("exit 1\n"), "{told}");
    assert!(
        told.ends_with("hint: check the scheme, host, port and path prefix of Tier 1's URL; under the right one this gives a list: curl -i http://tier1/api/v1/cloudlets/\n"),
        "{told}"
    );
}

#[tokio::test]
async fn a_page_is_no_deletion() {
    let device = Device::new().await;
    device
        .deletes(ResponseTemplate::new(200).set_body_raw("<html>log in</html>", "text/html"))
        .await;

    insta::assert_snapshot!(device.run("delete helloworld"), @r"
    exit 1
    -- stdout
    -- stderr
    error: http://tier1 answers, but not as a Tier 1 does: what it says is no JSON
    hint: check the scheme, host, port and path prefix of Tier 1's URL; under the right one this gives a list: curl -i http://tier1/api/v1/cloudlets/
    ");
}

#[tokio::test]
async fn tier1_has_moved_to_https() {
    let device = Device::new().await;
    device
        .deploys(
            ResponseTemplate::new(308)
                .insert_header("location", "https://tier1.example/edge/api/v1/deploy/x/y"),
        )
        .await;

    insta::assert_snapshot!(device.run("deploy helloworld"), @r"
    exit 1
    -- stdout
    -- stderr
    deploying helloworld through http://tier1…
    error: Tier 1 has moved from http://tier1 to https://tier1.example/edge
    hint: use --tier1-url https://tier1.example/edge
    ");
}

#[tokio::test]
async fn plain_http_is_spoken_to_a_port_for_https() {
    let device = Device::new().await;
    device
        .deploys(ResponseTemplate::new(400).set_body_raw(
            "<html>The plain HTTP request was sent to HTTPS port</html>",
            "text/html",
        ))
        .await;

    let told = device.run("deploy helloworld");

    assert!(
        told.ends_with("hint: it may speak https: --tier1-url https://tier1\n"),
        "{told}"
    );
}

#[tokio::test]
async fn tier1_fails() {
    let device = Device::new().await;
    device.deploys(problem(500, "the request failed")).await;

    insta::assert_snapshot!(device.run("deploy helloworld"), @r"
    exit 2
    -- stdout
    -- stderr
    deploying helloworld through http://tier1…
    error: helloworld was not deployed: the request failed (500 Internal Server Error, request r-1)
    hint: tell the operator of http://tier1, with the output of: sinfonia-tier3 --version
    ");
}

#[rstest]
#[case::empty(json!([]), "the answer is an empty list")]
#[case::no_list(json!({}), "invalid type: map, expected a sequence")]
#[case::another_key(json!([changed("ApplicationKey", "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=")]), "it is about another deployment")]
#[case::another_application(json!([changed("UUID", "755c2e1d-9f8a-4a1b-8a43-a8f0e7c5b1f2")]), "it is about another deployment")]
#[tokio::test]
async fn an_answer_that_cannot_be_used_is_unexpected(
    #[case] told: serde_json::Value,
    #[case] reason: &str,
) {
    let device = Device::new().await;
    device.deploys(answer(&told)).await;

    let told = device.run("deploy helloworld --quiet");

    assert_eq!(
        told,
        format!(
            "exit 2\n-- stdout\n-- stderr\nerror: the answer of Tier 1 cannot be used: {reason}\n\
             hint: tell the operator of http://tier1, with the output of: sinfonia-tier3 --version\n"
        )
    );
}

#[tokio::test]
async fn a_line_break_in_dns_never_reaches_a_file() {
    let device = Device::new().await;
    let mut told = ready();
    told["TunnelConfig"]["dns"] = json!(["10.43.0.10\nPostUp = id"]);
    device.deploys(answer(&json!([told]))).await;

    let told = device.run("deploy helloworld --output wg");

    assert!(told.starts_with("exit 2\n-- stdout\n-- stderr\n"), "{told}");
}

#[tokio::test]
async fn an_endless_answer_is_cut_off() {
    let device = Device::new().await;
    device
        .deploys(ResponseTemplate::new(200).set_body_string("[".repeat(65 * 1024)))
        .await;

    let told = device.run("deploy helloworld --quiet");

    assert!(
        told.contains("the answer is longer than 65536 bytes"),
        "{told}"
    );
}

#[tokio::test]
async fn a_token_does_not_travel_in_the_clear() {
    let device = Device::new().await;
    fs::write(device.folder().join("token"), "secret\n").unwrap();

    let told = device.run("deploy helloworld --tier1-url http://192.0.2.1:5000 --token token");

    insta::assert_snapshot!(told, @r"
    exit 1
    -- stdout
    -- stderr
    error: the token would travel to http://192.0.2.1:5000 without encryption
    hint: use --tier1-url https://192.0.2.1:5000, or accept it with --insecure-http
    ");
}

#[rstest]
#[case::absent("absent")]
#[case::empty("empty")]
#[tokio::test]
async fn a_token_file_without_a_token_is_told(#[case] name: &str) {
    let device = Device::new().await;
    fs::write(device.folder().join("empty"), "").unwrap();

    let told = device.run(&format!("deploy helloworld --token {name}"));

    assert!(told.starts_with("exit 1"), "{told}");
    assert!(
        told.ends_with("hint: --token names a file that holds the token on a line of its own\n"),
        "{told}"
    );
}

#[tokio::test]
async fn the_key_cache_cannot_be_written() {
    let device = Device::without_keys().await;
    fs::write(device.folder().join("caches"), "").unwrap();

    insta::assert_snapshot!(device.run("deploy helloworld"), @r"
    exit 1
    -- stdout
    -- stderr
    error: cannot use the key cache $HOME/caches/sinfonia: Not a directory (os error 20)
    hint: make $HOME/caches/sinfonia yours and writable, or choose another place: export XDG_CACHE_HOME=/some/folder
    ");
}

#[tokio::test]
async fn the_log_filter_is_malformed() {
    let device = Device::new().await;

    let output = device
        .command("deploy helloworld")
        .env("RUST_LOG", "sinfonia=loud")
        .output()
        .unwrap();

    let told = device.told(&output);
    assert!(told.starts_with("exit 1"), "{told}");
    assert!(told.contains("hint: write RUST_LOG like"), "{told}");
}

#[rstest]
#[case::no_collector(
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "collector:4317",
    "OTEL_EXPORTER_OTLP_ENDPOINT names no collector: expected the base URL"
)]
#[case::no_sampler(
    "OTEL_TRACES_SAMPLER",
    "xray",
    "OTEL_TRACES_SAMPLER is `xray`, expected always_on"
)]
#[case::no_compression(
    "OTEL_EXPORTER_OTLP_COMPRESSION",
    "zstd",
    "OTEL_EXPORTER_OTLP_COMPRESSION is `zstd`, expected gzip or none"
)]
#[case::a_token_in_the_clear(
    "OTEL_EXPORTER_OTLP_HEADERS",
    "authorization=secret",
    "OTEL_EXPORTER_OTLP_HEADERS would travel over plain http to http://collector.example:4318/v1/traces"
)]
#[tokio::test]
async fn a_variable_of_opentelemetry_that_cannot_be_used_costs_the_traces_and_not_the_command(
    #[case] variable: &str,
    #[case] value: &str,
    #[case] expected: &str,
) {
    let device = Device::new().await;
    device.deploys(answer(&json!([ready()]))).await;

    let output = device
        .command("deploy helloworld")
        .env(
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            "http://collector.example:4318",
        )
        .env(variable, value)
        .output()
        .unwrap();

    let told = device.told(&output);
    assert!(told.starts_with("exit 0"), "{told}");
    let expected = format!("note: no traces are exported: {expected}");
    assert!(told.contains(&expected), "{told}");
}

#[rstest]
#[case::no_collector("collector:4317", "expected the base URL of a collector")]
#[case::a_token_in_the_clear(
    "http://collector.example:4318",
    "hint: correct that, or set OTEL_SDK_DISABLED=true"
)]
#[tokio::test]
async fn a_collector_that_an_option_names_cannot_be_used(
    #[case] collector: &str,
    #[case] expected: &str,
) {
    let device = Device::new().await;

    let output = device
        .command(&format!("deploy helloworld --otlp-endpoint {collector}"))
        .env("OTEL_EXPORTER_OTLP_HEADERS", "authorization=secret")
        .output()
        .unwrap();

    let told = device.told(&output);
    assert!(told.starts_with("exit 1"), "{told}");
    assert!(told.contains(expected), "{told}");
}

fn changed(field: &str, value: &str) -> serde_json::Value {
    let mut deployment = ready();
    deployment[field] = value.into();
    deployment
}
