//! Gauges that are asked for when `/metrics` is, and written as text from the answer. The
//! exporter's own gauges keep what was set last: one that stands for a rack that is no longer held
//! would stay for ever, since it can't be taken back, and all of them would be as old as whoever
//! sets them makes them.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use bookmesh_rpc::api::NodeRole;
use bookmesh_rpc::mesh::BoxFuture;
use bookmesh_rpc::peer::PeerId;

/// What a source may take. One that takes longer is left out of the answer: Prometheus waits ten
/// seconds by default, and wants what the other sources know.
pub(crate) const TELL_WITHIN: Duration = Duration::from_secs(2);

/// A gauge, and what it means: one sentence, as Prometheus shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Family {
    /// As in `docs/observe.md`.
    pub name: &'static str,
    /// Its `HELP`.
    pub meaning: &'static str,
}

/// Who this is.
pub const INFO: Family =
    Family { name: "bookmesh_info", meaning: "1; the node's role, peer id and version." };

/// Values of gauges, as they are now.
#[derive(Debug, Default)]
pub struct Gauges(BTreeMap<Family, BTreeMap<String, f64>>);

impl Gauges {
    /// Sets one value; a later one with the same labels takes its place.
    pub fn set(&mut self, family: Family, labels: &[(&'static str, &str)], value: f64) {
        let mut text = String::new();
        for (name, value) in labels {
            let comma = if text.is_empty() { "" } else { "," };
            // Writing to a string never fails.
            let _ = write!(text, "{comma}{name}=\"{}\"", escaped(value));
        }
        self.0.entry(family).or_default().insert(text, value);
    }

    /// Who a node is.
    pub fn name_node(&mut self, role: NodeRole, peer: PeerId, version: &str) {
        let peer = peer.to_string();
        self.set(INFO, &[("role", role.name()), ("peer", &peer), ("version", version)], 1.0);
    }

    fn extend(&mut self, others: Self) {
        for (family, values) in others.0 {
            self.0.entry(family).or_default().extend(values);
        }
    }

    /// As Prometheus text: each family once, with all of its values.
    pub fn render(&self) -> String {
        let mut text = String::new();
        for (Family { name, meaning }, values) in &self.0 {
            let _ = writeln!(text, "# HELP {name} {meaning}\n# TYPE {name} gauge");
            for (labels, value) in values {
                let _ = match labels.as_str() {
                    "" => writeln!(text, "{name} {value}"),
                    labels => writeln!(text, "{name}{{{labels}}} {value}"),
                };
            }
            text.push('\n');
        }
        text
    }
}

/// A label's value between its quotes.
fn escaped(value: &str) -> String {
    value.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n")
}

/// Who knows the values of some gauges.
pub trait GaugeSource: Send + Sync + 'static {
    /// All of them, as they are now.
    fn gauges(&self) -> BoxFuture<'_, Gauges>;
}

/// Asks all sources, at once; each may take so long.
pub(crate) async fn ask(sources: &[Arc<dyn GaugeSource>], within: Duration) -> Gauges {
    let asked = sources.iter().map(|source| tokio::time::timeout(within, source.gauges()));
    let mut all = Gauges::default();
    for answer in futures::future::join_all(asked).await {
        match answer {
            Ok(gauges) => all.extend(gauges),
            Err(_) => tracing::warn!("some metrics are left out: they took too long to find"),
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEADER: Family = Family { name: "rack_leader", meaning: "Whether it leads." };
    const FREE: Family = Family { name: "free_bytes", meaning: "What is free." };

    struct Says(&'static str, f64);

    impl GaugeSource for Says {
        fn gauges(&self) -> BoxFuture<'_, Gauges> {
            let mut gauges = Gauges::default();
            gauges.set(LEADER, &[("rack", self.0)], self.1);
            Box::pin(async { gauges })
        }
    }

    struct Hangs;

    impl GaugeSource for Hangs {
        fn gauges(&self) -> BoxFuture<'_, Gauges> {
            Box::pin(std::future::pending())
        }
    }

    #[test]
    fn a_family_is_told_once_with_all_its_values() {
        let mut gauges = Gauges::default();
        gauges.set(LEADER, &[("rack", "b"), ("role", "voter")], 1.0);
        gauges.set(FREE, &[], 18_446_744_073.0);
        gauges.set(LEADER, &[("rack", "a")], 0.25);
        let expected = "# HELP free_bytes What is free.\n\
                        # TYPE free_bytes gauge\n\
                        free_bytes 18446744073\n\n\
                        # HELP rack_leader Whether it leads.\n\
                        # TYPE rack_leader gauge\n\
                        rack_leader{rack=\"a\"} 0.25\n\
                        rack_leader{rack=\"b\",role=\"voter\"} 1\n\n";
        assert_eq!(gauges.render(), expected);
    }

    #[test]
    fn a_label_can_hold_anything_and_comes_once() {
        let mut gauges = Gauges::default();
        gauges.set(LEADER, &[("rack", "a\"b\\c\nd")], 0.0);
        gauges.set(LEADER, &[("rack", "a\"b\\c\nd")], 1.0);
        let text = gauges.render();
        assert!(text.ends_with("\nrack_leader{rack=\"a\\\"b\\\\c\\nd\"} 1\n\n"), "{text}");
        assert_eq!(text.matches("rack_leader{").count(), 1);
    }

    #[tokio::test]
    async fn one_that_hangs_keeps_nobody_else_from_telling() {
        let sources: [Arc<dyn GaugeSource>; 3] =
            [Arc::new(Says("a", 1.0)), Arc::new(Hangs), Arc::new(Says("b", 0.0))];
        let text = ask(&sources, Duration::from_millis(20)).await.render();
        assert!(text.contains("rack_leader{rack=\"a\"} 1\nrack_leader{rack=\"b\"} 0\n"), "{text}");
    }
}
