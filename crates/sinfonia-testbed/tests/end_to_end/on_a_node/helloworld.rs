//! What Sinfonia is for.

use super::edge::{Edge, NAMESPACE};

const DEPLOY: [&str; 6] = [
    "deploy",
    "helloworld",
    "--",
    "curl",
    "--silent",
    "http://helloworld/",
];

#[tokio::test]
async fn a_device_opens_the_page_of_a_pod_that_was_deployed_for_it_alone() {
    let edge = Edge::hold().await;

    let (one, other) = tokio::join!(edge.tier3("one", &DEPLOY), edge.tier3("other", &DEPLOY));

    for page in [&one, &other] {
        assert_eq!(page.code, 0, "{}", page.stderr);
        assert!(
            page.stdout.contains("Hello from your own backend."),
            "{}",
            page.stdout
        );
        assert!(page.stdout.contains("This is "), "{}", page.stdout);
    }
    assert_ne!(one.stdout, other.stdout);
    edge.wait_until_nothing_is_left().await;
}

#[tokio::test]
async fn the_chart_tests_itself() {
    let edge = Edge::hold().await;

    for release in ["tier1", "tier2"] {
        let told = edge.helm(&["test", release, "--timeout", "60s"]);

        assert!(told.contains("Succeeded"), "{told}");
    }
}

#[tokio::test]
async fn what_a_pod_logs_can_be_read_by_way_of_the_api_server() {
    let edge = Edge::hold().await;
    let pods = format!("/api/v1/namespaces/{NAMESPACE}/pods");
    let running = format!("{pods}?fieldSelector=status.phase%3DRunning");
    let running = edge.cluster().get_json(&running).unwrap();
    let pod = running["items"][0]["metadata"]["name"].as_str().unwrap();

    let line = format!("{pods}/{pod}/log?tailLines=1");
    let line = edge.cluster().get_json(&line).unwrap();

    assert!(line["message"].is_string(), "{line}");
}

#[tokio::test]
async fn the_rights_that_the_chart_gives_are_enough() {
    let edge = Edge::hold().await;

    let page = edge.tier3("one", &DEPLOY).await;
    edge.wait_until_nothing_is_left().await;

    assert_eq!(page.code, 0, "{}", page.stderr);
    assert_eq!(edge.refused(), [""; 0]);
}
