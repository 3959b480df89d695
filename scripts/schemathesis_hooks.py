"""Rules between parameters, which OpenAPI has no words for; their descriptions tell them."""

import schemathesis
from schemathesis import GenerationMode


@schemathesis.hook
def before_call(context, case, kwargs):
    """Makes valid requests keep them; those that are to be refused stay as they are."""
    query = case.query
    if not query or (case.meta and case.meta.generation.mode is GenerationMode.NEGATIVE):
        return
    if "offset" in query and "after" in query:
        del query["offset"]
    if query.get("consistency") != "eventual":
        query.pop("max_lag_ms", None)
