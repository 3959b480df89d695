//! The rules, from text to a typed value. `None` is a value that breaks its rule; the rule's
//! words stand in the table.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use bookmesh_rpc::api::{RACK_REPLICAS, RackId};

use super::{Environment, LogFormat};

/// Bootstrap addresses and racks of one node.
const MAX_LIST: usize = 64;
/// Characters of one address.
const MAX_ADDRESS_CHARS: usize = 512;
/// Requests a second, and at once, of one client.
const MAX_RATE: NonZeroU32 = NonZeroU32::MIN.saturating_add(999_999);

pub(super) fn within<T: FromStr + PartialOrd>(text: &str, range: RangeInclusive<T>) -> Option<T> {
    text.parse().ok().filter(|number| range.contains(number))
}

pub(super) fn host(text: &str) -> Option<IpAddr> {
    text.parse().ok()
}

pub(super) fn millis(text: &str, range: RangeInclusive<u64>) -> Option<Duration> {
    within(text, range).map(Duration::from_millis)
}

pub(super) fn days(text: &str, range: RangeInclusive<u64>) -> Option<Duration> {
    within(text, range).map(|days| Duration::from_secs(days * 24 * 60 * 60))
}

/// In bytes.
pub(super) fn mebibytes(text: &str, range: RangeInclusive<u64>) -> Option<u64> {
    within(text, range).map(|mebibytes| mebibytes * 1024 * 1024)
}

pub(super) fn switch(text: &str) -> Option<bool> {
    match text {
        "on" | "true" => Some(true),
        "off" | "false" => Some(false),
        _ => None,
    }
}

pub(super) fn environment(text: &str) -> Option<Environment> {
    Some(match text {
        "development" => Environment::Development,
        "test" => Environment::Test,
        "staging" => Environment::Staging,
        "production" => Environment::Production,
        _ => return None,
    })
}

pub(super) fn log_format(text: &str) -> Option<LogFormat> {
    Some(match text {
        "pretty" => LogFormat::Pretty,
        "json" => LogFormat::Json,
        _ => return None,
    })
}

/// A level, or directives `target=level` separated by commas.
pub(super) fn log_level(text: &str) -> Option<String> {
    let level = |text: &str| {
        ["off", "error", "warn", "info", "debug", "trace"].contains(&text.to_lowercase().as_str())
    };
    let directive = |text: &str| match text.split_once('=') {
        Some((target, of)) => !target.trim().is_empty() && level(of.trim()),
        None => level(text.trim()),
    };
    text.split(',').all(directive).then(|| text.to_owned())
}

/// An odd number: with one voter more than that, no more of them can be lost.
pub(super) fn replicas(text: &str) -> Option<usize> {
    text.parse().ok().filter(|voters| RACK_REPLICAS.contains(voters)).map(usize::from)
}

/// As [`replicas`]; more than five only make every change of the registry slower.
pub(super) fn orks(text: &str) -> Option<usize> {
    replicas(text).filter(|orks| *orks <= 5)
}

pub(super) fn racks(text: &str) -> Option<Vec<RackId>> {
    let racks: Vec<RackId> = items(text).map(|name| name.parse().ok()).collect::<Option<_>>()?;
    let distinct = racks.iter().enumerate().all(|(at, rack)| !racks[..at].contains(rack));
    (distinct && (1..=MAX_LIST).contains(&racks.len())).then_some(racks)
}

/// Whether an address can be resolved is the mesh's to say; here only its shape is checked.
pub(super) fn bootstrap(text: &str) -> Option<Vec<String>> {
    let addresses: Vec<String> = items(text).map(str::to_owned).collect();
    let count_ok = addresses.len() <= MAX_LIST;
    (count_ok && addresses.iter().all(|address| is_address(address))).then_some(addresses)
}

fn is_address(text: &str) -> bool {
    if text.len() > MAX_ADDRESS_CHARS || text.contains(char::is_whitespace) {
        return false;
    }
    if let Some(parts) = text.strip_prefix('/') {
        let parts: Vec<_> = parts.split('/').collect();
        return parts.len() >= 4 && parts.iter().all(|part| !part.is_empty());
    }
    text.rsplit_once(':').is_some_and(|(host, port)| {
        let bracketed = host.starts_with('[') && host.ends_with(']');
        let named = !host.is_empty() && !host.contains([':', '/']);
        (bracketed || named) && within::<u16>(port, 1..=u16::MAX).is_some()
    })
}

pub(super) fn path(text: &str) -> Option<PathBuf> {
    (!text.contains('\0')).then(|| text.into())
}

/// A number, or `off`.
pub(super) fn or_off<T: FromStr + PartialOrd>(
    text: &str,
    range: RangeInclusive<T>,
) -> Option<Option<T>> {
    if text == "off" { Some(None) } else { within(text, range).map(Some) }
}

/// Requests, or `off`.
pub(super) fn rate(text: &str) -> Option<Option<NonZeroU32>> {
    or_off(text, NonZeroU32::MIN..=MAX_RATE)
}

fn items(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|item| !item.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_known_by_their_shape() {
        let good = "seed.example:4001, 10.0.0.1:1,[::1]:4001,/ip4/10.0.0.1/tcp/4001,\
                    /dns4/ork/udp/4001/quic-v1";
        assert_eq!(bootstrap(good).unwrap().len(), 5);
        for bad in ["seed", "seed:0", "seed:99999", ":1", "a b:1", "/ip4/1.2.3.4", "::1:4001"] {
            assert_eq!(bootstrap(bad), None, "{bad}");
        }
        assert_eq!(bootstrap(&"a:1,".repeat(MAX_LIST + 1)), None);
    }

    #[test]
    fn a_mistyped_level_is_not_taken_for_a_target() {
        for good in ["info", "warn,bookmesh_rpc=debug", "INFO", "libp2p=off"] {
            assert!(log_level(good).is_some(), "{good}");
        }
        for bad in ["inof", "", "info,", "=debug", "bookmesh_rpc=loud"] {
            assert!(log_level(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn replicas_are_odd_and_racks_are_distinct() {
        let accepted: Vec<_> = (0..=9).filter_map(|n| replicas(&n.to_string())).collect();
        assert_eq!(accepted, [1, 3, 5, 7]);
        let accepted: Vec<_> = (0..=9).filter_map(|n| orks(&n.to_string())).collect();
        assert_eq!(accepted, [1, 3, 5]);
        assert_eq!(racks("book-rack-001, book-rack-002").unwrap().len(), 2);
        for bad in ["", ",", "a,a", "A"] {
            assert_eq!(racks(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_limit_is_a_number_or_off() {
        assert_eq!(rate("off"), Some(None));
        assert_eq!(rate("1000000").unwrap().unwrap().get(), 1_000_000);
        for bad in ["", "0", "-1", "1000001", "1.5", "on"] {
            assert_eq!(rate(bad), None, "{bad}");
        }
    }
}
