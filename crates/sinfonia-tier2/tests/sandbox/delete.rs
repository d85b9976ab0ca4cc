//! `DELETE` of a deployment.

use http::{Method, StatusCode};
use rstest::rstest;

use crate::harness::{Ask, OTHER, Tier2, deployment, pass, seconds_of};
use crate::troubled_cluster::Install;

#[tokio::test(start_paused = true)]
async fn everything_that_a_deployment_held_is_reclaimed() {
    let tier2 = Tier2::new().await;
    tier2.post(1).granted().await;

    let deleted = tier2.delete(1).status().await;
    let read = tier2.get(1).status().await;
    pass(1).await;

    assert_eq!(
        (deleted, read),
        (StatusCode::NO_CONTENT, StatusCode::NOT_FOUND)
    );
    assert!(tier2.cluster.is_empty().await);
}

#[rstest]
#[case::nothing(&deployment(OTHER, 2))]
#[case::of_another_recipe(&deployment(OTHER, 1))]
#[tokio::test(start_paused = true)]
async fn deleting_what_is_not_there_is_done_at_once(#[case] path: &str) {
    let tier2 = Tier2::new().await;
    tier2.post(1).granted().await;

    let status = tier2.ask(Method::DELETE, path).status().await;

    assert_eq!(status, StatusCode::NO_CONTENT);
    assert_eq!(tier2.get(1).status().await, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn an_unfinished_installation_is_cancelled() {
    let tier2 = Tier2::new().await;
    tier2.cluster.installing(Install::Hangs);

    let deletes = async {
        pass(3).await;
        tier2.delete(1).status().await
    };
    let ((seconds, waiting), deleted) = tokio::join!(seconds_of(tier2.post(1).answer()), deletes);
    pass(1).await;

    assert_eq!((seconds, deleted), (3, StatusCode::NO_CONTENT));
    let detail = "the deployment was removed while the request waited for it";
    assert_eq!(waiting.problem(), (503, Some("being-removed"), detail));
    assert!(tier2.cluster.is_empty().await);
}

#[tokio::test(start_paused = true)]
async fn a_request_waits_for_the_removal_of_the_previous_deployment() {
    let tier2 = Tier2::new().await;
    let first = tier2.post(1).granted().await;
    tier2.cluster.uninstalling(false);
    tier2.delete(1).granted().await;

    let uninstalls = async {
        pass(4).await;
        tier2.cluster.uninstalling(true);
    };
    let ((seconds, second), ()) = tokio::join!(seconds_of(tier2.post(1).granted()), uninstalls);

    assert_eq!(seconds, 4);
    assert_ne!(second["DeploymentName"], first["DeploymentName"]);
}

#[tokio::test(start_paused = true)]
async fn a_removal_that_takes_too_long_is_told() {
    let tier2 = Tier2::new().await;
    tier2.post(1).granted().await;
    tier2.cluster.uninstalling(false);
    tier2.delete(1).granted().await;

    let (seconds, answer) = seconds_of(tier2.post(1).answer()).await;

    let detail = "the previous deployment of this key is still being removed";
    assert_eq!(answer.problem(), (503, Some("being-removed"), detail));
    assert_eq!((seconds, answer.retry_after()), (8, Some(2)));
}

#[tokio::test(start_paused = true)]
async fn when_the_service_stops_nobody_waits_for_a_removal() {
    let tier2 = Tier2::new().await;
    tier2.post(1).granted().await;
    tier2.cluster.uninstalling(false);
    tier2.delete(1).granted().await;

    let stops = async {
        pass(3).await;
        tier2.stopping.cancel();
    };
    let ((seconds, status), ()) = tokio::join!(seconds_of(tier2.post(1).status()), stops);

    assert_eq!((seconds, status), (3, StatusCode::SERVICE_UNAVAILABLE));
}

#[tokio::test(start_paused = true)]
async fn created_by_deletes_what_that_request_created() {
    let tier2 = Tier2::new().await;
    tier2
        .post(1)
        .header("x-request-id", "first")
        .granted()
        .await;

    let by_another = created_by(&tier2, "second").status().await;
    let still_there = tier2.get(1).status().await;
    let by_the_creator = created_by(&tier2, "first").status().await;
    let gone = tier2.get(1).status().await;

    assert_eq!(
        (by_another, still_there),
        (StatusCode::NO_CONTENT, StatusCode::OK)
    );
    assert_eq!(
        (by_the_creator, gone),
        (StatusCode::NO_CONTENT, StatusCode::NOT_FOUND)
    );
}

#[tokio::test(start_paused = true)]
async fn created_by_spares_what_another_request_has_renewed() {
    let tier2 = Tier2::new().await;
    tier2
        .post(1)
        .header("x-request-id", "first")
        .granted()
        .await;
    tier2
        .post(1)
        .header("x-request-id", "second")
        .granted()
        .await;

    let status = created_by(&tier2, "first").status().await;

    assert_eq!(status, StatusCode::NO_CONTENT);
    assert_eq!(tier2.get(1).status().await, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn created_by_spares_what_another_request_has_revived() {
    let tier2 = Tier2::new().await;
    tier2
        .post(1)
        .header("x-request-id", "first")
        .granted()
        .await;
    pass(361).await;
    tier2
        .post(1)
        .header("x-request-id", "second")
        .granted()
        .await;

    created_by(&tier2, "first").granted().await;

    assert_eq!(tier2.get(1).status().await, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn a_delete_may_overtake_its_post() {
    let tier2 = Tier2::new().await;
    created_by(&tier2, "early").granted().await;

    let overtaken = tier2.post(1).header("x-request-id", "early").answer().await;
    let another = tier2.post(1).header("x-request-id", "other").status().await;
    pass(60).await;
    let a_minute_later = tier2.post(1).header("x-request-id", "early").status().await;

    assert_eq!(
        overtaken.problem(),
        (409, None, "the request was withdrawn before it came")
    );
    assert_eq!((another, a_minute_later), (StatusCode::OK, StatusCode::OK));
}

#[tokio::test(start_paused = true)]
async fn a_withdrawn_request_does_not_renew_the_deployment_of_another_either() {
    let tier2 = Tier2::new().await;
    tier2
        .post(1)
        .header("x-request-id", "other")
        .granted()
        .await;
    created_by(&tier2, "early").granted().await;

    let status = tier2.post(1).header("x-request-id", "early").status().await;

    assert_eq!(status, StatusCode::CONFLICT);
}

#[tokio::test(start_paused = true)]
async fn created_by_has_to_be_a_request_id() {
    let tier2 = Tier2::new().await;

    let answer = created_by(&tier2, "%3Cb%3E").answer().await;

    assert_eq!(answer.problem().0, 400);
}

#[rstest]
#[case::the_creator("192.0.2.7", None, 204)]
#[case::another_address("192.0.2.8", None, 403)]
#[case::a_stranger_who_names_the_creator("192.0.2.8", Some("192.0.2.7"), 403)]
#[case::relayed_for_the_creator("127.0.0.1", Some("192.0.2.7"), 204)]
#[case::relayed_for_another("127.0.0.1", Some("192.0.2.8"), 403)]
#[case::a_proxy_on_its_own("127.0.0.1", None, 403)]
#[tokio::test(start_paused = true)]
async fn without_tokens_only_the_creator_deletes(
    #[case] peer: &str,
    #[case] client_ip: Option<&str>,
    #[case] status: u16,
) {
    let tier2 = Tier2::new().await;
    tier2.post(1).granted().await;

    let answer = for_client(tier2.delete(1).from(peer), client_ip)
        .answer()
        .await;

    assert_eq!(answer.status.as_u16(), status);
    let left = if status == 204 {
        StatusCode::NOT_FOUND
    } else {
        StatusCode::OK
    };
    assert_eq!(tier2.get(1).status().await, left);
}

#[tokio::test(start_paused = true)]
async fn with_created_by_the_address_does_not_matter() {
    let tier2 = Tier2::new().await;
    tier2
        .post(1)
        .header("x-request-id", "first")
        .granted()
        .await;

    created_by(&tier2, "first")
        .from("192.0.2.8")
        .granted()
        .await;

    assert_eq!(tier2.get(1).status().await, StatusCode::NOT_FOUND);
}

/// `DELETE` of what this request created.
fn created_by(tier2: &Tier2, id: &str) -> Ask {
    let path = deployment(crate::harness::HELLOWORLD, 1);
    tier2.ask(Method::DELETE, &format!("{path}?created-by={id}"))
}

fn for_client(ask: Ask, client_ip: Option<&str>) -> Ask {
    match client_ip {
        Some(client) => ask.header("x-clientip", client),
        None => ask,
    }
}
