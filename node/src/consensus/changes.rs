//! What changed, read from the log: the view knows which commands had an effect, the log what they
//! were.

use bookmesh_rpc::api::{Action, ApiError, Batch, Change, ThingId};
use bookmesh_rpc::codec;
use bookmesh_storage::Record;
use bookmesh_storage::view::{NotedChange, View};
use openraft::EntryPayload;

use super::group::Group;
use super::types::{Commands, from_record};

/// Encoded changes of one page, up to the command that passes them: those of one command take a
/// fifth of it at most.
const PAGE_BYTES: usize = 1024 * 1024;
/// Read from the log at once, where all of it is wanted.
const READ_BYTES: usize = 256 * 1024;

impl<V: View> Group<V> {
    /// These changes as they stand in the log, or as many of the first as make a page; those of
    /// one command are never divided. `noted` is in the log's order. Reads and decodes off the
    /// async threads.
    ///
    /// # Errors
    /// When the log can't be read.
    pub async fn changes(&self, noted: Vec<NotedChange>) -> Result<Vec<Change>, ApiError> {
        if noted.is_empty() {
            return Ok(Vec::new());
        }
        let log = self.log().storage().clone();
        let page = tokio::task::spawn_blocking(move || page(&log, &noted));
        page.await.map_err(ApiError::internal)?
    }
}

fn page(log: &bookmesh_storage::Group, mut noted: &[NotedChange]) -> Result<Vec<Change>, ApiError> {
    let (mut changes, mut bytes) = (Vec::new(), 0);
    let mut records = Vec::new().into_iter();
    let mut entry: Option<(u64, Batch)> = None;
    while let Some(first) = noted.first()
        && bytes < PAGE_BYTES
    {
        let index = first.at.index;
        if entry.as_ref().is_none_or(|(there, _)| *there != index) {
            if records.as_slice().first().is_none_or(|next: &Record| next.index != index) {
                let range = index..end_of_run(noted);
                records = log.read(range, READ_BYTES).map_err(ApiError::internal)?.into_iter();
            }
            entry = Some((index, batch(records.next(), index)?));
        }
        let Some((_, batch)) = &entry else { break };
        let of_command = noted.partition_point(|change| change.at == first.at);
        for noted in &noted[..of_command] {
            let change = change(batch, noted)?;
            bytes += codec::encode(&change).map_err(ApiError::internal)?.len();
            changes.push(change);
        }
        noted = &noted[of_command..];
    }
    Ok(changes)
}

/// Behind the entries that follow each other without a gap.
fn end_of_run(noted: &[NotedChange]) -> u64 {
    let mut end = 0;
    for change in noted {
        if end != 0 && change.at.index > end {
            break;
        }
        end = change.at.index + 1;
    }
    end
}

fn batch(record: Option<Record>, index: u64) -> Result<Batch, ApiError> {
    let missing = || ApiError::internal(format!("entry {index} of the log is not the noted one"));
    let entry = from_record(&record.ok_or_else(missing)?).map_err(ApiError::internal)?;
    match entry.payload {
        EntryPayload::Normal(Commands(bytes)) if entry.log_id.index == index => {
            codec::decode(&bytes).map_err(ApiError::internal)
        }
        _ => Err(missing()),
    }
}

fn change(batch: &Batch, noted: &NotedChange) -> Result<Change, ApiError> {
    let NotedChange { at, id, version } = *noted;
    let command = batch.commands.get(at.part as usize);
    let missing = || ApiError::internal(format!("the log has no command at {at:?}"));
    let command = command.ok_or_else(missing)?;
    Ok(Change {
        at,
        time_ms: batch.time_ms,
        request_id: command.request_id.clone(),
        action: of_one(&command.action, id),
        id,
        version,
    })
}

/// What a command did to one thing.
fn of_one(action: &Action, id: ThingId) -> Action {
    match action {
        Action::Forget { if_version, .. } => {
            Action::Forget { ids: vec![id], if_version: *if_version }
        }
        other => other.clone(),
    }
}
