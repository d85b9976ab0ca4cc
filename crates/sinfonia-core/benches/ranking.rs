//! How long it takes to choose cloudlets for a client, by the index and by judging all, beside the least that any ranking without an index
//! has to do: one pass over all cloudlets that computes a great-circle distance and sorts by it.

use std::cell::LazyCell;
use std::hint::black_box;
use std::sync::Arc;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use sinfonia_core::client::ClientInfo;
use sinfonia_core::cloudlet::{Cloudlet, CloudletInfo, Measurement, Surroundings};
use sinfonia_core::cloudlet_file::CloudletFile;
use sinfonia_core::fleet::{Fleet, Search, Standing};
use sinfonia_core::key::PublicKey;
use sinfonia_core::location::Location;
use sinfonia_core::policy::Policy;
use sinfonia_core::ranking::{Conditions, Matcher, Ranker, RankingRequest, RankingRules, rank};
use uuid::Uuid;

const KEY: PublicKey = PublicKey::from_bytes([7; 32]);
const PITTSBURGH: (f64, f64) = (40.44, -79.99);
/// In the South Pacific, far from all cloudlets.
const OCEAN: (f64, f64) = (-48.88, -123.39);
/// A city with many cloudlets whose places are only known to be there.
const CROWD: (f64, f64) = (38.0, -97.0);
/// As many as the refined order looks at.
const SHORTLIST: usize = 64;

fn parse_file(criterion: &mut Criterion) {
    let text = cloudlet_file(10_000);
    let mut group = criterion.benchmark_group("parse a file of 10,000 cloudlets");
    group
        .throughput(Throughput::Bytes(text.len() as u64))
        .sample_size(10);
    group.bench_function("CloudletFile::parse", |bencher| {
        bencher.iter(|| CloudletFile::parse(black_box(&text)).map(|file| file.entries.len()));
    });
    group.bench_function("baseline: the same YAML without checks", |bencher| {
        bencher.iter(|| {
            sinfonia_core::yaml::documents::<serde_json::Value>(black_box(&text))
                .map(|documents| documents.len())
        });
    });
    group.finish();
}

/// One client, fleets of several sizes, several places, with a policy and without.
fn choose(criterion: &mut Criterion) {
    let (none, policy) = (Policy::default(), policy());
    for size in [100, 10_000, 1_000_000] {
        // A million take some seconds, which a run of other benchmarks alone is spared.
        let fleet = LazyCell::new(|| cloudlets(size).map(Arc::new).collect());
        let mut group = criterion.benchmark_group(format!("choose of {size} cloudlets"));
        for (place, location) in [
            ("near a city", PITTSBURGH),
            ("mid ocean", OCEAN),
            ("in a crowd at one place", CROWD),
        ] {
            for (wanted, most, policy) in [
                ("3", 3, &none),
                ("64", SHORTLIST, &none),
                ("64 with a policy", SHORTLIST, &policy),
            ] {
                group.bench_function(format!("{wanted}, {place}"), |bencher| {
                    bencher.iter(|| best(&fleet, black_box(client(location)), policy, most));
                });
            }
        }
        if size <= 10_000 {
            group.bench_function("3, client of unknown place", |bencher| {
                let client = ClientInfo::new([192, 0, 2, 1].into(), None);
                bencher.iter(|| best(&fleet, black_box(client), &none, 3));
            });
        }
        group.bench_function("a cloudlet moves", |bencher| {
            let (mut fleet, mut step) = (Fleet::clone(&fleet), 0);
            bencher.iter(|| {
                step += 1;
                let moved = f64::from(step % 1000) / 1000.0;
                let cloudlet = cloudlet(7, (PITTSBURGH.0 + moved, PITTSBURGH.1));
                fleet.insert(Arc::new(cloudlet));
                black_box(fleet.clone());
            });
        });
        group.finish();
    }
}

/// What the index saves.
fn judge_all(criterion: &mut Criterion) {
    let policy = Policy::default();
    let mut group = criterion.benchmark_group("judge all and sort");
    for size in [100, 10_000, 100_000] {
        let fleet: Vec<Cloudlet> = cloudlets(size).collect();
        group
            .throughput(Throughput::Elements(u64::from(size)))
            .sample_size(10);
        group.bench_with_input(BenchmarkId::new("rank", size), &fleet, |bencher, fleet| {
            bencher.iter(|| {
                let conditions = fleet
                    .iter()
                    .map(|cloudlet| (cloudlet, Conditions::default()));
                let request = request(black_box(client(PITTSBURGH)), &policy);
                rank(request, rules(&policy), conditions).candidates.len()
            });
        });
        group.bench_with_input(
            BenchmarkId::new("baseline: haversine and sort", size),
            &fleet,
            |bencher, fleet| {
                bencher.iter(|| nearest_by_haversine(black_box(PITTSBURGH), fleet));
            },
        );
    }
    group.finish();
}

criterion_group!(benches, parse_file, choose, judge_all);
criterion_main!(benches);

fn best(
    fleet: &Fleet<Arc<Cloudlet>>,
    client: ClientInfo,
    policy: &Policy,
    most: usize,
) -> Vec<(Arc<Cloudlet>, Standing)> {
    let search = Search {
        client,
        matchers: &Matcher::ALL,
        remembered: &[],
        most,
    };
    let ranker = Ranker::new(request(client, policy), rules(policy));
    let found = fleet.search(&search, |cloudlet: &Arc<Cloudlet>| {
        let candidate = ranker.judge(cloudlet, Conditions::default());
        candidate.ok().map(Standing::from)
    });
    let candidates = found
        .iter()
        .map(|(cloudlet, standing)| standing.of(cloudlet));
    let mut candidates: Vec<_> = candidates.collect();
    ranker.refine(&mut candidates);
    black_box(candidates);
    found
}

fn request(client: ClientInfo, policy: &Policy) -> RankingRequest<'_> {
    RankingRequest {
        recipe: Uuid::nil(),
        policy,
        key: &KEY,
        client,
        remembered: &[],
    }
}

const fn rules(policy: &Policy) -> RankingRules<'_> {
    RankingRules {
        matchers: &Matcher::ALL,
        policy,
        shortlist: SHORTLIST,
    }
}

#[expect(clippy::expect_used, reason = "the text is good")]
fn policy() -> Policy {
    Policy::parse(
        "requires: resources.cpu_ratio < 0.9\nprefer: -resources.cpu_ratio - distance_km / 1000.0\n",
    )
    .expect("the policy is good")
}

fn client(place: (f64, f64)) -> ClientInfo {
    ClientInfo::new([192, 0, 2, 1].into(), Some(location(place)))
}

#[expect(clippy::expect_used, reason = "the places are good")]
fn location(place: (f64, f64)) -> Location {
    Location::new(place.0.clamp(-90.0, 90.0), place.1).expect("it is on the globe")
}

fn nearest_by_haversine(from: (f64, f64), fleet: &[Cloudlet]) -> usize {
    let haversine = |location: &Location| {
        let (latitude, longitude) = (
            location.latitude().to_radians(),
            location.longitude().to_radians(),
        );
        let (from_latitude, from_longitude) = (from.0.to_radians(), from.1.to_radians());
        ((latitude - from_latitude) / 2.0).sin().powi(2)
            + latitude.cos()
                * from_latitude.cos()
                * ((longitude - from_longitude) / 2.0).sin().powi(2)
    };
    let mut distances: Vec<f64> = fleet
        .iter()
        .flat_map(|cloudlet| &cloudlet.locations)
        .map(haversine)
        .collect();
    distances.sort_unstable_by(f64::total_cmp);
    distances.len()
}

/// Cloudlets in and around a hundred cities, none of them in the ocean, each with a network of its own. A tenth of them are at one place, but
/// no more than a thousand.
fn cloudlets(size: u32) -> impl Iterator<Item = Cloudlet> {
    let crowd = 1000.min(size / 10);
    (0..size).map(move |number| {
        let place = if number < crowd {
            CROWD
        } else {
            in_a_city(number)
        };
        cloudlet(number, place)
    })
}

#[expect(
    clippy::expect_used,
    reason = "each endpoint, network and measurement is good"
)]
fn cloudlet(number: u32, place: (f64, f64)) -> Cloudlet {
    let endpoint = format!("http://cloudlet-{number}.example:5000/api/v1/deploy");
    let [_, a, b, c] = number.to_be_bytes();
    let network = format!("{}.{b}.{c}.0/24", 16 + a);
    let measured = |value: f64| Measurement::try_from(value).expect("it is finite");
    let info = CloudletInfo {
        locations: Some(vec![location(place)]),
        local_networks: Some(vec![network.parse().expect("it is a network")]),
        resources: Some(
            [(
                "cpu_ratio".to_owned(),
                measured(f64::from(number % 97) / 100.0),
            )]
            .into(),
        ),
        ..CloudletInfo::at(endpoint.parse().expect("it is an endpoint"))
    };
    Cloudlet::new(info, &Surroundings::default())
}

/// A Fibonacci sphere.
fn on_the_globe(number: u32, size: u32) -> (f64, f64) {
    let golden_angle = std::f64::consts::PI * (3.0 - 5.0_f64.sqrt());
    let height = 1.0 - 2.0 * (f64::from(number) + 0.5) / f64::from(size);
    let longitude = (golden_angle * f64::from(number)).to_degrees();
    (
        height.asin().to_degrees(),
        longitude.rem_euclid(360.0) - 180.0,
    )
}

/// Within some 30 km of one of a hundred cities, the first of which is Pittsburgh. All are north of it and no more than 85 degrees east or
/// west.
fn in_a_city(number: u32) -> (f64, f64) {
    let part = |factor: f64| (f64::from(number) * factor).fract();
    let city = f64::from(number % 100);
    let latitude = PITTSBURGH.0 + 11.0 * (city * 0.618).fract();
    let longitude = PITTSBURGH.1
        + if city > 50.0 {
            city - 135.0
        } else {
            city * 1.7
        };
    let distance = 0.3 * part(0.618_033_988_749).sqrt();
    let angle = std::f64::consts::TAU * part(0.754_877_666_247);
    (
        latitude + distance * angle.sin(),
        longitude + distance * angle.cos() / latitude.to_radians().cos(),
    )
}

/// Cloudlets spread evenly over the globe, each with a network of its own.
fn cloudlet_file(size: u32) -> String {
    let document = |number: u32| {
        let (latitude, longitude) = on_the_globe(number, size);
        let [_, _, high, low] = number.to_be_bytes();
        format!(
            "name: cloudlet-{number}\nendpoint: http://cloudlet-{number}.example/api/v1/deploy\n\
             location: [{latitude:.4}, {longitude:.4}]\nlocal_networks: [10.{high}.{low}.0/24]\n\
             resources: {{cpu_ratio: 0.1, mem_ratio: 0.5}}\n"
        )
    };
    (0..size).map(document).collect::<Vec<_>>().join("---\n")
}
