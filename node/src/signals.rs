//! SIGTERM and SIGINT: the first asks for an ordered stop, the second ends the process at once.

use tokio::signal::unix::{SignalKind, signal};

/// What a shell reports for a process that was interrupted: 128 + SIGINT.
const INTERRUPTED: i32 = 130;

/// Waits for the first signal, and from then on for a second one in the background.
///
/// # Errors
/// When the operating system refuses handlers.
pub async fn stop_requested() -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::warn!("second signal: ending at once");
        #[allow(clippy::disallowed_methods, reason = "the user does not want to wait any longer")]
        std::process::exit(INTERRUPTED);
    });
    Ok(())
}
