//! `/racks/{id}/log` and `/racks/{id}/log/tail`: a rack's committed log, for whoever wants to
//! check its chain or watch it grow.

use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::http::{HeaderValue, Response, header};
use bookmesh_rpc::api::{LogRecord, RackId, RackRoute, ReadLog, TailLog};
use bookmesh_rpc::mesh::Items;
use bytes::Bytes;
use futures::StreamExt;

use crate::answer::{json_bytes, success};
use crate::app::App;
use crate::body::MAX_WHOLE;
use crate::books::invalid;
use crate::call::Call;
use crate::endpoint::Answer;
use crate::http_error::HttpError;
use crate::log_json;
use crate::query::Params;
use bookmesh_rpc::routing::leader::{How, Size};

/// Records on one page, unless the client says otherwise, and at most.
const DEFAULT_LIMIT: u64 = 100;
const MAX_LIMIT: u64 = 1_000;

/// `GET /racks/{id}/log?from=0&limit=100`: a page of committed records in the envelope,
/// `{"rack_id","committed_index","previous_hash","records":[{"index","term","kind","hash",
/// "commands","batch":{"time","commands":[{"request_id","action","detail"}]}}]}`.
///
/// `commands` is the hex of the bytes that the chain covers: for a record of kind `commands`,
/// `hash = BLAKE3(the hash before it ‖ those bytes)`; other kinds pass the hash on and have no
/// `batch`. `previous_hash` is the chain before the first record. A page ends early when it is as
/// large as an answer may be; it is empty when `from` is not committed yet.
pub(crate) async fn read(app: Arc<App>, mut call: Call) -> Answer {
    let mut params = Params::of(call.uri()).map_err(invalid)?;
    let from = params.number("from", 0..=MAX_WHOLE).unwrap_or(0);
    let limit = params.number("limit", 1..=MAX_LIMIT).unwrap_or(DEFAULT_LIMIT) as u32;
    params.finish("from, limit").map_err(invalid)?;
    let rack = rack(&app, &mut call).await?;
    let request = ReadLog { rack: rack.id.clone(), from, limit };
    let page = app.ask(&rack, &call.context, How::leader(Size::Large), request).await?;
    Ok(success(log_json::page(&rack.id, &page)))
}

/// `GET /racks/{id}/log/tail?from=0`: the same records as they commit, one JSON object a line
/// (`application/x-ndjson`), until the client goes. It ends when the member that feeds it or
/// the gateway does; ask again from the index after the last one that came.
pub(crate) async fn tail(app: Arc<App>, mut call: Call) -> Answer {
    let mut params = Params::of(call.uri()).map_err(invalid)?;
    let from = params.number("from", 0..=MAX_WHOLE).unwrap_or(0);
    params.finish("from").map_err(invalid)?;
    let rack = rack(&app, &mut call).await?;
    let request = TailLog { rack: rack.id.clone(), from };
    let items = app.routing.open(&rack, &call.context, How::leader(Size::Small), &request).await;
    let items = items.map_err(|failure| HttpError::of_rack(&rack.id, failure, rack.kind))?;
    let mut closing = app.closing.clone();
    // The sender never sends: a change is that it is gone.
    let closed = async move { drop(closing.changed().await) };
    let body = Body::from_stream(lines(items).take_until(Box::pin(closed)));
    let mut response = Response::new(body);
    let ndjson = HeaderValue::from_static("application/x-ndjson");
    response.headers_mut().insert(header::CONTENT_TYPE, ndjson);
    Ok(response)
}

async fn rack(app: &App, call: &mut Call) -> Result<Arc<RackRoute>, HttpError> {
    let id: RackId = call.path_text().await?.parse().map_err(invalid)?;
    app.rack(&id, &call.context).await
}

/// One line for each record. An error ends the body short, so that a client can tell it from the
/// end.
fn lines(
    items: Items<LogRecord>,
) -> impl futures::Stream<Item = Result<Bytes, bookmesh_rpc::mesh::CallError>> {
    let started = Instant::now();
    futures::stream::unfold(items, move |mut items| async move {
        let line = items.next().await?.map(|record| {
            let mut line = json_bytes(&log_json::record(&record));
            line.push(b'\n');
            Bytes::from(line)
        });
        if let Err(error) = &line {
            let after_s = started.elapsed().as_secs();
            tracing::debug!(%error, after_s, "a log tail ended");
        }
        Some((line, items))
    })
}
