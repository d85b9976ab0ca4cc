use proptest::prelude::*;
use tokio::time::advance;

use super::*;

const LONGEST: Duration = Duration::from_secs(60);

#[tokio::test(start_paused = true)]
async fn a_cloudlet_whose_requests_fail_is_ranked_behind_until_its_pause_is_over() {
    let circuits = circuits();

    fail(&circuits, "failing");

    let class = |name| circuits.class(Class::Normal, &endpoint(name), now());
    let classes = || ["failing", "other"].map(class);
    assert_eq!(classes(), [Class::CircuitOpen, Class::Normal]);
    advance(Duration::from_secs(10)).await;
    assert_eq!(classes(), [Class::Normal, Class::Normal]);
}

#[tokio::test(start_paused = true)]
async fn one_that_is_busy_moves_back_when_its_circuit_opens() {
    let circuits = circuits();

    fail(&circuits, "busy");

    let class = circuits.class(Class::Overloaded, &endpoint("busy"), now());
    assert_eq!(class, Class::CircuitOpen);
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_is_dropped_lets_the_next_request_probe() {
    let circuits = circuits();
    fail(&circuits, "failing");
    advance(Duration::from_secs(10)).await;
    let failing = endpoint("failing");

    let probe = circuits.begin(&failing);
    let meanwhile = circuits.begin(&failing).is_regardless();
    drop(probe);
    let next = circuits.begin(&failing).is_regardless();

    assert_eq!((meanwhile, next), (true, false));
}

#[tokio::test(start_paused = true)]
async fn openings_are_counted_and_open_ones_told() {
    let mut metrics = sinfonia_service::metrics::registry("tier1");
    let circuits = Circuits::new(CircuitMetrics::register(&mut metrics));
    for name in ["back", "gone", "failing"] {
        fail(&circuits, name);
    }
    advance(Duration::from_secs(10)).await;
    end(&circuits, "back", Outcome::Answered);
    end(&circuits, "failing", Outcome::Failed);

    circuits.tidy(LONGEST, |one| *one != endpoint("gone"));

    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &metrics).unwrap();
    let told: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    let expected = [
        "sinfonia_tier1_circuits_open 1",
        "sinfonia_tier1_circuit_openings_total 3",
    ];
    assert_eq!(told, expected);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_kept_of_a_cloudlet_with_which_all_is_well() {
    let circuits = circuits();

    end(&circuits, "fine", Outcome::Answered);
    end(&circuits, "failed-once", Outcome::Failed);
    end(&circuits, "failed-once", Outcome::Answered);
    end(&circuits, "not-asked", Outcome::Unknown);

    assert_eq!(kept(&circuits), [] as [Endpoint; 0]);
}

#[tokio::test(start_paused = true)]
async fn what_has_closed_is_forgotten_when_earlier_requests_have_ended() {
    let circuits = circuits();
    fail(&circuits, "back");
    advance(Duration::from_secs(10)).await;
    end(&circuits, "back", Outcome::Answered);

    circuits.tidy(LONGEST, |_| true);
    let at_first = kept(&circuits);
    advance(Duration::from_secs(61)).await;
    circuits.tidy(LONGEST, |_| true);

    assert_eq!(
        (at_first, kept(&circuits)),
        (vec![endpoint("back")], vec![])
    );
}

proptest! {
    #[test]
    fn the_gauge_tells_how_many_are_open_whatever_happened(
        ends in prop::collection::vec((0_usize..4, 0_usize..5, 0_u64..15), 0..120),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = { runtime }.enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let circuits = circuits();
            for (cloudlet, outcome, seconds) in ends {
                let name = format!("cloudlet-{cloudlet}");
                match outcome {
                    0 => end(&circuits, &name, Outcome::Answered),
                    1 => end(&circuits, &name, Outcome::Pause(Duration::from_secs(seconds))),
                    2 => circuits.tidy(LONGEST, |one| *one != endpoint(&name)),
                    _ => fail(&circuits, &name),
                }
                advance(Duration::from_secs(seconds)).await;
            }

            let open = circuits.read().values().filter(|one| one.is_open()).count();
            assert_eq!(circuits.0.metrics.open.get(), i64::try_from(open).unwrap());
        });
    }
}

fn circuits() -> Circuits {
    Circuits::new(CircuitMetrics::default())
}

/// Five requests, which open a circuit that is closed.
fn fail(circuits: &Circuits, name: &str) {
    for _ in 0..5 {
        end(circuits, name, Outcome::Failed);
    }
}

fn end(circuits: &Circuits, name: &str, outcome: Outcome) {
    circuits.begin(&endpoint(name)).end(outcome);
}

fn kept(circuits: &Circuits) -> Vec<Endpoint> {
    circuits.read().keys().cloned().collect()
}

fn endpoint(name: &str) -> Endpoint {
    format!("http://{name}/api/v1/deploy").parse().unwrap()
}
