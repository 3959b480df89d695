//! Real processes on loopback, and a client for them.

pub mod api;
pub mod asker;
pub mod guide;
pub mod lan;
pub mod lan_mesh;
pub mod mesh;
pub mod metrics;
pub mod probe;
pub mod process;
pub mod rack;
pub mod shop;
pub mod shown;
pub mod writers;

pub use api::Api;
pub use lan::Lan;
pub use process::Process;

use std::time::{Duration, Instant};

/// How long anything that should happen may take before the test gives up. Generous, since the
/// machine may be busy; nothing is judged by it.
pub const PATIENCE: Duration = Duration::from_secs(180);

/// Waits until `check` has something, looking again and again.
pub async fn eventually<T, F: Future<Output = Option<T>>>(
    what: &str,
    mut check: impl FnMut() -> F,
) -> T {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = check().await {
            return found;
        }
        assert!(Instant::now() < until, "it never happened: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
