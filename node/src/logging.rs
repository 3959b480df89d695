//! Log lines on standard error: readable in development, one JSON object a line in production.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

/// What libraries say unless asked: their warnings, and of consensus nothing, since a member that
/// can't be reached is an error of theirs several times a second. What ends a member comes back
/// to us as an error, and is a line of ours.
const LIBRARIES: &str = "openraft=off,libp2p=warn,libp2p_swarm=warn,libp2p_mdns=error,\
    libp2p_kad=error,sled=warn,hickory_resolver=error,hickory_proto=error,quinn=warn,yamux=warn";

/// How lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Pretty,
    /// For machines.
    Json,
}

/// Starts logging for the whole process. Later calls change nothing.
///
/// `level` is a level (`info`) or directives (`info,openraft=debug`), which win over ours.
///
/// # Errors
/// When `level` is neither.
pub fn init(level: &str, format: Format) -> Result<(), ParseError> {
    let filter = EnvFilter::builder().parse(format!("{LIBRARIES},{level}"))?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    // Somebody who embeds a node may have a subscriber of their own; theirs stays.
    let _ = match format {
        Format::Pretty => lines.with_ansi(io::stderr().is_terminal()).compact().try_init(),
        Format::Json => lines.json().flatten_event(true).try_init(),
    };
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_that_is_none_is_refused() {
        assert!(init("info,,=loud=", Format::Json).is_err());
        assert!(EnvFilter::builder().parse(format!("{LIBRARIES},openraft=debug")).is_ok());
    }
}
