//! Calls per second between two nodes on loopback, beside libp2p's `request_response` in the same
//! run: 256-byte pings at 1, 64 and 512 in flight, over TCP and QUIC.
//!
//! The two take turns, so that a busy moment of the machine meets both; the ratio is what to
//! trust. `cargo bench -p bookmesh-rpc --bench calls [-- --quick]`

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod mesh;
mod substreams;

use std::time::Duration;

/// Bytes of a ping's payload.
const PAYLOAD_BYTES: usize = 256;
const IN_FLIGHT: [usize; 3] = [1, 64, 512];

struct Plan {
    rounds: usize,
    round: Duration,
}

fn main() {
    let quick = std::env::args().any(|argument| argument == "--quick");
    let plan = if quick {
        Plan { rounds: 2, round: Duration::from_millis(500) }
    } else {
        Plan { rounds: 5, round: Duration::from_secs(2) }
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(compare(&plan));
}

async fn compare(plan: &Plan) {
    println!("{PAYLOAD_BYTES}-byte pings, calls/s, median of {} rounds", plan.rounds);
    println!("transport  in flight       mesh  request_response   ratio");
    for transport in ["tcp", "quic"] {
        let mesh = mesh::Pair::connected(transport).await;
        let substreams = substreams::Pair::connected(transport).await;
        for in_flight in IN_FLIGHT {
            let (mut ours, mut theirs) = (Vec::new(), Vec::new());
            for _ in 0..plan.rounds {
                ours.push(mesh.calls_per_second(in_flight, plan.round).await);
                theirs.push(substreams.calls_per_second(in_flight, plan.round).await);
            }
            let (ours, theirs) = (median(ours), median(theirs));
            let ratio = ours / theirs;
            println!("{transport:9}  {in_flight:9}  {ours:9.0}  {theirs:16.0}  {ratio:5.1}x");
        }
    }
}

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}
