//! One page of things over several racks. Ids are ordered by rack number first, so the page is
//! the racks' pages one after the other: counts decide which racks contribute what.

use std::future::Future;
use std::sync::Arc;

use bookmesh_rpc::api::{ListThings, RackRoute, Thing, ThingList};
use futures::{StreamExt, stream};

use crate::http_error::HttpError;
use crate::query::ListQuery;

/// Racks that are asked at the same time.
const RACKS_AT_ONCE: usize = 64;

/// A page, and what is missing from it.
#[derive(Debug, Default)]
pub(crate) struct Page {
    pub(crate) things: Vec<(Arc<RackRoute>, Arc<Thing>)>,
    /// Matching things in all racks that answered.
    pub(crate) total: u64,
    /// The log index that each rack's part shows.
    pub(crate) applied: Vec<(Arc<RackRoute>, u64)>,
    /// Racks that did not answer; only with `partial`.
    pub(crate) missing: Vec<Arc<RackRoute>>,
    /// A rack had fewer things left than it had counted a moment before: the page may have fewer
    /// than there are.
    short: bool,
}

/// Reads the page that `query` asks for. `racks` are in number order; `fetch` reads a part of one.
///
/// # Errors
/// The first rack's that does not answer, unless the query takes a partial page.
pub(crate) async fn page<F, Fut>(
    racks: &[Arc<RackRoute>],
    query: &ListQuery,
    fetch: F,
) -> Result<Page, HttpError>
where
    F: Fn(Arc<RackRoute>, ListThings) -> Fut,
    Fut: Future<Output = Result<ThingList, HttpError>>,
{
    let first = first_rack(racks, query);
    let counts = racks.iter().enumerate().map(|(at, rack)| {
        let limit = if at == first { query.limit } else { 0 };
        (at, part(rack, query, query.offset, limit))
    });
    let mut lists = fetch_all(racks, counts, &fetch).await;
    let parts = plan(racks, query, first, &lists);
    let planned: u64 = parts.iter().map(|(_, part)| u64::from(part.limit)).sum();
    let mut came = 0;
    for (at, list) in fetch_all(racks, parts, &fetch).await {
        came += list.as_ref().map_or(0, |list| list.things.len() as u64);
        // There is a list for each rack, in their order.
        lists[at].1 = list;
    }
    let page = assemble(racks, query, lists)?;
    Ok(Page { short: came < planned, ..page })
}

/// The first rack that can have things above the cursor.
fn first_rack(racks: &[Arc<RackRoute>], query: &ListQuery) -> usize {
    let number = query.after.map_or(0, |after| after.rack_number());
    racks.partition_point(|rack| rack.number < number)
}

fn part(rack: &RackRoute, query: &ListQuery, offset: u64, limit: u32) -> ListThings {
    ListThings {
        rack: rack.id.clone(),
        filter: query.filter.clone(),
        after: query.after,
        offset,
        limit,
        consistency: query.consistency,
    }
}

type Lists = Vec<(usize, Result<ThingList, HttpError>)>;

/// What the racks behind the first one add to the page, by their counts.
fn plan(
    racks: &[Arc<RackRoute>],
    query: &ListQuery,
    first: usize,
    lists: &Lists,
) -> Vec<(usize, ListThings)> {
    let mut skip = query.offset;
    let mut room = query.limit;
    let mut parts = Vec::new();
    for (at, list) in lists.iter().skip(first) {
        let Ok(list) = list else { continue };
        if *at == first {
            room = room.saturating_sub(list.things.len() as u32);
        } else {
            let there = list.total.saturating_sub(skip).min(u64::from(room)) as u32;
            if there > 0 {
                parts.push((*at, part(&racks[*at], query, skip, there)));
            }
            room -= there;
        }
        skip = skip.saturating_sub(list.total);
    }
    parts
}

async fn fetch_all<F, Fut>(
    racks: &[Arc<RackRoute>],
    parts: impl IntoIterator<Item = (usize, ListThings)>,
    fetch: &F,
) -> Lists
where
    F: Fn(Arc<RackRoute>, ListThings) -> Fut,
    Fut: Future<Output = Result<ThingList, HttpError>>,
{
    let calls = parts.into_iter().map(|(at, part)| {
        let rack = racks[at].clone();
        async move { (at, whole(rack, part, fetch).await) }
    });
    // Collected first: a lazy iterator of futures that borrow can't be proven `Send`.
    let calls: Vec<_> = calls.collect();
    stream::iter(calls).buffered(RACKS_AT_ONCE).collect().await
}

/// A rack's part, asked for again while it was cut for its size.
async fn whole<F, Fut>(
    rack: Arc<RackRoute>,
    mut part: ListThings,
    fetch: &F,
) -> Result<ThingList, HttpError>
where
    F: Fn(Arc<RackRoute>, ListThings) -> Fut,
    Fut: Future<Output = Result<ThingList, HttpError>>,
{
    let mut list = fetch(rack.clone(), part.clone()).await?;
    let limit = part.limit as usize;
    while list.cut && list.things.len() < limit {
        let Some(last) = list.things.last() else { break };
        (part.after, part.offset) = (Some(last.id), 0);
        part.limit = (limit - list.things.len()) as u32;
        let next = fetch(rack.clone(), part.clone()).await?;
        if next.things.is_empty() {
            break;
        }
        list.cut = next.cut;
        // Another member may have answered; what holds for the whole is what holds for each part.
        list.applied_index = list.applied_index.min(next.applied_index);
        list.things.extend(next.things);
    }
    Ok(list)
}

fn assemble(racks: &[Arc<RackRoute>], query: &ListQuery, lists: Lists) -> Result<Page, HttpError> {
    let mut page = Page::default();
    for (at, list) in lists {
        let rack = &racks[at];
        match list {
            Ok(list) => {
                page.total += list.total;
                page.applied.push((rack.clone(), list.applied_index));
                page.things.extend(list.things.into_iter().map(|thing| (rack.clone(), thing)));
            }
            Err(error) if query.partial && error.status.is_server_error() => {
                page.missing.push(rack.clone());
            }
            Err(error) => return Err(error),
        }
    }
    page.things.truncate(query.limit as usize);
    Ok(page)
}

/// The `Link` header's value: the pages beside this one.
pub(crate) fn links(path: &str, raw_query: Option<&str>, query: &ListQuery, page: &Page) -> String {
    let base: Vec<_> = raw_query.unwrap_or_default().split('&').filter(is_filter).collect();
    let link = |position: String, rel: &str| {
        let limit = format!("limit={}", query.limit);
        let all: Vec<_> = base.iter().copied().chain([limit.as_str(), position.as_str()]).collect();
        format!("<{path}?{}>; rel=\"{rel}\"", all.join("&"))
    };
    let limit = u64::from(query.limit);
    let mut links = Vec::new();
    if query.after.is_some() {
        // What is left behind a cursor is not counted: a full page links on, perhaps to an empty
        // one, which ends it.
        let last = page.things.last().map(|(_, thing)| thing.id).or(query.after);
        if let Some(last) = last.filter(|_| page.short || page.things.len() as u64 >= limit) {
            links.push(link(format!("after={last}"), "next"));
        }
    } else {
        if query.offset.saturating_add(limit) < page.total {
            links.push(link(format!("offset={}", query.offset + limit), "next"));
        }
        if query.offset > 0 {
            links.push(link(format!("offset={}", query.offset.saturating_sub(limit)), "prev"));
        }
    }
    links.join(", ")
}

/// Whether a pair of the query stays the same on every page.
fn is_filter(pair: &&str) -> bool {
    let name = pair.split('=').next().unwrap_or_default();
    !name.is_empty() && !["limit", "offset", "after"].contains(&name)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use axum::http::Uri;
    use bookmesh_rpc::api::{Info, Kind, Status, ThingId};

    use super::*;

    fn rack(number: u32) -> Arc<RackRoute> {
        Arc::new(RackRoute {
            id: format!("r{number}").parse().unwrap(),
            kind: Kind::Book,
            number,
            confirmed: true,
            leader: None,
            term: 1,
            members: Vec::new(),
            things: 0,
            writable: true,
            since_ms: 0,
        })
    }

    fn thing(id: ThingId) -> Arc<Thing> {
        let info = Info {
            name: "n".into(),
            author: "a".into(),
            status: Status::Available,
            holder: None,
            created_at_ms: 0,
            updated_at_ms: 0,
            extra: Default::default(),
        };
        Arc::new(Thing { id, kind: Kind::Book, tags: Vec::new(), info, version: 1, active: true })
    }

    /// Answers as a rack with so many things; `cut_at` things at most in one answer.
    fn answer(number: u32, count: u64, cut_at: usize, ask: &ListThings) -> ThingList {
        let ids = (1..=count).map(|sequence| ThingId::new(number, sequence).unwrap());
        let wanted = ids.filter(|id| ask.after.is_none_or(|after| *id > after));
        let page: Vec<_> =
            wanted.skip(ask.offset as usize).take(ask.limit as usize).map(thing).collect();
        let cut = page.len() > cut_at;
        let things = page.into_iter().take(cut_at).collect();
        ThingList { things, total: count, cut, applied_index: 9 }
    }

    /// The ids of a page over racks 0, 1, 3 with 3, 0 and 4 things, as (rack, sequence).
    async fn ids(query: &str, broken: Option<u32>) -> Result<(Vec<(u32, u64)>, Page), HttpError> {
        let uri: Uri = format!("/books?{query}").parse().unwrap();
        let query = ListQuery::of(&uri).unwrap();
        let racks = [rack(0), rack(1), rack(3)];
        let page = page(&racks, &query, |rack, ask| async move {
            if broken == Some(rack.number) {
                return Err(HttpError::unavailable(format!("rack {}", rack.id)));
            }
            let count = [3, 0, 0, 4][rack.number as usize];
            Ok(answer(rack.number, count, 2, &ask))
        })
        .await?;
        let ids = page.things.iter().map(|(_, t)| (t.id.rack_number(), t.id.sequence())).collect();
        Ok((ids, page))
    }

    #[tokio::test]
    async fn pages_follow_ids_over_all_racks_even_when_answers_are_cut() {
        let (all, page) = ids("", None).await.unwrap();
        assert_eq!(all, [(0, 1), (0, 2), (0, 3), (3, 1), (3, 2), (3, 3), (3, 4)]);
        assert_eq!(page.total, 7);
        for limit in 1..=8 {
            for offset in 0..=8 {
                let (part, page) =
                    ids(&format!("limit={limit}&offset={offset}"), None).await.unwrap();
                let expected: Vec<_> = all.iter().copied().skip(offset).take(limit).collect();
                assert_eq!(part, expected, "limit {limit} offset {offset}");
                assert_eq!(page.total, 7);
            }
        }
    }

    #[tokio::test]
    async fn a_cursor_continues_behind_any_id() {
        let (all, _) = ids("", None).await.unwrap();
        for (at, (rack, sequence)) in all.iter().enumerate() {
            let after = ThingId::new(*rack, *sequence).unwrap();
            let (rest, _) = ids(&format!("limit=3&after={after}"), None).await.unwrap();
            let expected: Vec<_> = all.iter().copied().skip(at + 1).take(3).collect();
            assert_eq!(rest, expected);
        }
        let beyond = ThingId::new(7, 1).unwrap();
        let (none, page) = ids(&format!("after={beyond}"), None).await.unwrap();
        assert!(none.is_empty() && page.total == 7);
    }

    #[tokio::test]
    async fn nothing_vanishes_silently() {
        let error = ids("", Some(3)).await.unwrap_err();
        assert!(error.message.contains("r3"));
        let (rest, page) = ids("partial=true", Some(3)).await.unwrap();
        assert_eq!(rest, [(0, 1), (0, 2), (0, 3)]);
        assert_eq!(page.missing[0].id.as_str(), "r3");
        let (behind, _) = ids("partial=true&limit=2", Some(0)).await.unwrap();
        assert_eq!(behind, [(3, 1), (3, 2)]);
    }

    #[tokio::test]
    async fn racks_that_add_nothing_are_asked_for_their_count_alone() {
        let query = ListQuery::of(&"/books?limit=2".parse().unwrap()).unwrap();
        let limits = Mutex::new(Vec::new());
        let fetch = |rack: Arc<RackRoute>, ask: ListThings| {
            limits.lock().unwrap().push((rack.number, ask.limit));
            let list = answer(rack.number, 5, 100, &ask);
            async move { Ok(list) }
        };
        page(&[rack(0), rack(1)], &query, fetch).await.unwrap();
        assert_eq!(limits.into_inner().unwrap(), [(0, 2), (1, 0)]);
    }

    /// A walk by cursor ended at a page that was cut short, as if nothing came behind it.
    #[tokio::test]
    async fn a_page_whose_things_were_removed_meanwhile_links_on() {
        let raw = "limit=4&after=1099511627775";
        let query = ListQuery::of(&format!("/books?{raw}").parse().unwrap()).unwrap();
        let asked = Mutex::new(0);
        let fetch = |rack: Arc<RackRoute>, ask: ListThings| {
            let mut asked = asked.lock().unwrap();
            *asked += 1;
            // Rack 1 counts four, and has one when it is asked for them.
            let count = [0, if *asked > 3 { 1 } else { 4 }, 9][rack.number as usize];
            let list = answer(rack.number, count, 100, &ask);
            async move { Ok(list) }
        };
        let page = page(&[rack(0), rack(1), rack(2)], &query, fetch).await.unwrap();
        assert_eq!(page.things.len(), 1);
        let id = ThingId::new(1, 1).unwrap();
        let next = format!("</books?limit=4&after={id}>; rel=\"next\"");
        assert_eq!(links("/books", Some(raw), &query, &page), next);
    }

    #[tokio::test]
    async fn an_offset_deep_in_several_racks_lands_on_the_right_thing() {
        let racks: Vec<_> = (0..20).map(rack).collect();
        for offset in [0, 1_499, 1_500, 13_498, 28_499, 28_500] {
            let uri = format!("/books?limit=3&offset={offset}").parse().unwrap();
            let query = ListQuery::of(&uri).unwrap();
            let fetch = |rack: Arc<RackRoute>, ask: ListThings| async move {
                Ok(answer(rack.number, u64::from(rack.number) * 150, 2, &ask))
            };
            let page = page(&racks, &query, fetch).await.unwrap();
            let all = (0..20).flat_map(|rack| (1..=u64::from(rack) * 150).map(move |n| (rack, n)));
            let expected: Vec<_> = all.skip(offset).take(3).collect();
            let ids = page.things.iter().map(|(_, t)| (t.id.rack_number(), t.id.sequence()));
            assert_eq!((ids.collect::<Vec<_>>(), page.total), (expected, 28_500), "{offset}");
        }
    }

    #[tokio::test]
    async fn links_keep_the_filters_and_name_the_neighbours() {
        let text = |query: &'static str| async move {
            let (_, page) = ids(query, None).await.unwrap();
            let parsed = ListQuery::of(&format!("/books?{query}").parse().unwrap()).unwrap();
            links("/books", Some(query), &parsed, &page)
        };
        assert_eq!(
            text("q=a%20b&limit=2&offset=3").await,
            "</books?q=a%20b&limit=2&offset=5>; rel=\"next\", \
             </books?q=a%20b&limit=2&offset=1>; rel=\"prev\""
        );
        assert_eq!(text("limit=7").await, "");
        assert_eq!(text("after=1&limit=2").await, "</books?limit=2&after=3>; rel=\"next\"");
    }
}
