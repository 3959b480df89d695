//! `bookmesh rack start`: some workers of one rack on this machine, each a process of its own.
//!
//! | file | idea |
//! |---|---|
//! | `recipe` | what each worker is started with |
//! | `child` | one process: its output, its ready line, how it is asked to stop |
//! | `keeper` | one worker that is started again when it ends by itself |
//!
//! A worker is tied to its standard input, a pipe that this process holds open: closing it asks
//! the worker to stop, in order, and the kernel closes it when this process is killed. So all are
//! asked at the same moment, and none outlives what started it.

mod child;
mod keeper;
mod recipe;

use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use self::child::Ready;
use self::keeper::{Ended, Keeper, Phase, State};
use self::recipe::Recipe;
use crate::cli::RackStartArgs;
use crate::config::Settings;
use crate::roles::base::StartError;
use crate::signals::Requests;

/// How long workers may take to stop, all together: one that leaves its rack takes 20 s at most,
/// and drains its own HTTP for 10 s.
const STOP_WITHIN: Duration = Duration::from_secs(35);
/// What the process exits with when all workers say that they were typed wrongly.
const WRONG_USAGE: u8 = 2;

/// Runs the workers until this process is told to stop, or none of them can run. A second signal
/// kills them.
///
/// # Errors
/// [`StartError`] when not even the first worker can be described or signals can't be heard.
pub async fn run(settings: &Settings, args: &RackStartArgs) -> Result<ExitCode, StartError> {
    let io = |what: &str| {
        let what = what.to_owned();
        move |source| StartError::Io { what, source }
    };
    let recipe = Recipe::new(args).map_err(io("this program's own file"))?;
    let mut requests = Requests::listen().map_err(io("signal handlers"))?;
    let (crew, mut keepers) = Crew::start(&recipe, args.workers);
    let (mut ended, mut announced, mut deadline) = (Vec::new(), false, None);
    loop {
        tokio::select! {
            () = crew.started(), if !announced => {
                crew.announce(settings, args);
                announced = true;
            }
            () = requests.next() => {
                tracing::info!(rack = %args.rack, "stopping");
                deadline = crew.next_phase().then(|| Instant::now() + STOP_WITHIN);
            }
            () = passed(deadline) => {
                tracing::warn!("workers take too long to stop: killing them");
                crew.kill();
                deadline = None;
            }
            keeper = keepers.join_next() => match keeper {
                Some(how) => ended.push(how.unwrap_or(Ended::Badly)),
                None => return Ok(exit_code(&ended)),
            }
        }
    }
}

fn exit_code(ended: &[Ended]) -> ExitCode {
    let all = |wanted| ended.iter().all(|how| *how == wanted);
    if all(Ended::Well) {
        ExitCode::SUCCESS
    } else if all(Ended::WrongUsage) {
        ExitCode::from(WRONG_USAGE)
    } else {
        ExitCode::FAILURE
    }
}

async fn passed(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// The workers of one rack.
struct Crew {
    began: Instant,
    phase: watch::Sender<Phase>,
    states: Vec<watch::Receiver<State>>,
}

impl Crew {
    /// Starts the workers; each has a task that keeps it.
    fn start(recipe: &Recipe, workers: u8) -> (Self, JoinSet<Ended>) {
        let (phase, told) = watch::channel(Phase::Running);
        let (mut states, mut keepers) = (Vec::new(), JoinSet::new());
        for number in 1..=workers {
            let (state, shown) = watch::channel(State::Starting);
            let name = format!("worker-{number}");
            states.push(shown);
            keepers.spawn(Keeper::new(name, recipe.clone(), told.clone(), state).run());
        }
        (Self { began: Instant::now(), phase, states }, keepers)
    }

    /// Returns once every worker is ready, or runs no more.
    async fn started(&self) {
        let done = |state: &State| !matches!(state, State::Starting);
        // One that was ready may be starting again while the others are waited for.
        while !self.states.iter().all(|state| done(&state.borrow())) {
            for state in &self.states {
                // A keeper that has ended has nothing more to say.
                let _ = state.clone().wait_for(done).await;
            }
        }
    }

    /// Asks the workers to stop, or, when they were asked before, kills them; true the first time.
    fn next_phase(&self) -> bool {
        let first = *self.phase.borrow() == Phase::Running;
        self.phase.send_replace(if first { Phase::Stopping } else { Phase::Killing });
        first
    }

    fn kill(&self) {
        self.phase.send_replace(Phase::Killing);
    }

    /// Says where the workers are: to a person on a terminal, else in one line for whatever
    /// started this process.
    fn announce(&self, settings: &Settings, args: &RackStartArgs) {
        let states = (1_u8..).zip(&self.states);
        let ready = states.filter_map(|(number, state)| match &*state.borrow() {
            State::Ready(ready) => Some((number, ready.clone())),
            State::Starting | State::Ended => None,
        });
        let ready: Vec<_> = ready.collect();
        if ready.is_empty() {
            return;
        }
        if std::io::stdout().is_terminal() {
            println!("{}", self.banner(settings, args, &ready));
        } else {
            println!("{}", line(args, &ready));
        }
    }

    fn banner(&self, settings: &Settings, args: &RackStartArgs, ready: &[(u8, Ready)]) -> String {
        let (count, rack, took) = (ready.len(), &args.rack, self.began.elapsed());
        let noun = if count == 1 { "worker is" } else { "workers are" };
        let workers: String = ready
            .iter()
            .map(|(number, ready)| {
                let Ready { http, peer, pid, .. } = ready;
                let peer = peer.get(..8).unwrap_or(peer);
                format!("  worker-{number}  {http}  node {peer}  process {pid}\n")
            })
            .collect();
        let data = settings.data_dir.display();
        format!(
            "\n  {rack}: {count} {noun} ready in {took:.1?}\n\n{workers}\n  data      {data}\n  \
             Ctrl-C stops them together; started again they have everything they had.\n"
        )
    }
}

/// `ready key=value …`, with commas between the workers, in their order; a worker has several mesh
/// addresses, and any of them will do as `--bootstrap`.
fn line(args: &RackStartArgs, ready: &[(u8, Ready)]) -> String {
    let all = |of: fn(&Ready) -> String| {
        ready.iter().map(|(_, ready)| of(ready)).collect::<Vec<_>>().join(",")
    };
    format!(
        "ready role=rack rack={} workers={} http={} p2p={} peer={} pid={}",
        args.rack,
        ready.len(),
        all(|ready| ready.http.clone()),
        all(|ready| ready.p2p.clone()),
        all(|ready| ready.peer.clone()),
        all(|ready| ready.pid.to_string()),
    )
}
