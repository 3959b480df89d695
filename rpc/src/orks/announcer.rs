//! Tells every orchestrator how this node stands: one task each, so that a slow one does not
//! delay the others.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::Orks;
use super::heeded::Heeded;
use crate::api::{Announce, Announced};
use crate::context::Context;
use crate::peer::PeerId;
use crate::reliability::Backoff;

/// How long one announcement may wait for its answer.
const ANSWER: Duration = Duration::from_secs(1);
/// Between two looks for orchestrators: short while none is known, then rarely.
const FIRST_LOOK: Duration = Duration::from_millis(100);
const NEXT_LOOK: Duration = Duration::from_secs(5);
/// One that does not answer is told less often, up to this.
const FIRST_REST: Duration = Duration::from_millis(200);
const LONGEST_REST: Duration = Duration::from_secs(3);

impl Orks {
    /// Looks for orchestrators, and tells each the latest announcement whenever there is a new
    /// one, until it is dropped, the mesh is closed or the announcing end is gone. Whoever
    /// announces sends at least every second, since silence means that a node is gone.
    ///
    /// An announcement that comes while the one before is not answered waits; of several that
    /// wait only the latest is sent. `heard` gets what was said and the answer to it; where two
    /// registries began apart, answers of one of them, and of it none that is older than one
    /// before.
    pub async fn announce<F>(self: Arc<Self>, news: watch::Receiver<Arc<Announce>>, heard: F)
    where
        F: Fn(&Announce, Announced) + Clone + Send + 'static,
    {
        let mut tellers = Tellers::default();
        let heeded = Arc::new(Heeded::default());
        let heard = move |said: &Announce, answer: Announced| {
            if heeded.counts(&answer, Instant::now()) {
                heard(said, answer);
            }
        };
        let mut contact = self.mesh.contact();
        let mut looks = Backoff::new(FIRST_LOOK, NEXT_LOOK);
        loop {
            let known = self.look(&Context::within(super::LOOK)).await;
            tellers.retain(&known);
            for ork in &known {
                let tell = || tell(self.clone(), *ork, news.clone(), heard.clone());
                tellers.begin(*ork, tell);
            }
            let pause = if known.is_empty() { looks.wait() } else { NEXT_LOOK };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                changed = contact.changed() => {
                    // A node that was just met may be an orchestrator, or know one.
                    if changed.is_err() {
                        return;
                    }
                    looks.reset();
                    tokio::time::sleep(FIRST_LOOK).await;
                }
            }
            if news.has_changed().is_err() {
                return;
            }
        }
    }
}

/// The tasks, by whom they tell.
#[derive(Default)]
struct Tellers {
    running: BTreeMap<PeerId, tokio::task::AbortHandle>,
    tasks: JoinSet<()>,
}

impl Tellers {
    fn retain(&mut self, known: &[PeerId]) {
        self.running.retain(|ork, task| {
            let stays = known.contains(ork) && !task.is_finished();
            if !stays {
                task.abort();
            }
            stays
        });
        while self.tasks.try_join_next().is_some() {}
    }

    fn begin<T>(&mut self, ork: PeerId, task: impl FnOnce() -> T)
    where
        T: Future<Output = ()> + Send + 'static,
    {
        if !self.running.contains_key(&ork) {
            self.running.insert(ork, self.tasks.spawn(task()));
        }
    }
}

async fn tell(
    orks: Arc<Orks>,
    ork: PeerId,
    mut news: watch::Receiver<Arc<Announce>>,
    heard: impl Fn(&Announce, Announced),
) {
    let mut rests = Backoff::new(FIRST_REST, LONGEST_REST);
    loop {
        let announcement = news.borrow_and_update().clone();
        let context = Context::within(ANSWER);
        let answer = orks.mesh.call(ork, &context, Announce::clone(&announcement)).await;
        orks.note(ork, answer.is_ok(), Instant::now());
        match answer {
            Ok(answer) => {
                rests.reset();
                heard(&announcement, answer);
            }
            Err(error) => {
                tracing::debug!(orchestrator = %ork.short(), %error, "it did not hear this node");
                tokio::time::sleep(rests.wait()).await;
            }
        }
        if news.changed().await.is_err() {
            return;
        }
    }
}
