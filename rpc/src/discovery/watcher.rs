//! Tells the program whether anybody was found, and people when nobody was.

use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::{Bootstrap, Contact};

/// Follows the number of connected peers.
#[derive(Debug)]
pub(crate) struct ContactWatcher {
    contact: watch::Sender<Contact>,
    connected: usize,
    timeout: Duration,
    /// Since when nobody is connected.
    alone_since: Instant,
}

impl ContactWatcher {
    pub(crate) fn new(timeout: Duration, now: Instant) -> Self {
        let contact = watch::Sender::new(Contact::Searching);
        Self { contact, connected: 0, timeout, alone_since: now }
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<Contact> {
        self.contact.subscribe()
    }

    pub(crate) fn connected(&self) -> usize {
        self.connected
    }

    /// A first connection to one more peer.
    pub(crate) fn joined(&mut self) {
        self.connected += 1;
        self.contact.send_replace(Contact::Connected(self.connected));
    }

    /// The last connection to a peer is gone.
    pub(crate) fn left(&mut self, now: Instant) {
        self.connected = self.connected.saturating_sub(1);
        if self.connected == 0 {
            self.alone_since = now;
            self.contact.send_replace(Contact::Searching);
        } else {
            self.contact.send_replace(Contact::Connected(self.connected));
        }
    }

    /// Says so, once, when nobody was found in time. The search goes on.
    pub(crate) fn check(&mut self, bootstrap: &Bootstrap, mdns: bool, now: Instant) {
        let searching = *self.contact.borrow() == Contact::Searching;
        if !searching || now.duration_since(self.alone_since) < self.timeout {
            return;
        }
        let tried = bootstrap.tried();
        if tried.is_empty() {
            tracing::info!(mdns, "no other node yet, and no bootstrap address to try");
        } else {
            let within_ms = self.timeout.as_millis();
            let tried = tried.join("; ");
            tracing::warn!(within_ms, mdns, %tried, "reached no other node; still trying");
        }
        self.contact.send_replace(Contact::Nobody { tried });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_reported_once_the_time_is_over_with_what_was_tried() {
        let now = Instant::now();
        let bootstrap = Bootstrap::new(&["10.0.0.1:1".to_owned()], now).unwrap();
        let mut watcher = ContactWatcher::new(Duration::from_secs(15), now);
        let contact = watcher.subscribe();
        watcher.check(&bootstrap, false, now + Duration::from_secs(14));
        assert_eq!(*contact.borrow(), Contact::Searching);
        watcher.check(&bootstrap, false, now + Duration::from_secs(15));
        let tried = vec!["10.0.0.1:1: no answer yet".to_owned()];
        assert_eq!(*contact.borrow(), Contact::Nobody { tried });
        watcher.joined();
        assert_eq!(*contact.borrow(), Contact::Connected(1));
    }

    #[test]
    fn after_losing_everybody_the_search_and_its_time_start_anew() {
        let now = Instant::now();
        let bootstrap = Bootstrap::new(&[], now).unwrap();
        let mut watcher = ContactWatcher::new(Duration::from_secs(15), now);
        watcher.joined();
        let later = now + Duration::from_secs(60);
        watcher.left(later);
        watcher.check(&bootstrap, false, later + Duration::from_secs(1));
        assert_eq!(*watcher.subscribe().borrow(), Contact::Searching);
        watcher.check(&bootstrap, false, later + Duration::from_secs(16));
        assert_eq!(*watcher.subscribe().borrow(), Contact::Nobody { tried: vec![] });
    }
}
