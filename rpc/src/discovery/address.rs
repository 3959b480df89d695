//! The addresses that people write.

use std::net::IpAddr;

use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;

use crate::error::MeshError;
use crate::peer::{IdError, PeerId};

/// What to dial for a configured address: itself when it is a multiaddress; for `host:port` TCP,
/// then QUIC.
///
/// # Errors
/// [`MeshError::Address`] when it is neither, [`MeshError::Start`] when its peer id is none.
pub(super) fn candidates(text: &str) -> Result<Vec<Multiaddr>, MeshError> {
    let unreadable = || MeshError::Address { address: text.to_owned() };
    if text.starts_with('/') {
        let address: Multiaddr = text.parse().map_err(|_| unreadable())?;
        let checked = checked(&address);
        checked.map_err(|error| MeshError::Start(format!("{text}: {error}")))?;
        return Ok(vec![address]);
    }
    let (host, port) = text.rsplit_once(':').ok_or_else(unreadable)?;
    let port: u16 = port.parse().map_err(|_| unreadable())?;
    let host = host_part(host).filter(|_| port != 0).ok_or_else(unreadable)?;
    let at = |rest: &[Protocol<'static>]| {
        std::iter::once(host.clone()).chain(rest.iter().cloned()).collect::<Multiaddr>()
    };
    Ok(vec![at(&[Protocol::Tcp(port)]), at(&[Protocol::Udp(port), Protocol::QuicV1])])
}

fn host_part(host: &str) -> Option<Protocol<'static>> {
    let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    if let Ok(ip) = bracketed.unwrap_or(host).parse::<IpAddr>() {
        return Some(ip.into());
    }
    let name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    let fits = (1..=253).contains(&host.len()) && host.chars().all(name);
    fits.then(|| Protocol::Dns(host.to_owned().into()))
}

/// The peer id at the end of an address, when there is one.
///
/// # Errors
/// [`IdError`] when it is of another kind of key, and so of another length.
fn checked(address: &Multiaddr) -> Result<Option<PeerId>, IdError> {
    for part in address {
        if let Protocol::P2p(id) = part {
            return PeerId::from_libp2p(&id).map(Some).map_err(|_| IdError::Length);
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str) -> Vec<String> {
        candidates(text).unwrap().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn host_and_port_mean_tcp_and_quic() {
        assert_eq!(
            texts("10.0.0.1:4001"),
            ["/ip4/10.0.0.1/tcp/4001", "/ip4/10.0.0.1/udp/4001/quic-v1"]
        );
        assert_eq!(texts("[::1]:4001")[0], "/ip6/::1/tcp/4001");
        assert_eq!(texts("wrk-ork:4001")[0], "/dns/wrk-ork/tcp/4001");
    }

    #[test]
    fn a_multiaddress_stays_what_it_is() {
        assert_eq!(texts("/dns4/ork/tcp/4001"), ["/dns4/ork/tcp/4001"]);
    }

    #[test]
    fn anything_else_is_refused() {
        for text in ["", "host", "host:", "host:0", "host:70000", ":1", "a b:1", "/nonsense/1"] {
            let refused = candidates(text);
            assert!(matches!(refused, Err(MeshError::Address { .. })), "{text}: {refused:?}");
        }
    }

    #[test]
    fn a_peer_id_of_another_length_is_refused_in_the_words_of_the_design() {
        let id = libp2p::PeerId::random();
        let error = candidates(&format!("/ip4/10.0.0.1/tcp/1/p2p/{id}")).unwrap_err();
        assert!(error.to_string().contains("ID must be 32-bytes long"), "{error}");
    }
}
