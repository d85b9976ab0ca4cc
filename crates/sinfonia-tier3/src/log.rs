//! The log on stderr. It is off unless it is asked for: what people need to know they are told in other ways.

use std::io;

use sinfonia_service::telemetry::stderr_is_coloured;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::fmt;

use crate::failure::CommandError;

/// What `--debug` logs.
const DEBUG: &str = "info,sinfonia_tier3=debug,sinfonia_service=debug";

/// Starts logging for the process. `RUST_LOG` says what is logged; without it, nothing or, with `debug`, what goes on here.
///
/// # Errors
/// `RUST_LOG` is malformed.
pub(crate) fn init(debug: bool) -> Result<(), CommandError> {
    let default = if debug { DEBUG } else { "off" };
    let rust_log = std::env::var("RUST_LOG").ok();
    let rust_log = rust_log.as_deref().filter(|filter| !filter.is_empty());
    let filter = EnvFilter::builder()
        .parse(rust_log.unwrap_or(default))
        .map_err(CommandError::Log)?;
    // Logging may run already when this is a library in another program.
    let _ = fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(stderr_is_coloured())
        .try_init();
    Ok(())
}
