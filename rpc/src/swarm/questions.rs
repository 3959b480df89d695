//! Questions to the DHT that are under way.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use libp2p::PeerId as Libp2pId;
use libp2p::kad::QueryId;
use tokio::sync::oneshot;

use crate::peer::PeerId;

/// Questions at a time; one more is answered with nothing.
const QUESTIONS: usize = 1024;
/// How long more providers are waited for once there is one.
const AFTER_FIRST: Duration = Duration::from_millis(300);
/// Providers of one key.
const PROVIDERS: usize = 64;

/// What a question is for.
#[derive(Debug)]
pub(crate) enum Question {
    /// Where does this peer listen?
    Where(Libp2pId),
    /// Who provides a key?
    Who { found: Vec<PeerId>, tell: oneshot::Sender<Vec<PeerId>>, until: Instant },
    /// No question: this node provides the key.
    Told(String),
}

/// All questions, by the DHT's own name for them.
#[derive(Debug, Default)]
pub(crate) struct Questions {
    open: HashMap<QueryId, Question>,
}

impl Questions {
    /// Whether one more may be asked.
    pub(crate) fn has_room(&self) -> bool {
        self.open.len() < QUESTIONS
    }

    pub(crate) fn ask(&mut self, query: QueryId, question: Question) {
        self.open.insert(query, question);
    }

    /// The question that has its last answer.
    pub(crate) fn finish(&mut self, query: QueryId) -> Option<Question> {
        self.open.remove(&query)
    }

    /// Some providers were found.
    pub(crate) fn found(
        &mut self,
        query: QueryId,
        peers: impl IntoIterator<Item = PeerId>,
        now: Instant,
    ) {
        if let Some(Question::Who { found, until, .. }) = self.open.get_mut(&query) {
            for peer in peers {
                if found.len() < PROVIDERS && !found.contains(&peer) {
                    found.push(peer);
                }
            }
            if !found.is_empty() {
                *until = (*until).min(now + AFTER_FIRST);
            }
        }
    }

    /// Answers what has waited long enough with what was found; those queries can end.
    pub(crate) fn answer_due(&mut self, now: Instant) -> Vec<QueryId> {
        let due =
            |question: &Question| matches!(question, Question::Who { until, .. } if *until <= now);
        let due: Vec<_> =
            self.open.iter().filter(|(_, question)| due(question)).map(|(id, _)| *id).collect();
        for query in &due {
            if let Some(question) = self.open.remove(query) {
                question.answer();
            }
        }
        due
    }
}

impl Question {
    /// Hands over the providers that were found.
    pub(crate) fn answer(self) {
        if let Self::Who { found, tell, .. } = self {
            let _ = tell.send(found);
        }
    }
}
