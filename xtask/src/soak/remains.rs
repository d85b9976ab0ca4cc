//! What is left of deployments whose devices have gone.

use std::thread;
use std::time::{Duration, Instant};

use sinfonia_testbed::Installation;

/// Time after which nothing is left: many times a lease and what follows it.
const PATIENCE: Duration = Duration::from_secs(180);
const POLL: Duration = Duration::from_secs(1);
/// Phases of records that hold nothing any more but their own name and address, and go after ten minutes.
const OVER: [&str; 2] = ["Expired", "Failed"];

/// Waits until nothing is left, and returns what still is when that takes too long.
///
/// # Errors
/// The API server cannot be asked, or refuses.
pub(super) fn after_all_have_gone(installation: &Installation) -> anyhow::Result<Vec<String>> {
    let begun = Instant::now();
    loop {
        let mut remains = installation.remains()?;
        remains.extend(records(installation)?);
        if remains.is_empty() || begun.elapsed() > PATIENCE {
            return Ok(remains);
        }
        thread::sleep(POLL);
    }
}

fn records(installation: &Installation) -> anyhow::Result<Vec<String>> {
    let list = installation
        .cluster()
        .get_json(&installation.records_path())?;
    let records = list["items"].as_array().into_iter().flatten();
    let alive = records.filter(|record| {
        let phase = record["status"]["phase"].as_str().unwrap_or_default();
        !OVER.contains(&phase)
    });
    let name = |record: &serde_json::Value| {
        let name = record["metadata"]["name"].as_str().unwrap_or_default();
        format!("record {name}")
    };
    Ok(alive.map(name).collect())
}
