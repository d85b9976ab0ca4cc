//! What Linux tells of a process.

use std::fs;

use anyhow::Context;
use sinfonia_testbed::Service;

/// Clock ticks per second in /proc, the same on every architecture that we build for.
const TICKS: f64 = 100.0;
/// Places of user and system time in `/proc/<pid>/stat`, counted from after the name.
const USER_TIME: usize = 11;
const SYSTEM_TIME: usize = 12;

/// Its resident memory.
///
/// # Errors
/// It has ended.
pub(super) fn mebibytes(service: &Service) -> anyhow::Result<f64> {
    let text = read(service, "status")?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
    let kibibytes: f64 = kibibytes.context("no VmRSS in /proc")?.trim().parse()?;
    Ok(kibibytes / 1024.0)
}

/// The CPU time that it has taken, without its children's.
///
/// # Errors
/// It has ended.
pub(super) fn cpu_seconds(service: &Service) -> anyhow::Result<f64> {
    let text = read(service, "stat")?;
    // The name, in parentheses, may hold anything.
    let (_, fields) = text.rsplit_once(") ").context("no name in /proc")?;
    let fields: Vec<_> = fields.split(' ').collect();
    let ticks = |place: usize| -> anyhow::Result<f64> {
        Ok(fields.get(place).context("no time in /proc")?.parse()?)
    };
    Ok((ticks(USER_TIME)? + ticks(SYSTEM_TIME)?) / TICKS)
}

fn read(service: &Service, file: &str) -> anyhow::Result<String> {
    let path = format!("/proc/{}/{file}", service.process_id());
    fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))
}
