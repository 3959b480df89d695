//! HTTP over the mesh: routes, validation, rendering, errors.
//!
//! The way of one request, top to bottom:
//!
//! | module | job |
//! |---|---|
//! | [`serve`](mod@serve) | accepts connections, bounded in number and time; drains at the end |
//! | `edge` | around every answer of every role: limits by client, browsers, compression |
//! | `routes` | the table: path and method to handler |
//! | `endpoint` | around every handler: request id, log line, metrics, panics, error shape |
//! | `books`, `batch`, `racks`, `nodes`, `log` | the handlers |
//! | `history`, `events` | what changed: of one book, of all racks as it happens |
//! | `v1` | the same books, and orders, as plain resources |
//! | `retire`, `recovery`, `mesh_settings` | the operators' handlers |
//! | `call`, `query`, `body`, `etag`, `write_key` | what a client sent, checked |
//! | `one` | what reads of one thing share |
//! | `register`, `placement` | which rack takes a new book or order |
//! | `listing`, `lists` | one page over several racks, and the headers that go with it |
//! | `registry` | calls to the orchestrators' leader; racks are asked through `rpc::routing` |
//! | `recovery_plan` | what can be saved of a rack whose majority is gone, and what may be lost |
//! | `announcer` | tells the orchestrators that this gateway is there |
//! | `thing_json`, `log_json`, `change_json`, `answer` | what a client gets |
//! | `system`, `container` | what this process uses, and may use |
//! | `http_error` | every error's status, code and shape |
//! | `openapi` | the API's document, and the page at `/docs` |
//! | [`ops`], [`health`] | `/live`, `/ready`, `/health`, `/metrics` for every role |
//! | [`metrics`], [`gauges`] | what is counted, and what is asked for when `/metrics` is |
//!
//! Two routes beside those of the HTTP API are for whoever wants to check a rack's chain:
//!
//! - `GET /racks/{id}/log?from=0&limit=100`: a page of committed records in the envelope,
//!   `{"rack_id","committed_index","previous_hash","records":[…]}`, a record being
//!   `{"index","term","kind","hash","commands","batch":{"time","commands":[…]}}`. `commands` is the
//!   hex of the bytes that the chain covers: `hash = BLAKE3(hash before ‖ commands)` where `kind`
//!   is `commands`, and the hash before for other kinds. `limit` is 1 to 1,000.
//! - `GET /racks/{id}/log/tail?from=0`: the same records as they commit, one JSON object a line.
//!
//! Every write takes an `Idempotency-Key` (see `write_key`), and without one gets a key of this
//! gateway's own: it is sent again until a rack answers or patience ends, and applied once.
//!
//! Reads of books take `consistency=eventual`: any member answers, and `X-Applied-Index` says what
//! the answer shows, `412` for one book and `book-rack-001=412, book-rack-002=17` for a list. With
//! `max_lag_ms=N` only a member answers that is at most so many milliseconds behind its rack, or
//! its leader, which confirms itself; 503 when there is none.
//!
//! Only this crate names axum: other crates hold its [`Router`] without looking inside.

mod announcer;
mod answer;
mod app;
mod batch;
mod body;
mod books;
mod call;
mod change_json;
mod container;
mod edge;
mod endpoint;
mod etag;
mod events;
mod gateway;
pub mod gauges;
pub mod health;
mod history;
mod http_error;
mod json_text;
mod listing;
mod lists;
mod log;
mod log_json;
mod mesh_health;
mod mesh_settings;
pub mod metrics;
mod nodes;
mod one;
mod openapi;
pub mod ops;
mod placement;
mod price;
mod query;
mod racks;
mod recovery;
mod recovery_plan;
mod register;
mod registry;
mod retire;
mod routes;
pub mod serve;
mod system;
mod thing_json;
mod thing_parse;
mod v1;
mod write_key;

pub use axum::Router;
pub use edge::{EdgeConfig, Origins, RateLimit, TrustedProxies};
pub use gateway::{Gateway, GatewayConfig, MAX_PAYLOAD_LIMIT_BYTES};
pub use gauges::{GaugeSource, Gauges};
pub use health::{BreakerHealth, Health, HealthSource, RackHealth, Wellness};
pub use ops::ops_router;
pub use serve::{ServeConfig, serve};
