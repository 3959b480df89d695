//! A book as `/v1` shows it.

use bookmesh_rpc::api::{Cents, Thing};
use serde::Serialize;
use utoipa::ToSchema;

use crate::openapi::forms;
use crate::thing_json::{Text, time};

/// The key of `info` that holds a price.
pub(super) const PRICE: &str = "price";

/// A book. Its price is a string, since a float has no cents; null when it has none.
#[derive(Serialize, ToSchema)]
#[schema(as = Book)]
pub(crate) struct BookJson<'a> {
    #[schema(schema_with = forms::number_id)]
    id: u64,
    #[schema(schema_with = forms::name)]
    title: &'a str,
    #[schema(schema_with = forms::author)]
    author: &'a str,
    #[schema(schema_with = forms::price, required = true)]
    price: Option<Text<Cents>>,
    active: bool,
    #[schema(schema_with = forms::time)]
    created_at: Text<humantime::Rfc3339Timestamp>,
    #[schema(schema_with = forms::time)]
    updated_at: Text<humantime::Rfc3339Timestamp>,
}

impl<'a> From<&'a Thing> for BookJson<'a> {
    fn from(thing: &'a Thing) -> Self {
        let info = &thing.info;
        Self {
            id: thing.id.get(),
            title: &info.name,
            author: &info.author,
            price: info.extra.get(PRICE).and_then(Cents::of_json).map(Text),
            active: thing.active,
            created_at: Text(time(info.created_at_ms)),
            updated_at: Text(time(info.updated_at_ms)),
        }
    }
}
