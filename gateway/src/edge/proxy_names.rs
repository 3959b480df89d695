//! Trusted proxies that are known by name: looked up for as long as the server runs, since a
//! container gets another address whenever it is made anew.

use std::net::IpAddr;
use std::sync::{PoisonError, RwLock};
use std::time::{Duration, Instant};

use futures::future::join_all;
use hickory_resolver::TokioResolver;
use hickory_resolver::config::LookupIpStrategy;
use hickory_resolver::net::NetError;

/// How long an address that is no proxy any more may be believed, and a new one not.
const LOOK_EVERY: Duration = Duration::from_secs(3);
/// One attempt of a look-up; there are two.
const LOOK_WITHIN: Duration = Duration::from_secs(1);
/// What was found is kept for so long while the name server itself can't be asked.
const KEPT_FOR: Duration = Duration::from_secs(10);
/// Addresses of one name that are believed.
const MAX_ADDRESSES: usize = 16;

/// The names, and where they lead to.
#[derive(Debug, Default)]
pub(super) struct ProxyNames(RwLock<Vec<Named>>);

#[derive(Debug)]
struct Named {
    /// Complete, with a dot at its end: a search list could lead to somebody else.
    name: String,
    addresses: Vec<IpAddr>,
    asked: Option<Instant>,
}

impl ProxyNames {
    pub(super) fn new(names: &[String]) -> Self {
        let named = |name: &String| Named {
            name: format!("{}.", name.trim_end_matches('.')),
            addresses: Vec::new(),
            asked: None,
        };
        Self(RwLock::new(names.iter().map(named).collect()))
    }

    pub(super) fn contain(&self, address: IpAddr) -> bool {
        let names = self.0.read().unwrap_or_else(PoisonError::into_inner);
        names.iter().any(|named| named.addresses.contains(&address))
    }

    fn names(&self) -> Vec<String> {
        let names = self.0.read().unwrap_or_else(PoisonError::into_inner);
        names.iter().map(|named| named.name.clone()).collect()
    }

    /// Looks them up again and again; never ends.
    pub(super) async fn follow(&self) {
        let names = self.names();
        if names.is_empty() {
            return std::future::pending().await;
        }
        let mut rounds = tokio::time::interval(LOOK_EVERY);
        let mut told = false;
        let resolver = loop {
            rounds.tick().await;
            match resolver() {
                Ok(resolver) => break resolver,
                Err(error) if !told => {
                    tracing::warn!(%error, "no resolver: no proxy is trusted by name");
                    told = true;
                }
                Err(_) => {}
            }
        };
        loop {
            rounds.tick().await;
            let found = join_all(names.iter().map(|name| look_up(&resolver, name))).await;
            self.note(found, Instant::now());
        }
    }

    /// Takes what was found for each name; `None` is no answer.
    fn note(&self, found: Vec<Option<Vec<IpAddr>>>, now: Instant) {
        let mut names = self.0.write().unwrap_or_else(PoisonError::into_inner);
        for (named, found) in names.iter_mut().zip(found) {
            let before = named.addresses.clone();
            match found {
                Some(addresses) => {
                    named.addresses = addresses;
                    named.asked = Some(now);
                }
                None if named.asked.is_none_or(|asked| now - asked > KEPT_FOR) => {
                    named.addresses.clear();
                }
                None => {}
            }
            if named.addresses != before {
                let (name, addresses) = (&named.name, &named.addresses);
                tracing::info!(%name, ?addresses, "a trusted proxy has other addresses");
            }
        }
    }
}

fn resolver() -> Result<TokioResolver, NetError> {
    let mut resolver = TokioResolver::builder_tokio()?;
    let options = resolver.options_mut();
    // Docker's name server allows ten minutes, and gives addresses to others within seconds.
    options.positive_max_ttl = Some(LOOK_WITHIN);
    options.negative_max_ttl = Some(LOOK_WITHIN);
    options.timeout = LOOK_WITHIN;
    options.attempts = 1;
    options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
    resolver.build()
}

/// The addresses of a name, in order; none is an answer, too.
async fn look_up(resolver: &TokioResolver, name: &str) -> Option<Vec<IpAddr>> {
    match resolver.lookup_ip(name).await {
        Ok(found) => {
            let mut found: Vec<_> = found.iter().map(|address| address.to_canonical()).collect();
            found.sort_unstable();
            found.truncate(MAX_ADDRESSES);
            Some(found)
        }
        Err(error) if error.is_no_records_found() => Some(Vec::new()),
        Err(error) => {
            tracing::debug!(%name, %error, "a trusted proxy can't be looked up");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_believed_for_as_long_as_its_name_leads_to_it() {
        let names = ProxyNames::new(&["one".to_owned(), "two".to_owned()]);
        let [a, b]: [IpAddr; 2] = ["10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap()];
        assert!(!names.contain(a));
        let start = Instant::now();
        names.note(vec![Some(vec![a]), Some(vec![b])], start);
        assert!(names.contain(a) && names.contain(b));

        names.note(vec![Some(vec![]), None], start + KEPT_FOR);
        assert!(!names.contain(a), "its name leads nowhere");
        assert!(names.contain(b), "nobody said that it changed");
        names.note(vec![Some(vec![b]), None], start + 2 * KEPT_FOR);
        names.note(vec![Some(vec![]), None], start + 2 * KEPT_FOR);
        assert!(!names.contain(b), "it was asked for too long ago");
    }
}
