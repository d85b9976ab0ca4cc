//! How long a request waits, and what it gets then.

use http::{Method, StatusCode};
use rstest::rstest;
use serde_json::json;
use sinfonia_core::lifecycle::{Failure, FailureClass, Line, Readiness};

use crate::harness::{OTHER, Tier2, deployment, pass, seconds_of};
use crate::troubled_cluster::Install;

#[tokio::test(start_paused = true)]
async fn a_request_waits_until_the_deployment_is_ready() {
    let tier2 = Tier2::new().await;
    tier2.cluster.ready(false);

    let becomes_ready = async {
        pass(5).await;
        tier2.cluster.ready(true);
    };
    let ((seconds, deployment), ()) =
        tokio::join!(seconds_of(tier2.post(1).granted()), becomes_ready);

    assert_eq!(seconds, 5);
    assert_eq!(
        (&deployment["Status"], &deployment["Ready"]),
        (&json!("Deployed"), &json!(true))
    );
}

#[rstest]
#[case::as_usual(None, 8)]
#[case::as_preferred(Some("wait=20"), 20)]
#[case::at_most_a_minute(Some("wait=600"), 60)]
#[case::not_at_all(Some("wait=0"), 0)]
#[case::malformed(Some("wait=soon"), 8)]
#[tokio::test(start_paused = true)]
async fn then_it_gets_what_there_is(#[case] prefer: Option<&str>, #[case] patience: u64) {
    let tier2 = Tier2::new().await;
    tier2.cluster.ready(false);
    let mut post = tier2.post(1);
    if let Some(prefer) = prefer {
        post = post.header("prefer", prefer);
    }

    let (seconds, deployment) = seconds_of(post.granted()).await;

    assert_eq!(seconds, patience);
    assert_eq!(deployment["Ready"], false);
}

#[tokio::test(start_paused = true)]
async fn what_is_still_being_installed_is_initializing() {
    let tier2 = Tier2::new().await;
    tier2.cluster.installing(Install::Hangs);

    let deployment = tier2.post(1).granted().await;

    assert_eq!(
        (&deployment["Status"], &deployment["Message"]),
        (&json!("Initializing"), &json!("being installed"))
    );
}

#[tokio::test(start_paused = true)]
async fn what_was_answered_before_it_was_ready_can_be_polled() {
    let tier2 = Tier2::new().await;
    tier2.cluster.installing(Install::Hangs);
    tier2.post(1).granted().await;

    tier2.cluster.installing(Install::Works);
    pass(1).await;

    assert_eq!(tier2.get(1).granted().await["Ready"], true);
}

#[rstest]
#[case(FailureClass::ChartNotFound, "chart-not-found")]
#[case(FailureClass::BadValues, "bad-values")]
#[case(FailureClass::TimedOut, "timed-out")]
#[case(FailureClass::Refused, "refused")]
#[case(FailureClass::NotReady, "not-ready")]
#[tokio::test(start_paused = true)]
async fn an_installation_that_fails_is_rolled_back_and_told(
    #[case] failure: FailureClass,
    #[case] class: &str,
) {
    let tier2 = Tier2::new().await;
    tier2.cluster.installing(Install::Fails(failure));

    let waiting = tier2.post(1).answer().await;
    pass(1).await;
    let later = tier2.get(1).answer().await;

    assert_eq!(
        waiting.problem(),
        (500, Some(class), "the chart is no good")
    );
    assert_eq!(later.problem(), (404, Some(class), "the chart is no good"));
    assert!(tier2.cluster.is_empty().await);
    let metrics = tier2.admin("/metrics").granted().await;
    let counted = format!("sinfonia_tier2_deployment_failures_total{{class=\"{class}\"}} 1\n");
    assert!(metrics.as_str().unwrap().contains(&counted), "{metrics}");
}

#[tokio::test(start_paused = true)]
async fn after_a_failure_the_next_request_starts_clean() {
    let tier2 = Tier2::new().await;
    tier2.cluster.installing(Install::Hangs);
    let first = tier2.post(1).granted().await;
    tier2
        .cluster
        .installing(Install::Fails(FailureClass::Refused));
    pass(1).await;
    tier2.cluster.installing(Install::Works);

    let second = tier2.post(1).granted().await;

    assert_eq!(second["Ready"], true);
    assert_ne!(second["DeploymentName"], first["DeploymentName"]);
    assert_eq!(
        second["TunnelConfig"]["address"],
        first["TunnelConfig"]["address"]
    );
    assert!(tier2.cluster.is_complete().await);
}

#[tokio::test(start_paused = true)]
async fn a_failed_deployment_never_stands_in_the_way_of_another_application() {
    let tier2 = Tier2::new().await;
    tier2
        .cluster
        .installing(Install::Fails(FailureClass::Refused));
    tier2.post(1).answer().await;
    tier2.cluster.installing(Install::Works);

    let status = tier2
        .ask(Method::POST, &deployment(OTHER, 1))
        .status()
        .await;

    assert_eq!(status, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_ready_in_time_is_rolled_back() {
    let tier2 = Tier2::new().await;
    tier2.cluster.ready(false);
    tier2.post(1).granted().await;

    pass(11 * 60).await;

    let problem = tier2.get(1).answer().await;
    assert_eq!(
        problem.problem(),
        (404, Some("not-ready"), "not ready within 600 s")
    );
    assert!(tier2.cluster.is_empty().await);
}

#[tokio::test(start_paused = true)]
async fn what_is_missing_is_told_as_it_changes_and_when_time_is_up() {
    let tier2 = Tier2::new().await;
    tier2.cluster.is(pulling("image a"));
    let posted = tier2.post(1).granted().await;
    tier2.cluster.is(pulling("image b"));
    let read = tier2.get(1).granted().await;
    pass(11 * 60).await;

    assert_eq!(posted["Message"], "pulling image a");
    assert_eq!(read["Message"], "pulling image b");
    let expected = "not ready within 600 s: pulling image b";
    let failed = tier2.get(1).answer().await;
    assert_eq!(failed.problem(), (404, Some("not-ready"), expected));
}

#[tokio::test(start_paused = true)]
async fn what_never_can_be_ready_is_rolled_back_at_once() {
    let tier2 = Tier2::new().await;
    tier2.cluster.is(pulling("image a"));
    let fails = async {
        pass(5).await;
        tier2.cluster.is(never());
    };

    let post = tier2.post(1).header("prefer", "wait=60").answer();
    let ((seconds, posted), ()) = tokio::join!(seconds_of(post), fails);
    pass(1).await;

    assert_eq!(seconds, 5);
    assert_eq!(posted.problem(), (500, Some("not-ready"), "no image"));
    let read = tier2.get(1).answer().await;
    assert_eq!(read.problem(), (404, Some("not-ready"), "no image"));
    assert!(tier2.cluster.is_empty().await);
}

#[tokio::test(start_paused = true)]
async fn what_was_ready_once_is_not_given_up() {
    let tier2 = Tier2::new().await;
    tier2.post(1).granted().await;
    tier2.cluster.is(never());

    pass(60).await;

    let deployment = tier2.get(1).granted().await;
    let told = ["Status", "Ready", "Message"].map(|field| deployment[field].clone());
    assert_eq!(told, [json!("Deployed"), json!(false), json!("no image")]);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_installed_in_time_is_cancelled_and_rolled_back() {
    let tier2 = Tier2::with(&["--ready-deadline", "2m"]).await;
    tier2.cluster.installing(Install::Hangs);
    tier2.post(1).granted().await;

    pass(3 * 60).await;

    let problem = tier2.get(1).answer().await;
    assert_eq!(
        problem.problem(),
        (404, Some("timed-out"), "not installed within 120 s")
    );
    assert!(tier2.cluster.is_empty().await);
}

#[tokio::test(start_paused = true)]
async fn after_the_first_ready_the_deadline_is_over() {
    let tier2 = Tier2::with(&["--lease", "1h"]).await;
    tier2.post(1).granted().await;
    tier2.cluster.ready(false);

    pass(20 * 60).await;

    let deployment = tier2.get(1).granted().await;
    assert_eq!(
        (&deployment["Status"], &deployment["Ready"]),
        (&json!("Deployed"), &json!(false))
    );
}

#[tokio::test(start_paused = true)]
async fn a_cluster_that_does_not_answer_for_a_while_is_asked_again() {
    let tier2 = Tier2::new().await;
    // The first two steps at once, then two looks.
    tier2.cluster.is_unreachable_for(2 + 2);

    let (seconds, deployment) = seconds_of(tier2.post(1).granted()).await;

    assert_eq!(deployment["Ready"], true);
    assert_eq!(seconds, 1 + 2 + 4);
}

#[tokio::test(start_paused = true)]
async fn when_the_service_stops_nobody_waits_any_more() {
    let tier2 = Tier2::new().await;
    tier2.cluster.ready(false);

    let stops = async {
        pass(2).await;
        tier2.stopping.cancel();
    };
    let ((seconds, deployment), ()) = tokio::join!(
        seconds_of(tier2.post(1).header("prefer", "wait=60").granted()),
        stops
    );

    assert_eq!((seconds, &deployment["Ready"]), (2, &json!(false)));
}

fn pulling(what: &str) -> Readiness {
    Readiness::NotYet(Some(Line::new(&format!("pulling {what}"))))
}

fn never() -> Readiness {
    Readiness::Never(Failure {
        class: FailureClass::NotReady,
        message: "no image".to_owned(),
        detail: None,
    })
}
