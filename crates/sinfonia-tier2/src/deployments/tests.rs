//! Races that no request from outside can be made to lose for sure.

use std::pin::pin;
use std::time::Duration;

use futures_util::poll;
use sinfonia_core::deployment::Status;
use sinfonia_core::lifecycle::{
    AddressPool, Failure, FailureClass, RecordSpec, RecordStatus, fail, place, start,
};
use sinfonia_core::network::Network;
use sinfonia_service::client::{ClientSettings, build};

use super::*;
use crate::cluster::sandbox::Sandbox;

const KEY: PublicKey = PublicKey::from_bytes([1; 32]);
const FIRST: Uuid = Uuid::from_u128(1);
const SECOND: Uuid = Uuid::from_u128(2);

#[tokio::test(start_paused = true)]
async fn what_another_application_took_over_meanwhile_is_not_given() {
    let deployments = deployments();
    ask_for(FIRST, &deployments).await;
    take_up(&deployments).await;
    let mut waiting = pin!(deployments.await_ready(FIRST, &KEY, in_a_while()));
    assert!(poll!(&mut waiting).is_pending());

    end(&deployments).await;
    ask_for(SECOND, &deployments).await;
    take_up(&deployments).await;

    assert!(matches!(waiting.await, Err(Refusal::Removed)));
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_written_is_answered_although_the_service_stops() {
    let deployments = deployments();
    ask_for(FIRST, &deployments).await;
    deployments.stopping.cancel();
    let mut waiting = pin!(deployments.await_ready(FIRST, &KEY, in_a_while()));
    assert!(poll!(&mut waiting).is_pending());

    take_up(&deployments).await;

    let answer = waiting.await.unwrap();
    assert_eq!(answer.status, Status::Initializing);
}

#[tokio::test(start_paused = true)]
async fn the_removal_of_a_record_that_is_new_already_is_not_waited_for() {
    let deployments = deployments();
    ask_for(FIRST, &deployments).await;

    let result = deployments.await_removal(&KEY, in_a_while()).await;

    assert!(result.is_ok());
}

#[tokio::test]
async fn a_request_that_is_withdrawn_while_its_recipe_is_read_creates_nothing() {
    let deployments = deployments();
    let spec = asked_for(FIRST, None, &deployments);
    let id = Some(spec.created_by.as_str());
    deployments.delete(FIRST, &KEY, id, |_| true).await.unwrap();

    let result = deployments.admit(None, spec).await;

    assert!(matches!(result, Err(Refusal::Withdrawn)));
    assert!(deployments.records.get(&KEY).is_none());
}

fn in_a_while() -> Instant {
    Instant::now() + Duration::from_secs(8)
}

/// Writes a request for a recipe.
async fn ask_for(uuid: Uuid, deployments: &Deployments) {
    let seen = deployments.records.get(&KEY);
    let spec = asked_for(uuid, seen.as_ref(), deployments);
    assert!(deployments.write(seen.as_ref(), spec).await.unwrap());
}

/// What a request for a recipe writes, which has the recipe's uuid for its id.
fn asked_for(uuid: Uuid, seen: Option<&Seen>, deployments: &Deployments) -> RecordSpec {
    let request = Request {
        uuid,
        public_key: KEY,
        client_address: [192, 0, 2, 7].into(),
        id: uuid.to_string(),
    };
    let now = deployments.clock.now();
    match deploy(seen.map(Seen::record), &request, now, &deployments.policy) {
        DeployDecision::Create(spec) | DeployDecision::Restart(spec) => spec,
        decision => panic!("{decision:?}"),
    }
}

/// Does what the controller does with a new request.
async fn take_up(deployments: &Deployments) {
    write_status(deployments, |record| {
        let placement = place(record, [record], &deployments.admission.pool, 0).unwrap();
        start(
            record,
            placement,
            deployments.clock.now(),
            &deployments.policy,
        )
    })
    .await;
}

/// Does what the controller does when an installation fails.
async fn end(deployments: &Deployments) {
    let failure = Failure {
        class: FailureClass::Refused,
        message: "no".to_owned(),
        detail: None,
    };
    write_status(deployments, |record| {
        fail(record, failure, deployments.clock.now()).unwrap()
    })
    .await;
}

async fn write_status(deployments: &Deployments, status: impl FnOnce(&Record) -> RecordStatus) {
    let seen = deployments.records.get(&KEY).unwrap();
    let status = status(seen.record());
    deployments
        .records
        .write_status(&seen, status)
        .await
        .unwrap();
}

/// The API's side alone: nobody takes requests up.
fn deployments() -> Deployments {
    let network: Network = "10.5.0.0/16".parse().unwrap();
    let sandbox = Sandbox::without_tunnel("203.0.113.7:51820".parse().unwrap(), network).unwrap();
    let client = build(&ClientSettings::new("test")).unwrap();
    Deployments {
        records: Arc::new(Records::in_memory()),
        cluster: Arc::new(sandbox),
        recipes: RecipeRepository::new("RECIPES".parse().unwrap(), client),
        policy: Policy::default(),
        admission: Admission {
            most: None,
            most_per_client: 4,
            most_pending: None,
            pool: AddressPool::new(network).unwrap(),
        },
        clock: Clock::system(),
        sandbox: true,
        stopping: CancellationToken::new(),
        withdrawn: Mutex::default(),
    }
}
