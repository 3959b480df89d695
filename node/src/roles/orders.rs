//! Orders: placed through the rack's log once the book's rack has said what the book is, and read
//! from the rack's view.

use std::sync::Arc;

use bookmesh_rpc::api::{
    Action, ApiError, Applied, Cents, Command, GetOrder, Kind, ListOrders, ORDER_QUANTITY, Order,
    OrderList, OrderRead, OrderTerms, PlaceOrder, Thing,
};
use bookmesh_rpc::mesh::Context;

use super::rack::Rack;
use super::things::{has_room_for, unexpected};

/// Where a book has its price.
const PRICE: &str = "price";
/// The most orders of one page.
const MAX_PAGE: u32 = 1_000;

impl Rack {
    /// Orders a book at the price it has now.
    ///
    /// One that was placed before under its key is answered as it was, whatever became of the book
    /// since, and of its rack. Two at once under one key may both ask for the book; the log takes
    /// the first.
    ///
    /// # Errors
    /// Invalid, no such book, one without a price, the books' rack is not to be reached; the key's
    /// own first error; not the leader, unavailable.
    pub async fn place_order(
        &self,
        context: &Context,
        request: PlaceOrder,
    ) -> Result<Arc<Order>, ApiError> {
        let PlaceOrder { key, book, quantity, .. } = request;
        if !ORDER_QUANTITY.contains(&quantity) {
            let (least, most) = (ORDER_QUANTITY.start(), ORDER_QUANTITY.end());
            let rule = format!("must be {least} to {most}, is {quantity}");
            return Err(ApiError::invalid("quantity", rule));
        }
        let Some(books) = self.place.books.as_ref().filter(|_| self.place.kind == Kind::Order)
        else {
            return Err(ApiError::invalid("rack_id", format!("holds {}s", self.place.kind)));
        };
        self.writable()?;
        self.group()?.confirm().await?;
        let group = self.confirmed()?;
        if let Some(first) = group.read(|shown| shown.view.first_answer(&key)) {
            return self.order_of(first?);
        }
        has_room_for(&group, &key)?;
        let terms = terms(&*books.read(book, context).await?, quantity)?;
        let action = Action::PlaceOrder { terms };
        let request_id = context.request_id.clone();
        self.order_of(group.propose(Command { key: Some(key), request_id, action }).await?)
    }

    fn order_of(&self, applied: Applied) -> Result<Arc<Order>, ApiError> {
        match applied {
            Applied::Order(order) => Ok(order),
            // Its key was settled: a later attempt is in another rack's hands.
            Applied::Done => Err(self.unavailable("another rack takes the order with this key")),
            other => Err(unexpected(&other)),
        }
    }

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

/// What is kept of the book: what it is now.
fn terms(book: &Thing, quantity: u32) -> Result<OrderTerms, ApiError> {
    let price = book.info.extra.get(PRICE).and_then(Cents::of_json);
    Ok(OrderTerms {
        book: book.id,
        title: book.info.name.clone(),
        author: book.info.author.clone(),
        quantity,
        unit_price: price.ok_or(ApiError::NotForSale { id: book.id })?,
    })
}
