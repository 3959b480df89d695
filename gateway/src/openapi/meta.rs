//! The document about itself.

use utoipa::openapi::{Content, ObjectBuilder, Type};

use super::operation::{JSON, Route};
use super::{forms, parameters};

pub(crate) const TAG: &str = "documentation";
pub(crate) const ABOUT: &str = "This document, and a page to read it and to try the API.";

pub(crate) fn routes() -> Vec<Route> {
    let document = Content::new(Some(ObjectBuilder::new().schema_type(Type::Object).build()));
    let image = Content::new(Some(forms::string().content_encoding("binary").build()));
    let file = Content::new(Some(forms::string().build()));
    vec![
        Route::get("/openapi.json", TAG, "getDocument", "This document")
            .answers(200, "OpenAPI 3.1.", &[], Some((JSON, document)))
            .fails_always(),
        Route::get("/docs", TAG, "getDocs", "A page to read and try the API")
            .text(200, "The page.", "text/html; charset=utf-8")
            .fails_always(),
        Route::get("/docs/{file}", TAG, "getDocsFile", "A file of the page")
            .takes([parameters::docs_file()])
            .answers(200, "The file.", &[], None)
            .also(200, "text/css; charset=utf-8", file.clone())
            .also(200, "text/javascript; charset=utf-8", file)
            .also(200, "image/png", image)
            .fails(404, "`ERR_NOT_FOUND`: the page has no such file.")
            .fails_always(),
    ]
}
