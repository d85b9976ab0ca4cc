//! `cargo xtask testbed`: the programs of others that tests need, and a control plane of them to look at.

mod serve;
mod up;

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use anstream::{eprint, eprintln};
use clap::Subcommand;
use sinfonia_testbed::{ProgramSet, Progress};

/// Time between two lines of progress where they are not written over each other.
const LINE_EVERY: Duration = Duration::from_secs(30);

/// What follows the help.
pub(crate) const EXAMPLES: &str = "\
Example:
  eval \"$(cargo xtask testbed up)\"
  helm list --all-namespaces
  cargo xtask testbed down";
/// What follows the help of each.
const BUILD_EXAMPLE: &str = "\
Example:
  cargo xtask testbed build   long before it is needed";
const UP_EXAMPLES: &str = "\
Examples:
  eval \"$(cargo xtask testbed up)\"
  eval \"$(cargo xtask testbed up --node)\"   as root";
const DOWN_EXAMPLE: &str = "\
Example:
  cargo xtask testbed down";

#[derive(Subcommand)]
pub(crate) enum Task {
    /// Builds the programs that are missing, from pinned Go modules and crates, into the user's cache.
    ///
    /// Needs Go. Programs on PATH, and in the folder that KUBEBUILDER_ASSETS names, are used and not built.
    #[command(after_help = BUILD_EXAMPLE)]
    Build,
    /// Starts a control plane that stays, and prints the shell commands to use it.
    ///
    /// `eval "$(cargo xtask testbed up)"` does both. Tests that are run with its variables use it, too.
    #[command(after_help = UP_EXAMPLES)]
    Up {
        /// Adds a real node, a gateway in Kilo's place, a name server, monitoring, and Sinfonia's image (needs root).
        #[arg(long)]
        node: bool,
    },
    /// Stops the control plane that `up` started from this checkout, and removes its files.
    #[command(after_help = DOWN_EXAMPLE)]
    Down,
    /// Is the control plane that `up` started, until it is told to end.
    #[command(hide = true)]
    Serve {
        /// Adds a node.
        #[arg(long)]
        node: bool,
    },
}

pub(crate) fn run(task: &Task) -> anyhow::Result<()> {
    match task {
        Task::Build => {
            build_missing(true)?;
            for set in ProgramSet::ALL {
                eprintln!("{}: ready", set.programs().join(", "));
            }
            Ok(())
        }
        Task::Up { node } => up::up(*node),
        Task::Down => up::down(),
        Task::Serve { node } => serve::serve(*node),
    }
}

/// Builds the programs that are nowhere, those of a node only if it is asked for, telling how far it is.
pub(crate) fn build_missing(with_node: bool) -> anyhow::Result<()> {
    let sets = ProgramSet::ALL.into_iter();
    build_sets(sets.filter(|set| with_node || !set.is_for_nodes()))
}

/// Builds those of these programs that are nowhere, telling how far it is.
pub(crate) fn build_sets(sets: impl IntoIterator<Item = ProgramSet>) -> anyhow::Result<()> {
    let missing = sets.into_iter().filter(|set| !set.is_there());
    let missing: Vec<_> = missing.collect();
    if missing.is_empty() {
        return Ok(());
    }
    eprintln!(
        "The test bed lacks programs; they are built once. Usually that takes, on 2 cores, the first time:"
    );
    for set in &missing {
        eprintln!(
            "  {:>6}  {}",
            minutes(set.usual_time()),
            set.programs().join(", ")
        );
    }
    let total: Duration = missing.iter().map(|set| set.usual_time()).sum();
    eprintln!("  {:>6}  in all", minutes(total));
    missing.into_iter().try_for_each(build)
}

fn build(set: ProgramSet) -> anyhow::Result<()> {
    let begun = Instant::now();
    let mut reporter = Reporter::new(set.name());
    let outcome = set.build(|progress| reporter.report(progress));
    reporter.end();
    outcome?;
    eprintln!(
        "{}: built in {} into {}",
        set.name(),
        minutes(begun.elapsed()),
        set.folder().display()
    );
    Ok(())
}

/// Tells how far a build is: on a terminal in one line, else in a line now and then.
struct Reporter {
    name: &'static str,
    terminal: bool,
    next_line: Instant,
}

impl Reporter {
    fn new(name: &'static str) -> Self {
        Self {
            name,
            terminal: std::io::stderr().is_terminal(),
            next_line: Instant::now(),
        }
    }

    fn report(&mut self, progress: Progress) {
        let line = format!(
            "{}: {}, {} modules fetched, {} packages compiled",
            self.name,
            minutes(progress.elapsed),
            progress.downloaded,
            progress.compiled
        );
        if self.terminal {
            eprint!("\r{line}\x1b[K");
            // What is not shown now is shown with the next line.
            let _ = std::io::stderr().flush();
        } else if Instant::now() >= self.next_line {
            self.next_line = Instant::now() + LINE_EVERY;
            eprintln!("{line}");
        }
    }

    fn end(&self) {
        if self.terminal {
            eprint!("\r\x1b[K");
        }
    }
}

/// A time as people read it, such as `2:05`.
pub(crate) fn minutes(time: Duration) -> String {
    let seconds = time.as_secs();
    format!("{}:{:02}", seconds / 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_minutes_and_seconds() {
        let times = [0, 59, 60, 665].map(|seconds| minutes(Duration::from_secs(seconds)));

        assert_eq!(times, ["0:00", "0:59", "1:00", "11:05"]);
    }
}
