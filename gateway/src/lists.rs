//! What the lists of all surfaces share: the racks that they cover, and the headers that go with a
//! page.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderName, Response, Uri, header};
use bookmesh_rpc::api::{Consistency, Kind, ListThings, RackRoute, Thing};
use bookmesh_rpc::routing::leader::{How, Size};

use crate::answer::set;
use crate::app::App;
use crate::call::Call;
use crate::http_error::HttpError;
use crate::listing::{self, Listed, Page, Slice};
use crate::query::{ListQuery, PageQuery};

/// What matches in all racks.
pub(crate) const X_TOTAL_COUNT: HeaderName = HeaderName::from_static("x-total-count");
/// The log index that an answer shows: a number, or `rack=number` for each rack of a list.
pub(crate) const X_APPLIED_INDEX: HeaderName = HeaderName::from_static("x-applied-index");
/// The racks that a partial list lacks.
const X_MISSING_RACKS: HeaderName = HeaderName::from_static("x-missing-racks");

/// A page of books.
///
/// # Errors
/// The first rack's that does not answer, unless the query takes a partial page.
pub(crate) async fn books(
    app: &App,
    call: &Call,
    query: &ListQuery,
) -> Result<Page<Thing>, HttpError> {
    let racks = match &query.rack {
        Some(id) => vec![app.rack_for(id, Kind::Book, &call.context).await?],
        None => racks(app, Kind::Book)?,
    };
    let how = How::read(query.page.consistency, Size::Large);
    listing::page(&racks, &query.page, |rack: Arc<RackRoute>, slice: Slice| async move {
        let Slice { after, offset, limit } = slice;
        let (filter, consistency) = (query.filter.clone(), query.page.consistency);
        let part = ListThings { rack: rack.id.clone(), filter, after, offset, limit, consistency };
        app.ask(&rack, &call.context, how, part).await.map(Into::into)
    })
    .await
}

/// All racks of a kind that are founded.
///
/// # Errors
/// 503 while nothing is known of any rack.
pub(crate) fn racks(app: &App, kind: Kind) -> Result<Vec<Arc<RackRoute>>, HttpError> {
    let known = app.directory().knowledge();
    if !known.live && known.table.all().is_empty() {
        return Err(HttpError::unavailable("no orchestrator is in reach, and no rack is known"));
    }
    // Nothing was acknowledged in a rack whose founding is not confirmed.
    let founded = known.table.of_kind(kind).filter(|rack| rack.confirmed);
    Ok(founded.cloned().collect())
}

/// Sets the headers of a page: what there is in all, the pages beside it, what it lacks, and, for
/// an eventual read, what it shows.
pub(crate) fn set_page<T: Listed>(
    response: &mut Response<Body>,
    uri: &Uri,
    query: &PageQuery,
    page: &Page<T>,
) {
    set(response, X_TOTAL_COUNT, &page.total.to_string());
    set(response, header::LINK, &listing::links(uri, query, page));
    set(response, X_MISSING_RACKS, &names(&page.missing));
    if query.consistency != Consistency::Linearizable {
        let applied = page.applied.iter().map(|(rack, index)| format!("{}={index}", rack.id));
        set(response, X_APPLIED_INDEX, &applied.collect::<Vec<_>>().join(", "));
    }
}

/// The names of racks, for a header or a message.
pub(crate) fn names(racks: &[Arc<RackRoute>]) -> String {
    racks.iter().map(|rack| rack.id.as_str()).collect::<Vec<_>>().join(", ")
}
