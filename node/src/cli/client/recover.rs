//! `bookmesh rack recover`.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::json;

use super::consent;
use super::failure::Failure;
use super::http::Api;
use super::status::{member_table, number, rack_table};
use super::terminal::{Paint, harmless, painted, print_table, short, table};
use super::views::{Choice, Rack, Recovery};
use crate::cli::RecoverArgs;

/// How long the rack may take to have a leader again: its log is applied first.
const LED_WITHIN: Duration = Duration::from_secs(60);
/// The pause between two looks.
const PAUSE: Duration = Duration::from_millis(200);

/// Shows what is left and what may be lost, asks for the rack's name, lets the member go on, and
/// waits for it.
pub(super) async fn run(args: &RecoverArgs) -> Result<(), Failure> {
    let api = Api::new(&args.server.url)?;
    let path = format!("/racks/{}", args.rack);
    let query: Vec<_> = args.member.iter().map(|number| ("member", number.to_string())).collect();
    let plan: Recovery = api.get(&format!("{path}/recovery"), &query).await?.typed()?;
    show(&mut io::stdout().lock(), &plan)?;
    let Some(Choice { member, last_index }) = plan.choice else {
        let why = plan.reason.as_deref().map_or_else(|| "it can't be".into(), harmless);
        return Err(Failure::Failed(format!("{} is not recovered: {why}", args.rack)));
    };
    let question = format!("Type the rack's name to go on with member {member} alone:");
    consent::typed(args.yes, &question, args.rack.as_str())?;
    let body = json!({"member": member, "last_index": last_index});
    match api.send(Method::POST, &format!("{path}/recover"), &body).await {
        // Once it is decided, the member goes on with it whoever waits for the answer.
        Err(failure) if !matches!(failure, Failure::Refused { status: 504, .. }) => {
            return Err(failure);
        }
        _ => {}
    }
    led(&api, &path).await?;
    let rack: Rack = api.get(&path, &[]).await?.typed()?;
    let mut out = io::stdout().lock();
    print_table(&mut out, &rack_table(std::slice::from_ref(&rack)))?;
    writeln!(out)?;
    Ok(print_table(&mut out, &member_table(&[rack]))?)
}

fn show(out: &mut impl Write, plan: &Recovery) -> io::Result<()> {
    let mut rows = table(&["", "member", "node", "role", "state", "log ends", "term", "applied"]);
    for candidate in &plan.members {
        let chosen = plan.choice.as_ref().is_some_and(|it| candidate.member == Some(it.member));
        let state = match &candidate.state {
            Some(state) => painted(&harmless(state), Paint::Green),
            None => painted("unreachable", Paint::Red),
        };
        rows.add_row([
            if chosen { "→" } else { "" }.into(),
            number(candidate.member).into(),
            short(&candidate.peer_id).into(),
            harmless(candidate.role.as_deref().unwrap_or("-")).into(),
            state,
            number(candidate.last_index).into(),
            number(candidate.last_term).into(),
            number(candidate.applied_index).into(),
        ]);
    }
    print_table(out, &rows)?;
    writeln!(out)?;
    plan.losses.iter().try_for_each(|loss| writeln!(out, "- {}", harmless(loss)))
}

/// Waits until the rack has a leader that a majority of one confirms.
async fn led(api: &Api, path: &str) -> Result<(), Failure> {
    let until = Instant::now() + LED_WITHIN;
    loop {
        match api.get(&format!("{path}/recovery"), &[]).await {
            Ok(answer) => {
                let plan: Recovery = answer.typed()?;
                if plan.leader.is_some() {
                    return Ok(());
                }
            }
            Err(failure) if failure.is_passing() => {}
            Err(failure) => return Err(failure),
        }
        if Instant::now() >= until {
            let seconds = LED_WITHIN.as_secs();
            let what = format!("it was recovered, but has no leader after {seconds} s; see status");
            return Err(Failure::Failed(what));
        }
        tokio::time::sleep(PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chosen_member_is_marked_and_the_losses_are_said() {
        let plan: Recovery = serde_json::from_value(json!({
            "possible": true, "reason": null, "choice": {"member": 2, "last_index": 412},
            "losses": ["member 1 is given up"],
            "members": [
                {"member": 1, "peer_id": "ab".repeat(32), "role": "voter", "reachable": false,
                 "state": null, "last_index": null, "last_term": null, "applied_index": null},
                {"member": 2, "peer_id": "cd".repeat(32), "role": "voter", "reachable": true,
                 "state": "follower", "last_index": 412, "last_term": 7, "applied_index": 410},
            ],
        }))
        .unwrap();
        let mut out = Vec::new();
        show(&mut out, &plan).unwrap();
        let text = String::from_utf8(out).unwrap();
        let lines: Vec<Vec<_>> =
            text.lines().map(|line| line.split_whitespace().collect()).collect();
        let has = |words: &str| lines.contains(&words.split(' ').collect());
        assert!(has("1 abababab voter unreachable - - -"), "{text}");
        assert!(has("→ 2 cdcdcdcd voter follower 412 7 410"), "{text}");
        assert!(has("- member 1 is given up"), "{text}");
    }
}
