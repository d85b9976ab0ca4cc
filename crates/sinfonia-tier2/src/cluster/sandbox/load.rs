//! How much of this machine is in use.

use std::sync::{Mutex, PoisonError};

use procfs::{CpuTime, Current, CurrentSI, KernelStats, Meminfo};
use sinfonia_core::cloudlet::{Measurement, Resources};

/// Measures this machine. The use of the processors is that since the last measurement, so the first one lacks it.
#[derive(Default)]
pub(super) struct Load(Mutex<Option<Ticks>>);

/// Time of all processors together, in ticks of the kernel's clock since it started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Ticks {
    idle: u64,
    all: u64,
}

impl Load {
    /// `cpu_ratio` and `mem_ratio`, 0 to 1; what the system does not tell is left out.
    pub(super) fn measure(&self) -> Resources {
        let ticks = KernelStats::current()
            .ok()
            .map(|stats| Ticks::of(&stats.total));
        let before = std::mem::replace(
            &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner),
            ticks,
        );
        let cpu = before
            .zip(ticks)
            .and_then(|(before, now)| before.busy_until(now));
        let memory = Meminfo::current()
            .ok()
            .and_then(|memory| memory_ratio(&memory));
        [("cpu_ratio", cpu), ("mem_ratio", memory)]
            .into_iter()
            .filter_map(|(name, value)| {
                Some((name.to_owned(), Measurement::try_from(value?).ok()?))
            })
            .collect()
    }
}

impl Ticks {
    fn of(time: &CpuTime) -> Self {
        let idle = time.idle + time.iowait.unwrap_or(0);
        let busy = [
            Some(time.user),
            Some(time.nice),
            Some(time.system),
            time.irq,
            time.softirq,
            time.steal,
        ];
        let busy: u64 = busy.into_iter().flatten().sum();
        Self {
            idle,
            all: idle + busy,
        }
    }

    /// The busy part of the time in between, 0 to 1; nothing when none has passed.
    fn busy_until(self, later: Self) -> Option<f64> {
        let all = later.all.checked_sub(self.all).filter(|ticks| *ticks > 0)?;
        let idle = later.idle.saturating_sub(self.idle).min(all);
        Some(ratio(all - idle, all))
    }
}

fn memory_ratio(memory: &Meminfo) -> Option<f64> {
    let available = memory.mem_available?.min(memory.mem_total);
    (memory.mem_total > 0).then(|| ratio(memory.mem_total - available, memory.mem_total))
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a ratio needs no more than 52 bits"
)]
fn ratio(part: u64, whole: u64) -> f64 {
    part as f64 / whole as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_processors_are_measured_between_two_measurements() {
        let (before, now) = (
            Ticks {
                idle: 100,
                all: 200,
            },
            Ticks {
                idle: 175,
                all: 300,
            },
        );

        assert_eq!(before.busy_until(now), Some(0.25));
        assert_eq!(now.busy_until(now), None);
        assert_eq!(now.busy_until(before), None);
    }

    #[test]
    fn this_machine_tells_how_much_of_it_is_in_use() {
        let load = Load::default();

        let first = load.measure();

        assert!(!first.contains_key("cpu_ratio"));
        assert!((0.0..=1.0).contains(&first["mem_ratio"].value()));
    }
}
