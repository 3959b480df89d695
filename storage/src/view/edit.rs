//! What a change makes of a thing, and whether it may. The rules are the same whichever surface
//! or call writes.

use std::collections::BTreeMap;

use bookmesh_rpc::api::{
    ApiError, Faults, JsonText, MAX_INFO_BYTES, MAX_INFO_KEYS, MAX_THING_BYTES, NAMED_INFO_KEYS,
    NewThing, Status, StatusRule, Thing, ThingPatch,
};
use bookmesh_rpc::codec;

/// An encoded thing's numbers: id, version, two times, kind, status, lengths of lists.
const FIXED_BYTES: usize = 64;
/// An encoded length of at most 64 KiB.
const LENGTH_BYTES: usize = 3;

/// The thing after a change; `None` when the change changes nothing.
pub(super) fn edited(
    thing: &Thing,
    patch: &ThingPatch,
    rule: StatusRule,
    now_ms: u64,
) -> Result<Option<Thing>, ApiError> {
    let (status, holder) = decide_status(thing, patch, rule)?;
    let mut edited = thing.clone();
    edited.info.status = status;
    edited.info.holder = holder;
    if let Some(tags) = &patch.tags {
        edited.tags.clone_from(tags);
    }
    if let Some(name) = &patch.name {
        edited.info.name.clone_from(name);
    }
    if let Some(author) = &patch.author {
        edited.info.author.clone_from(author);
    }
    merge(&mut edited.info.extra, &patch.extra);
    if edited == *thing {
        return Ok(None);
    }
    edited.version += 1;
    edited.info.updated_at_ms = now_ms;
    check_limits(&edited)?;
    Ok(Some(edited))
}

/// What an import makes of the thing that is there: its tags, name, author and further keys. One
/// that is checked out stays so: an import says nothing of who has a book.
pub(super) fn takeover(new: &NewThing, there: &Thing) -> ThingPatch {
    let check_out = new.status == Status::CheckedOut && there.info.status == Status::Available;
    ThingPatch {
        tags: Some(new.tags.clone()),
        name: Some(new.name.clone()),
        author: Some(new.author.clone()),
        status: check_out.then_some(Status::CheckedOut),
        holder: check_out.then(|| new.holder.clone()),
        extra: new.extra.iter().map(|(key, value)| (key.clone(), Some(value.clone()))).collect(),
    }
}

/// Status and holder after the change.
fn decide_status(
    thing: &Thing,
    patch: &ThingPatch,
    rule: StatusRule,
) -> Result<(Status, Option<String>), ApiError> {
    let (was, holder) = (thing.info.status, &thing.info.holder);
    if rule == StatusRule::Exclusive && patch.status == Some(was) {
        return Err(match was {
            Status::CheckedOut => ApiError::CheckedOut { id: thing.id },
            Status::Available => ApiError::NotCheckedOut { id: thing.id },
        });
    }
    match (was, patch.status.unwrap_or(was)) {
        (_, Status::Available) => Ok((Status::Available, None)),
        (Status::Available, Status::CheckedOut) => {
            Ok((Status::CheckedOut, patch.holder.clone().flatten()))
        }
        (Status::CheckedOut, Status::CheckedOut) => match &patch.holder {
            None => Ok((was, holder.clone())),
            Some(wanted) if wanted == holder => Ok((was, holder.clone())),
            // Taking the holder's name away is an edit; putting another in its place is not.
            Some(None) if patch.status.is_none() => Ok((was, None)),
            Some(_) => Err(ApiError::CheckedOut { id: thing.id }),
        },
    }
}

fn merge(extra: &mut BTreeMap<String, JsonText>, patch: &BTreeMap<String, Option<JsonText>>) {
    for (key, value) in patch {
        match value {
            Some(value) => extra.insert(key.clone(), value.clone()),
            None => extra.remove(key),
        };
    }
}

/// What only the merged thing can tell.
pub(super) fn check_limits(thing: &Thing) -> Result<(), ApiError> {
    let mut faults = Faults::default();
    let extra = &thing.info.extra;
    if extra.len() + NAMED_INFO_KEYS.len() > MAX_INFO_KEYS {
        faults.add("info", format!("must have at most {MAX_INFO_KEYS} keys"));
    }
    let extra_bytes: usize = extra.iter().map(|(key, text)| key.len() + text.as_str().len()).sum();
    if extra_bytes > MAX_INFO_BYTES {
        faults.add("info", format!("must have at most {MAX_INFO_BYTES} bytes"));
    }
    // Only one that may be too large is worth encoding.
    let too_large = thing_bytes(thing) > MAX_THING_BYTES
        && codec::encode(thing).map_or(true, |bytes| bytes.len() > MAX_THING_BYTES);
    if too_large {
        faults.add("info", format!("the whole must have at most {MAX_THING_BYTES} bytes"));
    }
    faults.check()
}

/// The encoded length of a thing, or a little more.
pub(super) fn thing_bytes(thing: &Thing) -> usize {
    let text = |text: &String| text.len() + LENGTH_BYTES;
    let info = &thing.info;
    let tags: usize = thing.tags.iter().map(text).sum();
    let extra =
        info.extra.iter().map(|(key, value)| text(key) + value.as_str().len() + LENGTH_BYTES);
    let named = text(&info.name) + text(&info.author) + info.holder.as_ref().map_or(0, text);
    FIXED_BYTES + tags + named + extra.sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use bookmesh_rpc::api::{Info, Kind, ThingId};

    fn book(status: Status, holder: Option<&str>) -> Thing {
        let info = Info {
            name: "Dune".into(),
            author: "Frank Herbert".into(),
            status,
            holder: holder.map(str::to_owned),
            created_at_ms: 1,
            updated_at_ms: 1,
            extra: [("year".to_owned(), JsonText::from_compact("1965".into()))].into(),
        };
        Thing {
            id: ThingId::from_u64(7).unwrap(),
            kind: Kind::Book,
            tags: vec![],
            info,
            version: 1,
            active: true,
        }
    }

    fn status(to: Status, holder: Option<Option<&str>>) -> ThingPatch {
        let holder = holder.map(|holder| holder.map(str::to_owned));
        ThingPatch { status: Some(to), holder, ..ThingPatch::default() }
    }

    #[test]
    fn of_two_checkouts_one_wins_and_a_return_frees_the_book() {
        use Status::{Available, CheckedOut};
        let free = book(Available, None);
        let take = status(CheckedOut, Some(Some("ann")));
        let taken = edited(&free, &take, StatusRule::Exclusive, 5).unwrap().unwrap();
        assert_eq!((taken.version, taken.info.updated_at_ms), (2, 5));
        assert_eq!(taken.info.holder.as_deref(), Some("ann"));
        let again = edited(&taken, &take, StatusRule::Exclusive, 6);
        assert_eq!(again, Err(ApiError::CheckedOut { id: taken.id }));

        let give = status(Available, None);
        let back = edited(&taken, &give, StatusRule::Exclusive, 7).unwrap().unwrap();
        assert_eq!((back.info.status, back.info.holder.clone()), (Available, None));
        let twice = edited(&back, &give, StatusRule::Exclusive, 8);
        assert_eq!(twice, Err(ApiError::NotCheckedOut { id: back.id }));
    }

    #[test]
    fn an_edit_may_write_back_what_is_there_but_not_take_a_book_from_its_holder() {
        use Status::CheckedOut;
        let taken = book(CheckedOut, Some("ann"));
        for same in [status(CheckedOut, None), status(CheckedOut, Some(Some("ann")))] {
            assert_eq!(edited(&taken, &same, StatusRule::Edit, 5), Ok(None));
        }
        let bob = ThingPatch { holder: Some(Some("bob".into())), ..ThingPatch::default() };
        for other in [status(CheckedOut, Some(Some("bob"))), status(CheckedOut, Some(None)), bob] {
            let refused = edited(&taken, &other, StatusRule::Edit, 5);
            assert_eq!(refused, Err(ApiError::CheckedOut { id: taken.id }));
        }
        let anonymous = book(CheckedOut, None);
        let claim = status(CheckedOut, Some(Some("bob")));
        assert!(edited(&anonymous, &claim, StatusRule::Edit, 5).is_err());
    }

    #[test]
    fn a_merge_sets_and_removes_keys_and_minds_the_limits_of_the_whole() {
        let thing = book(Status::Available, None);
        let mut patch = ThingPatch::default();
        patch.extra.insert("year".into(), None);
        patch.extra.insert("isbn".into(), Some(JsonText::from_compact("\"1\"".into())));
        let merged = edited(&thing, &patch, StatusRule::Edit, 5).unwrap().unwrap();
        assert_eq!(merged.info.extra.keys().collect::<Vec<_>>(), ["isbn"]);

        let many = (0..MAX_INFO_KEYS - NAMED_INFO_KEYS.len())
            .map(|n| (format!("k{n}"), Some(JsonText::from_compact("1".into()))));
        let patch = ThingPatch { extra: many.collect(), ..ThingPatch::default() };
        assert!(matches!(edited(&thing, &patch, StatusRule::Edit, 5), Err(ApiError::Invalid(_))));
    }

    #[test]
    fn the_estimate_is_never_below_the_encoded_length() {
        let mut thing = book(Status::CheckedOut, Some("ann"));
        thing.tags = vec!["x".repeat(64); 32];
        thing.info.author = "ü".repeat(2048);
        thing.info.created_at_ms = u64::MAX;
        thing.version = u64::MAX;
        let encoded = codec::encode(&thing).unwrap().len();
        assert!((encoded..encoded + 200).contains(&thing_bytes(&thing)));
    }
}
