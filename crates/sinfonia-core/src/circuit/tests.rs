use proptest::prelude::*;
use rstest::rstest;

use super::*;

use Outcome::{Answered, Failed, Pause, Unknown};

#[test]
fn five_failures_in_a_row_open_it_for_ten_seconds() {
    let mut test = Test::new();

    let changes = [(); 5].map(|()| test.request(Failed));

    let opened = Some(Change::Opened(seconds(10)));
    assert_eq!(changes, [None, None, None, None, opened]);
    assert!(test.circuit.is_open());
    assert!(test.after(9.9).is_avoided());
    assert!(!test.after(0.1).is_avoided());
}

#[rstest]
#[case::by_an_answer(Answered, false)]
#[case::not_by_what_came_to_nothing(Unknown, true)]
fn a_row_is_broken(#[case] between: Outcome, #[case] is_open: bool) {
    let mut test = Test::new();

    for outcome in [Failed, Failed, Failed, Failed, between, Failed] {
        test.request(outcome);
    }

    assert_eq!(test.circuit.is_open(), is_open);
}

#[test]
fn a_cloudlet_that_asks_for_a_pause_gets_it() {
    let mut test = Test::new();

    let change = test.request(Pause(seconds(30)));

    assert_eq!(change, Some(Change::Opened(seconds(30))));
    assert!(test.after(29.9).is_avoided());
    assert!(!test.after(0.1).is_avoided());
}

#[test]
fn one_request_at_a_time_probes() {
    let mut test = Test::opened();
    test.after(10.0);

    let probe = test.circuit.begin(test.now);
    let meanwhile = test.circuit.begin(test.now);

    assert!(!probe.is_regardless());
    assert!(meanwhile.is_regardless());
    assert!(test.is_avoided());
}

#[test]
fn the_probe_closes_it() {
    let mut test = Test::opened();

    let change = test.after(10.0).request(Answered);

    assert_eq!(change, Some(Change::Closed));
    assert!(!test.is_avoided());
    assert!(!test.circuit.is_open());
}

#[test]
fn each_probe_that_fails_doubles_the_pause_up_to_two_minutes() {
    let mut test = Test::opened();

    let pauses = [10.0, 20.0, 40.0, 80.0, 120.0].map(|pause| test.after(pause).request(Failed));

    let expected = [20, 40, 80, 120, 120].map(|pause| Some(Change::StaysOpen(seconds(pause))));
    assert_eq!(pauses, expected);
}

#[rstest]
#[case::asked_for_a_pause(Pause(seconds(60)), 60, 10)]
#[case::broken_off(Unknown, 0, 20)]
fn a_probe_that_does_not_tell_leaves_it_open(
    #[case] outcome: Outcome,
    #[case] pause: u64,
    #[case] next: u64,
) {
    let mut test = Test::opened();

    let change = test.after(10.0).request(outcome);
    let failed = test.after(pause as f64).request(Failed);

    assert_eq!(change, Some(Change::StaysOpen(seconds(pause))));
    assert_eq!(failed, Some(Change::StaysOpen(seconds(next))));
}

#[test]
fn after_it_has_closed_pauses_are_short_again() {
    let mut test = Test::opened();
    test.after(10.0).request(Failed);
    test.after(20.0).request(Answered);

    let changes = [(); 5].map(|()| test.request(Failed));

    assert_eq!(changes[4], Some(Change::Opened(seconds(10))));
}

#[rstest]
#[case(Answered)]
#[case(Failed)]
#[case(Pause(seconds(60)))]
fn requests_that_go_through_an_open_circuit_say_nothing_about_it(#[case] outcome: Outcome) {
    let mut test = Test::opened();
    let before = test.circuit.clone();

    let change = test.request(outcome);

    assert_eq!((change, test.circuit), (None, before));
}

#[test]
fn what_hung_before_the_probe_does_not_open_it_again() {
    let mut test = Test::new();
    let hanging: Vec<Passage> = (0..20).map(|_| test.circuit.begin(test.now)).collect();
    for _ in 0..5 {
        test.request(Failed);
    }
    test.after(10.0).request(Answered);

    for passage in hanging {
        test.circuit.end(passage, Failed, test.now);
    }

    assert!(!test.circuit.is_open());
}

#[rstest]
#[case::new(&[], 0.0, true)]
#[case::a_failure(&[Failed], 1000.0, false)]
#[case::made_good(&[Failed, Answered], 0.0, true)]
#[case::open(&[Pause(seconds(1))], 1000.0, false)]
fn what_has_nothing_to_tell_can_be_forgotten(
    #[case] outcomes: &[Outcome],
    #[case] later: f64,
    #[case] expected: bool,
) {
    let mut test = Test::new();
    for outcome in outcomes {
        test.request(*outcome);
    }

    assert_eq!(test.after(later).is_forgettable(), expected);
}

#[test]
fn what_has_closed_is_kept_until_all_earlier_requests_have_ended() {
    let mut test = Test::opened();
    test.after(10.0).request(Answered);

    let at_once = test.is_forgettable();
    let later = test.after(60.1).is_forgettable();

    assert_eq!((at_once, later), (false, true));
}

#[test]
fn no_pause_is_too_long_to_be_reckoned_with() {
    let mut test = Test::new();

    test.request(Pause(Duration::MAX));

    assert!(test.is_avoided());
}

proptest! {
    #[test]
    fn never_do_two_requests_probe_at_once_and_the_cloudlet_always_comes_back(
        steps in prop::collection::vec(step(), 0..80),
    ) {
        let mut test = Test::new();
        let mut running: Vec<Passage> = Vec::new();
        for step in steps {
            match step {
                Step::Wait(milliseconds) => { test.after(milliseconds as f64 / 1000.0); }
                Step::Begin => running.push(test.circuit.begin(test.now)),
                Step::End(_, _) if running.is_empty() => {}
                Step::End(which, outcome) => {
                    let passage = running.swap_remove(which % running.len());
                    test.circuit.end(passage, outcome, test.now);
                }
            }
            let probes = running.iter().filter(|passage| passage.0 == Kind::Probe).count();
            prop_assert!(probes <= 1);
            prop_assert!(probes == 0 || test.is_avoided());
        }

        for passage in running {
            test.circuit.end(passage, Failed, test.now);
        }
        test.after(LONGEST_PAUSE.as_secs_f64());
        prop_assert!(!test.is_avoided());
        test.request(Answered);
        prop_assert!(!test.circuit.is_open());
    }

    #[test]
    fn it_opens_after_a_row_of_failures_and_not_before(failed in prop::collection::vec(any::<bool>(), 0..60)) {
        let mut test = Test::new();
        for failed in &failed {
            test.request(if *failed { Failed } else { Answered });
        }

        let row = failed.windows(5).any(|window| window.iter().all(|failed| *failed));
        prop_assert_eq!(test.circuit.is_open(), row);
    }
}

#[derive(Debug, Clone)]
enum Step {
    Wait(u64),
    Begin,
    End(usize, Outcome),
}

fn step() -> impl Strategy<Value = Step> {
    let outcome = prop_oneof![
        1 => Just(Answered),
        4 => Just(Failed),
        1 => (0_u64..100).prop_map(|pause| Pause(seconds(pause))),
        1 => Just(Unknown),
    ];
    prop_oneof![
        1 => (0_u64..40_000).prop_map(Step::Wait),
        3 => Just(Step::Begin),
        3 => (any::<usize>(), outcome).prop_map(|(which, outcome)| Step::End(which, outcome)),
    ]
}

/// A circuit with a clock.
struct Test {
    circuit: Circuit,
    now: Instant,
}

impl Test {
    fn new() -> Self {
        Self {
            circuit: Circuit::default(),
            now: Instant::now(),
        }
    }

    /// After five failures.
    fn opened() -> Self {
        let mut test = Self::new();
        for _ in 0..5 {
            test.request(Failed);
        }
        test
    }

    fn after(&mut self, seconds: f64) -> &mut Self {
        self.now += Duration::from_secs_f64(seconds);
        self
    }

    fn is_avoided(&self) -> bool {
        self.circuit.is_avoided(self.now)
    }

    /// With requests that take a minute at most.
    fn is_forgettable(&self) -> bool {
        self.circuit.is_forgettable(seconds(60), self.now)
    }

    /// A request that ends at once.
    fn request(&mut self, outcome: Outcome) -> Option<Change> {
        let passage = self.circuit.begin(self.now);
        self.circuit.end(passage, outcome, self.now)
    }
}

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}
