//! What Linux tells of a process.

use std::fs;

use anyhow::Context;

/// Clock ticks per second in /proc, the same on every architecture that we build for.
const TICKS: f64 = 100.0;
/// Places of user and system time in `/proc/<pid>/stat`, counted from after the name.
const USER_TIME: usize = 11;
const SYSTEM_TIME: usize = 12;

/// Its resident memory.
///
/// # Errors
/// It has ended.
pub(crate) fn mebibytes(id: u32) -> anyhow::Result<f64> {
    status(id, "VmRSS:")
}

/// The most resident memory that it has had.
///
/// # Errors
/// It has ended.
pub(super) fn peak_mebibytes(id: u32) -> anyhow::Result<f64> {
    status(id, "VmHWM:")
}

/// How many files, sockets and the like it has open.
///
/// # Errors
/// It has ended, or belongs to somebody else.
pub(crate) fn descriptors(id: u32) -> anyhow::Result<usize> {
    let path = format!("/proc/{id}/fd");
    let entries = fs::read_dir(&path).with_context(|| format!("cannot read {path}"))?;
    Ok(entries.count())
}

/// The CPU time that it has taken, without its children's.
///
/// # Errors
/// It has ended.
pub(super) fn cpu_seconds(id: u32) -> anyhow::Result<f64> {
    let text = read(id, "stat")?;
    // The name, in parentheses, may hold anything.
    let (_, fields) = text.rsplit_once(") ").context("no name in /proc")?;
    let fields: Vec<_> = fields.split(' ').collect();
    let ticks = |place: usize| -> anyhow::Result<f64> {
        Ok(fields.get(place).context("no time in /proc")?.parse()?)
    };
    Ok((ticks(USER_TIME)? + ticks(SYSTEM_TIME)?) / TICKS)
}

fn status(id: u32, field: &str) -> anyhow::Result<f64> {
    let text = read(id, "status")?;
    let line = text.lines().find_map(|line| line.strip_prefix(field));
    let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
    let kibibytes = kibibytes.with_context(|| format!("no {field} in /proc"))?;
    Ok(kibibytes.trim().parse::<f64>()? / 1024.0)
}

fn read(id: u32, file: &str) -> anyhow::Result<String> {
    let path = format!("/proc/{id}/{file}");
    fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_has_had_at_least_the_memory_that_it_has() {
        let id = std::process::id();

        let now = mebibytes(id).unwrap();

        assert!(now > 0.0);
        assert!(peak_mebibytes(id).unwrap() >= now);
        assert!(cpu_seconds(id).unwrap() >= 0.0);
        assert!(descriptors(id).unwrap() > 0);
    }
}
