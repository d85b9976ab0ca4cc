//! Logs, on stderr, and traces, where they are wanted.

use std::io::{self, IsTerminal};

use tracing_subscriber::filter::{LevelFilter, ParseError};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _, fmt, registry};

use crate::settings::{LogArgs, LogFormat};
use crate::traces::{self, Export, TracesError};

/// Variable that says what is logged.
const RUST_LOG: &str = "RUST_LOG";

/// Why logging or the export of traces cannot start.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// `RUST_LOG` is malformed.
    #[error("RUST_LOG is no log filter such as `info,sinfonia_tier1=debug`")]
    Filter(#[source] ParseError),
    /// Logging was started before.
    #[error("logging runs already")]
    Twice(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Traces cannot be exported.
    #[error("traces cannot be exported (--otlp-endpoint)")]
    Traces(#[from] TracesError),
}

/// Starts logging for the whole process, and the export of traces where one is given and names a collector.
///
/// `RUST_LOG` says what is logged, from level `info` upwards where it is unset or empty. Colours need a terminal that can show them
/// (`TERM` is not `dumb`) and `NO_COLOR` to be unset or empty.
///
/// # Errors
/// `RUST_LOG` is malformed, logging runs already, or traces cannot be exported.
pub fn init(args: &LogArgs, export: Option<Export<'_>>) -> Result<(), TelemetryError> {
    let filter = filter(std::env::var(RUST_LOG).ok().as_deref()).map_err(TelemetryError::Filter)?;
    let logs = fmt::layer()
        .with_writer(io::stderr)
        .with_ansi(stderr_is_coloured());
    let logs = match args.log_format {
        LogFormat::Text => logs.boxed(),
        LogFormat::Json => logs
            .json()
            .flatten_event(true)
            .with_span_list(false)
            .boxed(),
    };
    let spans = export.map(traces::layer).transpose()?.flatten();
    registry()
        .with(spans)
        .with(logs.with_filter(filter))
        .try_init()
        .map_err(|error| TelemetryError::Twice(error.into()))
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
