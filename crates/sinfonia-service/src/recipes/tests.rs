use std::fs;

use sinfonia_core::policy::Policy;
use tempfile::TempDir;
use wiremock::matchers::{header, method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::*;
use crate::client::{ClientSettings, build};

const UUID: Uuid = Uuid::from_u128(0x737b_5001_d27a_413f_9806_abf9_bfce_6746);
const GOOD: &str = "chart: charts/example\nversion: 0.1.0\n";

#[tokio::test]
async fn a_recipe_in_a_folder_is_found() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join(format!("{UUID}.yaml")), GOOD).unwrap();

    let recipe = at_folder(&folder).get(UUID).await.unwrap();

    assert_eq!(recipe.version.to_string(), "0.1.0");
}

#[tokio::test]
async fn a_recipe_that_is_not_in_the_folder_is_unknown() {
    let folder = TempDir::new().unwrap();

    assert!(matches!(
        at_folder(&folder).get(UUID).await,
        Err(RecipeLookupError::Unknown(UUID))
    ));
}

#[tokio::test]
async fn an_expression_that_cannot_be_used_troubles_only_those_who_choose_cloudlets() {
    let folder = TempDir::new().unwrap();
    let text = format!("{GOOD}requires: nonsense\n");
    fs::write(folder.path().join(format!("{UUID}.yaml")), text).unwrap();

    let read = at_folder(&folder).get(UUID).await;
    let chosen_by = at_folder(&folder).with_policies().get(UUID).await;

    assert_eq!(read.unwrap().policy, Policy::default());
    assert!(matches!(
        chosen_by,
        Err(RecipeLookupError::Unavailable { .. })
    ));
}

#[tokio::test]
async fn what_a_recipe_requires_is_kept_with_it() {
    let folder = TempDir::new().unwrap();
    let text = format!("{GOOD}requires: distance_km < 100.0\n");
    fs::write(folder.path().join(format!("{UUID}.yaml")), text).unwrap();
    let repository = at_folder(&folder).with_policies();

    let (first, second) = (
        repository.get(UUID).await.unwrap(),
        repository.get(UUID).await.unwrap(),
    );

    assert_ne!(first.policy, Policy::default());
    assert!(Arc::ptr_eq(&first, &second));
}

#[tokio::test]
async fn a_folder_that_is_not_there_is_unavailable() {
    let folder = TempDir::new().unwrap();
    let repository = repository(folder.path().join("nowhere").to_str().unwrap());

    assert!(matches!(
        repository.get(UUID).await,
        Err(RecipeLookupError::Unavailable { .. })
    ));
}

#[tokio::test(start_paused = true)]
async fn a_source_that_failed_is_asked_again_soon() {
    let folder = TempDir::new().unwrap();
    let recipes = folder.path().join("recipes");
    let repository = repository(recipes.to_str().unwrap());

    repository.get(UUID).await.unwrap_err();
    fs::create_dir(&recipes).unwrap();
    fs::write(recipes.join(format!("{UUID}.yaml")), GOOD).unwrap();
    let at_once = repository.get(UUID).await;
    tokio::time::advance(RETRY).await;
    let soon = repository.get(UUID).await;

    assert!(at_once.is_err());
    assert!(soon.is_ok());
}

#[cfg(unix)]
#[tokio::test]
async fn a_link_may_lead_around_in_the_folder_but_not_out_of_it() {
    let folder = TempDir::new().unwrap();
    let outside = TempDir::new().unwrap();
    let other = Uuid::from_u128(1);
    fs::write(outside.path().join("secret.yaml"), GOOD).unwrap();
    fs::create_dir(folder.path().join("data")).unwrap();
    fs::write(folder.path().join("data/inside.yaml"), GOOD).unwrap();
    std::os::unix::fs::symlink(
        "data/inside.yaml",
        folder.path().join(format!("{UUID}.yaml")),
    )
    .unwrap();
    std::os::unix::fs::symlink(
        outside.path().join("secret.yaml"),
        folder.path().join(format!("{other}.yaml")),
    )
    .unwrap();
    let repository = at_folder(&folder);

    assert!(repository.get(UUID).await.is_ok());
    assert!(matches!(
        repository.get(other).await,
        Err(RecipeLookupError::Unavailable { .. })
    ));
}

#[tokio::test]
async fn a_folder_lists_what_it_offers() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join(format!("{UUID}.yaml")), GOOD).unwrap();
    fs::write(folder.path().join("notes.yaml"), "").unwrap();

    assert_eq!(
        at_folder(&folder).offered().await,
        Some(BTreeSet::from([UUID]))
    );
}

#[tokio::test]
async fn look_ups_at_once_are_one_request() {
    let server = MockServer::start().await;
    let slow = ResponseTemplate::new(200)
        .set_body_string(GOOD)
        .set_delay(Duration::from_millis(50));
    recipe_request()
        .respond_with(slow)
        .expect(1)
        .mount(&server)
        .await;
    let repository = repository(&format!("{}/recipes/", server.uri()));

    let lookups: Vec<_> = (0..20)
        .map(|_| {
            tokio::spawn({
                let repository = repository.clone();
                async move { repository.get(UUID).await }
            })
        })
        .collect();

    for lookup in lookups {
        assert!(lookup.await.unwrap().is_ok());
    }
}

#[tokio::test]
async fn an_unchanged_recipe_is_not_sent_again() {
    let server = MockServer::start().await;
    let repository = repository(&format!("{}/recipes", server.uri()));
    let tagged = ResponseTemplate::new(200)
        .set_body_string(GOOD)
        .insert_header("etag", "\"one\"");
    recipe_request()
        .respond_with(tagged)
        .up_to_n_times(1)
        .expect(1)
        .mount(&server)
        .await;
    recipe_request()
        .and(header("if-none-match", "\"one\""))
        .respond_with(ResponseTemplate::new(304))
        .expect(1)
        .mount(&server)
        .await;

    let first = repository.get(UUID).await.unwrap();
    forget_soon(&repository).await;
    let second = repository.get(UUID).await.unwrap();

    assert!(Arc::ptr_eq(&first, &second));
}

#[tokio::test]
async fn the_last_good_copy_is_served_while_the_source_is_down() {
    let server = MockServer::start().await;
    let repository = repository(&format!("{}/recipes", server.uri()));
    recipe_request()
        .respond_with(ResponseTemplate::new(200).set_body_string(GOOD))
        .up_to_n_times(1)
        .mount(&server)
        .await;
    recipe_request()
        .respond_with(ResponseTemplate::new(500))
        .mount(&server)
        .await;

    let first = repository.get(UUID).await.unwrap();
    forget_soon(&repository).await;

    assert_eq!(repository.get(UUID).await.unwrap(), first);
}

#[tokio::test]
async fn a_source_that_hangs_does_not_keep_the_good_copy_from_those_who_ask() {
    let server = MockServer::start().await;
    let repository = repository(&format!("{}/recipes", server.uri()));
    recipe_request()
        .respond_with(ResponseTemplate::new(200).set_body_string(GOOD))
        .up_to_n_times(1)
        .mount(&server)
        .await;
    recipe_request()
        .respond_with(ResponseTemplate::new(200).set_delay(Duration::from_secs(60)))
        .expect(1)
        .mount(&server)
        .await;

    let first = repository.get(UUID).await.unwrap();
    forget_soon(&repository).await;

    // Less than the source's own time-out.
    for _ in 0..2 {
        let again = tokio::time::timeout(Duration::from_secs(4), repository.get(UUID)).await;
        assert!(Arc::ptr_eq(&again.unwrap().unwrap(), &first));
    }
}

#[tokio::test]
async fn what_nobody_waits_for_any_more_is_kept() {
    let server = MockServer::start().await;
    let repository = repository(&format!("{}/recipes", server.uri()));
    let slow = ResponseTemplate::new(200)
        .set_body_string(GOOD)
        .set_delay(Duration::from_millis(200));
    recipe_request()
        .respond_with(slow)
        .expect(1)
        .mount(&server)
        .await;

    let impatient = tokio::time::timeout(Duration::from_millis(50), repository.get(UUID)).await;
    let patient = repository.get(UUID).await;

    assert!(impatient.is_err());
    assert!(patient.is_ok());
}

#[tokio::test]
async fn a_recipe_that_was_removed_is_gone() {
    let server = MockServer::start().await;
    let repository = repository(&format!("{}/recipes", server.uri()));
    recipe_request()
        .respond_with(ResponseTemplate::new(200).set_body_string(GOOD))
        .up_to_n_times(1)
        .mount(&server)
        .await;

    repository.get(UUID).await.unwrap();
    forget_soon(&repository).await;

    assert!(matches!(
        repository.get(UUID).await,
        Err(RecipeLookupError::Unknown(UUID))
    ));
}

#[rstest::rstest]
#[case::refused(ResponseTemplate::new(403))]
#[case::moved(ResponseTemplate::new(302).insert_header("location", "/elsewhere"))]
#[case::malformed(ResponseTemplate::new(200).set_body_string("chart: ../example\nversion: 0.1.0\n"))]
#[case::a_page(ResponseTemplate::new(200).set_body_string("<html></html>"))]
#[case::endless(ResponseTemplate::new(200).set_body_string("#".repeat(MOST_BYTES_AND_ONE)))]
#[tokio::test]
async fn what_is_no_recipe_is_unavailable(#[case] answer: ResponseTemplate) {
    let server = MockServer::start().await;
    recipe_request()
        .respond_with(answer)
        .expect(1)
        .mount(&server)
        .await;
    let repository = repository(&format!("{}/recipes", server.uri()));

    for _ in 0..2 {
        assert!(matches!(
            repository.get(UUID).await,
            Err(RecipeLookupError::Unavailable { retry_after: 3, .. })
        ));
    }
}

#[test]
fn a_source_is_a_folder_or_a_url_and_shows_no_secret() {
    assert_eq!(
        "RECIPES".parse(),
        Ok(RecipeSource::Folder("RECIPES".into()))
    );
    assert!(matches!(
        "file:///etc".parse::<RecipeSource>(),
        Err(RecipeSourceError::Scheme(_))
    ));
    let url: RecipeSource = "https://me:secret@recipes.example:8443/all?token=secret"
        .parse()
        .unwrap();
    assert_eq!(url.to_string(), "https://recipes.example:8443/all");
}

const MOST_BYTES_AND_ONE: usize = sinfonia_core::recipe::MOST_BYTES + 1;

fn recipe_request() -> wiremock::MockBuilder {
    Mock::given(method("GET")).and(path(format!("/recipes/{UUID}.yaml")))
}

fn at_folder(folder: &TempDir) -> RecipeRepository {
    repository(folder.path().to_str().unwrap())
}

fn repository(source: &str) -> RecipeRepository {
    RecipeRepository::new(
        source.parse().unwrap(),
        build(&ClientSettings::new("test")).unwrap(),
    )
}

/// Ends the life of what is held, as time would.
async fn forget_soon(repository: &RecipeRepository) {
    let slot = repository.slots.get(&UUID).await.unwrap();
    slot.known().believed_until = None;
}
