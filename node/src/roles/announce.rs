//! Tells the orchestrators, every second and when something changed, how this node stands.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bookmesh_rpc::Mesh;
use bookmesh_rpc::api::{Announce, Announced, Incarnation, MemberStatus, NodeRole};
use bookmesh_rpc::orks::Orks;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

use super::ork::Ork;
use super::rack::Rack;
use super::worker::Worker;

/// How often, whether something changed or not.
const EVERY: Duration = Duration::from_secs(1);
/// Changes that come together are said as one.
const GATHER: Duration = Duration::from_millis(20);
/// A registry whose orchestrators are silent for so long is given up for another one.
const GIVE_UP: Duration = Duration::from_secs(30);

/// Announces a worker, and tells it what the orchestrators answer, until it is dropped.
pub async fn worker(mesh: Mesh, orks: Arc<Orks>, worker: Arc<Worker>) {
    let changed = Arc::new(Notify::new());
    let mut watching: JoinSet<()> =
        worker.racks().map(|rack| watch_rack(rack.clone(), changed.clone())).collect();
    let now = || {
        let racks = worker.racks().filter_map(|rack| rack.status().ok()).collect();
        Arc::new(announcement(&mesh, NodeRole::Worker, racks))
    };
    let news = watch::Sender::new(now());
    let (told, kept) = (worker.clone(), Arc::new(Kept::default()));
    let heard = move |_, answer: Announced| {
        if kept.counts(&answer, Instant::now()) {
            told.heard(&answer);
        }
    };
    let saying = async {
        loop {
            if tokio::time::timeout(EVERY, changed.notified()).await.is_ok() {
                tokio::time::sleep(GATHER).await;
            }
            news.send_replace(now());
        }
    };
    tokio::select! {
        () = orks.announce(news.subscribe(), heard) => {}
        () = saying => {}
    }
    watching.shutdown().await;
}

/// Announces an orchestrator to the others, until it is dropped.
pub async fn ork(ork: Arc<Ork>) {
    let now = || Arc::new(announcement(&ork.mesh, NodeRole::Ork, Vec::new()));
    let news = watch::Sender::new(now());
    let saying = async {
        loop {
            tokio::time::sleep(EVERY).await;
            news.send_replace(now());
        }
    };
    tokio::select! {
        () = ork.orks.clone().announce(news.subscribe(), |_, _| ()) => {}
        () = saying => {}
    }
}

fn announcement(mesh: &Mesh, role: NodeRole, racks: Vec<MemberStatus>) -> Announce {
    let (version, addresses) = (env!("CARGO_PKG_VERSION").into(), mesh.addresses());
    Announce { role, version, addresses, racks }
}

/// Says so when a rack has another leader, term, membership or stage. Its counts are left to the
/// beat: they change with every write.
async fn watch_rack(rack: Arc<Rack>, changed: Arc<Notify>) {
    loop {
        let standing = rack.group().ok().map(|group| group.standing());
        let changes = async {
            let Some(mut standing) = standing else { return std::future::pending().await };
            standing.mark_unchanged();
            changed.notify_one();
            while standing.changed().await.is_ok() {
                changed.notify_one();
            }
            // The group has ended; the rack says when there is another.
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = changes => {}
            () = rack.changed.notified() => {}
        }
        changed.notify_one();
    }
}

/// Which registry's answers a node heeds, where two began apart: one, and of it the latest.
#[derive(Debug, Default)]
struct Kept(Mutex<Option<Registry>>);

#[derive(Debug)]
struct Registry {
    founding: Incarnation,
    applied_index: u64,
    heard: Instant,
    /// Another one that was heard of meanwhile.
    other: Option<Incarnation>,
}

impl Kept {
    /// Whether an answer is to be heeded.
    fn counts(&self, answer: &Announced, now: Instant) -> bool {
        // An orchestrator that is a member of no registry has nothing to say.
        let Some(founding) = answer.registry else { return false };
        let applied_index = answer.applied_index;
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = kept.as_mut() {
            if known.founding == founding {
                known.heard = now;
                let newer = known.applied_index <= applied_index;
                known.applied_index = known.applied_index.max(applied_index);
                return newer;
            }
            if now.saturating_duration_since(known.heard) < GIVE_UP {
                if known.other.replace(founding) != Some(founding) {
                    tracing::error!(
                        ours = %known.founding, other = %founding,
                        "orchestrators of another registry answer; nothing of theirs is heeded"
                    );
                }
                return false;
            }
            tracing::warn!(old = %known.founding, new = %founding, "following another registry");
        }
        *kept = Some(Registry { founding, applied_index, heard: now, other: None });
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(registry: Option<Incarnation>, applied_index: u64) -> Announced {
        Announced { registry, applied_index, ..Announced::default() }
    }

    #[test]
    fn of_two_registries_the_first_is_kept_until_it_is_silent() {
        let (kept, now) = (Kept::default(), Instant::now());
        let (one, two) = (Incarnation::generate(), Incarnation::generate());
        assert!(!kept.counts(&answer(None, 9), now));
        assert!(kept.counts(&answer(Some(one), 1), now));
        assert!(!kept.counts(&answer(Some(two), 9), now));
        let later = now + GIVE_UP / 2;
        assert!(kept.counts(&answer(Some(one), 1), later));
        assert!(!kept.counts(&answer(Some(two), 9), now + GIVE_UP));
        assert!(kept.counts(&answer(Some(two), 9), later + GIVE_UP));
        assert!(!kept.counts(&answer(Some(one), 99), later + GIVE_UP));
    }

    #[test]
    fn one_that_lags_behind_does_not_undo_settings() {
        let (kept, now) = (Kept::default(), Instant::now());
        let one = Some(Incarnation::generate());
        assert!(kept.counts(&answer(one, 5), now));
        assert!(!kept.counts(&answer(one, 4), now));
        assert!(kept.counts(&answer(one, 5), now));
    }
}
