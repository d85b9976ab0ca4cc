//! How much memory a Tier 1 needs for so many cloudlets: fills a registry and tells the resident set.
//!
//! `cargo run --release --example memory -- 1000000 [reports|file|both]`

#![expect(
    clippy::print_stdout,
    reason = "what it finds out is all that it is for"
)]

use std::env;
use std::fs;

use anyhow::Context;
use jiff::Timestamp;
use sinfonia_core::cloudlet::CloudletInfo;
use sinfonia_core::cloudlet_file::CloudletFile;
use sinfonia_service::tokens::Scope;
use sinfonia_tier1::registry::{FileCloudlet, Registry, ReportAuthority};
use uuid::Uuid;

/// Bytes of a page, on all machines that this is for.
const PAGE: usize = 4096;

fn main() -> anyhow::Result<()> {
    let mut arguments = env::args().skip(1);
    let number: u32 = arguments
        .next()
        .context("expected: NUMBER [reports|file|both]")?
        .parse()?;
    let how = arguments.next().unwrap_or_else(|| "reports".to_owned());
    let registry = Registry::new();
    let before = resident()?;
    if how != "reports" {
        let cloudlet = |number| -> anyhow::Result<_> {
            let mut file = CloudletFile::parse(&document(number))?;
            let entry = file.entries.pop().context("one document, one entry")?;
            Ok(FileCloudlet {
                info: entry.cloudlet,
                token: None,
            })
        };
        registry.replace_file((0..number).map(cloudlet).collect::<Result<_, _>>()?);
    }
    if how != "file" {
        let authority = ReportAuthority::Token(Scope::Any);
        for number in 0..number {
            let report = CloudletInfo::parse_report(serde_json::from_str(&report(number))?)?;
            registry.report(report, &authority, Timestamp::UNIX_EPOCH)?;
        }
    }
    let used = resident()? - before;
    let known = registry.roster().cloudlets.len();
    println!(
        "{known} cloudlets by {how}: {} MiB, {} bytes each",
        used >> 20,
        used / known.max(1)
    );
    Ok(())
}

fn report(number: u32) -> String {
    let (latitude, longitude) = place(number);
    let [_, a, b, c] = number.to_be_bytes();
    format!(
        r#"{{"uuid": "{}", "endpoint": "http://cloudlet-{number}.example:5000/api/v1/deploy", "name": "cloudlet-{number}",
        "locations": [[{latitude:.4}, {longitude:.4}]], "local_networks": ["{a}.{b}.{c}.0/24"],
        "resources": {{"cpu_ratio": 0.1, "mem_ratio": 0.5, "gpu_ratio": 0, "net_rx_rate": 1000, "net_tx_rate": 11000}},
        "labels": {{"region": "eu-{}", "provider": "example"}}}}"#,
        Uuid::from_u128(u128::from(number) + 1),
        number % 10
    )
}

fn document(number: u32) -> String {
    let (latitude, longitude) = place(number);
    let [_, a, b, c] = number.to_be_bytes();
    format!(
        "name: cloudlet-{number}\nendpoint: http://cloudlet-{number}.example:5000/api/v1/deploy\n\
         location: [{latitude:.4}, {longitude:.4}]\nlocal_networks: [{a}.{b}.{c}.0/24]\n\
         resources: {{cpu_ratio: 0.1, mem_ratio: 0.5, gpu_ratio: 0, net_rx_rate: 1000, net_tx_rate: 11000}}\n"
    )
}

/// Somewhere on the globe, with no two at the same place.
fn place(number: u32) -> (f64, f64) {
    let golden = 0.618_033_988_749_894_9 * f64::from(number);
    let other = 0.754_877_666_246_692_7 * f64::from(number);
    let height: f64 = 2.0 * golden.fract() - 1.0;
    (height.asin().to_degrees(), 360.0 * other.fract() - 180.0)
}

fn resident() -> anyhow::Result<usize> {
    let statm = fs::read_to_string("/proc/self/statm")?;
    let pages = statm.split_whitespace().nth(1).context("statm is short")?;
    Ok(pages.parse::<usize>()? * PAGE)
}
