//! How long a compiled expression takes for one cloudlet, and how long it takes to compile one.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use sinfonia_core::client::ClientInfo;
use sinfonia_core::cloudlet::{Cloudlet, Surroundings};
use sinfonia_core::cloudlet_file::CloudletFile;
use sinfonia_core::location::Location;
use sinfonia_core::policy::{Facts, Policy};

const CLOUDLET: &str = "\
endpoint: http://cloudlet.example/api/v1/deploy
location: [40.44, -79.99]
resources: {cpu_ratio: 0.25, mem_ratio: 0.5, gpu_ratio: 0.1, net_rx_rate: 1000, net_tx_rate: 1000}
labels: {region: eu, tier: gold, price: '0.1'}
";

const EXPRESSIONS: [(&str, &str); 6] = [
    ("one comparison", "requires: resources.gpu_ratio < 0.8"),
    (
        "one comparison, nothing reported",
        "requires: resources.tpu_ratio < 0.8",
    ),
    (
        "three comparisons",
        "requires: resources.cpu_ratio < 0.8 && resources.mem_ratio < 0.8 && cloudlet.labels.region == 'eu'",
    ),
    (
        "a label in a list",
        "requires: cloudlet.labels.region in ['us', 'eu']",
    ),
    ("a preference", "prefer: 1.0 - resources.cpu_ratio"),
    (
        "a weighted preference",
        "prefer: -0.5 * double(cloudlet.labels.price) - 0.3 * resources.cpu_ratio - distance_km / 1000.0",
    ),
];

fn evaluate(criterion: &mut Criterion) {
    let cloudlet = cloudlet();
    let client = ClientInfo::new([128, 2, 3, 4].into(), Location::new(40.5, -80.0).ok());
    let facts = Facts {
        cloudlet: &cloudlet,
        client: &client,
        distance_km: Some(4.5),
        rtt_ms: None,
        deployments: Some(3.0),
        age_s: Some(10.0),
    };
    let mut group = criterion.benchmark_group("evaluate for one cloudlet");
    for (name, text) in EXPRESSIONS {
        let policy = Policy::parse(text).unwrap_or_default();
        assert!(policy != Policy::default(), "{name} compiles");
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                (
                    policy.check(black_box(&facts)).is_ok(),
                    policy.preference(black_box(&facts)),
                )
            });
        });
    }
    group.finish();
}

fn compile(criterion: &mut Criterion) {
    criterion.bench_function("compile a policy", |bencher| {
        bencher.iter(|| Policy::parse(black_box(EXPRESSIONS[2].1)).is_ok());
    });
}

criterion_group!(benches, evaluate, compile);
criterion_main!(benches);

fn cloudlet() -> Cloudlet {
    let file = CloudletFile::parse(CLOUDLET).unwrap_or_default();
    let entry = file.entries.into_iter().next();
    let info = entry.map(|entry| entry.cloudlet);
    Cloudlet::new(
        info.into_iter()
            .next()
            .unwrap_or_else(|| unreachable!("the file holds a cloudlet")),
        &Surroundings::default(),
    )
}
