//! `bookmesh rack retire`.

use std::io::Write;

use super::consent;
use super::failure::Failure;
use super::http::Api;
use super::terminal::{counted, harmless};
use super::views::Rack;
use crate::cli::RetireArgs;

/// Says what would go out of use, asks, and does it.
pub(super) async fn run(args: &RetireArgs) -> Result<(), Failure> {
    let api = Api::new(&args.server.url)?;
    let path = format!("/racks/{}", args.rack);
    let rack: Rack = api.get(&path, &[]).await?.typed()?;
    writeln!(std::io::stdout(), "{}", warning(&rack))?;
    consent::yes(args.yes, &format!("Retire {}?", args.rack))?;
    api.delete(&format!("{path}?force={}", args.force)).await?;
    Ok(writeln!(std::io::stdout(), "{} is retired; its workers can be stopped", args.rack)?)
}

fn warning(rack: &Rack) -> String {
    let members = counted(rack.members.len() as u64, "member");
    let things = rack.things.map_or_else(|| "what it has".into(), |count| counted(count, "thing"));
    let led = if rack.leader.is_some() { "" } else { " and no leader" };
    format!(
        "{} holds {things}, with {members}{led}. Retired, it takes no more writes, and its name \
         and number are\nnever given again; what its workers hold stays on their disks.",
        harmless(&rack.id)
    )
}
