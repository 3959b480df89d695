//! What can be saved of a rack whose majority is gone, and what may be lost by it.

use bookmesh_rpc::api::{MemberId, MemberRole, MemberState, MemberStatus, RackRoute};
use bookmesh_rpc::peer::PeerId;
use serde::Serialize;
use utoipa::ToSchema;

use crate::openapi::forms;
use crate::racks::{Statuses, recoveries};
use crate::thing_json::Text;

/// All that is known of a rack's members.
#[derive(Debug)]
pub(crate) struct Plan<'a> {
    pub(crate) leader: Option<PeerId>,
    pub(crate) members: Vec<Known<'a>>,
}

/// A member: of the membership, or one that says it is.
#[derive(Debug)]
pub(crate) struct Known<'a> {
    /// `None` when nobody could be asked for its number.
    pub(crate) number: Option<MemberId>,
    pub(crate) peer: PeerId,
    role: Option<MemberRole>,
    /// What it said, when it can be reached.
    pub(crate) status: Option<&'a MemberStatus>,
}

impl Known<'_> {
    /// How much its log knows: of two logs the one that ends in the higher term has all that was
    /// acknowledged up to there, and only in the same term the longer one knows more.
    fn rank(&self) -> Option<(u64, u64)> {
        self.status.map(|status| (status.last_term, status.last_index))
    }

    fn is_voter(&self) -> bool {
        self.role == Some(MemberRole::Voter)
    }

    /// Whether its log can be gone on with.
    fn is_fit(&self) -> bool {
        let unfit = [MemberState::Failed, MemberState::Joining];
        self.status.is_some_and(|status| !unfit.contains(&status.state))
    }
}

impl<'a> Plan<'a> {
    /// From what members said; `leader` is the one that proved just now that it leads.
    pub(crate) fn of(route: &RackRoute, statuses: &'a Statuses, leader: Option<PeerId>) -> Self {
        let said = statuses.iter().filter_map(|(peer, status)| Some((*peer, status.as_ref()?)));
        let said: Vec<_> = said.collect();
        let speaker = said.iter().max_by_key(|(_, it)| (it.last_term, it.last_index));
        let Some((_, speaker)) = speaker else { return Self { leader, members: silent(route) } };

        let seats = speaker.members.iter().map(|seat| {
            let own = said.iter().find(|(peer, it)| (*peer, it.member) == (seat.peer, seat.member));
            let status = own.map(|(_, status)| *status);
            Known { number: Some(seat.member), peer: seat.peer, role: Some(seat.role), status }
        });
        let mut members: Vec<_> = seats.collect();
        for (peer, status) in said {
            if !members.iter().any(|known| known.number == Some(status.member)) {
                let number = Some(status.member);
                members.push(Known { number, peer, role: None, status: Some(status) });
            }
        }
        members.sort_by_key(|known| known.number);
        Self { leader, members }
    }

    pub(crate) fn member(&self, number: MemberId) -> Option<&Known<'a>> {
        self.members.iter().find(|known| known.number == Some(number))
    }

    /// The reachable member that knows most; among equals a voter, then the lowest number.
    fn choice(&self) -> Option<&Known<'a>> {
        let fit = self.members.iter().rev().filter(|known| known.is_fit());
        fit.max_by_key(|known| (known.rank(), known.is_voter()))
    }

    fn voters(&self) -> impl Iterator<Item = &Known<'a>> {
        self.members.iter().filter(|known| known.is_voter())
    }

    /// Why a recovery is refused.
    pub(crate) fn needless(&self) -> Option<String> {
        if self.leader.is_some() {
            return Some("it has a leader: there is nothing to recover".to_owned());
        }
        let voters = self.voters().count();
        let fit = self.voters().filter(|known| known.is_fit()).count();
        (fit > voters / 2).then(|| {
            format!("{fit} of its {voters} voters answer: they elect a leader by themselves")
        })
    }

    /// Why this member is not the one to go on with, when another would lose less.
    pub(crate) fn behind(&self, chosen: &Known<'_>) -> Option<String> {
        let mut fit = self.members.iter().filter(|known| known.is_fit());
        let ahead = fit.find(|known| known.rank() > chosen.rank())?;
        let number = ahead.number?;
        Some(format!("member {number} can be reached too and knows more: choose that one"))
    }

    /// What goes with making `chosen` the only member, in sentences.
    fn losses(&self, chosen: &Known<'_>) -> Vec<String> {
        let (Some(number), Some(status)) = (chosen.number, chosen.status) else {
            return Vec::new();
        };
        let others = self.voters().filter(|known| known.number != chosen.number);
        let given_up: Vec<_> = others.collect();
        let up_to = status.last_index;
        let mut losses = Vec::new();
        if !given_up.is_empty() {
            losses.push(format!(
                "{} given up; what was acknowledged and only they had is lost: member {number} \
                 has the log up to entry {up_to}",
                are(&given_up)
            ));
        }
        losses.push(format!(
            "members that come back are refused, and filled again from member {number}"
        ));
        losses
    }

    /// As it is shown; `wanted` is the member that the operator would choose.
    pub(crate) fn json(&self, route: &RackRoute, wanted: Option<MemberId>) -> PlanJson {
        let needless = self.needless();
        let choice = match wanted {
            Some(number) => self.member(number).filter(|known| known.status.is_some()),
            None => self.choice(),
        };
        let behind = choice.and_then(|known| self.behind(known));
        let choice = choice.filter(|_| needless.is_none() && behind.is_none());
        let nobody = || match wanted {
            Some(number) => format!("member {number} can't be reached, or there is none"),
            None => "no member that holds its log can be reached".to_owned(),
        };
        let chosen = choice.and_then(|known| Some((known.number?, known.status?.last_index)));
        PlanJson {
            id: route.id.to_string(),
            number: route.number,
            kind: route.kind.name(),
            leader: self.leader.map(Text),
            voters: self.voters().count(),
            voters_reachable: self.voters().filter(|known| known.is_fit()).count(),
            possible: chosen.is_some(),
            reason: needless.or(behind).or_else(|| chosen.is_none().then(nobody)),
            choice: chosen.map(|(member, last_index)| ChoiceJson { member, last_index }),
            losses: choice.map_or_else(Vec::new, |known| self.losses(known)),
            members: self.members.iter().map(MemberJson::of).collect(),
        }
    }
}

/// Forgets what members say that an earlier recovery gave up: they know nothing that counts.
pub(crate) fn forget_given_up(statuses: &mut Statuses) {
    let newest = statuses.iter().filter_map(|(_, status)| recoveries(status.as_ref()?)).max();
    statuses.retain(|(_, status)| {
        let own = status.as_ref().and_then(recoveries);
        own.is_none_or(|own| Some(own) == newest)
    });
}

/// Nobody answers: who was heard of once is all that there is to show.
fn silent<'a>(route: &RackRoute) -> Vec<Known<'a>> {
    let known = |peer: &PeerId| Known { number: None, peer: *peer, role: None, status: None };
    route.members.iter().map(known).collect()
}

/// `member 2 is`, `members 2 and 3 are`.
fn are(members: &[&Known<'_>]) -> String {
    let numbers: Vec<_> =
        members.iter().filter_map(|known| known.number).map(|number| number.to_string()).collect();
    match numbers.split_last() {
        Some((only, [])) => format!("member {only} is"),
        Some((last, others)) => format!("members {} and {last} are", others.join(", ")),
        None => "nobody is".to_owned(),
    }
}

/// What `GET /racks/{id}/recovery` shows.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RecoveryPlan)]
pub(crate) struct PlanJson {
    #[schema(schema_with = forms::rack)]
    id: String,
    #[schema(schema_with = forms::rack_number)]
    number: u32,
    #[serde(rename = "type")]
    #[schema(schema_with = forms::rack_kind)]
    kind: &'static str,
    /// A leader that proved just now that it leads.
    #[schema(schema_with = forms::peer_or_none, required = true)]
    leader: Option<Text<PeerId>>,
    voters: usize,
    voters_reachable: usize,
    possible: bool,
    /// Why it is not possible.
    #[schema(required = true)]
    reason: Option<String>,
    #[schema(required = true)]
    choice: Option<ChoiceJson>,
    /// What goes with it, in sentences.
    losses: Vec<String>,
    members: Vec<MemberJson>,
}

/// What would be sent to `POST /racks/{id}/recover`.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RecoveryChoice)]
struct ChoiceJson {
    #[schema(value_type = u64)]
    member: MemberId,
    last_index: u64,
}

/// What a member has; null is what one that can't be reached would say.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RecoveryMember)]
struct MemberJson {
    #[schema(value_type = Option<u64>, required = true)]
    member: Option<MemberId>,
    #[schema(schema_with = forms::peer)]
    peer_id: Text<PeerId>,
    #[schema(schema_with = forms::member_role, required = true)]
    role: Option<&'static str>,
    reachable: bool,
    #[schema(required = true)]
    state: Option<&'static str>,
    #[schema(required = true)]
    term: Option<u64>,
    #[schema(required = true)]
    last_index: Option<u64>,
    #[schema(required = true)]
    last_term: Option<u64>,
    #[schema(required = true)]
    applied_index: Option<u64>,
}

impl MemberJson {
    fn of(known: &Known<'_>) -> Self {
        let status = known.status;
        Self {
            member: known.number,
            peer_id: Text(known.peer),
            role: known.role.map(MemberRole::name),
            reachable: status.is_some(),
            state: status.map(|status| status.state.name()),
            term: status.map(|status| status.term),
            last_index: status.map(|status| status.last_index),
            last_term: status.map(|status| status.last_term),
            applied_index: status.map(|status| status.applied_index),
        }
    }
}

#[cfg(test)]
mod tests {
    use bookmesh_rpc::api::{Charter, Hash, Incarnation, Kind, Lineage, Member};
    use serde_json::{Value, json};

    use super::*;

    fn peer(byte: u64) -> PeerId {
        PeerId::from_bytes([byte as u8; 32])
    }

    fn route() -> RackRoute {
        RackRoute {
            id: "r".parse().unwrap(),
            kind: Kind::Book,
            number: 0,
            confirmed: true,
            leader: None,
            term: 3,
            members: vec![peer(1), peer(2), peer(3)],
            things: 5,
            writable: true,
            since_ms: 0,
        }
    }

    /// What member `number` of three says, whose log ends in this entry of this term.
    fn status(number: u64, last_term: u64, last_index: u64) -> MemberStatus {
        let seat = |member| Member { member, peer: peer(member), role: MemberRole::Voter };
        let lineage = Lineage { founding: Incarnation::default(), recoveries: 0 };
        MemberStatus {
            rack: route().id,
            kind: Kind::Book,
            charter: Some(Charter { number: 0, lineage }),
            member: number,
            state: MemberState::Follower,
            term: 9,
            leader: None,
            members: vec![seat(1), seat(2), seat(3)],
            last_index,
            last_term,
            committed_index: 1,
            applied_index: 1,
            head_hash: Hash::ZERO,
            things: 0,
            writable: true,
            blocked_by: Vec::new(),
        }
    }

    /// What is shown when members 1 to 3 say this.
    fn plan(said: [Option<MemberStatus>; 3]) -> Value {
        let mut statuses = (1..).map(peer).zip(said).collect();
        forget_given_up(&mut statuses);
        serde_json::to_value(Plan::of(&route(), &statuses, None).json(&route(), None)).unwrap()
    }

    fn text(losses: &Value) -> String {
        losses.as_array().unwrap().iter().map(|line| line.as_str().unwrap()).collect()
    }

    #[test]
    fn the_one_that_is_left_is_chosen_and_what_the_others_had_is_named() {
        let shown = plan([None, Some(status(2, 3, 412)), None]);
        assert_eq!((&shown["possible"], &shown["reason"]), (&json!(true), &json!(null)));
        assert_eq!(shown["choice"], json!({"member": 2, "last_index": 412}));
        assert_eq!((&shown["voters"], &shown["voters_reachable"]), (&json!(3), &json!(1)));
        let losses = text(&shown["losses"]);
        assert!(losses.contains("members 1 and 3 are given up"), "{losses}");
        assert!(losses.contains("up to entry 412"), "{losses}");
        assert_eq!(shown["members"][0]["reachable"], false);
        assert_eq!(shown["members"][1]["last_term"], 3);
    }

    #[test]
    fn a_later_term_counts_more_than_a_longer_log() {
        let mut more = status(2, 3, 410);
        // The third was a voter, and two of five are left.
        for member in [4, 5] {
            more.members.push(Member { member, peer: peer(member), role: MemberRole::Voter });
        }
        let longer = MemberStatus { members: more.members.clone(), ..status(3, 2, 900) };
        let shown = plan([None, Some(more), Some(longer)]);
        assert_eq!(shown["choice"], json!({"member": 2, "last_index": 410}));
    }

    #[test]
    fn one_that_knows_less_than_another_is_not_chosen() {
        let failed = MemberStatus { state: MemberState::Failed, ..status(3, 3, 99) };
        let mut statuses: Vec<_> =
            (1..).map(peer).zip([Some(status(1, 3, 5)), Some(status(2, 3, 9))]).collect();
        statuses.push((peer(3), Some(failed)));
        for (_, status) in &mut statuses {
            let seats = &mut status.as_mut().unwrap().members;
            seats.push(Member { member: 4, peer: peer(4), role: MemberRole::Voter });
        }
        let plan = Plan::of(&route(), &statuses, None);
        let shown = |member| serde_json::to_value(plan.json(&route(), member)).unwrap();
        assert_eq!(shown(Some(1))["possible"], false);
        let reason = shown(Some(1))["reason"].to_string();
        assert!(reason.contains("member 2 can be reached too"), "{reason}");
        assert_eq!(shown(None)["choice"], json!({"member": 2, "last_index": 9}));
    }

    #[test]
    fn an_operator_may_choose_another_that_answers() {
        let statuses = vec![(peer(1), Some(status(1, 3, 5))), (peer(2), None), (peer(3), None)];
        let plan = Plan::of(&route(), &statuses, None);
        let shown = |member| serde_json::to_value(plan.json(&route(), Some(member))).unwrap();
        assert_eq!(shown(1)["choice"], json!({"member": 1, "last_index": 5}));
        for other in [2, 9] {
            assert_eq!(shown(other)["possible"], false);
            assert!(shown(other)["reason"].as_str().unwrap().contains("can't be reached"));
        }
    }

    #[test]
    fn a_majority_helps_itself_unless_it_has_failed() {
        let shown = plan([Some(status(1, 3, 5)), Some(status(2, 3, 5)), None]);
        assert_eq!((&shown["possible"], &shown["choice"]), (&json!(false), &json!(null)));
        let reason = shown["reason"].as_str().unwrap();
        assert!(reason.contains("2 of its 3 voters answer"), "{reason}");
        let failed = MemberStatus { state: MemberState::Failed, ..status(1, 3, 9) };
        let shown = plan([Some(failed), Some(status(2, 3, 5)), None]);
        assert_eq!(shown["choice"], json!({"member": 2, "last_index": 5}));
    }

    #[test]
    fn members_that_were_given_up_before_are_not_asked_again() {
        let mut left = status(2, 3, 5);
        left.charter.as_mut().unwrap().lineage.recoveries = 1;
        left.members.retain(|seat| seat.member == 2);
        let shown = plan([Some(status(1, 8, 900)), Some(left), None]);
        assert!(shown["reason"].as_str().unwrap().contains("1 of its 1 voters"));
        assert_eq!(shown["members"].as_array().unwrap().len(), 1);
    }

    #[test]
    fn nobody_there_is_said_and_everyone_who_was_is_listed() {
        let shown = plan([None, None, None]);
        assert_eq!(shown["possible"], false);
        assert!(shown["reason"].as_str().unwrap().contains("no member"));
        assert_eq!(shown["members"].as_array().unwrap().len(), 3);
        assert!(shown["members"][0]["member"].is_null());
    }

    #[test]
    fn a_leader_that_proved_itself_leaves_nothing_to_recover() {
        let statuses = vec![(peer(1), Some(status(1, 3, 5)))];
        let plan = Plan::of(&route(), &statuses, Some(peer(1)));
        assert!(plan.needless().unwrap().contains("it has a leader"));
        assert!(plan.json(&route(), None).choice.is_none());
    }
}
