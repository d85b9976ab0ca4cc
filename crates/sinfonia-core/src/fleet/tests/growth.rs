//! What a fleet costs, counted in what it looks at and not in time.

use super::*;

#[test]
fn a_walk_judges_few_of_many() {
    let fleet: Fleet<_> = (0..20_000).map(on_a_sphere).collect();
    let client = ClientInfo::new(
        [10, 0, 0, 1].into(),
        Some(Location::new(40.44, -79.99).unwrap()),
    );

    let (found, judged) = walk(&fleet, client, 64);

    assert_eq!(found, 64);
    assert!(judged <= 70, "{judged}");
}

#[test]
fn a_thousand_cloudlets_of_one_place_and_network_come_and_go() {
    let crowd = |number| at(number, "10.0.0.0/8", Location::new(40.44, -79.99).unwrap());
    let mut fleet: Fleet<_> = (0..1000).map(crowd).collect();
    let client = ClientInfo::new([10, 0, 0, 1].into(), None);

    let (found, _) = walk(&fleet, client, usize::MAX);
    for number in 0..1000 {
        fleet.remove(&crowd(number).endpoint);
    }

    assert_eq!(found, 1000);
    assert!(fleet.is_empty());
    assert_eq!(walk(&fleet, client, usize::MAX), (0, 0));
}

/// How many were found and how many judged.
fn walk(fleet: &Fleet<Arc<Cloudlet>>, client: ClientInfo, most: usize) -> (usize, usize) {
    let policy = Policy::default();
    let request = RankingRequest {
        recipe: Uuid::nil(),
        policy: &policy,
        key: &KEY,
        client,
        remembered: &[],
    };
    let rules = RankingRules {
        matchers: &Matcher::ALL,
        policy: &policy,
        shortlist: 64,
    };
    let search = Search {
        client,
        matchers: &Matcher::ALL,
        remembered: &[],
        most,
    };
    let ranker = Ranker::new(request, rules);
    let mut judged = 0;
    let walk = fleet.walk(&search, |cloudlet: &Arc<Cloudlet>| {
        judged += 1;
        let candidate = ranker.judge(cloudlet, Conditions::default());
        candidate.ok().map(Standing::from)
    });
    (walk.count(), judged)
}

/// The n-th of cloudlets that are spread evenly (a Fibonacci sphere).
fn on_a_sphere(number: u32) -> Arc<Cloudlet> {
    let golden_angle = std::f64::consts::PI * (3.0 - 5.0_f64.sqrt());
    let height = 1.0 - 2.0 * (f64::from(number) + 0.5) / 20_000.0;
    let longitude = (golden_angle * f64::from(number)).to_degrees();
    let location = Location::new(
        height.asin().to_degrees(),
        longitude.rem_euclid(360.0) - 180.0,
    );
    at(number, "192.168.0.0/16", location.unwrap())
}

fn at(number: u32, network: &str, location: Location) -> Arc<Cloudlet> {
    let endpoint = format!("http://cloudlet-{number}.example/api/v1/deploy");
    let info = CloudletInfo {
        locations: Some(vec![location]),
        local_networks: Some(vec![network.parse().unwrap()]),
        ..CloudletInfo::at(endpoint.parse().unwrap())
    };
    Arc::new(Cloudlet::new(info, &Surroundings::default()))
}
