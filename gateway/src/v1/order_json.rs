//! An order as `/v1` shows it.

use bookmesh_rpc::api::{Cents, Order};
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::openapi::forms;
use crate::thing_json::{Text, time};

/// An order. Its prices are numbers with two decimals.
#[derive(Serialize, ToSchema)]
#[schema(as = Order)]
pub(crate) struct OrderJson<'a> {
    #[schema(schema_with = forms::number_id)]
    id: u64,
    #[schema(schema_with = forms::number_id)]
    book_id: u64,
    #[schema(schema_with = forms::name)]
    book_title: &'a str,
    #[schema(schema_with = forms::author)]
    book_author: &'a str,
    #[schema(schema_with = forms::quantity)]
    quantity: u32,
    #[schema(schema_with = forms::amount)]
    unit_price: Decimal,
    #[schema(schema_with = forms::amount)]
    total_price: Decimal,
    #[schema(schema_with = forms::time)]
    created_at: Text<humantime::Rfc3339Timestamp>,
}

impl<'a> From<&'a Order> for OrderJson<'a> {
    fn from(order: &'a Order) -> Self {
        let terms = &order.terms;
        Self {
            id: order.id.get(),
            book_id: terms.book.get(),
            book_title: &terms.title,
            book_author: &terms.author,
            quantity: terms.quantity,
            unit_price: Decimal(terms.unit_price),
            total_price: Decimal(terms.unit_price.times(terms.quantity)),
            created_at: Text(time(order.created_at_ms)),
        }
    }
}

/// An amount as a JSON number, digit for digit: 12.90 and not 12.9, and never through a float.
struct Decimal(Cents);

impl Serialize for Decimal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let digits = RawValue::from_string(self.0.to_string());
        digits.map_err(serde::ser::Error::custom)?.serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bookmesh_rpc::api::{OrderTerms, ThingId};

    use super::*;

    #[test]
    fn an_order_has_the_shape_of_the_design_and_its_prices_to_the_cent() {
        let terms = OrderTerms {
            book: ThingId::new(0, 1).unwrap(),
            title: "The Great Gatsby".into(),
            author: "F. Scott Fitzgerald".into(),
            quantity: 2,
            unit_price: Cents::new(1290),
        };
        let order =
            Arc::new(Order { id: ThingId::new(0, 7).unwrap(), terms, created_at_ms: 1_000 });
        let text = String::from_utf8(crate::answer::json_bytes(&OrderJson::from(&*order))).unwrap();
        let expected = "{\"id\":7,\"book_id\":1,\"book_title\":\"The Great Gatsby\",\
            \"book_author\":\"F. Scott Fitzgerald\",\"quantity\":2,\"unit_price\":12.90,\
            \"total_price\":25.80,\"created_at\":\"1970-01-01T00:00:01.000Z\"}";
        assert_eq!(text, expected);
    }
}
