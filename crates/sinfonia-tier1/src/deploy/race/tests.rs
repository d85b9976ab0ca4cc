use std::cell::{Cell, RefCell};
use std::future::ready;
use std::time::Duration;

use http::StatusCode;
use proptest::prelude::*;

use super::*;

/// What a cloudlet does in a test, and how long it takes in milliseconds.
#[derive(Debug, Clone)]
enum Cloudlet {
    Deploys(u64),
    Fails(u64),
    Refuses(u64),
    /// Deploys, but is asked as the last resort alone.
    Avoided(u64),
}
use Cloudlet::{Avoided, Deploys, Fails, Refuses};

const HANGS: Cloudlet = Deploys(u64::MAX);

#[tokio::test(start_paused = true)]
async fn the_best_candidate_gets_it() {
    let (race, asked) = run(&[Deploys(10), Deploys(10)], 1, None).await;

    assert_eq!(race, finished(Finish::Deployed(vec![0]), 1, 0));
    assert_eq!(asked, [(0, 4500)]);
}

#[tokio::test(start_paused = true)]
async fn one_that_fails_is_replaced_by_the_next() {
    let (race, _) = run(&[Fails(10), Fails(10), Deploys(10)], 1, None).await;

    let expected = finished(Finish::Deployed(vec![2]), 3, 2);
    assert_eq!(
        race,
        expected.after(&[(0, Failure::NotFound), (1, Failure::NotFound)])
    );
}

#[tokio::test(start_paused = true)]
async fn one_that_hangs_leaves_time_for_the_others() {
    let (race, asked) = run(&[HANGS, HANGS, Deploys(10)], 1, None).await;

    let expected = finished(Finish::Deployed(vec![2]), 3, 2);
    assert_eq!(
        race,
        expected.after(&[(0, Failure::TimedOut), (1, Failure::TimedOut)])
    );
    assert_eq!(asked, [(0, 4500), (1, 2250), (2, 2250)]);
}

#[tokio::test(start_paused = true)]
async fn when_time_is_short_nobody_is_asked_any_more() {
    let started = Instant::now();

    let (race, asked) = run(&[HANGS, HANGS, HANGS, HANGS], 1, None).await;

    let failures = [0, 1, 2].map(|place| (place, Failure::TimedOut));
    assert_eq!(race, finished(Finish::Failed, 3, 2).after(&failures));
    assert_eq!(asked, [(0, 4500), (1, 2250), (2, 1125)]);
    assert_eq!(started.elapsed(), Duration::from_millis(7875));
}

#[tokio::test(start_paused = true)]
async fn several_are_asked_at_once_and_keep_their_order() {
    let (race, asked) = run(&[Deploys(300), Deploys(10), Deploys(200)], 2, Some(60)).await;

    assert_eq!(race, finished(Finish::Deployed(vec![0, 1]), 2, 0));
    assert_eq!(asked, [(0, 20_000), (1, 20_000)]);
}

#[tokio::test(start_paused = true)]
async fn with_nobody_left_to_fall_over_to_all_get_all_the_time() {
    let (race, asked) = run(&[Deploys(1), Deploys(1)], 3, None).await;

    assert_eq!(race, finished(Finish::Deployed(vec![0, 1]), 2, 0));
    assert_eq!(asked, [(0, 9000), (1, 9000)]);
}

#[tokio::test(start_paused = true)]
async fn fewer_than_wanted_are_still_a_success() {
    let (race, _) = run(&[Fails(1), Deploys(1), Fails(1)], 3, None).await;

    let expected = finished(Finish::Deployed(vec![1]), 3, 0);
    assert_eq!(
        race,
        expected.after(&[(0, Failure::NotFound), (2, Failure::NotFound)])
    );
}

#[tokio::test(start_paused = true)]
async fn what_the_client_is_to_hear_ends_the_race_at_once() {
    let started = Instant::now();

    let (race, _) = run(&[Deploys(1), Refuses(5), HANGS, Deploys(1)], 3, None).await;

    assert_eq!(race, finished(Finish::Refused(refusal()), 3, 0));
    assert_eq!(started.elapsed(), Duration::from_millis(5));
}

#[tokio::test(start_paused = true)]
async fn one_whose_turn_comes_with_a_refusal_is_not_asked() {
    let (race, asked) = run(&[Fails(5), Refuses(5), Deploys(1)], 2, None).await;

    let expected = finished(Finish::Refused(refusal()), 2, 0);
    assert_eq!(race, expected.after(&[(0, Failure::NotFound)]));
    assert_eq!(asked.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn one_that_is_put_back_is_not_asked_when_another_deploys() {
    let (race, asked) = run(&[Avoided(10), Deploys(10)], 1, None).await;

    assert_eq!(race, finished(Finish::Deployed(vec![1]), 1, 0));
    assert_eq!(asked, [(1, 4500)]);
}

#[tokio::test(start_paused = true)]
async fn those_that_are_put_back_are_asked_when_nobody_else_is_left() {
    let (race, asked) = run(&[Avoided(10), Fails(0), Avoided(10)], 1, None).await;

    let expected = finished(Finish::Deployed(vec![0]), 2, 1);
    assert_eq!(race, expected.after(&[(1, Failure::NotFound)]));
    assert_eq!(asked, [(1, 4500), (0, 4500)]);
}

#[tokio::test(start_paused = true)]
async fn one_that_is_put_back_again_and_again_is_given_up() {
    let attempt = async |_: usize, _: Turn| None::<Verdict<()>>;

    let race = race(
        vec![0, 1],
        ready(Vec::new()),
        rules(1, None),
        || true,
        attempt,
    )
    .await;

    assert_eq!(race, finished(Finish::Failed, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn without_candidates_nobody_is_asked() {
    let (race, _) = run(&[], 1, None).await;

    assert_eq!(race, finished(Finish::Failed, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn nobody_new_is_asked_once_the_client_has_gone() {
    let client = Cell::new(true);
    let attempt = |_, _| {
        client.set(false);
        async { Some(act(Fails(1)).await) }
    };

    let race = race(
        vec![0, 1, 2],
        ready(Vec::new()),
        rules(1, None),
        || client.get(),
        attempt,
    )
    .await;

    let expected: Race<()> = finished(Finish::Failed, 1, 0);
    assert_eq!(race, expected.after(&[(0, Failure::NotFound)]));
}

proptest! {
    #[test]
    fn a_race_ends_within_its_budget_and_asks_nobody_twice(
        cloudlets in prop::collection::vec(cloudlet(), 0..12),
        wanted in 1_usize..4,
        wait in prop::option::of(0_u64..100),
    ) {
        let (race, asked, elapsed) = in_paused_time(async {
            let started = Instant::now();
            let (race, asked) = run(&cloudlets, wanted, wait).await;
            (race, asked, started.elapsed())
        });

        prop_assert!(elapsed <= Budget::of(wait).left(Duration::ZERO));
        let places: Vec<usize> = asked.iter().map(|(place, _)| *place).collect();
        let is_avoided = |place: &usize| matches!(cloudlets[*place], Avoided(_));
        let (avoided, others): (Vec<_>, Vec<_>) = (0..cloudlets.len()).partition(is_avoided);
        let in_turn: Vec<_> = others.into_iter().chain(avoided).take(race.tried).collect();
        prop_assert_eq!(&places, &in_turn);
        match race.finish {
            Finish::Deployed(deployed) => {
                prop_assert!((1..=wanted).contains(&deployed.len()));
                prop_assert!(deployed.is_sorted());
                let all_deployed = deployed.iter().all(|place| matches!(cloudlets[*place], Deploys(_) | Avoided(_)));
                prop_assert!(all_deployed);
            }
            Finish::Refused(_) => {
                let some_refuses = places.iter().any(|place| matches!(cloudlets[*place], Refuses(_)));
                prop_assert!(some_refuses);
            }
            Finish::Failed => prop_assert_eq!(race.failures.len(), race.tried),
        }
    }

    #[test]
    fn a_race_is_the_same_when_the_later_candidates_are_only_found_in_need(
        cloudlets in prop::collection::vec(cloudlet(), 0..12),
        wanted in 1_usize..4,
        known_at_first in 0_usize..12,
    ) {
        let all_at_first = in_paused_time(run(&cloudlets, wanted, None));
        let some_at_first = in_paused_time(run_knowing(known_at_first, &cloudlets, wanted, None));

        prop_assert_eq!(all_at_first, some_at_first);
    }

    #[test]
    fn a_healthy_cloudlet_is_found_behind_any_that_fail_fast(failing in 0_usize..60, wait in prop::option::of(0_u64..100)) {
        let mut cloudlets = vec![Fails(1); failing];
        cloudlets.push(Deploys(1));

        let (race, _) = in_paused_time(run(&cloudlets, 1, wait));

        prop_assert_eq!(race.finish, Finish::Deployed(vec![failing]));
    }
}

/// Runs a race; also tells who was asked, and the milliseconds that each got.
async fn run(
    cloudlets: &[Cloudlet],
    wanted: usize,
    wait: Option<u64>,
) -> (Race<usize>, Vec<(usize, u128)>) {
    run_knowing(cloudlets.len(), cloudlets, wanted, wait).await
}

/// Runs a race in which no more than so many candidates are known at first, or as many as are wanted.
async fn run_knowing(
    known_at_first: usize,
    cloudlets: &[Cloudlet],
    wanted: usize,
    wait: Option<u64>,
) -> (Race<usize>, Vec<(usize, u128)>) {
    let asked = RefCell::new(Vec::new());
    let mut candidates: Vec<_> = cloudlets.iter().cloned().enumerate().collect();
    let later = candidates.split_off(known_at_first.max(wanted).min(cloudlets.len()));
    let attempt = async |(place, cloudlet): (usize, Cloudlet), turn: Turn| {
        if matches!(cloudlet, Avoided(_)) && !turn.is_last_resort {
            return None;
        }
        let time = turn.time.duration();
        asked.borrow_mut().push((place, time.as_millis()));
        let verdict = tokio::time::timeout(time, act(cloudlet)).await;
        Some(match verdict {
            Ok(Verdict::Success(())) => Verdict::Success(place),
            Ok(Verdict::ToClient(problem)) => Verdict::ToClient(problem),
            Ok(Verdict::Next(failure)) => Verdict::Next(failure),
            Err(_) => Verdict::Next(Failure::TimedOut),
        })
    };
    let race = race(
        candidates,
        ready(later),
        rules(wanted, wait),
        || true,
        attempt,
    )
    .await;
    (race, asked.into_inner())
}

async fn act(cloudlet: Cloudlet) -> Verdict<()> {
    let (Deploys(time) | Fails(time) | Refuses(time) | Avoided(time)) = cloudlet;
    tokio::time::sleep(Duration::from_millis(time)).await;
    match cloudlet {
        Deploys(_) | Avoided(_) => Verdict::Success(()),
        Fails(_) => Verdict::Next(Failure::NotFound),
        Refuses(_) => Verdict::ToClient(refusal()),
    }
}

fn cloudlet() -> impl Strategy<Value = Cloudlet> {
    let time = prop_oneof![0_u64..100, 0_u64..30_000];
    (time, 0..10).prop_map(|(time, kind)| match kind {
        0..3 => Deploys(time),
        3..7 => Fails(time),
        7..9 => Avoided(time),
        _ => Refuses(time),
    })
}

fn in_paused_time<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap()
        .block_on(future)
}

fn rules(wanted: usize, wait: Option<u64>) -> Rules {
    Rules {
        wanted,
        budget: Budget::of(wait),
        started: Instant::now(),
    }
}

fn finished<D>(finish: Finish<D>, tried: usize, fall_overs: usize) -> Race<D> {
    Race {
        finish,
        tried,
        fall_overs,
        failures: vec![],
    }
}

impl<D> Race<D> {
    fn after(self, failures: &[(usize, Failure)]) -> Self {
        Self {
            failures: failures.to_vec(),
            ..self
        }
    }
}

fn refusal() -> Problem {
    Problem::new(StatusCode::TOO_MANY_REQUESTS)
}
