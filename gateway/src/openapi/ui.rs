//! `/docs`: a page to read and try the API. Swagger UI is built in; neither building nor using it
//! needs anything from elsewhere.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderValue, Response, header};
use bytes::Bytes;
use utoipa_swagger_ui::Config;

use super::Document;
use crate::call::Call;
use crate::endpoint::Answer;
use crate::http_error::HttpError;

/// The page's files, and their kinds.
pub(crate) const FILES: [(&str, &str); 4] = [
    (START, "text/javascript; charset=utf-8"),
    ("swagger-ui-bundle.js", "text/javascript; charset=utf-8"),
    ("swagger-ui.css", "text/css; charset=utf-8"),
    ("favicon-32x32.png", "image/png"),
];

const START: &str = "start.js";

/// All from here. Swagger UI sets styles on its elements and draws icons from `data:` addresses.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
     img-src 'self' data:; font-src 'self' data:; connect-src 'self'; base-uri 'none'; \
     form-action 'none'; frame-ancestors 'none'",
);

/// Files are part of the program, and change with it alone.
const CACHE: HeaderValue = HeaderValue::from_static("max-age=3600");

const PAGE: &str = "<!doctype html>
<html lang=\"en\">
<head>
<meta charset=\"utf-8\">
<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">
<title>Bookmesh API</title>
<link rel=\"icon\" href=\"docs/favicon-32x32.png\">
<link rel=\"stylesheet\" href=\"docs/swagger-ui.css\">
</head>
<body>
<div id=\"api\"></div>
<script src=\"docs/swagger-ui-bundle.js\"></script>
<script src=\"docs/start.js\"></script>
</body>
</html>
";

/// No validator: that would be somebody else's server.
const START_SCRIPT: &str = "SwaggerUIBundle({
  url: 'openapi.json',
  dom_id: '#api',
  deepLinking: true,
  filter: true,
  validatorUrl: null,
  displayRequestDuration: true,
});
";

/// `GET /docs`.
pub(crate) async fn page(_document: Arc<Document>, _call: Call) -> Answer {
    Ok(file(Bytes::from_static(PAGE.as_bytes()), "text/html; charset=utf-8"))
}

/// `GET /docs/{file}`.
pub(crate) async fn asset(_document: Arc<Document>, mut call: Call) -> Answer {
    let name = call.path_text().await?;
    let known = FILES.into_iter().find(|(known, _)| *known == name);
    let (name, kind) = known.ok_or_else(HttpError::not_found)?;
    if name == START {
        return Ok(file(Bytes::from_static(START_SCRIPT.as_bytes()), kind));
    }
    let config = Arc::new(Config::from(super::PATH));
    let found = utoipa_swagger_ui::serve(name, config).map_err(HttpError::internal)?;
    let found = found.ok_or_else(HttpError::not_found)?;
    Ok(file(Bytes::from(found.bytes.into_owned()), kind))
}

fn file(bytes: Bytes, kind: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::from(bytes));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CONTENT_SECURITY_POLICY, POLICY);
    headers.insert(header::CACHE_CONTROL, CACHE);
    response
}
