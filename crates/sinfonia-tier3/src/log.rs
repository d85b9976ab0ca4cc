//! The log on stderr, and traces. Both are off unless they are asked for: what people need to know they are told in other ways.

use std::io;

use sinfonia_service::reload::causes;
use sinfonia_service::telemetry::stderr_is_coloured;
use sinfonia_service::traces::{self, Export, SpanLayer, TracesError};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _, fmt, registry};

use crate::arguments::TalkArgs;
use crate::failure::CommandError;
use crate::talk::Talk;

/// What `--debug` logs.
const DEBUG: &str = "info,sinfonia_tier3=debug,sinfonia_service=debug";

/// Starts logging for the process, and the export of traces where one is given and names a collector. `RUST_LOG` says what is logged;
/// without it, nothing or, with `--debug`, what goes on here.
///
/// # Errors
/// `RUST_LOG` is malformed, or traces that an option asks for cannot be exported.
pub(crate) fn init(talk: TalkArgs, export: Option<Export<'_>>) -> Result<(), CommandError> {
    let default = if talk.debug { DEBUG } else { "off" };
    let rust_log = std::env::var("RUST_LOG").ok();
    let rust_log = rust_log.as_deref().filter(|filter| !filter.is_empty());
    let filter = EnvFilter::builder()
        .parse(rust_log.unwrap_or(default))
        .map_err(CommandError::Log)?;
    let logs = fmt::layer()
        .with_writer(io::stderr)
        .with_ansi(stderr_is_coloured());
    let spans = match export {
        Some(export) => spans(export, Talk::new(talk.quiet))?,
        None => None,
    };
    let subscriber = registry().with(spans).with(logs.with_filter(filter));
    // Logging may run already when this is a library in another program.
    let _ = subscriber.try_init();
    Ok(())
}

/// What hears of spans. Variables of OpenTelemetry are often set for all programs of a device alike: one that cannot be used costs the traces,
/// and not the command.
fn spans(export: Export<'_>, talk: Talk) -> Result<Option<SpanLayer>, TracesError> {
    let is_asked_for = export.args.otlp_endpoint.is_some();
    match traces::layer(export) {
        Err(error) if error.is_of_variables() || !is_asked_for => {
            let mut told = [error.to_string(), causes(&error)].to_vec();
            told.retain(|text| !text.is_empty());
            let told = told.join(": ");
            talk.note(&format!("note: no traces are exported: {told}"));
            Ok(None)
        }
        layer => layer,
    }
}
