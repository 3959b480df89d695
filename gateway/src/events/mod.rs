//! `/events`: every committed change of every rack as server-sent events, in each rack's order.
//!
//! A reader pulls: what it does not take stays in the racks' logs, and nothing is buffered for it.
//! One watch a rack feeds all readers of this gateway; each keeps its own place.
//!
//! | module | job |
//! |---|---|
//! | `vector` | an event's id: how far a reader is in every rack |
//! | `feed` | one rack's latest changes, shared by all readers |
//! | `reader` | one reader: where it is in one rack, and what comes next there |
//! | `hub` | the feeds of this gateway, and how many readers they may have |
//! | `text` | the lines of an event |

mod feed;
pub(crate) mod hub;
mod reader;
mod text;
mod vector;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, Response, header};
use bookmesh_rpc::api::{ApiError, Consistency, Filter, ListThings, RackId, RackRoute, Since};
use bookmesh_rpc::mesh::Context;
use bookmesh_rpc::routing::leader::{How, Size};
use bytes::Bytes;
use futures::stream::SelectAll;
use futures::{Stream, StreamExt};

use self::feed::Feed;
use self::reader::{Over, Told};
use self::vector::Vector;
use crate::app::App;
use crate::books::invalid;
use crate::call::Call;
use crate::endpoint::Answer;
use crate::http_error::HttpError;
use crate::query::Params;

/// What a browser sends of its own when it comes back.
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// So often something is sent, so that neither end takes the other for gone. Proxies commonly give
/// up after a minute.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// How long an answer waits for racks to tell where they are.
const BEGIN: Duration = Duration::from_secs(1);

/// `GET /events?rack=book-rack-001&from=now`: changes as they are committed, until the client goes.
/// It begins with what comes next, with `from=beginning` with all there ever was, and with
/// `Last-Event-ID` behind the event with that id.
pub(crate) async fn stream(app: Arc<App>, call: Call) -> Answer {
    let mut params = Params::of(call.uri()).map_err(invalid)?;
    let rack: Option<RackId> = params.parsed("rack");
    let mut begin = match params.one("from").as_deref() {
        None | Some("now") => Begin::Now,
        Some("beginning") => Begin::Beginning,
        Some(_) => {
            params.fault("from", "must be now or beginning");
            Begin::Now
        }
    };
    params.finish("rack, from").map_err(invalid)?;
    if !app.directory().knowledge().told {
        // Whatever came to be known later would be taken for new.
        let message = "which racks there are is not known: no orchestrator is in reach";
        return Err(HttpError::unavailable(message));
    }
    if let Some(rack) = &rack {
        app.rack(rack, &call.context).await?;
    }
    let mut position = Vector::default();
    // A browser that has seen no event sends an empty one.
    let last_id = call.header_values(&LAST_EVENT_ID).next().filter(|id| !id.is_empty());
    if let Some(id) = last_id {
        let text = id.to_str().map_err(|_| wrong_id("it was not made here".to_owned()))?;
        position = Vector::parse(text).map_err(wrong_id)?;
        check(&app, &call, &mut position, rack.as_ref()).await?;
        begin = Begin::Behind(position.clone());
    }
    let place = app.hub.clone().enter()?;
    // They are held until the readers hold them.
    let feeds = match begin {
        Begin::Now => begun(&app, rack.as_ref()).await,
        Begin::Beginning | Begin::Behind(_) => Vec::new(),
    };
    let reading = Reading { position, begin, known: HashSet::new(), racks: SelectAll::new(), rack };
    let mut closing = app.closing.clone();
    // The sender never sends: a change is that it is gone.
    let closed = async move { drop(closing.changed().await) };
    let events = reading.run(app.clone()).map(move |text| {
        let _ = &place;
        Ok::<_, std::convert::Infallible>(text)
    });
    drop(feeds);
    let mut response = Response::new(Body::from_stream(events.take_until(Box::pin(closed))));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // nginx would gather events until its buffer is full.
    let buffering = HeaderName::from_static("x-accel-buffering");
    headers.insert(buffering, HeaderValue::from_static("no"));
    Ok(response)
}

/// Refuses an id that is none of this mesh's: it names a place that a rack's log has not come to.
/// Racks that are gone are taken out of it, and one that does not answer now says so later.
async fn check(
    app: &App,
    call: &Call,
    seen: &mut Vector,
    wanted: Option<&RackId>,
) -> Result<(), HttpError> {
    let table = app.directory().table();
    seen.retain(|(kind, number)| table.numbered(kind, number).is_some());
    let racks = seen.places().filter_map(|((kind, number), position)| {
        let rack = table.numbered(kind, number)?;
        wanted.is_none_or(|id| *id == rack.id).then(|| (rack.clone(), position))
    });
    let ends = racks.map(|(rack, position)| async move {
        let end = end(app, &rack, &call.context).await;
        (rack, position, end)
    });
    // Collected first: a lazy iterator of futures that borrow can't be proven `Send`.
    let ends: Vec<_> = ends.collect();
    for (rack, position, end) in futures::future::join_all(ends).await {
        match end {
            Ok(end) if position.index > end => {
                return Err(wrong_id(format!("{} ends at entry {end}", rack.id)));
            }
            Err(error) if error.status.is_client_error() => return Err(error),
            Ok(_) | Err(_) => {}
        }
    }
    Ok(())
}

/// The last entry of a rack's log that its leader has applied.
///
/// # Errors
/// When the rack does not answer.
async fn end(app: &App, rack: &Arc<RackRoute>, context: &Context) -> Result<u64, HttpError> {
    let count = ListThings {
        rack: rack.id.clone(),
        filter: Filter::default(),
        after: None,
        offset: 0,
        limit: 0,
        consistency: Consistency::Linearizable,
    };
    let list = app.ask(rack, context, How::leader(Size::Small), count).await?;
    Ok(list.applied_index)
}

/// Waits until the racks that are there have told where they are, so that nothing that comes after
/// the answer's head is missed; a little only, since one of them may be down.
async fn begun(app: &App, rack: Option<&RackId>) -> Vec<Arc<Feed>> {
    let table = app.directory().table();
    let wanted = table.all().iter().filter(|route| route.confirmed);
    let wanted = wanted.filter(|route| rack.is_none_or(|id| *id == route.id));
    let feeds: Vec<_> = wanted.map(|route| app.hub.feed(route)).collect();
    let ready = feeds.iter().map(|feed| {
        let mut grown = feed.grown();
        async move { while feed.end().is_none() && grown.changed().await.is_ok() {} }
    });
    // Running out of time is no fault: the stream says so by its ids.
    let _ = tokio::time::timeout(BEGIN, futures::future::join_all(ready)).await;
    feeds
}

fn wrong_id(why: String) -> HttpError {
    let advice = "read what there is, then follow without Last-Event-ID";
    invalid(ApiError::invalid("Last-Event-ID", format!("is none of this mesh: {why}; {advice}")))
}

/// Where a reader begins.
enum Begin {
    /// With what comes next.
    Now,
    /// With all there ever was.
    Beginning,
    /// Behind the event with this id.
    Behind(Vector),
}

/// One client's stream.
struct Reading {
    rack: Option<RackId>,
    begin: Begin,
    position: Vector,
    /// Racks that are read.
    known: HashSet<RackId>,
    racks: SelectAll<futures::stream::BoxStream<'static, Result<Told, Over>>>,
}

impl Reading {
    /// The text of the stream.
    fn run(mut self, app: Arc<App>) -> impl Stream<Item = Bytes> + Send {
        let mut routes = app.directory().changes();
        // What is there is not news.
        routes.mark_unchanged();
        self.add(&app, true);
        let mut beats = tokio::time::interval(HEARTBEAT);
        beats.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let state = (self, app, routes, beats);
        futures::stream::unfold(state, |(mut reading, app, mut routes, mut beats)| async move {
            loop {
                tokio::select! {
                    biased;
                    changed = routes.changed() => {
                        if changed.is_err() {
                            return None;
                        }
                        reading.add(&app, false);
                    }
                    Some(told) = reading.racks.next() => {
                        // The client comes back, and learns that its place is none any more.
                        let told = told.ok()?;
                        if let Some(text) = reading.tell(told) {
                            return Some((text, (reading, app, routes, beats)));
                        }
                    }
                    _ = beats.tick() => {
                        let text = text::heartbeat(&reading.position);
                        return Some((text, (reading, app, routes, beats)));
                    }
                }
            }
        })
    }

    /// Reads racks that were not there before. What they have is all new to the client, unless it
    /// has just come and asked for what comes next.
    fn add(&mut self, app: &Arc<App>, first: bool) {
        let table = app.directory().table();
        for rack in table.all().iter().filter(|rack| rack.confirmed) {
            let wanted = self.rack.as_ref().is_none_or(|id| *id == rack.id);
            if wanted && self.known.insert(rack.id.clone()) {
                let place = (rack.kind, rack.number);
                let from = match &self.begin {
                    Begin::Behind(seen) => seen.since(place),
                    Begin::Now if first => Since::Now,
                    Begin::Now | Begin::Beginning => Since::Beginning,
                };
                if from == Since::Now {
                    self.position.begin(place);
                }
                self.racks.push(reader::read(app.hub.clone(), rack.clone(), from).boxed());
            }
        }
    }

    /// The text of what a rack told; `None` when it says nothing to the client.
    fn tell(&mut self, told: Told) -> Option<Bytes> {
        let place = (told.rack.kind, told.rack.number);
        let text = text::events(&mut self.position, place, &told);
        (!text.is_empty()).then_some(text)
    }
}
