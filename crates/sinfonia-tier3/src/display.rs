//! Where the state of the tunnel is shown while an application runs.
//!
//! The application owns the terminal, and whatever is written between its own lines would spoil them. The title of the window belongs to
//! nobody's screen, so that it is where the state goes unless the user says otherwise.

use std::io::{self, Write as _};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressFinish, ProgressStyle};

use crate::arguments::StatusForm;
use crate::status::Status;

/// Keeps the window's title on the terminal's stack (XTWINOPS 22), and takes it back from there (23).
const KEEP_TITLE: &str = "\x1b[22;2t";
const RESTORE_TITLE: &str = "\x1b[23;2t";

/// What the terminal is like, and who writes to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Screen {
    /// Whether stderr is a terminal that obeys escape sequences.
    pub(crate) terminal: bool,
    /// Whether nothing is to be told.
    pub(crate) quiet: bool,
    /// Whether an application has the terminal.
    pub(crate) application: bool,
}

/// Shows the state, until it is dropped.
pub(crate) enum Display {
    /// Nowhere.
    Off,
    /// In the title of the window: the last one shown.
    Title(String),
    /// In a line on stderr that is written again and again.
    Line(ProgressBar),
}

/// What is shown with these wishes on this screen.
pub(crate) const fn choose(wish: StatusForm, screen: Screen) -> StatusForm {
    if !screen.terminal || screen.quiet {
        return StatusForm::Off;
    }
    match wish {
        StatusForm::Auto if screen.application => StatusForm::Title,
        StatusForm::Auto => StatusForm::Line,
        wish => wish,
    }
}

impl Display {
    /// Begins to show, on the thread that goes on with it.
    pub(crate) fn new(wish: StatusForm, screen: Screen) -> Self {
        match choose(wish, screen) {
            StatusForm::Off | StatusForm::Auto => Self::Off,
            StatusForm::Title => {
                ignore_background();
                write(KEEP_TITLE);
                Self::Title(String::new())
            }
            StatusForm::Line => {
                ignore_background();
                Self::Line(line())
            }
        }
    }

    /// Shows the state as it is now.
    pub(crate) fn show(&mut self, status: &Status) {
        match self {
            Self::Off => {}
            Self::Title(shown) => {
                let text = title(status);
                if *shown != text {
                    write(&text);
                    *shown = text;
                }
            }
            Self::Line(bar) => bar.set_message(status.to_string()),
        }
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        match self {
            Self::Off => {}
            Self::Title(_) => write(RESTORE_TITLE),
            Self::Line(bar) => bar.finish_and_clear(),
        }
    }
}

/// The sequence that sets the window's title (OSC 2).
fn title(status: &Status) -> String {
    format!("\x1b]2;{status}\x07")
}

/// A shell inside the tunnel takes the terminal for its own jobs, of which this process is none. With `stty tostop` it would be stopped
/// for what it writes, and the tunnel with it, unless this thread does not care.
#[cfg(target_os = "linux")]
fn ignore_background() {
    use nix::sys::signal::{SigSet, Signal};

    let mut set = SigSet::empty();
    set.add(Signal::SIGTTOU);
    // Nothing but that rare setting needs it.
    let _ = set.thread_block();
}

/// Nothing has the terminal inside the tunnel there.
#[cfg(not(target_os = "linux"))]
const fn ignore_background() {}

fn write(text: &str) {
    // One write, so that nothing of the application's comes between. Nobody is left to tell when stderr is closed.
    let _ = io::stderr().write_all(text.as_bytes());
}

fn line() -> ProgressBar {
    let style = ProgressStyle::with_template("{wide_msg}")
        .unwrap_or_else(|_| ProgressStyle::default_spinner());
    ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr())
        .with_style(style)
        .with_finish(ProgressFinish::AndClear)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::printable::Printable;
    use crate::status::Health;

    const TERMINAL: Screen = Screen {
        terminal: true,
        quiet: false,
        application: true,
    };

    #[rstest]
    #[case::application(StatusForm::Auto, TERMINAL, StatusForm::Title)]
    #[case::no_application(StatusForm::Auto, Screen { application: false, ..TERMINAL }, StatusForm::Line)]
    #[case::line(StatusForm::Line, TERMINAL, StatusForm::Line)]
    #[case::off(StatusForm::Off, TERMINAL, StatusForm::Off)]
    #[case::quiet(StatusForm::Line, Screen { quiet: true, ..TERMINAL }, StatusForm::Off)]
    #[case::no_terminal(StatusForm::Title, Screen { terminal: false, ..TERMINAL }, StatusForm::Off)]
    fn the_state_goes_where_it_disturbs_nobody(
        #[case] wish: StatusForm,
        #[case] screen: Screen,
        #[case] expected: StatusForm,
    ) {
        assert_eq!(choose(wish, screen), expected);
    }

    #[test]
    fn a_title_holds_nothing_else_that_a_terminal_obeys() {
        let status = Status {
            cloudlet: Printable::new("a\u{7}\u{1b}]2;b"),
            health: Health::Answers(None),
            sent_bytes: 0,
            received_bytes: 0,
            lease: None,
        };

        assert_eq!(
            title(&status),
            "\u{1b}]2;a\u{fffd}\u{fffd}]2;b · ↑ 0 B ↓ 0 B\u{7}"
        );
    }
}
