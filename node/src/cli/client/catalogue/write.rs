//! A book becomes a row that reads back as the same.

use bookmesh_rpc::api::NAMED_INFO_KEYS;
use serde_json::{Map, Value};

use super::super::views::Book;
use super::{Column, values};

/// The row of a book, in the order of [`Column::ALL`]. What a column can't carry exactly goes
/// into the last one, as JSON. Whether a book is checked out is not part of a catalogue.
pub(in super::super) fn write_row(book: &Book) -> [String; Column::ALL.len()] {
    let mut rest: Map<String, Value> = book.info.clone();
    rest.retain(|key, _| !NAMED_INFO_KEYS.contains(&key.as_str()));
    Column::ALL.map(|column| match column {
        Column::Title => book.text("name").to_owned(),
        Column::Author => book.text("author").to_owned(),
        Column::Isbn => text(&mut rest, "isbn", values::isbn10),
        Column::Isbn13 => text(&mut rest, "isbn13", values::isbn13),
        Column::Year => year(&mut rest),
        Column::Language => text(&mut rest, "language", |text| Some(collapsed(text))),
        Column::Price => text(&mut rest, "price", |text| values::price(text).ok()),
        Column::Tags => values::tags_text(&book.tags),
        Column::Info if rest.is_empty() => String::new(),
        Column::Info => Value::Object(std::mem::take(&mut rest)).to_string(),
    })
}

/// Takes a text out of the rest when a column of its own would give the same back.
fn text(
    rest: &mut Map<String, Value>,
    key: &str,
    read_back: impl Fn(&str) -> Option<String>,
) -> String {
    let exact = rest.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
    let Some(text) = exact.filter(|text| read_back(text).as_deref() == Some(text)) else {
        return String::new();
    };
    let text = text.to_owned();
    rest.remove(key);
    text
}

fn year(rest: &mut Map<String, Value>) -> String {
    let text = rest.get("year").and_then(Value::as_i64).map(|year| year.to_string());
    let Some(text) = text.filter(|text| values::year(text).is_ok()) else {
        return String::new();
    };
    rest.remove("year");
    text
}

fn collapsed(text: &str) -> String {
    bookmesh_rpc::api::collapse_white_space(text)
}

#[cfg(test)]
mod tests {
    use csv::ByteRecord;
    use serde_json::json;

    use super::super::{Columns, read_row};
    use super::*;

    #[test]
    fn what_is_exported_imports_as_the_same() {
        let infos = [
            json!({"name": "Emma", "author": "Jane Austen", "year": 1815, "price": "9.99",
                   "isbn": "0439023483", "isbn13": "9780439023481", "language": "en"}),
            json!({"name": "A, \"B\"", "author": "C;D", "year": "1815", "price": 9.99,
                   "isbn": "0-439-02348-3", "shelf": {"row": [1, 2]}}),
            json!({"name": "T", "author": "A", "year": -720, "language": " odd  text"}),
        ];
        let header = Column::ALL.map(|column| column.names()[0]);
        let columns = Columns::recognise(header.into_iter()).unwrap();
        assert!(columns.unrecognised.is_empty());
        for info in infos {
            let Value::Object(info) = info else { panic!("no object") };
            let mut with_state = info.clone();
            with_state.insert("status".into(), "checked-out".into());
            with_state.insert("createdAt".into(), "2026-01-01T00:00:00Z".into());
            let book = Book {
                id: "1".into(),
                code: "BOOK-0001".into(),
                tags: vec!["a;b".into(), "c".into()],
                info: with_state,
                rack_id: "book-rack-001".into(),
            };
            let row = read_row(&columns, &ByteRecord::from(write_row(&book).to_vec())).unwrap();
            assert_eq!(row.body["info"], Value::Object(info));
            assert_eq!(row.body["tags"], json!(["a;b", "c"]));
        }
    }
}
