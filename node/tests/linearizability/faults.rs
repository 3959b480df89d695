//! What the schedule says, done to a mesh.

use std::time::Duration;

use crate::schedule::{Fault, Who};
use crate::support::lan_mesh::{GATEWAYS, LanMesh};

/// How long the leader may take to be known before any member is taken for it.
const LEADER_WITHIN: Duration = Duration::from_secs(3);

/// Lets a fault happen, last and pass.
pub async fn suffer(mesh: &mut LanMesh<'_>, fault: Fault, lasts: Duration) {
    match fault {
        Fault::Kill(who) => {
            let at = find(mesh, who).await;
            mesh.members[at].take().unwrap().kill();
            tokio::time::sleep(lasts).await;
            mesh.start_member(at);
        }
        Fault::Pause(who) => {
            let at = find(mesh, who).await;
            mesh.members[at].as_ref().unwrap().signal("STOP");
            tokio::time::sleep(lasts).await;
            mesh.members[at].as_ref().unwrap().signal("CONT");
        }
        Fault::Stop(who) => {
            let at = find(mesh, who).await;
            let member = mesh.members[at].take().unwrap();
            let ended = tokio::task::spawn_blocking(move || member.terminate()).await.unwrap();
            assert!(ended.success(), "a member that was stopped ended with {ended}");
            tokio::time::sleep(lasts).await;
            mesh.start_member(at);
        }
        Fault::CutOff(who) => cut_off(mesh, who, None, lasts).await,
        Fault::CutOffWith(who, gateway) => cut_off(mesh, who, Some(gateway), lasts).await,
        Fault::KillAll => {
            // First all are paused, so that none sees another go.
            for member in mesh.members.iter().flatten() {
                member.signal("STOP");
            }
            for member in &mut mesh.members {
                member.take().unwrap().kill();
            }
            for at in 0..mesh.members.len() {
                mesh.start_member(at);
            }
        }
        Fault::KillOrk => {
            mesh.ork.take().unwrap().kill();
            tokio::time::sleep(lasts).await;
            mesh.start_ork();
        }
    }
}

async fn cut_off(mesh: &LanMesh<'_>, who: Who, gateway: Option<usize>, lasts: Duration) {
    let member = find(mesh, who).await;
    mesh.cut_off(member, gateway);
    tokio::time::sleep(lasts).await;
    mesh.heal();
}

/// A member by its role or number.
async fn find(mesh: &LanMesh<'_>, who: Who) -> usize {
    let leader = async {
        loop {
            for gateway in 0..GATEWAYS {
                if let Some(at) = mesh.leader(gateway).await {
                    return at;
                }
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    match who {
        Who::Member(at) => at,
        Who::Leader => tokio::time::timeout(LEADER_WITHIN, leader).await.unwrap_or(0),
    }
}
