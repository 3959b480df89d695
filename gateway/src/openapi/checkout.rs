//! `/checkout`.

use serde_json::json;

use super::headers::ETAG;
use super::operation::Route;
use super::parameters as take;
use super::schemas::{self, Checkout, Thing};

pub(crate) const TAG: &str = "checkout";
pub(crate) const ABOUT: &str = "Who has a book. Of any number of callers exactly one gets it.";

pub(crate) fn routes() -> Vec<Route> {
    let example = json!({"id": "1", "info": {"status": "checked-out", "userId": "ada"}});
    let mut taken = schemas::thing();
    taken["info"]["status"] = json!("checked-out");
    taken["info"]["userId"] = json!("ada");
    vec![
        Route::post("/checkout", TAG, "checkout", "Checks a book out, or returns it")
            .about(
                "`checked-out` takes the book, `available` brings it back. The rack's log decides: \
                 of callers at the same time one gets 200, and the others 409. Further keys of \
                 `info`, and `tags`, are changed along with it.",
            )
            .takes([take::if_match(), take::idempotency_key()])
            .body::<Checkout>("Which book, and its new status.", example)
            .envelope::<Thing>(200, "The book as it is now.", &[ETAG], taken)
            .fails(400, "`ERR_VALIDATION`: every field that breaks a rule, at once.")
            .fails(404, "`ERR_BOOK_NOT_FOUND`: there is no such book.")
            .fails(
                409,
                "`ERR_BOOK_CHECKED_OUT`: somebody has it. `ERR_BOOK_NOT_CHECKED_OUT`: nobody has \
                 it, so it can't be returned. `ERR_IDEMPOTENCY_CONFLICT`: this `Idempotency-Key` \
                 was given for another request.",
            )
            .fails(412, "`ERR_VERSION_MISMATCH`: the book's version is not that of `If-Match`.")
            .fails_with_racks()
            .fails_always(),
    ]
}
