//! What the tiers' processes use.

use std::fs;
use std::time::Duration;

use sinfonia_testbed::Machine;

use crate::bench::process::{descriptors, mebibytes};

/// The programs that are watched.
const PROGRAMS: [&str; 2] = ["sinfonia-tier1", "sinfonia-tier2"];
/// What tells Tier 2's guard from Tier 2.
const GUARD: &str = "guard";

/// What a process used at a time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Sample {
    pub(super) time: Duration,
    pub(super) mebibytes: f64,
    pub(super) descriptors: f64,
}

/// A process, and what it used.
#[derive(Debug)]
pub(super) struct Usage {
    pub(super) name: String,
    id: u32,
    has_ended: bool,
    pub(super) samples: Vec<Sample>,
}

/// All processes of both tiers on a node.
#[derive(Debug)]
pub(super) struct Watched(Vec<Usage>);

impl Watched {
    /// Finds them.
    pub(super) fn find(machine: &Machine) -> Self {
        let found = PROGRAMS.into_iter().flat_map(|program| {
            let ids = machine.processes(program).into_iter();
            ids.map(move |id| Usage {
                name: name(program, id),
                id,
                has_ended: false,
                samples: Vec::new(),
            })
        });
        Self(found.collect())
    }

    /// Looks at all of them, and returns the names of those that have ended since the last look.
    pub(super) fn look(&mut self, time: Duration) -> Vec<String> {
        let running = self.0.iter_mut().filter(|usage| !usage.has_ended);
        running
            .filter_map(|usage| {
                if let Some(sample) = sample(usage.id, time) {
                    usage.samples.push(sample);
                    return None;
                }
                usage.has_ended = true;
                Some(usage.name.clone())
            })
            .collect()
    }

    /// What they use now, for people.
    pub(super) fn in_words(&self) -> String {
        let one = |usage: &Usage| {
            let last = usage.samples.last()?;
            Some(format!("{} {:.0} MiB", usage.name, last.mebibytes))
        };
        let all: Vec<_> = self.0.iter().filter_map(one).collect();
        all.join(", ")
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Usage> {
        self.0.iter()
    }
}

/// The name of a process, with its id, because there may be several.
fn name(program: &str, id: u32) -> String {
    let line = fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
    let is_guard = line.split(|byte| *byte == 0).nth(1) == Some(GUARD.as_bytes());
    let role = if is_guard { " guard" } else { "" };
    format!("{program}{role} ({id})")
}

fn sample(id: u32, time: Duration) -> Option<Sample> {
    Some(Sample {
        time,
        mebibytes: mebibytes(id).ok()?,
        descriptors: descriptors(id).ok()? as f64,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_has_ended_is_told_once() {
        let usage = |id: u32| Usage {
            name: id.to_string(),
            id,
            has_ended: false,
            samples: Vec::new(),
        };
        // No process has the id 0.
        let mut watched = Watched(vec![usage(std::process::id()), usage(0)]);

        assert_eq!(watched.look(Duration::ZERO), ["0"]);
        assert_eq!(watched.look(Duration::ZERO), [] as [&str; 0]);
        assert_eq!(watched.0[0].samples.len(), 2);
    }
}
