//! Logs, on stderr.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::{LevelFilter, ParseError};
use tracing_subscriber::fmt::fmt;

use crate::settings::{LogArgs, LogFormat};

/// Variable that says what is logged.
const RUST_LOG: &str = "RUST_LOG";

/// Why logging cannot start.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// `RUST_LOG` is malformed.
    #[error("RUST_LOG is no log filter such as `info,sinfonia_tier1=debug`")]
    Filter(#[source] ParseError),
    /// Logging was started before.
    #[error("logging runs already")]
    Twice(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Starts logging for the whole process.
///
/// `RUST_LOG` says what is logged, from level `info` upwards where it is unset or empty. Colours need a terminal that can show them
/// (`TERM` is not `dumb`) and `NO_COLOR` to be unset or empty.
///
/// # Errors
/// `RUST_LOG` is malformed, or logging runs already.
pub fn init(args: &LogArgs) -> Result<(), TelemetryError> {
    let filter = filter(std::env::var(RUST_LOG).ok().as_deref()).map_err(TelemetryError::Filter)?;
    let logs = fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(stderr_is_coloured());
    match args.log_format {
        LogFormat::Text => logs.try_init(),
        LogFormat::Json => logs
            .json()
            .flatten_event(true)
            .with_span_list(false)
            .try_init(),
    }
    .map_err(TelemetryError::Twice)
}

/// Whether what is told on stderr may be coloured.
pub fn stderr_is_coloured() -> bool {
    let variable = |name| std::env::var(name).ok();
    colours(
        io::stderr().is_terminal(),
        variable("TERM").as_deref(),
        variable("NO_COLOR").as_deref(),
    )
}

fn filter(rust_log: Option<&str>) -> Result<EnvFilter, ParseError> {
    let builder = EnvFilter::builder().with_default_directive(LevelFilter::INFO.into());
    builder.parse(rust_log.unwrap_or_default())
}

fn colours(terminal: bool, term: Option<&str>, no_color: Option<&str>) -> bool {
    terminal && term != Some("dumb") && no_color.is_none_or(str::is_empty)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::unset(None, "info")]
    #[case::empty(Some(""), "info")]
    #[case::level(Some("debug"), "debug")]
    #[case::target(Some("warn,hyper=error"), "hyper=error,warn")]
    fn rust_log_says_what_is_logged(#[case] rust_log: Option<&str>, #[case] expected: &str) {
        assert_eq!(filter(rust_log).unwrap().to_string(), expected);
    }

    #[test]
    fn a_malformed_filter_is_an_error() {
        assert!(filter(Some("sinfonia=loud")).is_err());
    }

    #[rstest]
    #[case::terminal(true, Some("xterm"), None, true)]
    #[case::nameless_terminal(true, None, None, true)]
    #[case::dumb_terminal(true, Some("dumb"), None, false)]
    #[case::empty_counts_as_unset(true, Some("xterm"), Some(""), true)]
    #[case::not_wanted(true, Some("xterm"), Some("1"), false)]
    #[case::no_terminal(false, Some("xterm"), None, false)]
    fn colours_are_for_terminals(
        #[case] terminal: bool,
        #[case] term: Option<&str>,
        #[case] no_color: Option<&str>,
        #[case] expected: bool,
    ) {
        assert_eq!(colours(terminal, term, no_color), expected);
    }
}
