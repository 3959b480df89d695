//! Orders: read from the rack's view.

use bookmesh_rpc::api::{ApiError, GetOrder, ListOrders, OrderList, OrderRead};

use super::rack::Rack;

/// The most orders of one page.
const MAX_PAGE: u32 = 1_000;

impl Rack {
    /// One order.
    ///
    /// # Errors
    /// No such order; for a linearizable read not the leader, unavailable; for an eventual one too
    /// far behind, or nothing to read yet.
    pub async fn order(&self, request: GetOrder) -> Result<OrderRead, ApiError> {
        let GetOrder { id, consistency, .. } = request;
        let group = self.fresh(consistency).await?;
        self.holds(id)?;
        group.read(|shown| {
            let order = shown.view.order(id).cloned().ok_or(ApiError::ThingNotFound { id })?;
            Ok(OrderRead { order, applied_index: shown.applied.map_or(0, |id| id.index) })
        })
    }

    /// One page of orders.
    ///
    /// # Errors
    /// As [`Rack::order`].
    pub async fn list_orders(&self, mut request: ListOrders) -> Result<OrderList, ApiError> {
        request.limit = request.limit.min(MAX_PAGE);
        let group = self.fresh(request.consistency).await?;
        Ok(group.read(|shown| {
            let mut list = shown.view.list_orders(&request);
            list.applied_index = shown.applied.map_or(0, |id| id.index);
            list
        }))
    }
}
