//! Records on an API server that answers late, refuses, and holds what cannot be understood.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use sinfonia_core::lifecycle::{AddressPool, Policy, Record, place, start};
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::*;
use crate::cluster::kubernetes::fake_api::FakeApi;

const RECORDS: &str = "/apis/findcloudlet.org/v1alpha1/namespaces/sinfonia/cloudletdeployments";
const KEY: PublicKey = PublicKey::from_bytes([1; 32]);
const LATER: PublicKey = PublicKey::from_bytes([2; 32]);

/// A record API whose records are followed.
struct World {
    server: FakeApi,
    records: RecordApi,
    following: JoinHandle<()>,
}

#[tokio::test]
async fn a_write_is_known_before_the_watch_tells_it() {
    let world = World::new().await;
    world.server.hold_events(RECORDS);

    world.records.create(spec("first")).await.unwrap();

    assert_eq!(world.created_by().as_deref(), Some("first"));
}

#[tokio::test]
async fn a_write_that_is_answered_after_the_records_end_does_not_bring_it_back() {
    let world = World::new().await;
    world.records.create(spec("first")).await.unwrap();
    let seen = world.seen();
    world.server.hold_answers(RECORDS, true);
    let records = world.records.clone();
    let writing = tokio::spawn(async move { records.write_spec(&seen, &spec("second")).await });
    world
        .until(|| world.stored()["spec"]["createdBy"] == "second")
        .await;

    world.server.delete(RECORDS, &KEY.record_name());
    world
        .until(|| world.records.cache.get(&KEY).is_none())
        .await;
    world.server.hold_answers(RECORDS, false);

    writing.await.unwrap().unwrap();
    assert_eq!(world.created_by(), None);
}

#[tokio::test]
async fn a_write_that_is_answered_after_a_list_without_its_record_does_not_bring_it_back() {
    let world = World::new().await;
    world.server.hold_answers(RECORDS, true);
    let records = world.records.clone();
    world.server.hold_events(RECORDS);
    let creating = tokio::spawn(async move { records.create(spec("first")).await });
    world
        .until(|| world.server.find(RECORDS, &KEY.record_name()).is_some())
        .await;

    let lists = world.server.lists(RECORDS);
    world.server.release_events_unseen(RECORDS);
    world.server.delete_unseen(RECORDS, &KEY.record_name());
    world
        .until(|| world.server.lists(RECORDS) > lists && world.server.watches(RECORDS) == 1)
        .await;
    world.server.hold_answers(RECORDS, false);

    creating.await.unwrap().unwrap();
    assert_eq!(world.created_by(), None);
}

#[tokio::test]
async fn a_list_that_is_older_than_a_write_does_not_undo_it() {
    let world = World::new().await;
    world.server.hold_events(RECORDS);
    world.records.create(spec("first")).await.unwrap();
    let seen = world.seen();

    let old = vec![seen.clone()];
    world
        .records
        .write_spec(&seen, &spec("second"))
        .await
        .unwrap();
    world.records.cache.reset(old, seen.version);

    assert_eq!(world.created_by().as_deref(), Some("second"));
}

#[tokio::test]
async fn after_a_conflict_the_other_decision_is_known_at_once() {
    let world = World::new().await;
    world.records.create(spec("first")).await.unwrap();
    let old = world.seen();
    world.server.hold_events(RECORDS);
    let mut other = world.stored();
    other["spec"]["createdBy"] = "other".into();
    world.server.put(RECORDS, other);

    let status = status_of(&old);
    for written in [
        world.records.write_spec(&old, &spec("second")).await,
        world.records.write_status(&old, &status).await,
        world.records.delete(&old).await,
        world.records.remove(&old).await,
    ] {
        assert!(matches!(written, Err(WriteError::Stale)), "{written:?}");
    }
    assert_eq!(world.created_by().as_deref(), Some("other"));
    assert_eq!(world.stored()["status"], Value::Null);
}

#[tokio::test]
async fn who_comes_second_learns_of_the_first() {
    let world = World::new().await;
    world.server.hold_events(RECORDS);
    let object = new_object(&spec("first")).unwrap();
    world
        .server
        .put(RECORDS, serde_json::to_value(object).unwrap());

    let created = world.records.create(spec("second")).await;

    assert!(matches!(created, Err(WriteError::Stale)), "{created:?}");
    assert_eq!(world.created_by().as_deref(), Some("first"));
}

#[tokio::test]
async fn what_is_gone_is_known_to_be_gone_once_it_was_to_be_written() {
    let world = World::new().await;
    world.records.create(spec("first")).await.unwrap();
    let seen = world.seen();
    world.server.hold_events(RECORDS);
    world.server.delete(RECORDS, &KEY.record_name());

    let written = world.records.write_spec(&seen, &spec("second")).await;

    assert!(matches!(written, Err(WriteError::Stale)), "{written:?}");
    assert_eq!(world.created_by(), None);
}

#[tokio::test]
async fn a_record_goes_when_it_is_deleted_and_then_removed() {
    let world = World::new().await;
    world.records.create(spec("first")).await.unwrap();

    world.records.delete(&world.seen()).await.unwrap();
    assert!(world.seen().record().deleting);
    world.records.remove(&world.seen()).await.unwrap();

    assert_eq!(world.created_by(), None);
    assert_eq!(world.server.find(RECORDS, &KEY.record_name()), None);
}

#[tokio::test]
async fn what_the_watch_tells_late_of_a_record_that_is_gone_does_not_stay() {
    let world = World::new().await;
    world.server.hold_events(RECORDS);
    world.records.create(spec("first")).await.unwrap();
    world.records.delete(&world.seen()).await.unwrap();
    world.records.remove(&world.seen()).await.unwrap();

    world.server.release_events(RECORDS);
    let later = RecordSpec {
        public_key: LATER,
        ..spec("later")
    };
    let later = serde_json::to_value(new_object(&later).unwrap()).unwrap();
    world.server.put(RECORDS, later);
    world
        .until(|| world.records.cache.get(&LATER).is_some())
        .await;

    assert_eq!(world.created_by(), None);
}

#[tokio::test]
async fn a_finalizer_of_somebody_else_keeps_the_record() {
    let world = World::new().await;
    let mut object = serde_json::to_value(new_object(&spec("first")).unwrap()).unwrap();
    object["metadata"]["finalizers"] = serde_json::json!([FINALIZER, "example.org/keep"]);
    world.server.put(RECORDS, object);
    world
        .until(|| world.records.cache.get(&KEY).is_some())
        .await;

    world.records.delete(&world.seen()).await.unwrap();
    world.records.remove(&world.seen()).await.unwrap();

    assert!(world.seen().record().deleting);
    let left = &world.stored()["metadata"]["finalizers"];
    assert_eq!(*left, serde_json::json!(["example.org/keep"]));
}

#[tokio::test]
async fn an_object_that_cannot_be_understood_hides_no_other() {
    let world = World::new().await;
    let mut strange = serde_json::to_value(new_object(&spec("strange")).unwrap()).unwrap();
    strange["metadata"]["name"] = "wg-strange".into();
    world.server.put(RECORDS, strange);

    world.records.create(spec("first")).await.unwrap();
    world.records.refresh().await.unwrap();

    assert_eq!(world.records.cache.all().len(), 1);
    assert_eq!(world.created_by().as_deref(), Some("first"));
}

#[tokio::test]
async fn a_record_that_is_deleted_when_it_cannot_be_understood_any_more_is_gone_too() {
    let world = World::new().await;
    world.records.create(spec("first")).await.unwrap();
    let mut spoilt = world.stored();
    spoilt["spec"]["renewed"] = "yesterday".into();
    world.server.put(RECORDS, spoilt);

    world.server.delete(RECORDS, &KEY.record_name());

    world
        .until(|| world.records.cache.get(&KEY).is_none())
        .await;
}

#[tokio::test]
async fn writes_that_are_refused_for_another_reason_change_nothing() {
    let world = World::new().await;
    world.records.create(spec("first")).await.unwrap();
    let seen = world.seen();
    world.server.fail(RECORDS, Some(403));

    let written = world.records.write_spec(&seen, &spec("second")).await;

    assert!(
        matches!(written, Err(WriteError::Cluster(_))),
        "{written:?}"
    );
    assert_eq!(world.created_by().as_deref(), Some("first"));
}

impl World {
    async fn new() -> Self {
        let server = FakeApi::default();
        assert_eq!(server.lists(RECORDS), 0);
        let client = server.client();
        let records = RecordApi::new(client, "sinfonia");
        let following = tokio::spawn(records.clone().follow());
        let world = Self {
            server,
            records,
            following,
        };
        let mut synchronised = world.records.synchronised();
        synchronised.wait_for(Result::is_ok).await.unwrap();
        world.until(|| world.server.watches(RECORDS) == 1).await;
        world
    }

    fn seen(&self) -> Seen {
        self.records.cache.get(&KEY).unwrap()
    }

    fn stored(&self) -> Value {
        self.server.find(RECORDS, &KEY.record_name()).unwrap()
    }

    fn created_by(&self) -> Option<String> {
        let seen = self.records.cache.get(&KEY)?;
        Some(seen.record().spec.created_by.clone())
    }

    async fn until(&self, holds: impl Fn() -> bool) {
        for _ in 0..1000 {
            if holds() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("it does not happen");
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.following.abort();
    }
}

fn spec(id: &str) -> RecordSpec {
    RecordSpec {
        uuid: Uuid::nil(),
        public_key: KEY,
        client_address: [192, 0, 2, 7].into(),
        created: Timestamp::UNIX_EPOCH,
        created_by: id.to_owned(),
        renewed: Timestamp::UNIX_EPOCH,
        renewed_by: id.to_owned(),
        renewals: 1,
    }
}

fn status_of(seen: &Seen) -> RecordStatus {
    let record: &Record = seen.record();
    let pool = AddressPool::new("10.5.0.0/16".parse().unwrap()).unwrap();
    let placement = place(record, [record], &pool, 1).unwrap();
    start(record, placement, Timestamp::UNIX_EPOCH, &Policy::default())
}
