//! Log lines about connections that were not made, so many that they help and no more.

use std::error::Error;
use std::io;
use std::time::{Duration, Instant};

use libp2p::Multiaddr;
use libp2p::core::transport::TransportError;
use libp2p::swarm::{DialError, ListenError};

use crate::transport::{MYSELF, REFUSED};

const WINDOW: Duration = Duration::from_secs(10);
/// Lines within one window: strangers can knock as often as they like.
const LINES: u32 = 20;

/// Lets a bounded number of lines through.
#[derive(Debug)]
pub(crate) struct LogLimit {
    began: Instant,
    lines: u32,
}

impl LogLimit {
    pub(crate) fn new(now: Instant) -> Self {
        Self { began: now, lines: 0 }
    }

    /// Whether one more line may be written. How many were not is said when the next window begins.
    pub(crate) fn allows(&mut self, now: Instant) -> bool {
        if now.duration_since(self.began) >= WINDOW {
            let left_out = self.lines.saturating_sub(LINES);
            if left_out > 0 {
                tracing::warn!(left_out, "more connections were refused");
            }
            *self = Self::new(now);
        }
        self.lines = self.lines.saturating_add(1);
        self.lines <= LINES
    }
}

/// An error with its causes, each said once.
pub(crate) fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !text.contains(&said) {
            if !text.is_empty() {
                text.push_str(": ");
            }
            text.push_str(&said);
        }
        cause = error.source();
    }
    text
}

/// Why a dial failed: one line, each address with its own cause.
pub(crate) fn why_not_reached(error: &DialError) -> String {
    let DialError::Transport(tried) = error else { return plain(&with_causes(error)) };
    let line = |(address, error): &(Multiaddr, TransportError<io::Error>)| {
        format!("{address}: {}", plain(&with_causes(error)))
    };
    tried.iter().map(line).collect::<Vec<_>>().join("; ")
}

/// Whether all that was reached was this node. A name may lead to others as well: then why those
/// were not reached is what counts.
pub(crate) fn is_myself_alone(error: &DialError) -> bool {
    let DialError::Transport(tried) = error else { return with_causes(error).contains(MYSELF) };
    let alone = |text: &str| {
        let causes = text.strip_prefix(SEVERAL).unwrap_or(text).split("\n - ");
        causes.filter(|cause| !cause.trim().is_empty()).all(|cause| cause.contains(MYSELF))
    };
    !tried.is_empty() && tried.iter().all(|(_, error)| alone(&with_causes(error)))
}

/// Why a connection of another was not taken: one line.
pub(crate) fn why_refused(error: &ListenError) -> String {
    plain(&with_causes(error))
}

/// Whether the other end went away, rather than being refused by this one.
pub(crate) fn is_gone(why: &str) -> bool {
    !why.contains(REFUSED) && GONE.iter().any(|gone| why.contains(gone))
}

/// How transports say that the other end has closed or lost a connection.
const GONE: [&str; 5] = [
    "unexpected end of file",
    "Broken pipe",
    "Connection reset",
    "connection lost",
    "aborted by peer",
];

/// What comes before the causes, a line each, when a name led to several addresses.
const SEVERAL: &str = "Multiple dial errors occurred:";

/// What libp2p's layers put around a cause.
const WRAPPINGS: [&str; 6] = [
    "Listen error: ",
    "Dial error: ",
    "Failed to negotiate transport protocol(s): ",
    SEVERAL,
    "Handshake failed: ",
    " - ",
];

fn plain(text: &str) -> String {
    let text = text.find(REFUSED).map_or(text, |at| &text[at..]);
    let text = WRAPPINGS.iter().fold(text.to_owned(), |text, part| text.replace(part, " "));
    crate::api::collapse_white_space(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_one_line_that_says_where_and_why() {
        let nested = format!(
            "Multiple dial errors occurred:\n \
             - Handshake failed: Handshake failed: {REFUSED} ab: no"
        );
        let address: Multiaddr = "/ip4/10.0.0.1/tcp/1".parse().unwrap();
        let tried = vec![(address, TransportError::Other(io::Error::other(nested)))];
        let why = why_not_reached(&DialError::Transport(tried));
        assert_eq!(why, "/ip4/10.0.0.1/tcp/1: refused peer ab: no");
        let early = TransportError::Other(io::Error::other("Handshake failed: early end"));
        assert_eq!(why_refused(&ListenError::Transport(early)), "early end");
    }

    #[test]
    fn who_goes_away_was_not_refused() {
        assert!(is_gone("unexpected end of file") && is_gone("Broken pipe (os error 32)"));
        assert!(!is_gone(&format!("{REFUSED} ab: no")), "the other end knows it, too, and closes");
        assert!(!is_gone(&format!("{REFUSED} ab: Broken pipe")));
    }

    #[test]
    fn a_name_that_leads_to_this_node_and_to_others_is_not_this_node_alone() {
        let failed = |text: &str| {
            let address: Multiaddr = "/dns/ork/tcp/1".parse().unwrap();
            let error = TransportError::Other(io::Error::other(text.to_owned()));
            DialError::Transport(vec![(address, error)])
        };
        let myself = format!("Handshake failed: {MYSELF}");
        assert!(is_myself_alone(&failed(&myself)));
        assert!(is_myself_alone(&failed(&format!("{SEVERAL}\n - {myself}\n - {myself}"))));
        for other in ["Connection refused (os error 111)".to_owned(), format!("{REFUSED} ab: no")] {
            for both in [[&myself, &other], [&other, &myself]] {
                let [one, two] = both;
                let error = failed(&format!("{SEVERAL}\n - {one}\n - {two}"));
                assert!(!is_myself_alone(&error), "{}", why_not_reached(&error));
            }
        }
        assert!(!is_myself_alone(&DialError::Transport(Vec::new())));
    }

    #[test]
    fn a_cause_is_said_once_and_a_silent_error_leaves_nothing() {
        #[derive(Debug, thiserror::Error)]
        #[error("{0}")]
        struct Outer(String, #[source] io::Error);
        let said = |text: &str| {
            let cause = io::Error::other("in use");
            with_causes(&Outer(text.to_owned(), cause))
        };
        assert_eq!(said(""), "in use");
        assert_eq!(said("can't bind"), "can't bind: in use");
        assert_eq!(said("can't bind, in use"), "can't bind, in use");
    }

    #[test]
    fn strangers_can_not_fill_the_log() {
        let now = Instant::now();
        let mut limit = LogLimit::new(now);
        let written = (0..10_000).filter(|_| limit.allows(now)).count();
        assert_eq!(written, LINES as usize);
        assert!(limit.allows(now + WINDOW));
    }
}
