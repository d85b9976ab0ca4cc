//! Whether anything else uses the machine, which falsifies the figures: a tunnel of one thread gets a smaller share of a busy core than
//! one of many threads.

use std::fs;
use std::thread;
use std::time::Duration;

use anyhow::Context;

/// How long the machine is looked at.
const LOOK: Duration = Duration::from_millis(500);
/// Places of the times in which nothing runs in the first line of `/proc/stat`: idle, and waiting for a disk.
const IDLE: [usize; 2] = [3, 4];
/// Those after it are parts of others.
const TIMES: usize = 8;

/// Clock ticks of all cores since the machine was started.
#[derive(Debug, Clone, Copy)]
struct Ticks {
    idle: u64,
    all: u64,
}

/// The share of the machine that others take, while this program does nothing.
///
/// # Errors
/// The kernel does not tell.
pub(super) fn share_of_others() -> anyhow::Result<f64> {
    let before = Ticks::now()?;
    thread::sleep(LOOK);
    Ok(Ticks::now()?.busy_since(before))
}

impl Ticks {
    fn now() -> anyhow::Result<Self> {
        let text = fs::read_to_string("/proc/stat").context("cannot read /proc/stat")?;
        Self::parse(&text).context("/proc/stat does not tell of the cores")
    }

    fn parse(text: &str) -> Option<Self> {
        let line = text.lines().next()?.strip_prefix("cpu ")?;
        let times = line.split_whitespace().take(TIMES).map(str::parse);
        let times: Vec<u64> = times.collect::<Result<_, _>>().ok()?;
        let idle = IDLE.map(|place| times.get(place).copied());
        Some(Self {
            idle: idle[0]? + idle[1]?,
            all: times.iter().sum(),
        })
    }

    fn busy_since(self, before: Self) -> f64 {
        let all = self.all.saturating_sub(before.all).max(1);
        let idle = self.idle.saturating_sub(before.idle);
        1.0 - idle as f64 / all as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_neither_idle_nor_waiting_is_busy() {
        let before = Ticks::parse("cpu  100 0 50 800 50 0 0 0 7 0\ncpu0 1 2 3\n").unwrap();
        // 20 in user mode, 10 in the kernel, 10 taken by the host of this virtual machine, 50 idle, 10 waiting.
        let after = Ticks::parse("cpu  120 0 60 850 60 0 0 10 9 0\n").unwrap();

        let busy = after.busy_since(before);

        assert!((busy - 0.4).abs() < 1e-9, "{busy}");
    }

    #[test]
    fn what_the_kernel_does_not_tell_is_not_made_up() {
        assert!(Ticks::parse("").is_none());
        assert!(Ticks::parse("cpu  1 2 3\n").is_none());
        assert!(Ticks::parse("intr 1 2 3 4 5\n").is_none());
    }
}
