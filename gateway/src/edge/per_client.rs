//! Connections of one client at a time.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use super::clients::Client;

/// Counts connections by client. It holds no more entries than there are connections.
#[derive(Debug)]
pub(crate) struct PerClient {
    most: usize,
    open: Mutex<HashMap<Client, usize>>,
}

impl PerClient {
    pub(crate) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, open: Mutex::default() })
    }

    /// Counts one more, unless there are enough.
    pub(crate) fn admit(self: &Arc<Self>, address: IpAddr) -> Option<Counted> {
        let client = address.into();
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(client).or_insert(0);
        if *count >= self.most {
            return None;
        }
        *count += 1;
        Some(Counted { client, among: self.clone() })
    }
}

/// One connection that counts until it is dropped.
#[derive(Debug)]
pub(crate) struct Counted {
    client: Client,
    among: Arc<PerClient>,
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut open = self.among.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&self.client) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_that_ends_makes_room_and_leaves_nothing_behind() {
        let per_client = PerClient::new(2);
        let [one, other] = ["1.1.1.1", "2.2.2.2"].map(|text| text.parse::<IpAddr>().unwrap());
        let first = per_client.admit(one).unwrap();
        let second = per_client.admit(one).unwrap();
        assert!(per_client.admit(one).is_none());
        assert!(per_client.admit(other).is_some());
        drop(first);
        let third = per_client.admit(one).unwrap();
        drop((second, third));
        assert!(per_client.open.lock().unwrap().is_empty());
    }
}
