//! Telling people on stderr what goes on. Answers go to stdout, not through here.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

use anstream::AutoStream;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressFinish, ProgressStyle};

/// Time between two pictures of the spinner.
const TICK: Duration = Duration::from_millis(100);

/// Who tells, and how much.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Talk {
    quiet: bool,
    terminal: bool,
}

/// Something that takes a while. It is gone from the terminal as soon as this is dropped.
pub(crate) struct Progress {
    talk: Talk,
    bar: Option<ProgressBar>,
}

impl Talk {
    /// Tells all but errors unless it is to be quiet; things that take a while move where stderr is a terminal that can show it.
    pub(crate) fn new(quiet: bool) -> Self {
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Self {
            quiet,
            terminal: io::stderr().is_terminal() && !dumb,
        }
    }

    /// Tells nothing.
    pub(crate) const fn silent() -> Self {
        Self {
            quiet: true,
            terminal: false,
        }
    }

    /// Whether it tells nothing but errors.
    pub(crate) const fn is_quiet(self) -> bool {
        self.quiet
    }

    /// Whether stderr is a terminal that can show things in place.
    pub(crate) const fn is_on_terminal(self) -> bool {
        self.terminal
    }

    /// Tells something worth knowing.
    pub(crate) fn note(&self, text: &str) {
        if !self.quiet {
            write_line(text);
        }
    }

    /// Tells that something begins that takes a while.
    pub(crate) fn progress(&self, text: &str) -> Progress {
        let bar = (self.terminal && !self.quiet).then(spinner);
        match &bar {
            Some(bar) => bar.set_message(text.to_owned()),
            None => self.note(&format!("{text}…")),
        }
        Progress { talk: *self, bar }
    }
}

impl Progress {
    /// Tells how far it is: in place where that can be shown, else in a line of its own.
    pub(crate) fn set(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.set_message(text.to_owned()),
            None => self.talk.note(text),
        }
    }

    /// Tells something worth knowing, in a line of its own.
    pub(crate) fn note(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| self.talk.note(text)),
            None => self.talk.note(text),
        }
    }
}

fn write_line(text: &str) {
    // Nobody is left to tell when stderr is closed.
    let _ = writeln!(AutoStream::auto(io::stderr()), "{text}");
}

fn spinner() -> ProgressBar {
    let style = ProgressStyle::with_template("{spinner} {wide_msg} {elapsed}")
        .unwrap_or_else(|_| ProgressStyle::default_spinner());
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr())
        .with_style(style)
        .with_finish(ProgressFinish::AndClear);
    bar.enable_steady_tick(TICK);
    bar
}
