//! `bookmesh log verify`: the chain is computed anew from the commands themselves.

use std::io::Write;

use bookmesh_rpc::api::{Hash, RackId};
use serde::Deserialize;
use serde_json::json;

use super::failure::Failure;
use super::http::Api;
use super::record::{self, Record};
use super::terminal::{Paint, counted, grouped, paint, progress};
use crate::cli::Server;

/// Records of one page.
const PAGE: u64 = 500;
const BAR: &str = "{elapsed:>4} {bar:40.green} {percent:>3}%  {human_pos} of {human_len} records";

/// A page of the log.
#[derive(Clone, Debug, Deserialize)]
struct Page {
    committed_index: Option<u64>,
    #[serde(deserialize_with = "record::hash")]
    previous_hash: Hash,
    records: Vec<Record>,
}

/// The chain so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Chain {
    next: u64,
    commands: u64,
    head: Hash,
}

/// Where a log is not what it claims to be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the log is broken at index {index}: {why}")]
struct Broken {
    index: u64,
    why: &'static str,
}

impl Chain {
    /// Takes a page that follows.
    fn page(&mut self, page: &Page) -> Result<(), Broken> {
        if page.previous_hash != self.head {
            let why = "the hash before it is not the one of the record before";
            return Err(Broken { index: self.next, why });
        }
        page.records.iter().try_for_each(|record| self.record(record))
    }

    fn record(&mut self, record: &Record) -> Result<(), Broken> {
        let broken = |why| Err(Broken { index: self.next, why });
        if record.index != self.next {
            return broken("the record is missing");
        }
        let expected = if record.has_commands() {
            self.head.extend(&record.commands)
        } else if record.commands.is_empty() {
            self.head
        } else {
            return broken("a record without users' commands carries some");
        };
        if record.hash != expected {
            return broken("its hash is not the one of its commands");
        }
        self.head = expected;
        self.next += 1;
        self.commands += u64::from(record.has_commands());
        Ok(())
    }
}

/// Verifies a rack's log from the first record to the last committed one.
pub(super) async fn run(rack: &RackId, json: bool, server: &Server) -> Result<(), Failure> {
    let api = Api::new(&server.url)?;
    let chain = walk(&api, rack).await?;
    let mut out = std::io::stdout().lock();
    if json {
        let last = chain.next.checked_sub(1);
        let report = json!({ "rack_id": rack, "records": chain.next, "last_index": last,
            "head_hash": chain.head.to_string() });
        return Ok(writeln!(out, "{report}")?);
    }
    let records = counted(chain.next, "record");
    let verified = paint("verified", Paint::Green);
    writeln!(
        out,
        "{rack}: {records} {verified}, {} of them with commands",
        grouped(chain.commands)
    )?;
    Ok(writeln!(out, "head {}", chain.head)?)
}

async fn walk(api: &Api, rack: &RackId) -> Result<Chain, Failure> {
    let mut chain = Chain::default();
    let bar = progress(0, BAR);
    loop {
        let query = [("from", chain.next.to_string()), ("limit", PAGE.to_string())];
        let page = api.get(&format!("/racks/{rack}/log"), &query).await?;
        let page: Page = page.typed()?;
        let before = chain.next;
        chain.page(&page).map_err(|broken| Failure::Failed(format!("{rack}: {broken}")))?;
        let end = page.committed_index.map_or(0, |last| last + 1);
        bar.set_length(end);
        bar.set_position(chain.next);
        if chain.next >= end {
            bar.finish_and_clear();
            return Ok(chain);
        }
        if chain.next == before {
            let why = "the gateway sends no record from there on";
            let broken = Broken { index: chain.next, why };
            return Err(Failure::Failed(format!("{rack}: {broken}")));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::record::tests::checkout;
    use super::*;

    /// A sound page of five: blank, commands, membership, commands, commands.
    fn page() -> Page {
        let mut head = Hash::ZERO;
        let kinds = ["blank", "commands", "membership", "commands", "commands"];
        let records = (0_u64..).zip(kinds).map(|(index, kind)| {
            let commands = if kind == "commands" { checkout(index) } else { Vec::new() };
            if kind == "commands" {
                head = head.extend(&commands);
            }
            Record { index, term: 1, kind: kind.into(), hash: head, commands }
        });
        let records = records.collect();
        Page { committed_index: Some(4), previous_hash: Hash::ZERO, records }
    }

    fn broken_at(page: &Page) -> u64 {
        Chain::default().page(page).unwrap_err().index
    }

    #[test]
    fn a_sound_log_verifies_in_pages_of_any_size() {
        let whole = page();
        for size in 1..=5 {
            let mut chain = Chain::default();
            for records in whole.records.chunks(size) {
                let previous_hash = chain.head;
                let records = records.to_vec();
                chain.page(&Page { records, previous_hash, ..whole.clone() }).unwrap();
            }
            assert_eq!((chain.next, chain.commands), (5, 3));
            assert_eq!(chain.head, whole.records[4].hash);
        }
    }

    #[test]
    fn every_single_flipped_bit_of_the_commands_is_found_where_it_is() {
        for (index, record) in page().records.iter().enumerate() {
            for bit in 0..record.commands.len() * 8 {
                let mut page = page();
                page.records[index].commands[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(broken_at(&page), index as u64);
            }
        }
    }

    #[test]
    fn what_is_left_out_swapped_or_added_is_found() {
        let mut left_out = page();
        left_out.records.remove(3);
        let mut swapped = page();
        swapped.records.swap(3, 4);
        let mut hidden = page();
        hidden.records[2].commands = checkout(9);
        let mut claimed = page();
        claimed.records[2].hash = Hash([7; 32]);
        let found = [left_out, swapped, hidden, claimed].map(|page| broken_at(&page));
        assert_eq!(found, [3, 3, 2, 2]);
        let elsewhere = Page { previous_hash: Hash([1; 32]), ..page() };
        assert_eq!(broken_at(&elsewhere), 0);
    }
}
