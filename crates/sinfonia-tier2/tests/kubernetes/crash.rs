//! `kill -9` wherever a deployment's life can be cut, then another process, then everything has to be right.
//!
//! Nobody lists the places: each scenario runs once undisturbed and tells them, so a step that is new is cut too. They are the fail points of
//! Tier 2 itself (before and after each request that changes something, around each run of helm), and each change that helm makes.

mod points;
mod scenario;

use std::os::unix::process::ExitStatusExt;

use futures_util::{StreamExt, stream};
use rstest::rstest;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use self::points::Point;
use self::scenario::{Scenario, World};
use crate::harness::eventually;

/// Crashes at once, over all scenarios: each is two starts of a program and some runs of helm.
static AT_ONCE: Semaphore = Semaphore::const_new(CRASHES);
const CRASHES: usize = 6;
/// The signal of `kill -9`.
const SIGKILL: i32 = 9;

/// What the device does after the crash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Device {
    /// Asks again, if it got no answer.
    Repeats,
    /// Nothing.
    IsGone,
}

#[rstest]
#[case::create(Scenario::Create)]
#[case::delete(Scenario::Delete)]
#[case::expire(Scenario::Expire)]
#[case::revive(Scenario::Revive)]
#[case::failing_install(Scenario::FailingInstall)]
#[tokio::test(flavor = "multi_thread")]
async fn after_a_crash_anywhere_the_work_is_finished(#[case] scenario: Scenario) {
    crash_at_all(scenario, Device::Repeats, points_of(scenario).await).await;
}

#[rstest]
#[case::create(Scenario::Create)]
#[case::delete(Scenario::Delete)]
#[case::revive(Scenario::Revive)]
#[tokio::test(flavor = "multi_thread")]
async fn after_a_crash_nothing_is_left_half_done_even_if_the_device_is_gone(
    #[case] scenario: Scenario,
) {
    let points = points_of(scenario).await.into_iter();
    crash_at_all(scenario, Device::IsGone, points.step_by(4).collect()).await;
}

/// Runs a scenario undisturbed, and tells where it can be cut.
async fn points_of(scenario: Scenario) -> Vec<Point> {
    let _permit = AT_ONCE.acquire().await.unwrap();
    let mut world = World::new();
    world.watch_helm();
    let tier2 = world.first(scenario).await;
    scenario.prepare(&world, &tier2).await;
    world.arm(None);
    scenario.act(&world, &tier2).await;
    world.reaches(async || scenario.end(&world)).await;
    // What was done last may not be written down yet.
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    let points = points::choose(&world.passed(), world.changes_by_helm());
    assert!(points.len() > 5, "{points:?}");
    points
}

async fn crash_at_all(scenario: Scenario, device: Device, points: Vec<Point>) {
    let crashes = points.into_iter().map(|point| async move {
        let _permit = AT_ONCE.acquire().await.unwrap();
        let cut = point.clone();
        // Looks at the cluster block, so each crash has a thread of its own.
        let crash = tokio::task::spawn_blocking(move || {
            Handle::current().block_on(crash_at(scenario, device, cut));
        });
        crash.await.err().map(|_| point)
    });
    let outcomes = stream::iter(crashes).buffer_unordered(CRASHES);
    let outcomes: Vec<Option<Point>> = outcomes.collect().await;
    let failed: Vec<Point> = outcomes.into_iter().flatten().collect();
    assert!(
        failed.is_empty(),
        "{scenario:?}, {device:?}: not right after a crash at {failed:?}"
    );
}

async fn crash_at(scenario: Scenario, device: Device, point: Point) {
    let mut world = World::new();
    if matches!(point, Point::Helm { .. }) {
        world.watch_helm();
    }
    let mut tier2 = world.first(scenario).await;
    scenario.prepare(&world, &tier2).await;

    let answered = match &point {
        Point::Own(line) => {
            world.arm(Some(line));
            let answered = scenario.act(&world, &tier2).await;
            let signal = tier2.ended().signal();
            assert_eq!(signal, Some(SIGKILL), "{scenario:?} was not cut at {line}");
            answered
        }
        Point::Helm { change, after } => {
            world.hold_helm(*change, *after);
            let answered = tokio::select! {
                answered = async {
                    let answered = scenario.act(&world, &tier2).await;
                    world.helm_is_held(*change).await;
                    answered
                } => answered,
                () = world.helm_is_held(*change) => false,
            };
            tier2.kill();
            answered
        }
    };
    eventually(async || match world.cloudlet.helms().as_slice() {
        [] => Ok(()),
        left => Err(format!("helm survives: {left:?}")),
    })
    .await;

    let tier2 = world.second(scenario).await;
    if device == Device::Repeats {
        if !answered {
            scenario.act(&world, &tier2).await;
        }
        world.reaches(async || scenario.end(&world)).await;
    } else {
        world.reaches(async || Ok(())).await;
    }
}
