//! One worker that is kept: started again when it ends by itself, asked to stop when all are.

use std::io;
use std::process::ExitStatus;
use std::time::Duration;

use reqwest::Client;
use tokio::sync::watch;
use tokio::time::Instant;

use super::child::{Child, Ready};
use super::recipe::Recipe;

/// The pause before a worker that ended by itself is started again, doubled each time.
const PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// A worker that ran for this long has started well: what ended it is something new.
const RAN_WELL: Duration = Duration::from_secs(60);
/// So many starts in a row that did not go well, and it is given up: about three minutes.
const MOST_STARTS: u32 = 10;
/// How often a worker that listens is asked whether it is ready, and how long it may take to say.
const ASK_EVERY: Duration = Duration::from_millis(100);
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// What a role exits with when it was typed or configured wrongly.
const WRONG_USAGE: i32 = 2;

/// What all workers are to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    /// Run.
    Running,
    /// Stop in order.
    Stopping,
    /// End at once.
    Killing,
}

/// Where a worker is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// On its way.
    Starting,
    /// Ready to serve when it was looked at.
    Ready(Ready),
    /// It does not run and won't again.
    Ended,
}

/// How the keeping of a worker ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// It was told to stop, and did.
    Well,
    /// It says that it was typed or configured wrongly.
    WrongUsage,
    /// It was killed, or given up.
    Badly,
}

/// Keeps one worker.
pub(super) struct Keeper {
    name: String,
    recipe: Recipe,
    phase: watch::Receiver<Phase>,
    state: watch::Sender<State>,
    /// Starts in a row that did not go well.
    starts: u32,
}

impl Keeper {
    pub(super) const fn new(
        name: String,
        recipe: Recipe,
        phase: watch::Receiver<Phase>,
        state: watch::Sender<State>,
    ) -> Self {
        Self { name, recipe, phase, state, starts: 0 }
    }

    /// Runs the worker until it is told to stop, or is given up.
    pub(super) async fn run(mut self) -> Ended {
        let ended = self.keep().await;
        self.state.send_replace(State::Ended);
        ended
    }

    async fn keep(&mut self) -> Ended {
        loop {
            let began = Instant::now();
            self.starts += 1;
            self.state.send_replace(State::Starting);
            let how = match Child::start(&self.name, self.recipe.command()) {
                Ok(child) => match self.watch_over(child).await {
                    Run::Told(ended) => return ended,
                    Run::ByItself(status) => status,
                },
                Err(error) => Err(error),
            };
            if began.elapsed() >= RAN_WELL {
                self.starts = 1;
            }
            let (worker, starts) = (&self.name, self.starts);
            if how.as_ref().is_ok_and(|status| status.code() == Some(WRONG_USAGE)) {
                tracing::error!(%worker, "it is started wrongly, which no new start mends");
                return Ended::WrongUsage;
            }
            let how = how.map_or_else(|error| error.to_string(), |status| status.to_string());
            if starts >= MOST_STARTS {
                tracing::error!(%worker, how, starts, "ended by itself again; it is given up");
                return Ended::Badly;
            }
            let pause = pause(starts);
            tracing::warn!(%worker, how, ?pause, "ended by itself; it is started again");
            if self.told_within(pause).await {
                return Ended::Well;
            }
        }
    }

    /// Runs one process to its end.
    async fn watch_over(&mut self, mut child: Child) -> Run {
        let ready = child.ready();
        let by_itself = tokio::select! {
            status = child.ended() => Some(status),
            () = reached(&mut self.phase, Phase::Stopping) => None,
            () = tell_when_ready(ready, &self.state) => None,
        };
        let run = match by_itself {
            Some(status) => Run::ByItself(status),
            None => {
                child.ask_to_stop();
                let stopped = tokio::select! {
                    status = child.ended() => status.is_ok_and(|status| status.success()),
                    () = reached(&mut self.phase, Phase::Killing) => {
                        child.kill();
                        // It is gone, or the kernel holds it; nothing more can be done.
                        let _ = child.ended().await;
                        false
                    }
                };
                Run::Told(if stopped { Ended::Well } else { Ended::Badly })
            }
        };
        child.drain().await;
        run
    }

    /// Waits, unless it is told to stop meanwhile.
    async fn told_within(&mut self, pause: Duration) -> bool {
        tokio::time::timeout(pause, reached(&mut self.phase, Phase::Stopping)).await.is_ok()
    }
}

/// How one process ended.
enum Run {
    Told(Ended),
    ByItself(io::Result<ExitStatus>),
}

/// Half a second, a second, two, … before the next start.
fn pause(starts: u32) -> Duration {
    let doublings = starts.saturating_sub(1).min(16);
    (PAUSE * 2_u32.pow(doublings)).min(LONGEST_PAUSE)
}

/// Waits until all workers are told this, or nobody is left to tell them anything.
async fn reached(phase: &mut watch::Receiver<Phase>, wanted: Phase) {
    let _ = phase.wait_for(|phase| *phase >= wanted).await;
}

/// Notes when the worker serves; never returns.
async fn tell_when_ready(mut said: watch::Receiver<Option<Ready>>, state: &watch::Sender<State>) {
    if let Ok(ready) = said.wait_for(Option::is_some).await.map(|ready| ready.clone())
        && let Some(ready) = ready
    {
        let url = format!("{}/ready", ready.http);
        while !is_ready(&url).await {
            tokio::time::sleep(ASK_EVERY).await;
        }
        state.send_replace(State::Ready(ready));
    }
    std::future::pending().await
}

async fn is_ready(url: &str) -> bool {
    let Ok(client) = Client::builder().timeout(ANSWER_WITHIN).no_proxy().build() else {
        return false;
    };
    client.get(url).send().await.is_ok_and(|answer| answer.status().is_success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_and_are_bounded() {
        let pauses: Vec<_> = (1..=9).map(|starts| pause(starts).as_millis()).collect();
        assert_eq!(pauses, [500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000]);
        assert_eq!(pause(u32::MAX), LONGEST_PAUSE);
    }
}
