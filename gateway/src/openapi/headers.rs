//! The headers of answers, each described once.

use serde_json::json;
use utoipa::openapi::header::{Header, HeaderBuilder};
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::Ref;
use utoipa::openapi::{Object, RefOr, Required};

use super::forms;

pub(crate) const REQUEST_ID: &str = "X-Request-Id";
pub(crate) const RETRY_AFTER: &str = "Retry-After";
pub(crate) const ETAG: &str = "ETag";
pub(crate) const LOCATION: &str = "Location";
pub(crate) const TOTAL_COUNT: &str = "X-Total-Count";
pub(crate) const LINK: &str = "Link";
pub(crate) const APPLIED_INDEX: &str = "X-Applied-Index";
pub(crate) const MISSING_RACKS: &str = "X-Missing-Racks";

/// Name, value and meaning of every header; all but the first stand in some answers only.
pub(crate) fn all() -> Vec<(&'static str, Header)> {
    let described = |value: Object, about: &str| {
        HeaderBuilder::new().schema(Some(value)).description(Some(about)).build()
    };
    let text = || forms::string().build();
    vec![
        (
            REQUEST_ID,
            described(
                request_id(),
                "Names this request in the logs of every node that took part: the client's own \
                 when it sent one, else a new one.",
            ),
        ),
        (
            RETRY_AFTER,
            described(
                forms::integer(1, 86_400).examples([json!(2)]).build(),
                "Seconds after which asking again is worth while.",
            ),
        ),
        (
            ETAG,
            described(
                forms::string()
                    .pattern(Some("^\"[0-9]+(-gzip)?\"$"))
                    .examples([json!("\"1\"")])
                    .build(),
                "The version, in quotes, and `-gzip` when the answer is compressed: either is for \
                 `If-Match` and `If-None-Match`.",
            ),
        ),
        (LOCATION, described(text(), "The path of what was made.")),
        (
            TOTAL_COUNT,
            described(
                forms::integer(0, forms::MAX_ID).build(),
                "How many match in all, on whatever page.",
            ),
        ),
        (
            LINK,
            described(
                text(),
                "The pages beside this one, `rel=\"next\"` and `rel=\"prev\"` (RFC 8288), with \
                 the same filters; absent when there is none.",
            ),
        ),
        (
            APPLIED_INDEX,
            described(
                text(),
                "What an eventual read shows: the rack's log index for one thing, \
                 `rack=index, rack=index` for a list. Absent on linearizable reads.",
            ),
        ),
        (MISSING_RACKS, described(text(), "The racks that a partial list lacks, by name.")),
    ]
}

/// Where the document has a header's description.
pub(crate) fn reference(name: &str) -> Ref {
    Ref::new(format!("#/components/headers/{name}"))
}

fn request_id() -> Object {
    let visible = forms::string().pattern(Some("^[!-~]{1,128}$"));
    visible.examples([json!("5f0c1d2e3a4b5c6d")]).build()
}

/// What every call takes.
pub(crate) fn request_id_parameter() -> (&'static str, RefOr<Parameter>) {
    let parameter = ParameterBuilder::new()
        .name(REQUEST_ID)
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .schema(Some(forms::string().build()))
        .description(Some(
            "Names this request in every log, and stands in the answer. One that is not 1 to 128 \
             visible ASCII characters is replaced, never refused.",
        ));
    (REQUEST_ID, parameter.build().into())
}

pub(crate) fn request_id_ref() -> Ref {
    Ref::new(format!("#/components/parameters/{REQUEST_ID}"))
}
