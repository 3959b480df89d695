//! What asks a process to stop: SIGTERM, SIGINT, or the standard input that it was tied to. The
//! first asks for an ordered stop; a signal after that ends the process at once.

use std::io;
use std::os::fd::AsFd;

use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

/// What a shell reports for a process that was interrupted: 128 + SIGINT.
const INTERRUPTED: i32 = 130;

/// SIGTERM and SIGINT, as they come.
#[derive(Debug)]
pub struct Requests {
    terminate: Signal,
    interrupt: Signal,
}

impl Requests {
    /// From here on they end the process no more by themselves.
    ///
    /// # Errors
    /// When the operating system refuses handlers.
    pub fn listen() -> io::Result<Self> {
        let terminate = signal(SignalKind::terminate())?;
        Ok(Self { terminate, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits for the next one.
    pub async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// What a process is tied to beside its own work: when that goes, it stops.
#[derive(Clone, Debug)]
pub struct Tie(Option<watch::Receiver<()>>);

impl Tie {
    /// Nothing.
    pub const NONE: Self = Self(None);

    /// Standard input, a pipe: whoever started this process holds its other end open, and the
    /// kernel closes that when whoever it is has ended, however it did.
    ///
    /// # Errors
    /// When standard input is no pipe.
    pub fn to_stdin() -> io::Result<Self> {
        let input = io::stdin().as_fd().try_clone_to_owned()?;
        let mut input = pipe::Receiver::from_owned_fd(input)?;
        let (held, tie) = watch::channel(());
        tokio::spawn(async move {
            let mut ignored = [0; 64];
            while input.read(&mut ignored).await.is_ok_and(|bytes| bytes > 0) {}
            drop(held);
        });
        Ok(Self(Some(tie)))
    }

    /// Waits until it is severed; without a tie, for ever.
    async fn severed(&self) {
        match self.0.clone() {
            // Nothing is ever sent: an error is the end.
            Some(mut tie) => while tie.changed().await.is_ok() {},
            None => std::future::pending().await,
        }
    }
}

/// Waits for the first request to stop, and from then on for a second signal in the background.
///
/// # Errors
/// When the operating system refuses handlers.
pub async fn stop_requested(tie: &Tie) -> io::Result<()> {
    let mut requests = Requests::listen()?;
    tokio::select! {
        () = requests.next() => {}
        () = tie.severed() => tracing::info!("what started this process let it go"),
    }
    tokio::spawn(async move {
        requests.next().await;
        tracing::warn!("second signal: ending at once");
        crate::logging::flush();
        #[allow(clippy::disallowed_methods, reason = "the user does not want to wait any longer")]
        std::process::exit(INTERRUPTED);
    });
    Ok(())
}
