//! Calls that a fake rack answers the same every time: a history of one change, and one order.

use std::sync::Arc;

use bookmesh_rpc::api::{
    Action, Cents, Change, HistoryPage, Order, OrderList, OrderRead, OrderTerms, Position, Reply,
    Request, RequestId, ThingId,
};

/// The answer of the rack with this number; `None` to any other call.
pub(crate) fn answer(number: u32, request: &Request) -> Option<Reply> {
    let applied_index = 1;
    match request {
        Request::ReadHistory(read) => {
            let change = Change {
                at: Position { index: 1, part: 0 },
                time_ms: 1_000,
                request_id: RequestId::generate(),
                action: Action::Forget { ids: vec![read.id], if_version: None },
                id: read.id,
                version: 1,
            };
            Some(Reply::ReadHistory(HistoryPage { changes: vec![change], total: 1, applied_index }))
        }
        Request::PlaceOrder(_) => Some(Reply::PlaceOrder(order(number))),
        Request::GetOrder(_) => {
            Some(Reply::GetOrder(OrderRead { order: order(number), applied_index }))
        }
        Request::ListOrders(_) => Some(Reply::ListOrders(OrderList {
            orders: vec![order(number)],
            total: 1,
            cut: false,
            applied_index,
        })),
        _ => None,
    }
}

fn order(number: u32) -> Arc<Order> {
    let terms = OrderTerms {
        book: ThingId::new(0, 1).unwrap(),
        title: "Title".into(),
        author: "Author".into(),
        quantity: 2,
        unit_price: Cents::new(1_299),
    };
    Arc::new(Order { id: ThingId::new(number, 1).unwrap(), terms, created_at_ms: 1_000 })
}
