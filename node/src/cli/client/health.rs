//! `bookmesh health`: what container health checks run.

use std::io::Write;
use std::time::Duration;

use super::failure::Failure;
use super::http::Api;

/// Shorter than any health check's own patience.
const TIMEOUT: Duration = Duration::from_secs(3);

/// Asks a node whether it is ready.
pub(super) async fn run(url: &str) -> Result<(), Failure> {
    let api = Api::new(url.trim_end_matches('/').trim_end_matches("/ready"))?;
    let asked = tokio::time::timeout(TIMEOUT, api.get("/ready", &[])).await;
    let seconds = TIMEOUT.as_secs();
    match asked {
        Ok(Ok(_)) => Ok(writeln!(std::io::stdout(), "ready")?),
        Ok(Err(Failure::Refused { message, .. })) => {
            Err(Failure::Failed(format!("not ready: {message}")))
        }
        Ok(Err(failure)) => Err(failure),
        Err(_) => Err(Failure::Unreachable(format!("{url} did not answer within {seconds} s"))),
    }
}
