//! A row becomes a book, or all reasons why not.

use std::collections::BTreeMap;

use bookmesh_rpc::api::{JsonText, NAMED_INFO_KEYS, NewThing, Status, collapse_white_space};
use csv::ByteRecord;
use serde_json::{Map, Value, json};

use super::super::terminal::counted;
use super::values;
use super::{Column, Columns};

/// What a row says.
#[derive(Clone, Debug, PartialEq)]
pub(in super::super) struct RowBook {
    /// The title, for messages.
    pub(in super::super) title: String,
    /// The book as `POST /books/batch` takes it.
    pub(in super::super) body: Value,
    /// The row has an ISBN that is none, which is left out.
    pub(in super::super) isbn_left_out: bool,
}

/// Reads one row. White space is collapsed, empty fields are left out, and a row is held against
/// the mesh's own rules before it is sent.
///
/// # Errors
/// The title as far as it can be read, and all reasons, by the names of the columns.
pub(in super::super) fn read_row(
    columns: &Columns,
    record: &ByteRecord,
) -> Result<RowBook, (String, String)> {
    let mut reasons = Vec::new();
    let fields = Fields { columns, record };
    let title = fields.text(Column::Title, &mut reasons);
    if record.len() != columns.count() {
        let fields = counted(record.len() as u64, "field");
        let what = format!("has {fields}, the header has {}", columns.count());
        return Err((title, what));
    }
    let author = fields.text(Column::Author, &mut reasons);
    let tags = fields.parsed(Column::Tags, values::tags, &mut reasons).unwrap_or_default();
    let (info, isbn_left_out) = further(&fields, &mut reasons);
    reasons.extend(rule_breaks(&title, &author, &tags, &info));
    if !reasons.is_empty() {
        return Err((title, reasons.join("; ")));
    }
    let mut all = info;
    all.insert("name".into(), title.as_str().into());
    all.insert("author".into(), author.into());
    let body = json!({ "type": "book", "tags": tags, "info": all });
    Ok(RowBook { title, body, isbn_left_out })
}

/// All keys of `info` but name and author; and whether an ISBN had to be left out.
fn further(fields: &Fields<'_>, reasons: &mut Vec<String>) -> (Map<String, Value>, bool) {
    let mut info = fields.parsed(Column::Info, values::info, reasons).unwrap_or_default();
    for named in NAMED_INFO_KEYS.iter().filter(|key| info.contains_key(**key)) {
        reasons.push(format!("info: must not have the key {named}, which is not for imports"));
    }
    let isbn_text = fields.text(Column::Isbn, reasons);
    let isbn13_text = fields.text(Column::Isbn13, reasons);
    // A column named isbn holds either length.
    let isbn13 = values::isbn13(&isbn13_text).or_else(|| values::isbn13(&isbn_text));
    let isbn = values::isbn10(&isbn_text).or_else(|| values::isbn10(&isbn13_text));
    let left_out = isbn.is_none() && isbn13.is_none() && !(isbn_text + &isbn13_text).is_empty();
    let year = fields.parsed(Column::Year, values::year, reasons);
    let price = fields.parsed(Column::Price, values::price, reasons);
    let language = Some(fields.text(Column::Language, reasons)).filter(|text| !text.is_empty());
    let columns = [
        ("isbn", isbn.map(Value::from)),
        ("isbn13", isbn13.map(Value::from)),
        ("year", year.map(Value::from)),
        ("language", language.map(Value::from)),
        ("price", price.map(Value::from)),
    ];
    for (key, value) in columns {
        info.extend(value.map(|value| (key.to_owned(), value)));
    }
    (info, left_out)
}

/// What the mesh itself would refuse, in the words of the columns.
fn rule_breaks(
    title: &str,
    author: &str,
    tags: &[String],
    info: &Map<String, Value>,
) -> Vec<String> {
    let extra: BTreeMap<_, _> = info
        .iter()
        .filter(|(key, _)| !NAMED_INFO_KEYS.contains(&key.as_str()))
        .map(|(key, value)| (key.clone(), JsonText::from_compact(value.to_string())))
        .collect();
    let thing = NewThing {
        tags: tags.to_vec(),
        name: title.into(),
        author: author.into(),
        status: Status::Available,
        holder: None,
        extra,
    };
    let faults = thing.faults().into_vec().into_iter();
    let column = |field: String| match field.as_str() {
        "info.name" => "title".to_owned(),
        "info.author" => "author".to_owned(),
        _ => field,
    };
    faults.map(|fault| format!("{}: {}", column(fault.field), fault.message)).collect()
}

struct Fields<'a> {
    columns: &'a Columns,
    record: &'a ByteRecord,
}

impl Fields<'_> {
    /// A field with its white space collapsed; empty where there is none.
    fn text(&self, column: Column, reasons: &mut Vec<String>) -> String {
        collapse_white_space(self.raw(column, reasons))
    }

    fn raw(&self, column: Column, reasons: &mut Vec<String>) -> &str {
        let field = self.columns.place(column).and_then(|place| self.record.get(place));
        std::str::from_utf8(field.unwrap_or_default()).unwrap_or_else(|_| {
            reasons.push(format!("{}: must be UTF-8", name(column)));
            ""
        })
    }

    fn parsed<T>(
        &self,
        column: Column,
        parse: fn(&str) -> Result<T, &'static str>,
        reasons: &mut Vec<String>,
    ) -> Option<T> {
        // White space inside is the parser's to judge: in JSON it may be part of a value.
        let text = self.raw(column, reasons).trim();
        if text.is_empty() {
            return None;
        }
        let why = |rule| format!("{}: {rule}", name(column));
        parse(text).map_err(|rule| reasons.push(why(rule))).ok()
    }
}

fn name(column: Column) -> &'static str {
    column.names().first().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: [&str; 9] =
        ["title", "authors", "isbn", "isbn13", "year", "language_code", "price", "tags", "info"];

    fn read(fields: [&str; 9]) -> Result<RowBook, (String, String)> {
        let columns = Columns::recognise(HEADER.into_iter()).unwrap();
        read_row(&columns, &ByteRecord::from(fields.to_vec()))
    }

    #[test]
    fn a_row_of_a_data_set_becomes_a_clean_book() {
        let book = read([
            " The  Hunger Games\n(1) ",
            "Suzanne Collins",
            "439023483",
            "9.78043902348e+12",
            "2008.0",
            "eng",
            "",
            "ya; dystopia",
            "",
        ])
        .unwrap();
        let expected = json!({
            "type": "book", "tags": ["ya", "dystopia"],
            "info": {"name": "The Hunger Games (1)", "author": "Suzanne Collins",
                     "isbn": "0439023483", "year": 2008, "language": "eng"},
        });
        assert_eq!(book.body, expected);
        assert!(!book.isbn_left_out);
    }

    #[test]
    fn all_reasons_of_a_row_are_given_in_the_words_of_its_columns() {
        let (title, why) = read(["T", "", "", "", "MM", "", "$5", "", "{\"name\":1}"]).unwrap_err();
        assert_eq!(title, "T");
        for part in [
            "author: must have 1 to 2048",
            "year: must be a whole",
            "price: must be 0 to",
            "info: must not have the key name",
        ] {
            assert!(why.contains(part), "{part} is missing in {why}");
        }
    }

    #[test]
    fn a_wrong_isbn_is_left_out_and_does_not_cost_the_book() {
        let book = read(["T", "A", "123456780", "", "", "", "", "", ""]).unwrap();
        assert!(book.isbn_left_out && book.body["info"].get("isbn").is_none());
    }

    #[test]
    fn a_short_row_and_one_that_is_no_text_are_refused() {
        let columns = Columns::recognise(HEADER.into_iter()).unwrap();
        let short = ByteRecord::from(vec!["T", "A"]);
        assert!(read_row(&columns, &short).unwrap_err().1.contains("2 fields, the header has 9"));
        let mut latin = ByteRecord::from(vec![b"Caf\xe9".as_slice(), b"A"]);
        (0..7).for_each(|_| latin.push_field(b""));
        assert!(read_row(&columns, &latin).unwrap_err().1.contains("title: must be UTF-8"));
    }

    /// The project's own sample, and a larger data set where it is at hand.
    #[test]
    fn the_sample_catalogue_reads_without_a_refusal_a_loss_or_a_duplicate() {
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
        let sample = all(&format!("{root}/examples/data/books.csv")).unwrap();
        assert!(sample.len() >= 300 && !sample.iter().any(|book| book.isbn_left_out));
        if let Ok(books) = all(&format!("{root}/../shared/data/goodbooks-10k.csv")) {
            assert_eq!(books.len(), 10_000);
        }
    }

    /// All books of a file, none of them twice.
    fn all(path: &str) -> Result<Vec<RowBook>, csv::Error> {
        let mut reader = csv::ReaderBuilder::new().flexible(true).from_path(path)?;
        let columns = Columns::recognise(reader.headers()?.iter()).unwrap();
        let records = reader.byte_records().map(Result::unwrap);
        let books: Vec<_> = records.map(|record| read_row(&columns, &record).unwrap()).collect();
        let text = |book: &RowBook, key: &str| book.body["info"][key].as_str().unwrap().to_owned();
        let key = |book| bookmesh_rpc::api::import_key(&text(book, "name"), &text(book, "author"));
        let keys: std::collections::BTreeSet<_> = books.iter().map(key).collect();
        assert_eq!(keys.len(), books.len(), "two rows of {path} are the same book");
        Ok(books)
    }
}
