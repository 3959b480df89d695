//! `bookmesh status`.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use comfy_table::Cell;
use serde_json::json;

use super::failure::Failure;
use super::http::Api;
use super::terminal::{Paint, counted, grouped, harmless, painted, print_table, short, table};
use super::views::{Member, Node, Rack};
use crate::cli::StatusArgs;

/// How often `--watch` draws.
const INTERVAL: Duration = Duration::from_secs(1);
/// The state of a member that is being filled.
const JOINING: &str = "joining";
/// Puts the cursor into the upper left corner of an empty screen.
const CLEAR: &str = "\u{1b}[2J\u{1b}[H";
/// The state of a member that does not answer.
const UNREACHABLE: &str = "unreachable";

/// Shows racks, members and nodes, once or again and again.
pub(super) async fn run(args: &StatusArgs) -> Result<(), Failure> {
    let api = Api::new(&args.server.url)?;
    if !args.watch {
        let screen = screen(&api, args.json).await?;
        return Ok(std::io::stdout().write_all(screen.as_bytes())?);
    }
    tokio::select! {
        result = watch(&api, args.json) => result,
        _ = tokio::signal::ctrl_c() => Ok(()),
    }
}

async fn watch(api: &Api, json: bool) -> Result<(), Failure> {
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        // A mesh that is away for a moment is what one watches for.
        let screen = match screen(api, json).await {
            Err(failure) if failure.is_passing() => format!("{failure}\n"),
            other => other?,
        };
        let mut out = std::io::stdout().lock();
        let clear = if out.is_terminal() { CLEAR } else { "" };
        write!(out, "{clear}{screen}")?;
        out.flush()?;
    }
}

async fn screen(api: &Api, json: bool) -> Result<String, Failure> {
    let (racks, nodes) = tokio::join!(api.get("/racks", &[]), api.get("/nodes", &[]));
    if json {
        let both = json!({ "racks": racks?.data(), "nodes": nodes?.data() });
        return Ok(format!("{both}\n"));
    }
    let (racks, nodes): (Vec<Rack>, Vec<Node>) = (racks?.typed()?, nodes?.typed()?);
    let mut out = Vec::new();
    render(&mut out, &racks, &nodes)?;
    String::from_utf8(out).map_err(|error| Failure::Failed(error.to_string()))
}

fn render(out: &mut impl Write, racks: &[Rack], nodes: &[Node]) -> std::io::Result<()> {
    if racks.is_empty() {
        writeln!(out, "no racks yet: start a worker with `bookmesh worker --rack book-rack-001`")?;
    } else {
        print_table(out, &rack_table(racks))?;
        writeln!(out)?;
        print_table(out, &member_table(racks))?;
    }
    writeln!(out)?;
    print_table(out, &node_table(nodes))?;
    writeln!(out, "\n{}, {}", counted(count(racks), "rack"), counted(count(nodes), "node"))
}

fn count<T>(list: &[T]) -> u64 {
    u64::try_from(list.len()).unwrap_or(u64::MAX)
}

/// A number, or a dash where there is none.
pub(super) fn number(value: Option<u64>) -> String {
    value.map_or_else(|| "-".into(), grouped)
}

fn hash(value: Option<&String>) -> &str {
    value.map_or("-", |hash| short(hash))
}

/// One line a rack.
pub(super) fn rack_table(racks: &[Rack]) -> comfy_table::Table {
    let header = ["rack", "type", "leader", "term", "voters", "members", "things", "index", "head"];
    let mut rows = table(&header);
    for rack in racks {
        let answers = |member: &&Member| member.state != UNREACHABLE;
        let up = rack.members.iter().filter(answers);
        let voters = up.clone().filter(|member| member.role.as_deref() == Some("voter")).count();
        let wanted = rack.wanted.map_or_else(String::new, |wanted| format!(" of {wanted}"));
        rows.add_row([
            harmless(&rack.id).into(),
            harmless(&rack.kind).into(),
            leader(rack),
            number(rack.term).into(),
            format!("{voters}{wanted}").into(),
            format!("{} of {}", up.count(), rack.members.len()).into(),
            number(rack.things).into(),
            number(rack.last_index).into(),
            hash(rack.head_hash.as_ref()).into(),
        ]);
    }
    rows
}

fn leader(rack: &Rack) -> Cell {
    match (&rack.leader, rack.writable) {
        (Some(peer), Some(false)) => painted(&format!("{}, disk full", short(peer)), Paint::Red),
        (Some(peer), _) => painted(short(peer), Paint::Green),
        (None, _) => painted("none", Paint::Red),
    }
}

/// One line a member.
pub(super) fn member_table(racks: &[Rack]) -> comfy_table::Table {
    let mut rows = table(&["rack", "member", "node", "role", "state", "lag", "head"]);
    for rack in racks {
        for member in &rack.members {
            let has =
                if member.state == JOINING { member.last_index } else { member.applied_index };
            let lag = rack.last_index.zip(has);
            rows.add_row([
                harmless(&rack.id).into(),
                number(member.member).into(),
                short(&member.peer_id).into(),
                harmless(member.role.as_deref().unwrap_or("-")).into(),
                state(member),
                number(lag.map(|(last, has)| last.saturating_sub(has))).into(),
                hash(member.head_hash.as_ref()).into(),
            ]);
        }
    }
    rows
}

/// What a member does, how far it is where it is being filled, and what it lacks.
fn state(member: &Member) -> Cell {
    let mut text = match (member.state.as_str(), member.last_index, member.committed_index) {
        (JOINING, Some(has), Some(wanted)) => {
            let percent = has.saturating_mul(100) / wanted.max(1);
            let (has, wanted) = (grouped(has), grouped(wanted));
            format!("{JOINING} {has}/{wanted} ({} %)", percent.min(100))
        }
        _ => harmless(&member.state),
    };
    let full = member.writable == Some(false);
    if full {
        text.push_str(", disk full");
    }
    let colour = match member.state.as_str() {
        UNREACHABLE | "failed" => Paint::Red,
        _ if full => Paint::Red,
        "learner" | JOINING => Paint::Yellow,
        _ => Paint::Green,
    };
    painted(&text, colour)
}

fn node_table(nodes: &[Node]) -> comfy_table::Table {
    let mut rows = table(&["node", "role", "version", "racks", "address", "last seen"]);
    for node in nodes {
        rows.add_row([
            short(&node.peer_id).to_owned(),
            harmless(&node.role),
            harmless(&node.version),
            harmless(&node.racks.join(" ")),
            harmless(node.addresses.first().map_or("-", |address| without_peer(address))),
            harmless(node.last_seen.as_deref().unwrap_or("-")),
        ]);
    }
    rows
}

/// An address without the peer id at its end, which stands in the first column.
fn without_peer(address: &str) -> &str {
    address.split("/p2p/").next().unwrap_or(address)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    /// The shape that `/racks` has.
    fn sample() -> Value {
        json!([{
            "id": "book-rack-001", "number": 0, "type": "book", "leader": "ab".repeat(32),
            "term": 3, "things": 10_000, "last_index": 412, "head_hash": "cd".repeat(32),
            "wanted": 3, "writable": true,
            "members": [
                {"member": 1, "peer_id": "ab".repeat(32), "role": "voter", "state": "leader",
                 "last_index": 412, "applied_index": 412, "head_hash": "cd".repeat(32)},
                {"member": 2, "peer_id": "ef".repeat(32), "role": "voter", "state": "unreachable",
                 "last_index": 400, "applied_index": 400, "head_hash": null},
                {"member": 4, "peer_id": "12".repeat(32), "role": null, "state": "joining",
                 "last_index": 164, "committed_index": 400, "applied_index": 0,
                 "head_hash": "34".repeat(32)},
            ],
        }, {
            "id": "order-rack-001", "number": 0, "type": "order", "leader": null, "term": null,
            "things": null, "last_index": null, "head_hash": null, "members": [],
        }])
    }

    #[test]
    fn a_table_shows_leader_lag_and_what_is_missing() {
        let racks: Vec<Rack> = serde_json::from_value(sample()).unwrap();
        let nodes: Vec<Node> = serde_json::from_value(json!([{
            "peer_id": "ab".repeat(32), "role": "worker", "version": "0.1.0",
            "addresses": ["/ip4/127.0.0.1/tcp/4001/p2p/12D3"], "racks": ["book-rack-001"],
            "last_seen": "2026-01-01T00:00:00Z",
        }]))
        .unwrap();
        let mut out = Vec::new();
        render(&mut out, &racks, &nodes).unwrap();
        let text = String::from_utf8(out).unwrap();
        let line = |words: &[&str]| {
            text.lines().any(|line| line.split_whitespace().eq(words.iter().copied()))
        };
        let shows = |words: &str| {
            let words: Vec<_> = words.split(' ').collect();
            assert!(line(&words), "{words:?} is not in\n{text}");
        };
        shows("book-rack-001 book abababab 3 1 of 3 2 of 3 10,000 412 cdcdcdcd");
        shows("book-rack-001 2 efefefef voter unreachable 12 -");
        shows("book-rack-001 4 12121212 - joining 164/400 (41 %) 248 34343434");
        shows("order-rack-001 order none - 0 0 of 0 - - -");
        assert!(text.contains("/ip4/127.0.0.1/tcp/4001 ") && text.contains("2 racks, 1 node"));
    }

    #[test]
    fn a_full_disk_is_seen_at_the_rack_and_at_the_member() {
        let mut racks = sample();
        racks[0]["writable"] = json!(false);
        racks[0]["members"][0]["writable"] = json!(false);
        let racks: Vec<Rack> = serde_json::from_value(racks).unwrap();
        let text = format!("{}\n{}", rack_table(&racks), member_table(&racks));
        assert!(text.contains("abababab, disk full"), "{text}");
        assert!(text.contains("leader, disk full"), "{text}");
    }

    #[test]
    fn an_empty_mesh_says_what_to_start() {
        let mut out = Vec::new();
        render(&mut out, &[], &[]).unwrap();
        assert!(String::from_utf8(out).unwrap().contains("bookmesh worker --rack"));
    }
}
