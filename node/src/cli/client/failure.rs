//! Why a command ends without success.

use std::io;
use std::process::ExitCode;

/// Why a command ends without success.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// It was typed wrongly.
    #[error("{0}")]
    Usage(String),
    /// Nobody answers; worth trying again.
    #[error("{0}")]
    Unreachable(String),
    /// The gateway answered that it can't.
    #[error("{message}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// What it said, its code and request id included.
        message: String,
    },
    /// Anything else.
    #[error("{0}")]
    Failed(String),
    /// What there is to say was printed already.
    #[error("failed")]
    Reported,
    /// The reader of standard output has gone, as `head` does.
    #[error("the reader is gone")]
    ReaderGone,
}

impl Failure {
    /// Something about a file.
    pub(super) fn file(what: &str, path: &std::path::Path, error: &io::Error) -> Self {
        Self::Failed(format!("can't {what} {}: {error}", path.display()))
    }

    /// What the user reads, in one line.
    pub(super) fn line(&self) -> Option<String> {
        match self {
            Self::Reported | Self::ReaderGone => None,
            // A list of mistakes has a line for each.
            Self::Usage(text) => Some(text.clone()),
            other => Some(other.to_string().split_whitespace().collect::<Vec<_>>().join(" ")),
        }
    }

    /// 1 for what failed, 2 for what was typed wrongly.
    pub(super) fn exit_code(&self) -> ExitCode {
        match self {
            Self::ReaderGone => ExitCode::SUCCESS,
            Self::Usage(_) => ExitCode::from(2),
            _ => ExitCode::FAILURE,
        }
    }

    /// Whether the same request may succeed a little later.
    pub(super) fn is_passing(&self) -> bool {
        match self {
            Self::Unreachable(_) => true,
            Self::Refused { status, .. } => matches!(status, 429 | 502 | 503 | 504),
            _ => false,
        }
    }
}

/// Only standard output is written without naming a file.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::ReaderGone,
            _ => Self::Failed(format!("can't write the output: {error}")),
        }
    }
}
