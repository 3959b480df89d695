//! A mesh on a network of its own: an orchestrator, two gateways and workers, a host for each.

use std::path::Path;
use std::time::{Duration, Instant};

use super::rack::{Standing, agreement};
use super::{Api, Lan, PATIENCE, Process, mesh};

pub const GATEWAYS: usize = 2;
/// Hosts: the orchestrator's, the gateways', then the members'.
const ORK: usize = 0;
const FIRST_GATEWAY: usize = 1;
const FIRST_MEMBER: usize = FIRST_GATEWAY + GATEWAYS;

pub struct LanMesh<'a> {
    lan: &'a Lan,
    dir: &'a Path,
    pub ork: Option<Process>,
    gateways: Vec<Process>,
    pub members: Vec<Option<Process>>,
    peers: Vec<String>,
}

/// How many hosts a mesh of this many members takes.
pub const fn hosts(members: usize) -> usize {
    FIRST_MEMBER + members
}

impl<'a> LanMesh<'a> {
    /// Starts everything, and waits until all members vote.
    pub async fn start(lan: &'a Lan, dir: &'a Path, members: usize) -> Self {
        let (gateways, peers) = (Vec::new(), Vec::new());
        let members = (0..members).map(|_| None).collect();
        let mut mesh = Self { lan, dir, ork: None, gateways, members, peers };
        mesh.start_ork();
        for at in 0..mesh.members.len() {
            mesh.start_member(at);
        }
        for at in 0..GATEWAYS {
            let gateway = mesh.spawn(&format!("gateway-{at}"), FIRST_GATEWAY + at, &["gateway"]);
            mesh.gateways.push(gateway);
        }
        mesh.all_up().await;
        let peer = |member: &Option<Process>| member.as_ref().unwrap().ready["peer"].clone();
        mesh.peers = mesh.members.iter().map(peer).collect();
        mesh.well().await;
        mesh
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

    pub fn start_ork(&mut self) {
        self.ork = Some(self.spawn("ork", ORK, &["ork"]));
    }

    pub fn start_member(&mut self, at: usize) {
        let member = self.spawn(&format!("worker-{at}"), FIRST_MEMBER + at, &["worker"]);
        self.members[at] = Some(member);
    }

    /// Where a gateway takes requests.
    pub fn url(&self, gateway: usize) -> String {
        format!("http://{}:3000", self.lan.front_address(FIRST_GATEWAY + gateway))
    }

    pub fn api(&self, gateway: usize) -> Api {
        Api::new(self.url(gateway))
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
            agreement(&self.api(gateway), mesh::RACK, self.members.len()).await;
        }
    }

    /// The number of the member that leads, as far as a gateway can say.
    pub async fn leader(&self, gateway: usize) -> Option<usize> {
        let leader = Standing::of(&self.api(gateway), mesh::RACK).await.leader()?;
        self.peers.iter().position(|peer| *peer == leader)
    }

    /// Puts a member on an island, alone or with a gateway; everyone else reaches each other.
    pub fn cut_off(&self, member: usize, gateway: Option<usize>) {
        let mut island = vec![FIRST_MEMBER + member];
        island.extend(gateway.map(|gateway| FIRST_GATEWAY + gateway));
        self.lan.cut_off(&island);
    }

    /// One network again.
    pub fn heal(&self) {
        self.lan.heal();
    }
}
