//! `/v1`: books and orders as plain resources, without an envelope. Its books are those of
//! `/books`: `title` is `info.name`, `price` is `info.price`.
//!
//! | module | job |
//! |---|---|
//! | [`books`], [`orders`] | the handlers |
//! | `book_json`, `order_json` | what a client gets |
//! | `parse` | what a client sent, checked |

pub(crate) mod book_json;
pub(crate) mod books;
pub(crate) mod order_json;
pub(crate) mod orders;
mod parse;

use axum::body::Body;
use axum::http::{Response, StatusCode};
use serde::Serialize;

use crate::answer::json;
use crate::listing::Page;

/// A page as a plain array; 206 when racks are missing from it.
fn array<'a, J: From<&'a T> + Serialize, T>(page: &'a Page<T>) -> Response<Body> {
    let whole = page.missing.is_empty();
    let status = if whole { StatusCode::OK } else { StatusCode::PARTIAL_CONTENT };
    let items: Vec<_> = page.items.iter().map(|(_, item)| J::from(item)).collect();
    json(status, &items)
}
