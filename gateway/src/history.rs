//! `/books/{id}/history`.

use std::sync::Arc;

use axum::http::{Uri, header};
use bookmesh_rpc::api::{Consistency, HistoryPage, Kind, MAX_HISTORY, ReadHistory};
use bookmesh_rpc::routing::leader::{How, Size};

use crate::answer::{set, success};
use crate::app::App;
use crate::books::invalid;
use crate::call::Call;
use crate::change_json::ChangeJson;
use crate::endpoint::Answer;
use crate::lists::{X_APPLIED_INDEX, X_TOTAL_COUNT};
use crate::query::Params;

/// Changes on one page, unless the client says otherwise.
const DEFAULT_LIMIT: u64 = 100;

/// `GET /books/{id}/history?after=0&limit=100`: what changed the book, oldest first, its removal
/// included. `after` is the version that the last page ended with.
pub(crate) async fn list(app: Arc<App>, mut call: Call) -> Answer {
    let mut params = Params::of(call.uri()).map_err(invalid)?;
    let after = params.number("after", 0..=(1 << 53) - 1).unwrap_or(0);
    let limit = params.number("limit", 1..=u64::from(MAX_HISTORY)).unwrap_or(DEFAULT_LIMIT);
    let consistency = params.consistency();
    params.finish("after, limit, consistency, max_lag_ms").map_err(invalid)?;
    let id = call.path_thing_id().await?;
    let rack = app.rack_of(Kind::Book, id)?;
    let request =
        ReadHistory { rack: rack.id.clone(), id, after, limit: limit as u32, consistency };
    let how = How::read(consistency, Size::Large);
    let page = app.ask(&rack, &call.context, how, request).await?;
    let mut response = success(page.changes.iter().map(ChangeJson::from).collect::<Vec<_>>());
    set(&mut response, X_TOTAL_COUNT, &page.total.to_string());
    set(&mut response, header::LINK, &next(call.uri(), limit, &page));
    if consistency != Consistency::Linearizable {
        set(&mut response, X_APPLIED_INDEX, &page.applied_index.to_string());
    }
    Ok(response)
}

/// The `Link` to what follows, if there is more.
fn next(uri: &Uri, limit: u64, page: &HistoryPage) -> String {
    let last = page.changes.last().map(|change| change.version);
    match last.filter(|version| *version < page.total) {
        Some(version) => {
            let kept = uri.query().unwrap_or_default().split('&').filter(|pair| {
                let name = pair.split('=').next().unwrap_or_default();
                ["consistency", "max_lag_ms"].contains(&name)
            });
            let after = [format!("limit={limit}"), format!("after={version}")];
            let all: Vec<_> = kept.map(str::to_owned).chain(after).collect();
            format!("<{}?{}>; rel=\"next\"", uri.path(), all.join("&"))
        }
        None => String::new(),
    }
}
