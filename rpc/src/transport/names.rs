//! How names are looked up: by hickory, which a static binary can do, too.

use std::time::Duration;

use hickory_resolver::config::{ResolverConfig, ResolverOpts};
use hickory_resolver::system_conf::read_system_conf;

/// How long an answer is remembered, be it that there is none. A container engine gives 600 s to an
/// address that is another one as soon as the container is made anew, and a root server a day to a
/// name that is there as soon as its container is.
const REMEMBERED: Duration = Duration::from_secs(1);
/// How long one question waits. Who dials asks again; a name that nobody knows yet may be asked for
/// far away, and is known here in a moment.
const ANSWER_TIME: Duration = Duration::from_secs(2);
/// Questions after the first.
const ATTEMPTS: usize = 1;

/// This machine's name servers, and what is asked of them.
pub(super) fn resolver() -> (ResolverConfig, ResolverOpts) {
    let (config, options) = read_system_conf().unwrap_or_else(|error| {
        tracing::warn!(%error, "no resolver is configured: names can't be dialed");
        Default::default()
    });
    (config, forgetful(options))
}

fn forgetful(mut options: ResolverOpts) -> ResolverOpts {
    options.positive_max_ttl = Some(REMEMBERED);
    options.negative_max_ttl = Some(REMEMBERED);
    options.timeout = options.timeout.min(ANSWER_TIME);
    options.attempts = options.attempts.min(ATTEMPTS);
    options
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr, SocketAddr};
    use std::sync::{Arc, Mutex};
    use std::time::Instant;

    use hickory_resolver::TokioResolver;
    use hickory_resolver::config::NameServerConfig;
    use hickory_resolver::net::runtime::TokioRuntimeProvider;
    use tokio::net::UdpSocket;

    use super::*;

    /// What an engine's name server says of a name: its address, for 600 s, or that there is none,
    /// for a day.
    type Answer = Arc<Mutex<Option<Ipv4Addr>>>;

    const NAME: &str = "wrk-ork.";
    const A: [u8; 2] = [0, 1];
    const SOA: [u8; 2] = [0, 6];

    /// A name server that knows one name; see RFC 1035, section 4.
    async fn name_server(answer: Answer) -> SocketAddr {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        tokio::spawn(async move {
            let mut query = [0; 512];
            while let Ok((_, from)) = socket.recv_from(&mut query).await {
                let end = 12 + 1 + NAME.len() + 4;
                let question = &query[12..end];
                let address = *answer.lock().unwrap();
                let is_a = question.ends_with(&[A, [0, 1]].concat());
                let mut reply = query[..2].to_vec();
                // An answer of NOERROR or NXDOMAIN, with the question, and one record or none.
                let known = u8::from(address.is_some() && is_a);
                let gone = u8::from(address.is_none());
                reply.extend([0x81, 0x80 | (3 * gone), 0, 1, 0, known, 0, gone, 0, 0]);
                reply.extend(question);
                match address {
                    Some(address) if is_a => reply.extend(record(A, 600, &address.octets())),
                    Some(_) => {}
                    None => {
                        // Two names that are the root, a serial number, and four times.
                        let mut soa = vec![0; 2 + 4 + 12];
                        soa.extend(86_400_u32.to_be_bytes());
                        reply.extend(record(SOA, 86_400, &soa));
                    }
                }
                socket.send_to(&reply, from).await.unwrap();
            }
        });
        address
    }

    fn record(kind: [u8; 2], ttl: u32, data: &[u8]) -> Vec<u8> {
        // The name is the question's.
        let mut record = [&[0xc0, 12][..], &kind, &[0, 1], &ttl.to_be_bytes()].concat();
        record.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
        record.extend(data);
        record
    }

    async fn found(resolver: &TokioResolver) -> Option<IpAddr> {
        resolver.lookup_ip(NAME).await.ok()?.iter().next()
    }

    async fn until(resolver: &TokioResolver, wanted: Ipv4Addr) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while found(resolver).await != Some(wanted.into()) {
            assert!(Instant::now() < deadline, "{wanted} is not found");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    #[tokio::test]
    async fn a_name_that_gets_another_address_is_found_there() {
        let answer = Answer::default();
        let address = name_server(answer.clone()).await;
        let mut server = NameServerConfig::udp(address.ip());
        server.connections[0].port = address.port();
        let config = ResolverConfig::from_parts(None, Vec::new(), vec![server]);
        let resolver = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
            .with_options(forgetful(ResolverOpts::default()))
            .build()
            .unwrap();

        assert_eq!(found(&resolver).await, None, "nobody has the name yet");
        for last in [1, 2] {
            let address = Ipv4Addr::new(10, 0, 0, last);
            *answer.lock().unwrap() = Some(address);
            until(&resolver, address).await;
        }
    }
}
