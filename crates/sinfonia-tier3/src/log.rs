//! The log on stderr, and traces. Both are off unless they are asked for: what people need to know they are told in other ways.

use std::io;

use sinfonia_service::telemetry::stderr_is_coloured;
use sinfonia_service::traces::{self, Export};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _, fmt, registry};

use crate::failure::CommandError;

/// What `--debug` logs.
const DEBUG: &str = "info,sinfonia_tier3=debug,sinfonia_service=debug";

/// Starts logging for the process, and the export of traces where one is given and names a collector. `RUST_LOG` says what is logged;
/// without it, nothing or, with `debug`, what goes on here.
///
/// # Errors
/// `RUST_LOG` is malformed, or traces cannot be exported.
pub(crate) fn init(debug: bool, export: Option<Export<'_>>) -> Result<(), CommandError> {
    let default = if debug { DEBUG } else { "off" };
    let rust_log = std::env::var("RUST_LOG").ok();
    let rust_log = rust_log.as_deref().filter(|filter| !filter.is_empty());
    let filter = EnvFilter::builder()
        .parse(rust_log.unwrap_or(default))
        .map_err(CommandError::Log)?;
    let logs = fmt::layer()
        .with_writer(io::stderr)
        .with_ansi(stderr_is_coloured());
    let spans = export.map(traces::layer).transpose()?.flatten();
    let subscriber = registry().with(spans).with(logs.with_filter(filter));
    // Logging may run already when this is a library in another program.
    let _ = subscriber.try_init();
    Ok(())
}
