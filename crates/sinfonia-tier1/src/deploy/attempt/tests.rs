use std::cell::Cell;
use std::future::ready;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{Instant, advance, sleep};

use super::*;
use crate::circuits::{CircuitMetrics, now};
use crate::deploy::budget::Budget;
use crate::deploy::race::{Finish, Rules, race};
use crate::in_flight::InFlight;

/// Time that a cloudlet needs for an answer.
const ANSWER: Duration = Duration::from_millis(100);

#[tokio::test(start_paused = true)]
async fn when_one_of_ten_hangs_the_other_nine_keep_nine_tenths_of_their_throughput() {
    let healthy = Fleet::new(64);
    let hung = Fleet {
        hangs: Some(0),
        ..Fleet::new(64)
    };

    let before = healthy.serve_the_nine(Duration::from_secs(120)).await;
    let after = hung.serve_the_nine(Duration::from_secs(120)).await;

    assert!(after * 10 >= before * 9, "{after} of {before}");
}

#[tokio::test(start_paused = true)]
async fn one_that_hangs_holds_no_more_than_its_places_and_all_others_are_served() {
    let fleet = Fleet {
        hangs: Some(0),
        ..Fleet::new(4)
    };

    let served = fleet.served_at_once(8).await;

    assert_eq!(served, [Some(1); 8]);
    assert_eq!((fleet.asked(0), fleet.most_at_once(0)), (4, 4));
}

#[tokio::test(start_paused = true)]
async fn once_its_circuit_is_open_nobody_waits_for_it_but_one_probe_at_a_time() {
    let fleet = Fleet {
        hangs: Some(0),
        ..Fleet::new(64)
    };
    fleet.served_at_once(5).await;
    let asked = fleet.asked(0);

    let while_open = Instant::now();
    fleet.served_at_once(50).await;
    assert_eq!((fleet.asked(0), while_open.elapsed()), (asked, ANSWER));

    advance(Duration::from_secs(10)).await;
    let served = fleet.served_at_once(50).await;
    assert_eq!(served, [Some(1); 50]);
    assert_eq!(fleet.asked(0), asked + 1);
}

#[tokio::test(start_paused = true)]
async fn with_nothing_better_left_even_an_open_circuit_is_tried() {
    let fleet = Fleet::new(64);
    for endpoint in &fleet.endpoints {
        for _ in 0..5 {
            let failing = async { Verdict::<()>::Next(Failure::TimedOut) };
            through(&fleet.circuits, endpoint, true, failing).await;
        }
    }

    assert_eq!(fleet.request(3).await, Some(3));
}

#[tokio::test(start_paused = true)]
async fn a_circuit_that_opens_after_the_ranking_puts_its_cloudlet_back() {
    let circuits = Circuits::new(CircuitMetrics::default());
    let endpoint = endpoint(0);
    for _ in 0..5 {
        circuits
            .begin(&endpoint)
            .end(Verdict::<()>::Next(Failure::Broken).outcome());
    }

    let ranked_before = through(&circuits, &endpoint, false, async { Verdict::Success(()) }).await;
    let wanted_regardless =
        through(&circuits, &endpoint, true, async { Verdict::Success(()) }).await;

    assert_eq!(ranked_before, None);
    assert_eq!(wanted_regardless, Some(Verdict::Success(())));
}

/// Ten cloudlets in a row, one of which may hang.
struct Fleet {
    circuits: Circuits,
    in_flight: InFlight,
    endpoints: Vec<Endpoint>,
    hangs: Option<usize>,
    asked: [Cell<usize>; 10],
    running: [Cell<usize>; 10],
    most: [Cell<usize>; 10],
}

impl Fleet {
    fn new(most_in_flight: usize) -> Self {
        Self {
            circuits: Circuits::new(CircuitMetrics::default()),
            in_flight: InFlight::new(most_in_flight),
            endpoints: (0..10).map(endpoint).collect(),
            hangs: None,
            asked: Default::default(),
            running: Default::default(),
            most: Default::default(),
        }
    }

    fn asked(&self, cloudlet: usize) -> usize {
        self.asked[cloudlet].get()
    }

    fn most_at_once(&self, cloudlet: usize) -> usize {
        self.most[cloudlet].get()
    }

    /// How many requests of clients near the nine that do not hang are answered, when twenty clients ask from everywhere in turn.
    async fn serve_the_nine(&self, time: Duration) -> usize {
        let deadline = Instant::now() + time;
        let served = Cell::new(0);
        join_all((0..20).map(async |client| {
            for near in (0..10).cycle().skip(client) {
                self.request(near).await;
                if Instant::now() >= deadline {
                    return;
                }
                served.set(served.get() + usize::from(near != 0));
            }
        }))
        .await;
        served.get()
    }

    /// Who serves so many requests from where the first cloudlet is.
    async fn served_at_once(&self, requests: usize) -> Vec<Option<usize>> {
        join_all((0..requests).map(|_| self.request(0))).await
    }

    /// A request from where a cloudlet is; tells which one deploys.
    async fn request(&self, near: usize) -> Option<usize> {
        let now = now();
        let is_avoided = |cloudlet: usize| self.circuits.is_avoided(&self.endpoints[cloudlet], now);
        let mut candidates: Vec<_> = (0..10).map(|one| (is_avoided(one), one)).collect();
        candidates.sort_by_key(|(is_avoided, one)| (*is_avoided, one.abs_diff(near)));
        let rules = Rules {
            wanted: 1,
            budget: Budget::of(None),
            started: Instant::now(),
        };
        let attempt = |(is_avoided, cloudlet), turn: Turn| {
            let asking = self.ask(cloudlet, turn.time);
            let is_wanted = is_avoided || turn.is_last_resort;
            through(&self.circuits, &self.endpoints[cloudlet], is_wanted, asking)
        };
        match race(candidates, ready(Vec::new()), rules, || true, attempt)
            .await
            .finish
        {
            Finish::Deployed(deployed) => deployed.first().copied(),
            Finish::Refused(_) | Finish::Failed => None,
        }
    }

    async fn ask(&self, cloudlet: usize, time: TryTime) -> Verdict<usize> {
        let Some(_place) = self.in_flight.take(&self.endpoints[cloudlet]) else {
            return Verdict::Next(Failure::Busy);
        };
        let (asked, running) = (&self.asked[cloudlet], &self.running[cloudlet]);
        asked.set(asked.get() + 1);
        running.set(running.get() + 1);
        self.most[cloudlet].set(self.most_at_once(cloudlet).max(running.get()));
        let answer = if self.hangs == Some(cloudlet) {
            Duration::MAX
        } else {
            ANSWER
        };
        let answer = tokio::time::timeout(time.duration(), sleep(answer)).await;
        running.set(running.get() - 1);
        match answer {
            Ok(()) => Verdict::Success(cloudlet),
            Err(_) => Verdict::Next(Failure::TimedOut),
        }
    }
}

fn endpoint(cloudlet: usize) -> Endpoint {
    format!("http://cloudlet-{cloudlet}/api/v1/deploy")
        .parse()
        .unwrap()
}
