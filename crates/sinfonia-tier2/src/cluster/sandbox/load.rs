//! How much of this machine is in use.

use std::sync::{Mutex, PoisonError};

use procfs::{CpuTime, Current, CurrentSI, KernelStats, Meminfo};
use sinfonia_core::cloudlet::{Measurement, Resources};

/// Ticks of all processors together that a measurement of their use spans at least: a second of one of them. Several ask for one, each when
/// it likes, and a moment says nothing.
const SPAN: u64 = 100;

/// Measures this machine. The use of the processors is that since an earlier measurement, so the first one lacks it.
#[derive(Default)]
pub(super) struct Load(Mutex<Processors>);

/// The use of the processors as it was measured last.
#[derive(Debug, Default, PartialEq)]
struct Processors {
    since: Option<Ticks>,
    ratio: Option<f64>,
}

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
        let mut processors = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let cpu = ticks.and_then(|now| processors.measure(now));
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

impl Processors {
    /// Their use until now, as far as it was measured.
    fn measure(&mut self, now: Ticks) -> Option<f64> {
        let since = *self.since.get_or_insert(now);
        if let Some(ratio) = since.busy_until(now) {
            *self = Self {
                since: Some(now),
                ratio: Some(ratio),
            };
        }
        self.ratio
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

    /// The busy part of the time in between, 0 to 1; nothing when that is too short.
    fn busy_until(self, later: Self) -> Option<f64> {
        let all = later
            .all
            .checked_sub(self.all)
            .filter(|ticks| *ticks >= SPAN)?;
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
    fn those_who_ask_shortly_after_another_get_the_same_answer() {
        let mut processors = Processors::default();
        let ticks = |idle, all| Ticks { idle, all };

        let measured = [
            processors.measure(ticks(100, 200)),
            processors.measure(ticks(100, 299)),
            processors.measure(ticks(175, 300)),
            processors.measure(ticks(175, 399)),
            processors.measure(ticks(275, 500)),
        ];

        assert_eq!(measured, [None, None, Some(0.25), Some(0.25), Some(0.5)]);
    }

    #[test]
    fn this_machine_tells_how_much_of_it_is_in_use() {
        let load = Load::default();

        let first = load.measure();

        assert!(!first.contains_key("cpu_ratio"));
        assert!((0.0..=1.0).contains(&first["mem_ratio"].value()));
    }
}
