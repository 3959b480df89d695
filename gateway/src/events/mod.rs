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
mod hub;
mod reader;
mod text;
mod vector;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, Response, header};
use bookmesh_rpc::api::{ApiError, RackId, Since};
use bytes::Bytes;
use futures::stream::SelectAll;
use futures::{Stream, StreamExt};

pub(crate) use self::hub::Hub;
use self::reader::Told;
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
    if let Some(rack) = &rack {
        app.rack(rack, &call.context).await?;
    }
    let mut position = Vector::default();
    // A browser that has seen no event sends an empty one.
    if let Some(text) = call.header(&LAST_EVENT_ID).filter(|text| !text.is_empty()) {
        position = Vector::parse(text).map_err(wrong_id)?;
        check(&app, &call, &position).await?;
        begin = Begin::Behind(position.clone());
    }
    let place = app.hub.clone().enter()?;
    let reading = Reading { position, begin, known: HashSet::new(), racks: SelectAll::new(), rack };
    let mut closing = app.closing.clone();
    // The sender never sends: a change is that it is gone.
    let closed = async move { drop(closing.changed().await) };
    let events = reading.run(app.clone()).map(move |text| {
        let _ = &place;
        Ok::<_, std::convert::Infallible>(text)
    });
    let mut response = Response::new(Body::from_stream(events.take_until(Box::pin(closed))));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // nginx would gather events until its buffer is full.
    let buffering = HeaderName::from_static("x-accel-buffering");
    headers.insert(buffering, HeaderValue::from_static("no"));
    Ok(response)
}

/// Refuses an id that is none of this mesh's: it names a rack that is not there, or a place that
/// its log has not come to.
async fn check(app: &App, call: &Call, seen: &Vector) -> Result<(), HttpError> {
    let known = app.directory().knowledge();
    for ((kind, number), position) in seen.places() {
        let Some(rack) = known.table.numbered(kind, number) else {
            if known.live {
                return Err(wrong_id(format!("there is no {kind} rack with number {number}")));
            }
            return Err(HttpError::unavailable("racks are not known: no orchestrator is in reach"));
        };
        let ends = hub::end(app, rack, &call.context).await?;
        if position.index > ends {
            return Err(wrong_id(format!("{} ends at entry {ends}", rack.id)));
        }
    }
    Ok(())
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
    racks: SelectAll<futures::stream::BoxStream<'static, Told>>,
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
