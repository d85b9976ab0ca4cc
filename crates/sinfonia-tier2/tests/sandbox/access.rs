//! Who may deploy.

use std::fs;

use http::StatusCode;
use rstest::rstest;
use tempfile::TempDir;

use crate::harness::{Ask, Tier2, pass, write_recipes};

const STRANGER: &str = "192.0.2.7";
const PROXY: &str = "127.0.0.1";

#[rstest]
#[case::nothing(STRANGER, None, 401)]
#[case::a_wrong_one(STRANGER, Some("guess"), 403)]
#[case::the_right_one(STRANGER, Some("secret"), 200)]
#[case::nothing_from_a_trusted_proxy(PROXY, None, 200)]
#[case::a_wrong_one_from_a_trusted_proxy(PROXY, Some("guess"), 403)]
#[tokio::test(start_paused = true)]
async fn with_deploy_tokens_a_caller_shows_one(
    #[case] peer: &str,
    #[case] token: Option<&str>,
    #[case] status: u16,
) {
    let tier2 = with_tokens(&[]).await;

    let posted = showing(tier2.post(1).from(peer), token).answer().await;
    let deleted = showing(tier2.delete(1).from(peer), token).answer().await;
    let read = tier2.get(1).status().await;

    assert_eq!(posted.status.as_u16(), status);
    assert_eq!(
        posted.headers.contains_key("www-authenticate"),
        status == 401
    );
    assert_eq!(
        deleted.status.as_u16(),
        if status == 200 { 204 } else { status }
    );
    assert_eq!(read, StatusCode::NOT_FOUND);
}

#[tokio::test(start_paused = true)]
async fn reading_needs_no_token() {
    let tier2 = with_tokens(&[]).await;
    tier2.post(1).token("secret").granted().await;

    assert_eq!(tier2.get(1).status().await, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn without_deploy_tokens_all_may_deploy_whatever_they_show() {
    let tier2 = Tier2::new().await;

    assert_eq!(tier2.post(1).token("guess").status().await, StatusCode::OK);
}

#[rstest]
#[case::of_the_creator(Some("198.51.100.1"), 204)]
#[case::of_another(Some("198.51.100.2"), 403)]
#[case::of_nobody(None, 204)]
#[tokio::test(start_paused = true)]
async fn the_bearer_of_a_token_deletes_for_the_creator_or_on_its_own(
    #[case] client_ip: Option<&str>,
    #[case] status: u16,
) {
    let tier2 = with_tokens(&[]).await;
    let post = tier2.post(1).token("secret");
    for_client(post, Some("198.51.100.1")).granted().await;

    let deleted = for_client(tier2.delete(1).token("secret"), client_ip);

    assert_eq!(deleted.status().await.as_u16(), status);
}

#[tokio::test(start_paused = true)]
async fn changed_tokens_are_taken_over_while_it_runs() {
    let tier2 = with_tokens(&[]).await;
    fs::write(tier2.folder.path().join("tokens"), "another\n").unwrap();

    pass(3).await;

    let old = tier2.post(1).token("secret").status().await;
    let new = tier2.post(1).token("another").status().await;
    assert_eq!((old, new), (StatusCode::FORBIDDEN, StatusCode::OK));
}

#[tokio::test(start_paused = true)]
async fn bad_new_tokens_leave_the_old_ones() {
    let tier2 = with_tokens(&[]).await;
    fs::write(tier2.folder.path().join("tokens"), "# nothing\n").unwrap();

    pass(3).await;

    assert_eq!(tier2.post(1).token("secret").status().await, StatusCode::OK);
}

#[rstest]
#[case::accepted("192.0.2.7", 200)]
#[case::rejected_although_accepted("192.0.2.99", 403)]
#[case::rejected_although_local("10.9.9.9", 403)]
#[case::local("10.1.2.3", 200)]
#[case::neither("198.51.100.1", 403)]
#[case::ipv4_mapped("::ffff:192.0.2.7", 200)]
#[tokio::test(start_paused = true)]
async fn clients_are_served_as_the_settings_say(#[case] client: &str, #[case] status: u16) {
    let tier2 = Tier2::with(&[
        "--accepted-clients",
        "192.0.2.0/24",
        "--rejected-clients",
        "192.0.2.99,10.9.0.0/16",
        "--local-networks",
        "10.0.0.0/8",
    ])
    .await;

    assert_eq!(tier2.post(1).from(client).status().await.as_u16(), status);
}

#[rstest]
#[case::from_a_trusted_proxy(PROXY, None, 403)]
#[case::with_a_token(STRANGER, Some("secret"), 403)]
#[tokio::test(start_paused = true)]
async fn a_client_is_judged_by_the_address_that_callers_state_who_may(
    #[case] peer: &str,
    #[case] token: Option<&str>,
    #[case] status: u16,
) {
    let tier2 = with_tokens(&["--rejected-clients", "198.51.100.0/24"]).await;

    let post = showing(tier2.post(1).from(peer), token);

    let answer = for_client(post, Some("198.51.100.1")).answer().await;
    assert_eq!(
        answer.problem(),
        (status, None, "clients at 198.51.100.1 are not served here")
    );
}

#[tokio::test(start_paused = true)]
async fn any_other_caller_is_judged_by_its_own_address() {
    let tier2 = Tier2::with(&["--rejected-clients", "192.0.2.0/24"]).await;

    let status = for_client(tier2.post(1), Some("198.51.100.1"))
        .status()
        .await;

    assert_eq!(status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_client_that_asks_too_often_is_told_to_wait() {
    let tier2 = Tier2::with(&["--client-rate", "2"]).await;
    tier2.post(1).granted().await;
    tier2.post(1).granted().await;

    let third = tier2.post(1).answer().await;
    let of_another_client = tier2.post(1).from("192.0.2.8").status().await;
    let read = tier2.get(1).status().await;

    assert_eq!(third.problem(), (429, None, "the client asks too often"));
    assert!(
        third
            .retry_after()
            .is_some_and(|seconds| (1..=30).contains(&seconds))
    );
    assert_eq!((of_another_client, read), (StatusCode::OK, StatusCode::OK));
}

async fn with_tokens(options: &[&str]) -> Tier2 {
    let folder: TempDir = tempfile::tempdir().unwrap();
    write_recipes(&folder);
    fs::write(folder.path().join("tokens"), "secret # of Tier 1\n").unwrap();
    let options = [&["--deploy-tokens", "FOLDER/tokens"], options].concat();
    Tier2::in_folder(folder, &options).await
}

fn showing(ask: Ask, token: Option<&str>) -> Ask {
    match token {
        Some(token) => ask.token(token),
        None => ask,
    }
}

fn for_client(ask: Ask, client_ip: Option<&str>) -> Ask {
    match client_ip {
        Some(client) => ask.header("x-clientip", client),
        None => ask,
    }
}
