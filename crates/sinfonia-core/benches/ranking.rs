//! How long a ranking takes, beside the least that any ranking of the same fleet has to do: one pass over all cloudlets that
//! computes a great-circle distance and sorts by it.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use sinfonia_core::client::ClientInfo;
use sinfonia_core::cloudlet::{Cloudlet, Surroundings};
use sinfonia_core::cloudlet_file::CloudletFile;
use sinfonia_core::key::PublicKey;
use sinfonia_core::location::Location;
use sinfonia_core::policy::Policy;
use sinfonia_core::ranking::{Conditions, Matcher, RankingRequest, RankingRules, rank};
use uuid::Uuid;

const KEY: PublicKey = PublicKey::from_bytes([7; 32]);

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

fn rank_fleet(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("rank for one client");
    let policy = Policy::default();
    let rules = RankingRules {
        matchers: &Matcher::ALL,
        policy: &policy,
        shortlist: 64,
    };
    for size in [100, 1_000, 10_000, 100_000] {
        let fleet = fleet(size);
        group
            .throughput(Throughput::Elements(size as u64))
            .sample_size(10);
        group.bench_with_input(BenchmarkId::new("rank", size), &fleet, |bencher, fleet| {
            bencher.iter(|| {
                let conditions = fleet
                    .iter()
                    .map(|cloudlet| (cloudlet, Conditions::default()));
                rank(black_box(request(&policy)), rules, conditions)
                    .candidates
                    .len()
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

criterion_group!(benches, parse_file, rank_fleet);
criterion_main!(benches);

const PITTSBURGH: (f64, f64) = (40.44, -79.99);

fn request(policy: &Policy) -> RankingRequest<'_> {
    let location = Location::new(PITTSBURGH.0, PITTSBURGH.1).ok();
    let client = ClientInfo::new([128, 2, 3, 4].into(), location);
    RankingRequest {
        recipe: Uuid::nil(),
        policy,
        key: &KEY,
        client,
        remembered: &[],
    }
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

fn fleet(size: usize) -> Vec<Cloudlet> {
    let file = CloudletFile::parse(&cloudlet_file(size)).unwrap_or_default();
    assert_eq!(file.entries.len(), size, "the generated file is good");
    file.entries
        .into_iter()
        .map(|entry| Cloudlet::new(entry.cloudlet, &Surroundings::default()))
        .collect()
}

/// Cloudlets spread evenly over the globe (a Fibonacci sphere), each with a network of its own.
fn cloudlet_file(size: usize) -> String {
    let golden_angle = std::f64::consts::PI * (3.0 - 5.0_f64.sqrt());
    let document = |index: usize| {
        let height = 1.0 - 2.0 * (index as f64 + 0.5) / size as f64;
        let latitude = height.asin().to_degrees();
        let longitude = (golden_angle * index as f64).to_degrees().rem_euclid(360.0) - 180.0;
        let (high, low) = (index / 256 % 256, index % 256);
        format!(
            "name: cloudlet-{index}\nendpoint: http://cloudlet-{index}.example/api/v1/deploy\n\
             location: [{latitude:.4}, {longitude:.4}]\nlocal_networks: [10.{high}.{low}.0/24]\n\
             resources: {{cpu_ratio: 0.1, mem_ratio: 0.5}}\n"
        )
    };
    (0..size).map(document).collect::<Vec<_>>().join("---\n")
}
