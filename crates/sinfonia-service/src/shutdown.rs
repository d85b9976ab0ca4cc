//! The end of a service, told by signals.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
pub use tokio_util::sync::CancellationToken;

/// What a process that a signal ended exits with is 128 and the signal's number.
const SIGNAL_EXIT: i32 = 128;

/// Gives a token that is cancelled by the first SIGINT or SIGTERM. A second one ends the process at once.
///
/// It runs on a task of the current runtime.
///
/// # Errors
/// The signals cannot be listened to.
pub fn on_signals() -> io::Result<CancellationToken> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let token = CancellationToken::new();
    let told = token.clone();
    tokio::spawn(async move {
        let first = either(&mut interrupt, &mut terminate).await;
        tracing::info!(signal = first.as_raw_value(), "shutting down");
        told.cancel();
        let second = either(&mut interrupt, &mut terminate).await;
        tracing::warn!(
            signal = second.as_raw_value(),
            "second signal, ending at once"
        );
        std::process::exit(SIGNAL_EXIT + second.as_raw_value());
    });
    Ok(token)
}

async fn either(interrupt: &mut Signal, terminate: &mut Signal) -> SignalKind {
    tokio::select! {
        _ = interrupt.recv() => SignalKind::interrupt(),
        _ = terminate.recv() => SignalKind::terminate(),
    }
}
