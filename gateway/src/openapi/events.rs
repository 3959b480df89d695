//! `/events`.

use serde_json::json;
use utoipa::openapi::ContentBuilder;

use super::operation::Route;
use super::{forms, parameters as take};
use crate::change_json::EventJson;

pub(crate) const TAG: &str = "events";
pub(crate) const ABOUT: &str = "Every committed change, as it happens.";

const EXAMPLE: &str = "\
id: b0:412.0
event: remove
data: {\"rack_id\":\"book-rack-001\",\"type\":\"book\",\"id\":\"1\",\"index\":412,\"part\":0,\
\"time\":\"2026-01-31T09:30:00.123Z\",\"action\":\"remove\",\"version\":2,\
\"request_id\":\"5f0c1d2e3a4b5c6d\",\"changes\":{}}

";

pub(crate) fn routes() -> Vec<Route> {
    let from = forms::words(["now", "beginning"]).default(Some(json!("now"))).build();
    let mut route = Route::get("/events", TAG, "streamEvents", "Follows all changes")
        .about(
            "Server-sent events, in each rack's order, until the client goes. `event` is the \
             action (`register`, `update`, `checkout`, `return`, `withdraw`, `remove`, `order`), \
             `data` has the shape of `Event`, and `id` says how far the reader is in every rack at \
             once: sent back as `Last-Event-ID`, which browsers do by themselves, it goes on \
             behind that event in all of them. A comment comes every 15 seconds.",
        )
        .takes([
            take::query("rack", forms::rack(), "Only this rack's."),
            take::query("from", from, "Where to begin, without `Last-Event-ID`."),
            take::last_event_id(),
        ]);
    // The stream is text; the shape of its parts is named all the same.
    let _ = route.named::<EventJson<'_>>();
    let content = ContentBuilder::new()
        .schema(Some(forms::string().build()))
        .example(Some(json!(EXAMPLE)))
        .build();
    let route = route
        .answers(200, "Events, without an end.", &[], Some(("text/event-stream", content)))
        .fails(
            400,
            "`ERR_VALIDATION`: a parameter that breaks a rule, or a `Last-Event-ID` that is none \
             of this mesh.",
        )
        .fails(404, "`ERR_RACK_NOT_FOUND`: there is no such rack; `GET /racks` lists them.")
        .fails_with_racks()
        .fails_always();
    vec![route]
}
