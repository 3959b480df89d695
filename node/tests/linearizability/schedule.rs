//! What goes wrong and when, drawn from a seed. The same seed draws the same faults; how they meet
//! the clients' calls differs from run to run.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};

/// A member: by its role at that moment, or by its number.
#[derive(Clone, Copy, Debug)]
pub enum Who {
    Leader,
    Member(usize),
}

#[derive(Clone, Copy, Debug)]
pub enum Fault {
    /// `kill -9`, and a start after a while.
    Kill(Who),
    /// SIGSTOP, and SIGCONT after a while.
    Pause(Who),
    /// SIGTERM, and a start once it has ended.
    Stop(Who),
    /// Its packets are lost for a while.
    CutOff(Who),
    /// As [`Fault::CutOff`], but together with this gateway, which reaches nobody else.
    CutOffWith(Who, usize),
    /// `kill -9` of all members at once, and a start at once.
    KillAll,
    /// `kill -9` of the orchestrator, and a start after a while.
    KillOrk,
}

impl Fault {
    /// For counting.
    pub fn name(self) -> &'static str {
        match self {
            Self::Kill(Who::Leader) => "leader killed",
            Self::Kill(_) => "member killed",
            Self::Pause(Who::Leader) => "leader paused",
            Self::Pause(_) => "member paused",
            Self::Stop(Who::Leader) => "leader stopped",
            Self::Stop(_) => "member stopped",
            Self::CutOff(Who::Leader) => "leader cut off",
            Self::CutOff(_) => "member cut off",
            Self::CutOffWith(Who::Leader, _) => "leader cut off with a gateway",
            Self::CutOffWith(..) => "member cut off with a gateway",
            Self::KillAll => "all killed",
            Self::KillOrk => "orchestrator killed",
        }
    }
}

/// One fault, how long it lasts, and the calm before it.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    pub fault: Fault,
    pub lasts: Duration,
    pub calm: Duration,
    /// Whether the calm lasts until all members are well. The others meet what is left of the
    /// fault before.
    pub well: bool,
}

/// An endless row of steps. All kinds come before any comes again, so that short runs see much.
pub struct Schedule {
    random: StdRng,
    members: usize,
    gateways: usize,
    deck: Vec<Fault>,
}

impl Schedule {
    pub fn new(seed: u64, members: usize, gateways: usize) -> Self {
        Self { random: StdRng::seed_from_u64(seed), members, gateways, deck: Vec::new() }
    }

    fn shuffle(&mut self) {
        let member = Who::Member(self.random.random_range(0..self.members));
        let gateway = self.random.random_range(0..self.gateways);
        self.deck = vec![Fault::KillAll, Fault::KillOrk, Fault::CutOffWith(Who::Leader, gateway)];
        for who in [Who::Leader, member] {
            self.deck.extend([
                Fault::Kill(who),
                Fault::Pause(who),
                Fault::Stop(who),
                Fault::CutOff(who),
                Fault::CutOffWith(who, self.random.random_range(0..self.gateways)),
            ]);
        }
        self.deck.shuffle(&mut self.random);
    }

    fn millis(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_millis(self.random.random_range(from..to))
    }
}

impl Iterator for Schedule {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        if self.deck.is_empty() {
            self.shuffle();
        }
        let fault = self.deck.pop()?;
        let lasts = match fault {
            Fault::Kill(_) | Fault::Stop(_) | Fault::KillOrk => self.millis(0, 2_000),
            // Around the time that a new leader takes, so that the old one is back while calls
            // that were meant for it are still under way.
            Fault::Pause(_) => self.millis(1_000, 3_000),
            Fault::CutOff(_) | Fault::CutOffWith(..) => self.millis(1_500, 4_000),
            Fault::KillAll => Duration::ZERO,
        };
        let (calm, well) = (self.millis(200, 1_500), self.random.random_bool(0.5));
        Some(Step { fault, lasts, calm, well })
    }
}
