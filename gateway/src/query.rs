//! Query strings, read strictly: what is unknown, repeated or out of range is an error that names
//! the parameter, never a silent default.

use std::ops::RangeInclusive;

use axum::extract::Query;
use axum::http::Uri;
use bookmesh_rpc::api::{
    ApiError, Consistency, FieldError, Filter, RackId, Status, ThingId, collapse_white_space,
};

use crate::body::MAX_WHOLE;

/// Things on one page, unless the client says otherwise.
pub(crate) const DEFAULT_LIMIT: u64 = 100;
/// Things on one page at most.
pub(crate) const MAX_LIMIT: u64 = 1_000;
/// Tags to filter by at most; a thing has no more.
const MAX_FILTER_TAGS: usize = bookmesh_rpc::api::MAX_TAGS;
/// The most that an eventual read may say it takes: a day.
pub(crate) const MAX_LAG_MS: u64 = 24 * 60 * 60 * 1000;
/// Words of `q` at most.
const MAX_WORDS: usize = 16;

/// The parameters that are still to be read, and what was wrong with the others.
pub(crate) struct Params {
    rest: Vec<(String, String)>,
    faults: Vec<FieldError>,
}

impl Params {
    pub(crate) fn of(uri: &Uri) -> Result<Self, ApiError> {
        let faults = Vec::new();
        if uri.query().is_none() {
            return Ok(Self { rest: Vec::new(), faults });
        }
        let pairs = Query::<Vec<(String, String)>>::try_from_uri(uri);
        let Query(rest) = pairs.map_err(|error| ApiError::invalid("query", error.to_string()))?;
        Ok(Self { rest, faults })
    }

    pub(crate) fn many(&mut self, name: &str) -> Vec<String> {
        let found = self.rest.extract_if(.., |(key, _)| key == name);
        found.map(|(_, value)| value).collect()
    }

    pub(crate) fn one(&mut self, name: &str) -> Option<String> {
        let mut values = self.many(name);
        if values.len() > 1 {
            self.fault(name, "must be given once");
        }
        values.pop()
    }

    pub(crate) fn number(&mut self, name: &str, range: RangeInclusive<u64>) -> Option<u64> {
        let text = self.one(name)?;
        let plain = text.bytes().all(|b| b.is_ascii_digit());
        let number = text.parse().ok().filter(|number| plain && range.contains(number));
        if number.is_none() {
            let (low, high) = range.into_inner();
            self.fault(name, format!("must be a whole number from {low} to {high}"));
        }
        number
    }

    pub(crate) fn parsed<T: std::str::FromStr<Err = ApiError>>(&mut self, name: &str) -> Option<T> {
        let parsed = self.one(name)?.parse();
        parsed.map_err(|error| self.merge(name, error)).ok()
    }

    pub(crate) fn flag(&mut self, name: &str) -> bool {
        match self.one(name).as_deref() {
            None | Some("false") => false,
            Some("true") => true,
            Some(_) => {
                self.fault(name, "must be true or false");
                false
            }
        }
    }

    /// `consistency`, and `max_lag_ms` that goes with one of its values.
    pub(crate) fn consistency(&mut self) -> Consistency {
        let asked = self.one("consistency");
        let given = self.rest.iter().any(|(name, _)| name == "max_lag_ms");
        let max_lag_ms = self.number("max_lag_ms", 0..=MAX_LAG_MS).map(|lag| lag as u32);
        match asked.as_deref() {
            Some("eventual") => return Consistency::Eventual { max_lag_ms },
            None | Some("linearizable") if given => {
                self.fault("max_lag_ms", "goes with consistency=eventual alone");
            }
            None | Some("linearizable") => {}
            Some(_) => self.fault("consistency", "must be linearizable or eventual"),
        }
        Consistency::Linearizable
    }

    pub(crate) fn fault(&mut self, name: &str, message: impl Into<String>) {
        self.faults.push(FieldError { field: name.to_owned(), message: message.into() });
    }

    fn merge(&mut self, name: &str, error: ApiError) {
        match error {
            ApiError::Invalid(faults) => {
                for fault in faults {
                    self.fault(name, fault.message);
                }
            }
            other => self.fault(name, other.to_string()),
        }
    }

    /// All faults; what was not read is unknown.
    pub(crate) fn finish(mut self, known: &str) -> Result<(), ApiError> {
        for (name, _) in std::mem::take(&mut self.rest) {
            let name: String = name.chars().take(64).collect();
            self.fault(&name, format!("is unknown; known are {known}"));
        }
        if self.faults.is_empty() { Ok(()) } else { Err(ApiError::Invalid(self.faults)) }
    }
}

/// Reads the parameters of a call that has only those of its consistency.
pub(crate) fn consistency(uri: &Uri) -> Result<Consistency, ApiError> {
    let mut params = Params::of(uri)?;
    let consistency = params.consistency();
    params.finish("consistency, max_lag_ms")?;
    Ok(consistency)
}

/// Refuses all parameters.
pub(crate) fn none(uri: &Uri) -> Result<(), ApiError> {
    Params::of(uri)?.finish("none")
}

/// Which page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PageQuery {
    pub(crate) limit: u32,
    pub(crate) offset: u64,
    pub(crate) after: Option<ThingId>,
    pub(crate) consistency: Consistency,
    /// Answer with what can be had.
    pub(crate) partial: bool,
}

/// The parameters of [`PageQuery`].
const PAGE_PARAMS: &str = "limit, offset, after, consistency, max_lag_ms, partial";

impl PageQuery {
    /// Reads a query that has these parameters alone.
    pub(crate) fn of(uri: &Uri) -> Result<Self, ApiError> {
        let mut params = Params::of(uri)?;
        let page = Self::read(&mut params);
        params.finish(PAGE_PARAMS)?;
        Ok(page)
    }

    fn read(params: &mut Params) -> Self {
        let limit = params.number("limit", 1..=MAX_LIMIT).unwrap_or(DEFAULT_LIMIT);
        let offset = params.number("offset", 0..=MAX_WHOLE);
        let after = params.parsed("after");
        if offset.is_some() && after.is_some() {
            params.fault("offset", "can't be combined with after");
        }
        Self {
            limit: limit as u32,
            offset: offset.unwrap_or(0),
            after,
            consistency: params.consistency(),
            partial: params.flag("partial"),
        }
    }
}

/// Which page of which things.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ListQuery {
    pub(crate) rack: Option<RackId>,
    pub(crate) filter: Filter,
    pub(crate) page: PageQuery,
}

impl ListQuery {
    pub(crate) fn of(uri: &Uri) -> Result<Self, ApiError> {
        let mut params = Params::of(uri)?;
        let (rack, page) = (params.parsed("rack_id"), PageQuery::read(&mut params));
        let query = Self { rack, filter: filter(&mut params), page };
        let filters = "rack_id, tag, status, author, q, include_inactive";
        params.finish(&format!("{PAGE_PARAMS}, {filters}"))?;
        Ok(query)
    }
}

fn filter(params: &mut Params) -> Filter {
    let tags: Vec<_> = params.many("tag").iter().map(|tag| collapse_white_space(tag)).collect();
    if tags.len() > MAX_FILTER_TAGS {
        params.fault("tag", format!("must be given at most {MAX_FILTER_TAGS} times"));
    }
    let status = params.one("status").and_then(|name| {
        let status = Status::from_name(&name);
        if status.is_none() {
            params.fault("status", "must be available or checked-out");
        }
        status
    });
    let author = params.one("author").map(|author| collapse_white_space(&author));
    let q = params.one("q").unwrap_or_default();
    let mut words: Vec<_> = bookmesh_rpc::api::words(&q).collect();
    if words.is_empty() && !q.trim().is_empty() {
        // Nothing has it in its name: what was asked for is not there, and not everything.
        words.push(q);
    }
    if words.len() > MAX_WORDS {
        params.fault("q", format!("must have at most {MAX_WORDS} words"));
    }
    Filter { tags, status, author, words, inactive: params.flag("include_inactive") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(query: &str) -> Result<ListQuery, ApiError> {
        ListQuery::of(&format!("/books?{query}").parse().unwrap())
    }

    #[test]
    fn all_filters_are_read() {
        let query = list(
            "rack_id=r1&tag=a&tag=b%20c&status=checked-out&author=Ann+B&q=war%20peace\
             &limit=5&offset=7&consistency=eventual&partial=true&include_inactive=true",
        )
        .unwrap();
        assert_eq!(query.rack.unwrap().as_str(), "r1");
        assert_eq!(query.filter.tags, ["a", "b c"]);
        assert_eq!(query.filter.status, Some(Status::CheckedOut));
        assert_eq!(query.filter.author.as_deref(), Some("Ann B"));
        assert_eq!(query.filter.words, ["war", "peace"]);
        assert!(query.filter.inactive);
        let page = query.page;
        assert_eq!((page.limit, page.offset, page.partial), (5, 7, true));
        assert_eq!(page.consistency, Consistency::Eventual { max_lag_ms: None });
    }

    #[test]
    fn what_is_wrong_is_named_all_at_once() {
        let query = "limit=0&offset=x&after=0&status=lost&consistency=maybe&partial=1&colour=red\
                     &q=a&q=b&rack_id=NO";
        let Err(ApiError::Invalid(faults)) = list(query) else { panic!("taken") };
        let mut fields: Vec<_> = faults.iter().map(|fault| fault.field.as_str()).collect();
        fields.sort_unstable();
        let expected = [
            "after",
            "colour",
            "consistency",
            "limit",
            "offset",
            "partial",
            "q",
            "rack_id",
            "status",
        ];
        assert_eq!(fields, expected);
    }

    #[test]
    fn a_lag_goes_with_eventual_reads_alone() {
        let lag = |query: &str| list(query).map(|query| query.page.consistency);
        let within = Consistency::Eventual { max_lag_ms: Some(250) };
        assert_eq!(lag("consistency=eventual&max_lag_ms=250"), Ok(within));
        for query in [
            "max_lag_ms=250",
            "consistency=linearizable&max_lag_ms=250",
            "consistency=eventual&max_lag_ms=-1",
            "consistency=eventual&max_lag_ms=86400001",
            "consistency=eventual&max_lag_ms=1&max_lag_ms=2",
        ] {
            let Err(ApiError::Invalid(faults)) = lag(query) else { panic!("{query} was taken") };
            assert_eq!(faults[0].field, "max_lag_ms", "{query}");
        }
    }

    #[test]
    fn a_search_for_no_word_is_no_search_for_everything() {
        assert_eq!(list("q=%20").unwrap().filter.words, Vec::<String>::new());
        assert_eq!(list("q=!!").unwrap().filter.words, ["!!"]);
        assert_eq!(list("q=Tolkien's").unwrap().filter.words, ["tolkien", "s"]);
    }

    #[test]
    fn limits_are_kept() {
        for query in ["limit=1001", "limit=-1", "limit=%2B5", "limit=", "offset=99999999999999999"]
        {
            assert!(list(query).is_err(), "{query}");
        }
        assert_eq!(list("").unwrap().page.limit, 100);
        assert!(list("after=1&offset=1").is_err());
    }
}
