//! Whether the node has found others.

/// Whether the node has found others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Contact {
    /// Still looking, within the bootstrap timeout.
    Searching,
    /// Connected to so many admitted peers.
    Connected(usize),
    /// Nobody yet, past the timeout; these addresses were tried, and are tried on.
    Nobody {
        /// Each with its last error.
        tried: Vec<String>,
    },
}
