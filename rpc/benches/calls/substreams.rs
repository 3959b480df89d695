//! libp2p's `request_response`: one substream a request. It is given every advantage: raw bytes
//! for a codec, one task that owns the swarm and keeps so many requests in flight, no admission.

use std::io;
use std::time::{Duration, Instant};

use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, StreamExt};
use libp2p::request_response::{
    Behaviour, Codec, Config, Event, Message, OutboundRequestId, ProtocolSupport,
};
use libp2p::swarm::{StreamProtocol, SwarmEvent};
use libp2p::{Multiaddr, PeerId, Swarm, SwarmBuilder, noise, tcp, yamux};
use tokio::sync::{mpsc, oneshot};

use super::PAYLOAD_BYTES;

/// Above the most that are in flight, on every layer.
const SUBSTREAMS: usize = 2048;

#[derive(Clone, Default)]
struct Raw;

async fn read(io: &mut (impl AsyncRead + Unpin + Send)) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; PAYLOAD_BYTES];
    io.read_exact(&mut bytes).await?;
    Ok(bytes)
}

impl Codec for Raw {
    type Protocol = StreamProtocol;
    type Request = Vec<u8>;
    type Response = Vec<u8>;

    async fn read_request<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Vec<u8>>
    where
        T: AsyncRead + Unpin + Send,
    {
        read(io).await
    }

    async fn read_response<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Vec<u8>>
    where
        T: AsyncRead + Unpin + Send,
    {
        read(io).await
    }

    async fn write_request<T>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        bytes: Vec<u8>,
    ) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        io.write_all(&bytes).await
    }

    async fn write_response<T>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        bytes: Vec<u8>,
    ) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        io.write_all(&bytes).await
    }
}

/// So many in flight until then; how many were answered.
struct Round {
    in_flight: usize,
    until: Instant,
    done: oneshot::Sender<usize>,
}

pub(crate) struct Pair {
    rounds: mpsc::Sender<Round>,
}

impl Pair {
    pub(crate) async fn connected(transport: &str) -> Self {
        let mut called = swarm();
        let any = if transport == "tcp" {
            "/ip4/127.0.0.1/tcp/0"
        } else {
            "/ip4/127.0.0.1/udp/0/quic-v1"
        };
        called.listen_on(any.parse().unwrap()).unwrap();
        let address = loop {
            if let SwarmEvent::NewListenAddr { address, .. } = called.select_next_some().await {
                break address;
            }
        };
        let peer = *called.local_peer_id();
        tokio::spawn(answer(called));
        let (rounds, received) = mpsc::channel(1);
        tokio::spawn(ask(swarm(), peer, address, received));
        Self { rounds }
    }

    pub(crate) async fn calls_per_second(&self, in_flight: usize, round: Duration) -> f64 {
        let began = Instant::now();
        let (done, answered) = oneshot::channel();
        let round = Round { in_flight, until: began + round, done };
        self.rounds.send(round).await.ok().unwrap();
        answered.await.unwrap() as f64 / began.elapsed().as_secs_f64()
    }
}

fn swarm() -> Swarm<Behaviour<Raw>> {
    let protocol = (StreamProtocol::new("/bench/1"), ProtocolSupport::Full);
    let config = Config::default().with_max_concurrent_streams(SUBSTREAMS);
    let muxer = || {
        let mut muxer = yamux::Config::default();
        muxer.set_max_num_streams(SUBSTREAMS);
        muxer
    };
    SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(tcp::Config::default().nodelay(true), noise::Config::new, muxer)
        .unwrap()
        .with_quic_config(|mut quic| {
            quic.max_concurrent_stream_limit = SUBSTREAMS as u32;
            quic
        })
        .with_behaviour(|_| Behaviour::with_codec(Raw, [protocol], config))
        .unwrap()
        .with_swarm_config(|config| config.with_max_negotiating_inbound_streams(SUBSTREAMS))
        .build()
}

async fn answer(mut swarm: Swarm<Behaviour<Raw>>) {
    loop {
        if let SwarmEvent::Behaviour(Event::Message {
            message: Message::Request { request, channel, .. },
            ..
        }) = swarm.select_next_some().await
        {
            swarm.behaviour_mut().send_response(channel, request).unwrap();
        }
    }
}

async fn ask(
    mut swarm: Swarm<Behaviour<Raw>>,
    peer: PeerId,
    address: Multiaddr,
    mut rounds: mpsc::Receiver<Round>,
) {
    swarm.dial(address).unwrap();
    while !swarm.is_connected(&peer) {
        swarm.select_next_some().await;
    }
    while let Some(round) = rounds.recv().await {
        let mut answered = 0;
        let mut waiting = 0;
        let send = |swarm: &mut Swarm<Behaviour<Raw>>| -> OutboundRequestId {
            swarm.behaviour_mut().send_request(&peer, vec![7; PAYLOAD_BYTES])
        };
        for _ in 0..round.in_flight {
            send(&mut swarm);
            waiting += 1;
        }
        while waiting > 0 {
            match swarm.select_next_some().await {
                SwarmEvent::Behaviour(Event::Message {
                    message: Message::Response { response, .. },
                    ..
                }) => {
                    assert_eq!(response.len(), PAYLOAD_BYTES);
                    answered += 1;
                    waiting -= 1;
                    if Instant::now() < round.until {
                        send(&mut swarm);
                        waiting += 1;
                    }
                }
                SwarmEvent::Behaviour(Event::OutboundFailure { error, .. }) => {
                    panic!("request_response failed: {error}")
                }
                _ => {}
            }
        }
        let _ = round.done.send(answered);
    }
}
