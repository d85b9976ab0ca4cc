//! Clients that come all at once, while what is known of the cloudlets is as old as it gets.

use uuid::Uuid;

use super::*;
use crate::client::ClientInfo;
use crate::cloudlet::{Cloudlet, CloudletInfo, Surroundings};
use crate::key::PublicKey;
use crate::location::Location;
use crate::policy::Policy;
use crate::ranking::{Conditions, Matcher, RankingRequest, RankingRules, rank};

/// Seconds between two reports of a cloudlet.
const INTERVAL: u32 = 15;
/// Seconds that a deployment lives.
const LIFE: u32 = 300;
/// Seconds over which Prometheus takes the mean.
const WINDOW: f64 = 60.0;
/// How many deployments fill each cloudlet, the nearest first.
const CAPACITIES: [u32; 8] = [8, 12, 20, 30, 30, 40, 60, 80];

#[test]
fn a_burst_of_clients_fills_cloudlets_and_overcommits_none() {
    let mut world = World::in_use(Counting::On);
    let before = world.deployments();

    world.burst(100);

    // What a deployment costs at the three that were in use was seen; at the others it is taken for a twentieth of the threshold.
    assert_eq!(before, [8, 11, 11, 0, 0, 0, 0, 0]);
    assert_eq!(world.deployments(), [8, 11, 20, 21, 21, 21, 21, 7]);
    assert!(world.sites.iter().all(|site| site.load_in_the_end() <= 1.0));
}

#[test]
fn without_counting_all_would_land_on_one() {
    let mut world = World::in_use(Counting::Off);
    let before = world.deployments();

    world.burst(100);

    let came: Vec<usize> = world
        .deployments()
        .iter()
        .zip(before)
        .map(|(after, before)| after - before)
        .collect();
    assert_eq!(came.iter().max(), Some(&100));
    assert!(world.sites.iter().any(|site| site.load_in_the_end() > 5.0));
}

#[test]
fn a_burst_on_cloudlets_of_which_nothing_is_known_yet_is_spread_all_the_same() {
    let mut world = World::new(Counting::On);
    world.wait_for_the_oldest_reports();

    world.burst(100);

    // Each is filled as if 20 filled it, and one above that; the smallest get more than they can do.
    assert_eq!(world.deployments(), [21, 21, 21, 21, 16, 0, 0, 0]);
}

#[test]
fn without_measurements_the_order_stays_that_of_distance() {
    let mut world = World::new(Counting::On);
    for site in &mut world.sites {
        site.measures = false;
    }
    world.wait_for_the_oldest_reports();

    world.burst(100);

    assert_eq!(world.deployments(), [100, 0, 0, 0, 0, 0, 0, 0]);
}

/// Whether placements between reports count.
#[derive(Clone, Copy, PartialEq)]
enum Counting {
    On,
    Off,
}

struct World {
    now: u32,
    counting: Counting,
    sites: Vec<Site>,
    thresholds: Thresholds,
}

/// A cloudlet, and what Tier 1 knows of it.
struct Site {
    cloudlet: Cloudlet,
    capacity: u32,
    measures: bool,
    /// When each deployment began.
    began: Vec<u32>,
    reported_at: u32,
    load: Load,
    placed: u32,
}

impl World {
    fn new(counting: Counting) -> Self {
        let mut world = Self {
            now: 0,
            counting,
            sites: (0..)
                .zip(CAPACITIES)
                .map(|(index, capacity)| Site::new(index, capacity))
                .collect(),
            thresholds: Thresholds::default(),
        };
        world.report(|_| true);
        world
    }

    /// One client came every 10 s for 15 minutes, and the reports are as old as they get.
    fn in_use(counting: Counting) -> Self {
        let mut world = Self::new(counting);
        world.serve(900, 10);
        world.wait_for_the_oldest_reports();
        world
    }

    /// Lets a client come every so many seconds, for a time in seconds.
    fn serve(&mut self, time: u32, apart: u32) {
        for _ in 0..time {
            self.now += 1;
            for site in &mut self.sites {
                site.began.retain(|began| self.now - began < LIFE);
            }
            let now = self.now;
            self.report(|site| now - site.reported_at == INTERVAL);
            if self.now.is_multiple_of(apart) {
                self.place();
            }
        }
    }

    fn wait_for_the_oldest_reports(&mut self) {
        self.report(|_| true);
        self.now += INTERVAL;
    }

    fn burst(&mut self, clients: usize) {
        for _ in 0..clients {
            self.place();
        }
    }

    fn report(&mut self, who: impl Fn(&Site) -> bool) {
        for site in self.sites.iter_mut().filter(|site| who(site)) {
            let ratio = site.measured(self.now);
            let measured = if site.measures {
                cpu_ratio(ratio)
            } else {
                Measurements::default()
            };
            let silence = f64::from(self.now - site.reported_at);
            let placed = placed(
                std::mem::take(&mut site.placed),
                site.began.len().try_into().unwrap(),
            );
            site.load = site
                .load
                .reported(&self.thresholds, &measured, placed, Some(silence));
            site.reported_at = self.now;
        }
    }

    /// Sends a client where the ranking says.
    fn place(&mut self) {
        let policy = Policy::default();
        let request = RankingRequest {
            recipe: Uuid::nil(),
            policy: &policy,
            key: &PublicKey::from_bytes([7; 32]),
            client: ClientInfo::new([128, 2, 3, 4].into(), Location::new(0.0, 0.0).ok()),
            remembered: &[],
        };
        let rules = RankingRules {
            matchers: &Matcher::ALL,
            policy: &policy,
            shortlist: 64,
        };
        let fleet = self
            .sites
            .iter()
            .map(|site| (&site.cloudlet, site.conditions(self.now, self.counting)));
        let best = rank(request, rules, fleet).candidates[0].cloudlet.uuid;
        let best = self
            .sites
            .iter_mut()
            .find(|site| site.cloudlet.uuid == best)
            .unwrap();
        best.began.push(self.now);
        best.placed += 1;
    }

    fn deployments(&self) -> Vec<usize> {
        self.sites.iter().map(|site| site.began.len()).collect()
    }
}

impl Site {
    fn new(index: u32, capacity: u32) -> Self {
        let mut info = CloudletInfo::at(
            format!("http://c{index}.example/api/v1/deploy")
                .parse()
                .unwrap(),
        );
        info.locations = Some(vec![Location::new(0.0, f64::from(index)).unwrap()]);
        Self {
            cloudlet: Cloudlet::new(info, &Surroundings::default()),
            capacity,
            measures: true,
            began: Vec::new(),
            reported_at: 0,
            load: Load::default(),
            placed: 0,
        }
    }

    fn conditions(&self, now: u32, counting: Counting) -> Conditions {
        let placed = if counting == Counting::On {
            self.placed
        } else {
            0
        };
        let age_s = f64::from(now - self.reported_at);
        self.load.conditions(placed, Some(age_s))
    }

    /// What Prometheus would say: the mean of the last minute.
    fn measured(&self, now: u32) -> f64 {
        let share =
            |began: &u32| (f64::from(now - began) / WINDOW).min(1.0) / f64::from(self.capacity);
        self.began.iter().map(share).sum()
    }

    /// The ratio that its deployments come to.
    fn load_in_the_end(&self) -> f64 {
        self.began.len() as f64 / f64::from(self.capacity)
    }
}
