//! From the start of a process to that of the application inside the tunnel.

use std::fs;
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use sinfonia_core::recipe::HELLOWORLD;
use sinfonia_testbed::command;
use tempfile::TempDir;

use super::ends::new_key;
use super::running::Running;
use super::tools::Tools;

/// The application, which tells the time in nanoseconds first of all.
const APPLICATION: [&str; 2] = ["date", "+%s%N"];
/// Runs of which one measurement is the mean, after one that fills the caches of the system.
const RUNS: u32 = 5;
const PATIENCE: Duration = Duration::from_secs(20);

/// A device with its key, and the cloudlet that its Tier 1 deploys on.
struct Device {
    home: TempDir,
    _cloudlet: Running,
    tier1: String,
}

/// Milliseconds from the start of `sinfonia-tier3` to what the application prints.
///
/// # Errors
/// It does not come to run.
pub(super) fn ours(tools: &Tools) -> anyhow::Result<f64> {
    let device = Device::new(tools)?;
    mean(|| {
        let mut command = command(&tools.tier3);
        command
            .env("XDG_CACHE_HOME", device.home.path())
            .env("SINFONIA_TIER1_URL", &device.tier1)
            .args(["deploy", "--quiet", "helloworld", "--"])
            .args(APPLICATION);
        command
    })
}

/// Milliseconds from the start of the same application alone.
///
/// # Errors
/// It does not run.
pub(super) fn application_alone() -> anyhow::Result<f64> {
    mean(|| {
        let mut command = Command::new(APPLICATION[0]);
        command.args(&APPLICATION[1..]);
        command
    })
}

fn mean(command: impl Fn() -> Command) -> anyhow::Result<f64> {
    until_told(command())?;
    let mut sum = 0.0;
    for _ in 0..RUNS {
        sum += until_told(command())?;
    }
    Ok(sum / f64::from(RUNS))
}

fn until_told(command: Command) -> anyhow::Result<f64> {
    let begun = SystemTime::now().duration_since(UNIX_EPOCH)?;
    let output = Running::start("an application", command, "")?.output(PATIENCE)?;
    let told: u64 = output
        .trim_end()
        .parse()
        .with_context(|| format!("the application printed {output:?}"))?;
    let time = Duration::from_nanos(told).checked_sub(begun);
    let time = time.context("the clock was set back meanwhile")?;
    Ok(time.as_secs_f64() * 1000.0)
}

impl Device {
    fn new(tools: &Tools) -> anyhow::Result<Self> {
        let home = TempDir::with_prefix("sinfonia-bench-")?;
        let (key, folder) = (new_key()?, home.path().join("sinfonia"));
        fs::create_dir(&folder)?;
        let entry = format!(
            "private_key: {}\npublic_key: {}\n",
            key.to_base64(),
            key.public_key()
        );
        fs::write(folder.join(HELLOWORLD.to_string()), entry)?;
        let mut command = Command::new(&tools.xtask);
        command.args(["bench", "tunnel-part", "cloudlet"]);
        command.arg(key.public_key().to_string());
        let mut cloudlet = Running::start("the stand-in of Tier 1", command, "")?;
        Ok(Self {
            tier1: format!("http://{}", cloudlet.first_line()?),
            home,
            _cloudlet: cloudlet,
        })
    }
}
