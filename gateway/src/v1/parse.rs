//! What a client of `/v1` sent, as the mesh's types.

use bookmesh_rpc::api::{
    ApiError, Cents, Faults, JsonText, NewThing, ORDER_QUANTITY, Status, ThingId, ThingPatch,
};

use super::book_json::PRICE;
use crate::body::{Field, Fields, object, whole};
use crate::price;

/// The body of `POST /v1/books`: title, author and price.
pub(super) fn new_book(body: &[u8]) -> Result<NewThing, ApiError> {
    let mut fields = Fields::new(object(body)?, "");
    let (title, author) =
        (required_text(&mut fields, "title"), required_text(&mut fields, "author"));
    let price = match read_price(&mut fields) {
        Field::Value(price) => Some(price),
        Field::Null | Field::Absent => {
            require(&mut fields, PRICE);
            None
        }
    };
    let thing = NewThing {
        tags: Vec::new(),
        name: title,
        author,
        status: Status::Available,
        holder: None,
        extra: price.into_iter().map(|price| (PRICE.to_owned(), stored(price))).collect(),
    };
    add_rules(&mut fields, thing.faults());
    fields.finish("title, author, price")?;
    Ok(thing)
}

/// The body of `PUT /v1/books/{id}`: any of title, author and price. What a client may not change
/// it may still send back, as it stands in an answer.
pub(super) fn patch(body: &[u8], id: ThingId) -> Result<ThingPatch, ApiError> {
    let mut fields = Fields::new(object(body)?, "");
    if read_id(&mut fields, "id").is_some_and(|given| given != id) {
        fields.fault("id", "must be the id of the path, or left out");
    }
    if matches!(fields.typed::<bool>("active", "true or false"), Field::Value(false)) {
        fields.fault("active", "can't be changed; DELETE withdraws a book");
    }
    for read_only in ["created_at", "updated_at"] {
        fields.raw(read_only);
    }
    let (title, author) =
        (optional_text(&mut fields, "title"), optional_text(&mut fields, "author"));
    // A null is how a book without a price is shown.
    let price = read_price(&mut fields).value();
    let patch = ThingPatch {
        name: title,
        author,
        extra: price.into_iter().map(|price| (PRICE.to_owned(), Some(stored(price)))).collect(),
        ..ThingPatch::default()
    };
    add_rules(&mut fields, patch.faults());
    let changes = patch.name.is_some() || patch.author.is_some() || !patch.extra.is_empty();
    if !changes && fields.is_well() {
        fields.fault("body", "must have at least one of title, author and price");
    }
    fields.finish("title, author, price")?;
    Ok(patch)
}

/// The body of `POST /v1/orders`: which book, and how many.
pub(super) fn new_order(body: &[u8]) -> Result<(ThingId, u32), ApiError> {
    let mut fields = Fields::new(object(body)?, "");
    let book = read_id(&mut fields, "book_id");
    if book.is_none() {
        require(&mut fields, "book_id");
    }
    let (least, most) = (ORDER_QUANTITY.start(), ORDER_QUANTITY.end());
    let what = format!("a whole number from {least} to {most}");
    let quantity = fields.whole("quantity", &what).value();
    match quantity {
        Some(0) => fields.fault("quantity", "must be at least 1"),
        Some(quantity) if quantity > u64::from(*most) => {
            fields.fault("quantity", format!("must be at most {most}"));
        }
        Some(_) => {}
        None => require(&mut fields, "quantity"),
    }
    fields.finish("book_id, quantity")?;
    let book = book.ok_or_else(|| ApiError::invalid("book_id", "is required"))?;
    let quantity = quantity.and_then(|quantity| u32::try_from(quantity).ok());
    Ok((book, quantity.unwrap_or_default()))
}

fn required_text(fields: &mut Fields<'_>, name: &str) -> String {
    match fields.text(name) {
        Field::Value(text) => text,
        Field::Null | Field::Absent => {
            require(fields, name);
            String::new()
        }
    }
}

fn optional_text(fields: &mut Fields<'_>, name: &str) -> Option<String> {
    match fields.text(name) {
        Field::Value(text) => Some(text),
        Field::Null => {
            fields.fault(name, "can't be removed");
            None
        }
        Field::Absent => None,
    }
}

fn require(fields: &mut Fields<'_>, name: &str) {
    if !fields.has_fault(name) {
        fields.fault(name, "is required");
    }
}

fn read_price(fields: &mut Fields<'_>) -> Field<Cents> {
    match fields.raw(PRICE) {
        Field::Absent => Field::Absent,
        Field::Null => Field::Null,
        Field::Value(raw) => match price::read(raw) {
            Ok(price) => Field::Value(price),
            Err(rule) => {
                fields.fault(PRICE, rule);
                Field::Absent
            }
        },
    }
}

/// An id as a number, or as a string as `/books` shows it.
fn read_id(fields: &mut Fields<'_>, name: &str) -> Option<ThingId> {
    let raw = fields.raw(name).value()?;
    let id = match whole(raw) {
        Some(number) => ThingId::from_u64(number),
        None => {
            let text = serde_json::from_str::<String>(raw.get());
            text.unwrap_or_else(|_| raw.get().to_owned()).parse()
        }
    };
    if id.is_err() {
        fields.fault(name, "must be a whole number from 1 to 9007199254740991");
    }
    id.ok()
}

/// As `/books` would keep it.
fn stored(price: Cents) -> JsonText {
    JsonText::from_compact(format!("\"{price}\""))
}

/// The rules' faults under this surface's names, but none for a field that has one already.
fn add_rules(fields: &mut Fields<'_>, rules: Faults) {
    for fault in rules.into_vec() {
        let name = match fault.field.as_str() {
            "info.name" => "title",
            "info.author" => "author",
            other => other,
        };
        if !fields.has_fault(name) {
            fields.fault(name, fault.message);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults<T>(read: Result<T, ApiError>) -> Vec<String> {
        let Err(ApiError::Invalid(faults)) = read else { panic!("taken") };
        faults.into_iter().map(|fault| fault.field).collect()
    }

    fn id() -> ThingId {
        ThingId::new(0, 1).unwrap()
    }

    #[test]
    fn a_book_is_read_and_its_price_kept_as_cents() {
        for price in ["12.9", "\"12.90\""] {
            let body = format!(r#"{{"title":" The  Hobbit","author":"Tolkien","price":{price}}}"#);
            let book = new_book(body.as_bytes()).unwrap();
            assert_eq!((book.name.as_str(), book.author.as_str()), ("The Hobbit", "Tolkien"));
            assert_eq!(book.extra[PRICE].as_str(), "\"12.90\"");
        }
    }

    #[test]
    fn every_field_that_is_wrong_is_named_once() {
        let all = ["title", "author", "price"];
        let bodies = [
            "{}",
            r#"{"title":null,"author":null,"price":null}"#,
            r#"{"title":7,"author":[],"price":{}}"#,
            r#"{"title":"","author":" ","price":"x"}"#,
            r#"{"title":"\u0000","author":"a\u0007","price":-1}"#,
        ];
        for body in bodies {
            assert_eq!(faults(new_book(body.as_bytes())).len(), 3, "{body}");
            for field in all {
                assert!(faults(new_book(body.as_bytes())).contains(&field.to_owned()), "{body}");
            }
        }
        let unknown = r#"{"title":"a","author":"b","price":1,"colour":"red"}"#;
        assert_eq!(faults(new_book(unknown.as_bytes())), ["colour"]);
    }

    #[test]
    fn a_change_is_any_subset_but_not_nothing() {
        let read = |body: &str| patch(body.as_bytes(), id());
        assert_eq!(read(r#"{"title":"T"}"#).unwrap().name.as_deref(), Some("T"));
        assert_eq!(
            read(r#"{"price":5}"#).unwrap().extra[PRICE].as_ref().unwrap().as_str(),
            "\"5.00\""
        );
        assert_eq!(faults(read("{}")), ["body"]);
        assert_eq!(faults(read(r#"{"id":1,"active":true}"#)), ["body"]);
        assert_eq!(faults(read(r#"{"id":2,"active":false,"title":"T"}"#)), ["id", "active"]);
        assert_eq!(faults(read(r#"{"title":null,"price":null}"#)), ["title"]);
    }

    #[test]
    fn an_order_names_its_book_and_a_quantity_in_range() {
        let read = |body: &str| new_order(body.as_bytes());
        assert_eq!(read(r#"{"book_id":1,"quantity":2}"#).unwrap(), (id(), 2));
        assert_eq!(faults(read("{}")), ["book_id", "quantity"]);
        for quantity in ["0", "1000001", "-1", "1.5", "1e7", "\"2\"", "null", "99999999999999"] {
            let body = format!(r#"{{"book_id":1,"quantity":{quantity}}}"#);
            assert_eq!(faults(read(&body)), ["quantity"], "{quantity}");
        }
        for book in ["0", "9007199254740993", "-1", "1.5", "\"x\"", "[]"] {
            let body = format!(r#"{{"book_id":{book},"quantity":1}}"#);
            assert_eq!(faults(read(&body)), ["book_id"], "{book}");
        }
    }
}
