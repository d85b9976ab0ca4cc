//! What is heard of a stream.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context;

use crate::bench::tunnel::running::Running;

/// A stream, and when something of it was heard, in seconds since 1970. It is killed when this is dropped.
pub(super) struct Stream {
    running: Running,
    heard: Vec<f64>,
}

impl Stream {
    /// Takes a program that prints when it hears something, and waits until it does.
    ///
    /// # Errors
    /// It ends, or hears nothing.
    pub(super) fn of(mut running: Running) -> anyhow::Result<Self> {
        let heard = vec![time(&running.first_line()?)?];
        Ok(Self { running, heard })
    }

    /// Takes note of what was heard.
    ///
    /// # Errors
    /// The program has ended.
    pub(super) fn listen(&mut self) -> anyhow::Result<()> {
        self.running.check()?;
        for line in self.running.lines_so_far() {
            self.heard.push(time(&line)?);
        }
        Ok(())
    }

    pub(super) fn has_heard_since(&self, begin: f64) -> bool {
        self.heard.last().is_some_and(|last| *last >= begin)
    }

    /// The longest silence that ended after this time, in seconds.
    pub(super) fn longest_silence_since(&self, begin: f64) -> Option<f64> {
        longest_silence(&self.heard, begin)
    }
}

fn longest_silence(heard: &[f64], begin: f64) -> Option<f64> {
    let ended = heard.windows(2).filter(|pair| pair[1] > begin);
    ended.map(|pair| pair[1] - pair[0]).max_by(f64::total_cmp)
}

/// The time, in seconds since 1970.
///
/// # Errors
/// The clock is set to a time before that.
pub(super) fn now() -> anyhow::Result<f64> {
    let time = SystemTime::now().duration_since(UNIX_EPOCH);
    Ok(time.context("the clock is wrong")?.as_secs_f64())
}

fn time(line: &str) -> anyhow::Result<f64> {
    let time = line.trim().parse();
    time.with_context(|| format!("a stream printed {line:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silence_counts_for_the_reset_after_which_it_ends() {
        let heard = [1.0, 9.0, 9.5, 10.0, 12.5, 13.0];

        assert_eq!(longest_silence(&heard, 10.1), Some(2.5));
        assert_eq!(longest_silence(&heard, 8.0), Some(8.0));
        assert_eq!(longest_silence(&heard, 13.0), None);
    }
}
