//! One page over several racks, of things or of orders. Ids are ordered by rack number first, so
//! the page is the racks' pages one after the other: counts decide which racks contribute what.

use std::future::Future;
use std::sync::Arc;

use axum::http::Uri;
use bookmesh_rpc::api::{Order, OrderList, RackRoute, Thing, ThingId, ThingList};
use futures::{StreamExt, stream};

use crate::http_error::HttpError;
use crate::query::PageQuery;

/// Racks that are asked at the same time.
const RACKS_AT_ONCE: usize = 64;

/// What lists are of.
pub(crate) trait Listed {
    fn id(&self) -> ThingId;
}

impl Listed for Thing {
    fn id(&self) -> ThingId {
        self.id
    }
}

impl Listed for Order {
    fn id(&self) -> ThingId {
        self.id
    }
}

/// What one rack is asked for.
#[derive(Clone, Debug)]
pub(crate) struct Slice {
    /// Only ids above this one.
    pub(crate) after: Option<ThingId>,
    /// How many of those to pass over.
    pub(crate) offset: u64,
    /// How many at most; 0 asks for the count alone.
    pub(crate) limit: u32,
}

/// What one rack answers.
#[derive(Debug)]
pub(crate) struct Part<T> {
    pub(crate) items: Vec<Arc<T>>,
    /// How many match in the whole rack.
    pub(crate) total: u64,
    /// It ends before its limit because it is as large as an answer may be.
    pub(crate) cut: bool,
    pub(crate) applied_index: u64,
}

impl From<ThingList> for Part<Thing> {
    fn from(list: ThingList) -> Self {
        let ThingList { things: items, total, cut, applied_index } = list;
        Self { items, total, cut, applied_index }
    }
}

impl From<OrderList> for Part<Order> {
    fn from(list: OrderList) -> Self {
        let OrderList { orders: items, total, cut, applied_index } = list;
        Self { items, total, cut, applied_index }
    }
}

/// A page, and what is missing from it.
#[derive(Debug)]
pub(crate) struct Page<T> {
    pub(crate) items: Vec<(Arc<RackRoute>, Arc<T>)>,
    /// What matches in all racks that answered.
    pub(crate) total: u64,
    /// The log index that each rack's part shows.
    pub(crate) applied: Vec<(Arc<RackRoute>, u64)>,
    /// Racks that did not answer; only with `partial`.
    pub(crate) missing: Vec<Arc<RackRoute>>,
    /// A rack had fewer left than it had counted a moment before: the page may have fewer
    /// than there are.
    short: bool,
}

/// Reads the page that `query` asks for. `racks` are in number order; `fetch` reads a part of one.
///
/// # Errors
/// The first rack's that does not answer, unless the query takes a partial page.
pub(crate) async fn page<T, F, Fut>(
    racks: &[Arc<RackRoute>],
    query: &PageQuery,
    fetch: F,
) -> Result<Page<T>, HttpError>
where
    T: Listed,
    F: Fn(Arc<RackRoute>, Slice) -> Fut,
    Fut: Future<Output = Result<Part<T>, HttpError>>,
{
    let first = first_rack(racks, query);
    let counts = (0..racks.len()).map(|at| {
        let limit = if at == first { query.limit } else { 0 };
        (at, Slice { after: query.after, offset: query.offset, limit })
    });
    let mut lists = fetch_all(racks, counts, &fetch).await;
    let slices = plan(query, first, &lists);
    let planned: u64 = slices.iter().map(|(_, slice)| u64::from(slice.limit)).sum();
    let mut came = 0;
    for (at, list) in fetch_all(racks, slices, &fetch).await {
        came += list.as_ref().map_or(0, |list| list.items.len() as u64);
        // There is a list for each rack, in their order.
        lists[at].1 = list;
    }
    let page = assemble(racks, query, lists)?;
    Ok(Page { short: came < planned, ..page })
}

/// The first rack that can have things above the cursor.
fn first_rack(racks: &[Arc<RackRoute>], query: &PageQuery) -> usize {
    let number = query.after.map_or(0, |after| after.rack_number());
    racks.partition_point(|rack| rack.number < number)
}

type Lists<T> = Vec<(usize, Result<Part<T>, HttpError>)>;

/// What the racks behind the first one add to the page, by their counts.
fn plan<T>(query: &PageQuery, first: usize, lists: &Lists<T>) -> Vec<(usize, Slice)> {
    let mut skip = query.offset;
    let mut room = query.limit;
    let mut slices = Vec::new();
    for (at, list) in lists.iter().skip(first) {
        let Ok(list) = list else { continue };
        if *at == first {
            room = room.saturating_sub(list.items.len() as u32);
        } else {
            let there = list.total.saturating_sub(skip).min(u64::from(room)) as u32;
            if there > 0 {
                slices.push((*at, Slice { after: query.after, offset: skip, limit: there }));
            }
            room -= there;
        }
        skip = skip.saturating_sub(list.total);
    }
    slices
}

async fn fetch_all<T, F, Fut>(
    racks: &[Arc<RackRoute>],
    slices: impl IntoIterator<Item = (usize, Slice)>,
    fetch: &F,
) -> Lists<T>
where
    T: Listed,
    F: Fn(Arc<RackRoute>, Slice) -> Fut,
    Fut: Future<Output = Result<Part<T>, HttpError>>,
{
    let calls = slices.into_iter().map(|(at, slice)| {
        let rack = racks[at].clone();
        async move { (at, whole(rack, slice, fetch).await) }
    });
    // Collected first: a lazy iterator of futures that borrow can't be proven `Send`.
    let calls: Vec<_> = calls.collect();
    stream::iter(calls).buffered(RACKS_AT_ONCE).collect().await
}

/// A rack's part, asked for again while it was cut for its size.
async fn whole<T, F, Fut>(
    rack: Arc<RackRoute>,
    mut slice: Slice,
    fetch: &F,
) -> Result<Part<T>, HttpError>
where
    T: Listed,
    F: Fn(Arc<RackRoute>, Slice) -> Fut,
    Fut: Future<Output = Result<Part<T>, HttpError>>,
{
    let mut part = fetch(rack.clone(), slice.clone()).await?;
    let limit = slice.limit as usize;
    while part.cut && part.items.len() < limit {
        let Some(last) = part.items.last() else { break };
        (slice.after, slice.offset) = (Some(last.id()), 0);
        slice.limit = (limit - part.items.len()) as u32;
        let next = fetch(rack.clone(), slice.clone()).await?;
        if next.items.is_empty() {
            break;
        }
        part.cut = next.cut;
        // Another member may have answered; what holds for the whole is what holds for each part.
        part.applied_index = part.applied_index.min(next.applied_index);
        part.items.extend(next.items);
    }
    Ok(part)
}

fn assemble<T>(
    racks: &[Arc<RackRoute>],
    query: &PageQuery,
    lists: Lists<T>,
) -> Result<Page<T>, HttpError> {
    let (items, applied, missing) = (Vec::new(), Vec::new(), Vec::new());
    let mut page = Page { items, total: 0, applied, missing, short: false };
    for (at, list) in lists {
        let rack = &racks[at];
        match list {
            Ok(list) => {
                page.total += list.total;
                page.applied.push((rack.clone(), list.applied_index));
                page.items.extend(list.items.into_iter().map(|item| (rack.clone(), item)));
            }
            Err(error) if query.partial && error.status.is_server_error() => {
                page.missing.push(rack.clone());
            }
            Err(error) => return Err(error),
        }
    }
    page.items.truncate(query.limit as usize);
    Ok(page)
}

/// The `Link` header's value: the pages beside this one.
pub(crate) fn links<T: Listed>(uri: &Uri, query: &PageQuery, page: &Page<T>) -> String {
    let (path, raw_query) = (uri.path(), uri.query());
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
        let last = page.items.last().map(|(_, item)| item.id()).or(query.after);
        if let Some(last) = last.filter(|_| page.short || page.items.len() as u64 >= limit) {
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

    use bookmesh_rpc::api::{Info, Kind, Status};

    use super::*;
    use crate::query::ListQuery;

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
    fn answer(number: u32, count: u64, cut_at: usize, ask: &Slice) -> Part<Thing> {
        let ids = (1..=count).map(|sequence| ThingId::new(number, sequence).unwrap());
        let wanted = ids.filter(|id| ask.after.is_none_or(|after| *id > after));
        let page: Vec<_> =
            wanted.skip(ask.offset as usize).take(ask.limit as usize).map(thing).collect();
        let cut = page.len() > cut_at;
        let things = page.into_iter().take(cut_at).collect();
        Part { items: things, total: count, cut, applied_index: 9 }
    }

    /// The ids of a page over racks 0, 1, 3 with 3, 0 and 4 things, as (rack, sequence).
    async fn ids(
        query: &str,
        broken: Option<u32>,
    ) -> Result<(Vec<(u32, u64)>, Page<Thing>), HttpError> {
        let uri: Uri = format!("/books?{query}").parse().unwrap();
        let query = ListQuery::of(&uri).unwrap().page;
        let racks = [rack(0), rack(1), rack(3)];
        let page = page(&racks, &query, |rack, ask| async move {
            if broken == Some(rack.number) {
                return Err(HttpError::unavailable(format!("rack {}", rack.id)));
            }
            let count = [3, 0, 0, 4][rack.number as usize];
            Ok(answer(rack.number, count, 2, &ask))
        })
        .await?;
        let ids = page.items.iter().map(|(_, t)| (t.id.rack_number(), t.id.sequence())).collect();
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
        let query = ListQuery::of(&"/books?limit=2".parse().unwrap()).unwrap().page;
        let limits = Mutex::new(Vec::new());
        let fetch = |rack: Arc<RackRoute>, ask: Slice| {
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
        let query = ListQuery::of(&format!("/books?{raw}").parse().unwrap()).unwrap().page;
        let asked = Mutex::new(0);
        let fetch = |rack: Arc<RackRoute>, ask: Slice| {
            let mut asked = asked.lock().unwrap();
            *asked += 1;
            // Rack 1 counts four, and has one when it is asked for them.
            let count = [0, if *asked > 3 { 1 } else { 4 }, 9][rack.number as usize];
            let list = answer(rack.number, count, 100, &ask);
            async move { Ok(list) }
        };
        let page = page(&[rack(0), rack(1), rack(2)], &query, fetch).await.unwrap();
        assert_eq!(page.items.len(), 1);
        let id = ThingId::new(1, 1).unwrap();
        let next = format!("</books?limit=4&after={id}>; rel=\"next\"");
        assert_eq!(links(&format!("/books?{raw}").parse().unwrap(), &query, &page), next);
    }

    #[tokio::test]
    async fn an_offset_deep_in_several_racks_lands_on_the_right_thing() {
        let racks: Vec<_> = (0..20).map(rack).collect();
        for offset in [0, 1_499, 1_500, 13_498, 28_499, 28_500] {
            let uri = format!("/books?limit=3&offset={offset}").parse().unwrap();
            let query = ListQuery::of(&uri).unwrap().page;
            let fetch = |rack: Arc<RackRoute>, ask: Slice| async move {
                Ok(answer(rack.number, u64::from(rack.number) * 150, 2, &ask))
            };
            let page = page(&racks, &query, fetch).await.unwrap();
            let all = (0..20).flat_map(|rack| (1..=u64::from(rack) * 150).map(move |n| (rack, n)));
            let expected: Vec<_> = all.skip(offset).take(3).collect();
            let ids = page.items.iter().map(|(_, t)| (t.id.rack_number(), t.id.sequence()));
            assert_eq!((ids.collect::<Vec<_>>(), page.total), (expected, 28_500), "{offset}");
        }
    }

    #[tokio::test]
    async fn links_keep_the_filters_and_name_the_neighbours() {
        let text = |query: &'static str| async move {
            let (_, page) = ids(query, None).await.unwrap();
            let uri = format!("/books?{query}").parse().unwrap();
            links(&uri, &ListQuery::of(&uri).unwrap().page, &page)
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
