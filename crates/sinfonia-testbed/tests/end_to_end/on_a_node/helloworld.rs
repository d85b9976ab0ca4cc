//! What Sinfonia is for.

use serde_json::Value;

use super::edge::Edge;

#[tokio::test]
async fn a_device_opens_the_page_of_a_pod_that_was_deployed_for_it_alone() {
    let edge = Edge::hold().await;

    let page = edge
        .tier3(
            "own",
            &[
                "deploy",
                "helloworld",
                "--",
                "curl",
                "--silent",
                "http://helloworld/",
            ],
        )
        .await;
    let status = edge
        .tier3("own", &["status", "helloworld", "-o", "json"])
        .await;

    assert_eq!(page.code, 0, "{}", page.stderr);
    let status: Value = serde_json::from_str(&status.stdout).unwrap();
    let name = status["DeploymentName"].as_str().unwrap();
    assert!(
        page.stdout.contains("Hello from your own backend."),
        "{}",
        page.stdout
    );
    assert!(
        page.stdout.contains(&format!("This is {name}.")),
        "{}",
        page.stdout
    );
}
