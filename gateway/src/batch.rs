//! `POST /books/batch`: many books in one call, each answered on its own.

use std::sync::Arc;

use axum::http::StatusCode;
use bookmesh_rpc::api::{
    ApiError, Kind, MAX_BATCH, NewThing, OnConflict, RackId, RackRoute, RegisterThings, Registered,
    ThingId,
};
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::answer::envelope;
use crate::app::App;
use crate::body::{self, Field, Fields, Object};
use crate::books::invalid;
use crate::call::Call;
use crate::endpoint::Answer;
use crate::http_error::{ErrorParts, HttpError};
use crate::openapi::{forms, schemas};
use crate::register::no_rack;
use crate::thing_json::Text;
use crate::{query, thing_parse, write_key};
use bookmesh_rpc::routing::leader::{How, Size};

/// `POST /books/batch`: 200 with one result for each book, in order.
pub(crate) async fn create(app: Arc<App>, mut call: Call) -> Answer {
    query::none(call.uri()).map_err(invalid)?;
    let body = call.body().await?;
    let key = write_key::of(&app, &call, &body)?;
    let batch = Batch::of(&body).map_err(invalid)?;
    let rack = match &batch.rack {
        Some(id) => app.rack_for(id, Kind::Book, &call.context).await?,
        None => first_rack(&app)?,
    };
    let (things, refusals) = sort(batch.books);
    let mut answers = Vec::new();
    if !things.is_empty() {
        let request =
            RegisterThings { rack: rack.id.clone(), key, on_conflict: batch.on_conflict, things };
        answers = app.ask(&rack, &call.context, How::leader(Size::Large), request).await?;
    }
    let outcomes = merge(refusals, answers)?;
    let results: Vec<_> = outcomes.iter().map(result_json).collect();
    Ok(envelope(StatusCode::OK, results, "Success"))
}

/// What a rack answers to a batch.
type Answers = Vec<Result<(Registered, ThingId), ApiError>>;

/// The rack for books whose client does not care: always the first, so that a conflict is found
/// however often the same books are sent, and so is the key of a batch that comes again.
fn first_rack(app: &App) -> Result<Arc<RackRoute>, HttpError> {
    let table = app.directory().table();
    let mut founded = table.of_kind(Kind::Book).filter(|rack| rack.confirmed);
    founded.next().cloned().ok_or_else(|| no_rack(Kind::Book))
}

/// The body, its books not looked at yet.
struct Batch<'a> {
    rack: Option<RackId>,
    on_conflict: OnConflict,
    books: Vec<&'a RawValue>,
}

impl<'a> Batch<'a> {
    fn of(bytes: &'a [u8]) -> Result<Self, ApiError> {
        let mut fields = Fields::new(body::object(bytes)?, "");
        let rack = fields.rack();
        let on_conflict = read_on_conflict(&mut fields);
        let books = read_books(&mut fields);
        fields.finish("rack_id, on_conflict, books")?;
        Ok(Self { rack, on_conflict, books })
    }
}

fn read_books<'a>(fields: &mut Fields<'a>) -> Vec<&'a RawValue> {
    let rule = format!("must be an array of 1 to {MAX_BATCH} books");
    let parsed = fields.raw("books").value().map(|raw| serde_json::from_str(raw.get()));
    match parsed {
        Some(Ok(books)) => {
            let books: Vec<&RawValue> = books;
            if !(1..=MAX_BATCH).contains(&books.len()) {
                fields.fault("books", rule);
            }
            books
        }
        Some(Err(_)) | None => {
            fields.fault("books", rule);
            Vec::new()
        }
    }
}

fn read_on_conflict(fields: &mut Fields<'_>) -> OnConflict {
    let name = match fields.typed::<String>("on_conflict", "a string") {
        Field::Value(name) => name,
        Field::Absent | Field::Null => return OnConflict::Skip,
    };
    match name.as_str() {
        "skip" => OnConflict::Skip,
        "update" => OnConflict::Update,
        "fail" => OnConflict::Fail,
        _ => {
            fields.fault("on_conflict", "must be skip, update or fail");
            OnConflict::Skip
        }
    }
}

/// What became of one book.
type Outcome = Result<(Registered, ThingId), HttpError>;

fn result_json(outcome: &Outcome) -> ResultJson<'_> {
    match outcome {
        Ok((registered, id)) => {
            ResultJson { status: registered_name(*registered), id: Some(Text(*id)), error: None }
        }
        Err(error) => ResultJson { status: "error", id: None, error: Some(error.parts()) },
    }
}

const fn registered_name(registered: Registered) -> &'static str {
    match registered {
        Registered::Created => "created",
        Registered::Skipped => "skipped",
        Registered::Updated => "updated",
    }
}

/// What became of one book of a batch.
#[derive(Serialize, ToSchema)]
#[schema(as = BatchResult)]
pub(crate) struct ResultJson<'a> {
    #[schema(schema_with = forms::batch_status)]
    status: &'static str,
    /// The book's id, unless it was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = forms::thing_id)]
    id: Option<Text<ThingId>>,
    /// Why it was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = schemas::ErrorParts, required = false)]
    error: Option<ErrorParts<'a>>,
}

/// The books that can be sent on, and for each book of the batch why it can't be, if so.
fn sort(books: Vec<&RawValue>) -> (Vec<NewThing>, Vec<Option<HttpError>>) {
    let mut things = Vec::with_capacity(books.len());
    let refusals = books.into_iter().map(|raw| match read_book(raw) {
        Ok(thing) => {
            things.push(thing);
            None
        }
        Err(error) => Some(invalid(error)),
    });
    let refusals = refusals.collect();
    (things, refusals)
}

fn read_book(raw: &RawValue) -> Result<NewThing, ApiError> {
    let object = serde_json::from_str::<Object<'_>>(raw.get());
    let object = object.map_err(|_| ApiError::invalid("book", "must be an object"))?;
    thing_parse::item(object)
}

/// The rack's answers, where their books stand among the refused ones.
fn merge(refusals: Vec<Option<HttpError>>, answers: Answers) -> Result<Vec<Outcome>, HttpError> {
    let mut answers = answers.into_iter();
    let outcome = |refusal| match refusal {
        Some(error) => Ok(Err(error)),
        None => match answers.next() {
            Some(answer) => Ok(answer.map_err(invalid)),
            None => Err(HttpError::internal("a rack answered fewer books than it got")),
        },
    };
    refusals.into_iter().map(outcome).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_faults_of_a_batch_itself_are_found_at_once() {
        let body = br#"{"rack_id":"NO","on_conflict":"maybe","books":[],"x":1}"#;
        let Err(ApiError::Invalid(faults)) = Batch::of(body) else { panic!("taken") };
        let fields: Vec<_> = faults.iter().map(|fault| fault.field.as_str()).collect();
        assert_eq!(fields, ["rack_id", "on_conflict", "books", "x"]);
    }

    #[test]
    fn a_thousand_books_are_the_limit() {
        let of = |count: usize| {
            let books = vec!["{}"; count].join(",");
            Batch::of(format!("{{\"books\":[{books}]}}").as_bytes()).is_ok()
        };
        assert!(of(1_000));
        assert!(!of(1_001));
    }

    #[test]
    fn a_book_that_is_refused_does_not_hold_up_the_rest() {
        let body = br#"{"books":[7,{"info":{"name":"N","author":"A"}},{"info":{"name":"N"}}]}"#;
        let (things, refusals) = sort(Batch::of(body).unwrap().books);
        assert_eq!(things.len(), 1);
        let refused: Vec<_> = refusals.iter().map(Option::is_some).collect();
        assert_eq!(refused, [true, false, true]);
        let id = ThingId::new(0, 9).unwrap();
        let outcomes = merge(refusals, vec![Err(ApiError::Conflict { id })]).unwrap();
        let codes: Vec<_> = outcomes.into_iter().map(|o| o.unwrap_err().code).collect();
        assert_eq!(codes, ["ERR_VALIDATION", "ERR_CONFLICT", "ERR_VALIDATION"]);
    }

    #[test]
    fn a_rack_that_answers_too_little_is_a_fault() {
        assert!(merge(vec![None, None], Vec::new()).is_err());
    }
}
