//! `bookmesh book …`: the HTTP API from the shell.

use std::io::{self, Write};

use reqwest::Method;
use serde_json::{Map, Value, json};

use super::failure::Failure;
use super::http::{Answer, Api};
use super::terminal::{Paint, grouped, harmless, paint, painted, print_table, table};
use super::views::Book;
use crate::cli::{AddArgs, BookCommand, ListArgs, OneBook, UpdateArgs};

/// Runs one of them.
pub(super) async fn run(command: BookCommand) -> Result<(), Failure> {
    match command {
        BookCommand::Ls(args) => list(&args).await,
        BookCommand::Get(book) => {
            let answer = Api::new(&book.server.url)?.get(&path(&book), &[]).await?;
            show(answer, book.json)
        }
        BookCommand::Add(args) => add(&args).await,
        BookCommand::Update(args) => update(&args).await,
        BookCommand::Rm(book) => {
            let answer = Api::new(&book.server.url)?.delete(&path(&book)).await?;
            show(answer, book.json)
        }
        BookCommand::Checkout { book, user } => checkout(&book, "checked-out", user).await,
        BookCommand::Return(book) => checkout(&book, "available", None).await,
    }
}

fn path(book: &OneBook) -> String {
    format!("/books/{}", book.id)
}

async fn list(args: &ListArgs) -> Result<(), Failure> {
    let mut query = vec![("limit", args.limit.to_string())];
    query.extend(args.tags.iter().map(|tag| ("tag", tag.clone())));
    let optional = [
        ("rack_id", args.rack.as_ref().map(ToString::to_string)),
        ("author", args.author.clone()),
        ("q", args.query.clone()),
        ("status", args.status.clone()),
        ("after", args.after.map(|id| id.to_string())),
        ("consistency", args.eventual.then(|| "eventual".to_owned())),
    ];
    query.extend(optional.into_iter().filter_map(|(key, value)| Some((key, value?))));
    let answer = Api::new(&args.server.url)?.get("/books", &query).await?;
    let mut out = io::stdout().lock();
    if args.json {
        return Ok(writeln!(out, "{}", answer.data())?);
    }
    let total = answer.total;
    let books: Vec<Book> = answer.typed()?;
    render_list(&mut out, &books, total)?;
    Ok(())
}

fn render_list(out: &mut impl Write, books: &[Book], total: Option<u64>) -> io::Result<()> {
    let mut rows = table(&["id", "name", "author", "status", "rack"]);
    for book in books {
        rows.add_row([
            harmless(&book.id).into(),
            harmless(book.text("name")).into(),
            harmless(book.text("author")).into(),
            painted(&harmless(book.text("status")), colour(book)),
            harmless(&book.rack_id).into(),
        ]);
    }
    print_table(out, &rows)?;
    let shown = books.len() as u64;
    let total = total.unwrap_or(shown);
    let noun = if total == 1 { "book" } else { "books" };
    write!(out, "\n{} of {} {noun}", grouped(shown), grouped(total))?;
    match books.last() {
        Some(last) if total > shown => writeln!(out, "; go on with --after {}", last.id),
        _ => writeln!(out),
    }
}

fn colour(book: &Book) -> Paint {
    if book.text("status") == "available" { Paint::Green } else { Paint::Yellow }
}

async fn add(args: &AddArgs) -> Result<(), Failure> {
    let mut info = further(&args.info, &[])?;
    info.insert("name".into(), args.name.as_str().into());
    info.insert("author".into(), args.author.as_str().into());
    let mut body = json!({ "type": "book", "tags": args.tags, "info": info });
    if let Some(rack) = &args.rack {
        body["rack_id"] = rack.as_str().into();
    }
    let api = Api::new(&args.server.url)?;
    show(api.send(Method::POST, "/books", &body).await?, args.json)
}

async fn update(args: &UpdateArgs) -> Result<(), Failure> {
    let mut info = further(&args.info, &args.unset)?;
    info.extend(args.name.iter().map(|name| ("name".to_owned(), name.as_str().into())));
    info.extend(args.author.iter().map(|author| ("author".to_owned(), author.as_str().into())));
    let mut body = Map::new();
    if !info.is_empty() {
        body.insert("info".into(), info.into());
    }
    if args.no_tags || !args.tags.is_empty() {
        body.insert("tags".into(), args.tags.clone().into());
    }
    let api = Api::new(&args.book.server.url)?;
    show(api.send(Method::PUT, &path(&args.book), &body.into()).await?, args.book.json)
}

async fn checkout(book: &OneBook, status: &str, user: Option<String>) -> Result<(), Failure> {
    let mut info = json!({ "status": status });
    if let Some(user) = user {
        info["userId"] = user.into();
    }
    let body = json!({ "id": book.id.to_string(), "info": info });
    let api = Api::new(&book.server.url)?;
    show(api.send(Method::POST, "/checkout", &body).await?, book.json)
}

/// `key=text` is a text whatever it looks like, `key:=json` is JSON; a key to be removed is null.
fn further(set: &[String], unset: &[String]) -> Result<Map<String, Value>, Failure> {
    let mut info = Map::new();
    for given in set {
        let usage = |rule: &str| Failure::Usage(format!("--info {given:?} {rule}"));
        let (key, text) = given
            .split_once('=')
            .ok_or_else(|| usage("must be key=text, or key:=json for what is no text"))?;
        let (key, value) = match key.strip_suffix(':') {
            Some(key) => {
                let value =
                    serde_json::from_str(text).map_err(|_| usage("has no JSON after :="))?;
                (key, value)
            }
            None => (key, Value::from(text)),
        };
        if key.is_empty() {
            return Err(usage("has no key"));
        }
        info.insert(key.to_owned(), value);
    }
    info.extend(unset.iter().map(|key| (key.clone(), Value::Null)));
    Ok(info)
}

fn show(answer: Answer, json: bool) -> Result<(), Failure> {
    let data = answer.data();
    let mut out = io::stdout().lock();
    if json {
        return Ok(writeln!(out, "{data}")?);
    }
    let book: Book = serde_json::from_value(data).map_err(|error| {
        Failure::Failed(format!("the gateway's book is not understood: {error}"))
    })?;
    render(&mut out, &book)?;
    Ok(())
}

fn render(out: &mut impl Write, book: &Book) -> io::Result<()> {
    let mut line = |key: &str, value: &str| writeln!(out, "{key:<10} {value}");
    line("id", &format!("{} ({})", harmless(&book.id), harmless(&book.code)))?;
    line("rack", &harmless(&book.rack_id))?;
    if !book.tags.is_empty() {
        line("tags", &harmless(&book.tags.join(", ")))?;
    }
    let first = ["name", "author", "status"];
    let rest = book.info.keys().map(String::as_str).filter(|key| !first.contains(key));
    for key in first.into_iter().filter(|key| book.info.contains_key(*key)).chain(rest) {
        let value = match book.info.get(key) {
            Some(Value::String(text)) => harmless(text),
            Some(other) => harmless(&other.to_string()),
            None => continue,
        };
        line(&harmless(key), &if key == "status" { paint(&value, colour(book)) } else { value })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn book() -> Book {
        serde_json::from_value(json!({
            "id": "1", "code": "BOOK-0001", "type": "book", "tags": ["a", "b"], "version": 1,
            "rack_id": "book-rack-001",
            "info": {"name": "Emma\u{1b}[2J", "author": "Jane Austen", "status": "available",
                     "isbn": "0439023483", "year": 1815},
        }))
        .unwrap()
    }

    #[test]
    fn further_keys_are_texts_unless_they_are_said_to_be_json() {
        let set = ["isbn=0439023483", "year:=1815", "note=a=b"].map(str::to_owned);
        let info = further(&set, &["price".to_owned()]).unwrap();
        let expected = json!({"isbn": "0439023483", "year": 1815, "note": "a=b", "price": null});
        assert_eq!(Value::from(info), expected);
        for wrong in ["isbn", "=x", "year:=MM", ":=1"] {
            assert!(matches!(further(&[wrong.into()], &[]), Err(Failure::Usage(_))), "{wrong}");
        }
    }

    #[test]
    fn a_list_says_how_to_go_on_and_nothing_steers_the_terminal() {
        let mut out = Vec::new();
        render_list(&mut out, &[book()], Some(10_000)).unwrap();
        render(&mut out, &book()).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.contains("1 of 10,000 books; go on with --after 1"), "{text}");
        assert!(text.contains("year       1815") && !text.contains('\u{1b}'), "{text}");
    }
}
