//! `DELETE /racks/{id}`: a rack goes out of use for good.

use std::sync::Arc;

use bookmesh_rpc::api::{RackId, RackInfo, RetireRack};
use serde::Serialize;
use utoipa::ToSchema;

use crate::answer::success;
use crate::app::App;
use crate::books::invalid;
use crate::call::Call;
use crate::endpoint::Answer;
use crate::openapi::forms;
use crate::query::Params;
use crate::registry;

/// `DELETE /racks/{id}?force=true`. Doing it again changes nothing and answers the same.
pub(crate) async fn retire(app: Arc<App>, mut call: Call) -> Answer {
    let mut params = Params::of(call.uri()).map_err(invalid)?;
    let force = params.flag("force");
    params.finish("force").map_err(invalid)?;
    let rack: RackId = call.path_text().await?.parse().map_err(invalid)?;
    let retired = registry::ask(&app.orks, &call.context, RetireRack { rack, force }).await?;
    Ok(success(RetiredJson::of(&retired)))
}

/// A rack as the registry has it.
#[derive(Serialize, ToSchema)]
#[schema(as = RetiredRack)]
pub(crate) struct RetiredJson<'a> {
    #[schema(schema_with = forms::rack)]
    id: &'a RackId,
    #[schema(schema_with = forms::rack_number)]
    number: u32,
    #[serde(rename = "type")]
    #[schema(schema_with = forms::rack_kind)]
    kind: &'static str,
    retired: bool,
}

impl<'a> RetiredJson<'a> {
    fn of(info: &'a RackInfo) -> Self {
        let RackInfo { id, number, kind, retired, .. } = info;
        Self { id, number: *number, kind: kind.name(), retired: *retired }
    }
}
