//! The mesh under test, a host for each process; and what can be done to it.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::Value;

use crate::schedule::{Fault, Who};
use crate::support::{Api, Lan, PATIENCE, Process, eventually, mesh};

pub const GATEWAYS: usize = 2;
/// Hosts: the orchestrator's, the gateways', then the members'.
const ORK: usize = 0;
const FIRST_GATEWAY: usize = 1;
const FIRST_MEMBER: usize = FIRST_GATEWAY + GATEWAYS;
/// How long the leader may take to be known before any member is taken for it.
const LEADER_WITHIN: Duration = Duration::from_secs(3);

pub struct Network<'a> {
    lan: &'a Lan,
    dir: &'a Path,
    ork: Option<Process>,
    gateways: Vec<Process>,
    members: Vec<Option<Process>>,
    peers: Vec<String>,
}

/// How many hosts a network of this many members takes.
pub const fn hosts(members: usize) -> usize {
    FIRST_MEMBER + members
}

impl<'a> Network<'a> {
    /// Starts everything, and waits until all members vote.
    pub async fn start(lan: &'a Lan, dir: &'a Path, members: usize) -> Self {
        let (gateways, peers) = (Vec::new(), Vec::new());
        let members = (0..members).map(|_| None).collect();
        let mut network = Self { lan, dir, ork: None, gateways, members, peers };
        network.start_ork();
        for at in 0..network.members.len() {
            network.start_member(at);
        }
        for at in 0..GATEWAYS {
            let gateway = network.spawn(&format!("gateway-{at}"), FIRST_GATEWAY + at, &["gateway"]);
            network.gateways.push(gateway);
        }
        network.all_up().await;
        let peer = |member: &Option<Process>| member.as_ref().unwrap().ready["peer"].clone();
        network.peers = network.members.iter().map(peer).collect();
        network.well().await;
        network
    }

    fn spawn(&self, name: &str, host: usize, args: &[&str]) -> Process {
        let (address, front) = (self.lan.address(host), self.lan.front_address(host));
        let data = format!("{name}-data");
        let known: Vec<_> = (0..hosts(self.members.len()))
            .filter(|other| *other != host)
            .map(|other| format!("{}:4001", self.lan.address(other)))
            .collect();
        let (known, replicas) = (known.join(","), self.members.len().to_string());
        let mut env = vec![
            ("HOST", front.as_str()),
            ("PORT", "3000"),
            ("P2P_HOST", address.as_str()),
            ("P2P_PORT", "4001"),
            ("MESH_KEY", mesh::MESH_KEY),
            ("MDNS", "off"),
            ("BOOTSTRAP", known.as_str()),
        ];
        if host == ORK {
            env.push(("DATA_DIR", data.as_str()));
        }
        if host >= FIRST_MEMBER {
            env.extend([("DATA_DIR", data.as_str()), ("RACK_ID", mesh::RACK)]);
            env.push(("RACK_REPLICAS", replicas.as_str()));
        }
        Process::spawn_under(&self.lan.on(host), name, self.dir, args, &env)
    }

    fn start_ork(&mut self) {
        self.ork = Some(self.spawn("ork", ORK, &["ork"]));
    }

    fn start_member(&mut self, at: usize) {
        let member = self.spawn(&format!("worker-{at}"), FIRST_MEMBER + at, &["worker"]);
        self.members[at] = Some(member);
    }

    /// A client's way in.
    pub fn api(&self, gateway: usize) -> Api {
        Api::new(format!("http://{}:3000", self.lan.front_address(FIRST_GATEWAY + gateway)))
    }

    /// Waits until every process has said that it is up.
    async fn all_up(&mut self) {
        let members = self.members.iter_mut().flatten();
        for process in members.chain(&mut self.ork).chain(&mut self.gateways) {
            let until = Instant::now() + PATIENCE;
            while !process.is_ready() {
                assert!(Instant::now() < until, "it is not up\n{}", process.log());
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }

    /// Waits until all members are there and have the same history, by what each gateway hears.
    pub async fn well(&mut self) {
        self.all_up().await;
        for gateway in 0..GATEWAYS {
            eventually("all members vote and agree", || async {
                let rack = self.rack(gateway).await?;
                self.agree(&rack).then_some(())
            })
            .await;
        }
    }

    /// The rack as a gateway shows it.
    async fn rack(&self, gateway: usize) -> Option<Value> {
        let (api, path) = (self.api(gateway), format!("/racks/{}", mesh::RACK));
        let answer = api.try_send(Method::GET, &path, None).await.ok()?;
        Some(answer.body["data"].clone())
    }

    fn agree(&self, rack: &Value) -> bool {
        let Some(members) = rack["members"].as_array() else { return false };
        let voters = members.iter().filter(|member| {
            let peer = member["peer_id"].as_str().unwrap_or_default();
            let ours = self.peers.is_empty() || self.peers.iter().any(|own| own == peer);
            member["role"] == "voter" && member["state"] != "unreachable" && ours
        });
        let heads: BTreeSet<_> = members
            .iter()
            .map(|member| (member["head_hash"].to_string(), member["applied_index"].to_string()))
            .collect();
        voters.count() == self.members.len()
            && members.len() == self.members.len()
            && heads.len() == 1
            && rack["leader"].is_string()
    }

    /// A member by its role or number.
    async fn find(&self, who: Who) -> usize {
        let leader = async {
            loop {
                for gateway in 0..GATEWAYS {
                    let rack = self.rack(gateway).await.unwrap_or_default();
                    let leader = rack["leader"].as_str();
                    let at = self.peers.iter().position(|peer| Some(peer.as_str()) == leader);
                    if let Some(at) = at {
                        return at;
                    }
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let at = match who {
            Who::Member(at) => Ok(at),
            Who::Leader => tokio::time::timeout(LEADER_WITHIN, leader).await,
        };
        println!(": worker-{at:?}");
        at.unwrap_or(0)
    }

    /// Lets a fault happen, last and pass.
    pub async fn suffer(&mut self, fault: Fault, lasts: Duration) {
        match fault {
            Fault::Kill(who) => {
                let at = self.find(who).await;
                self.members[at].take().unwrap().kill();
                tokio::time::sleep(lasts).await;
                self.start_member(at);
            }
            Fault::Pause(who) => {
                let at = self.find(who).await;
                self.members[at].as_ref().unwrap().signal("STOP");
                tokio::time::sleep(lasts).await;
                self.members[at].as_ref().unwrap().signal("CONT");
            }
            Fault::Stop(who) => {
                let at = self.find(who).await;
                let member = self.members[at].take().unwrap();
                let ended = tokio::task::spawn_blocking(move || member.terminate()).await.unwrap();
                assert!(ended.success(), "a member that was stopped ended with {ended}");
                tokio::time::sleep(lasts).await;
                self.start_member(at);
            }
            Fault::CutOff(who) => self.cut_off(who, None, lasts).await,
            Fault::CutOffWith(who, gateway) => self.cut_off(who, Some(gateway), lasts).await,
            Fault::KillAll => {
                // First all are stopped, so that none can tell another of it.
                for member in self.members.iter().flatten() {
                    member.signal("STOP");
                }
                for at in 0..self.members.len() {
                    self.members[at].take().unwrap().kill();
                    self.start_member(at);
                }
            }
            Fault::KillOrk => {
                self.ork.take().unwrap().kill();
                tokio::time::sleep(lasts).await;
                self.start_ork();
            }
        }
    }

    async fn cut_off(&mut self, who: Who, gateway: Option<usize>, lasts: Duration) {
        let mut island = vec![FIRST_MEMBER + self.find(who).await];
        island.extend(gateway.map(|gateway| FIRST_GATEWAY + gateway));
        self.lan.cut_off(&island);
        tokio::time::sleep(lasts).await;
        self.lan.heal();
    }
}
