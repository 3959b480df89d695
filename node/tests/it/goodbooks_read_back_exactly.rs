//! Ten thousand real books, where the data set is at hand: imported, counted, every title read
//! back exactly, with the white space collapsed.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::Value;

use crate::support::process::run_ok;
use crate::support::{Api, Process};

#[tokio::test(flavor = "multi_thread")]
async fn every_title_of_ten_thousand_comes_back() {
    let csv = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/goodbooks-10k.csv");
    if !csv.exists() {
        println!("{} is not here: not run", csv.display());
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let env = [("P2P_PORT", "0"), ("LOG_LEVEL", "warn")];
    let mesh = Process::start("up", dir.path(), &["up", "--port", "0", "--data-dir", "data"], &env);
    run_ok(&mesh.http(), &["import", csv.to_str().unwrap()]);
    let api = Api::new(mesh.http());
    assert_eq!(api.count().await, 10_000);
    assert_eq!(read_back(&api).await, expected(&csv));
    run_ok(&mesh.http(), &["import", csv.to_str().unwrap()]);
    assert_eq!(api.count().await, 10_000, "the same import again adds none");
}

/// How often each (title, author) is there.
type Books = BTreeMap<(String, String), usize>;

fn expected(csv: &PathBuf) -> Books {
    let mut books = Books::new();
    let mut reader = csv::Reader::from_path(csv).unwrap();
    let headers = reader.headers().unwrap().clone();
    let column = |name| headers.iter().position(|header| header == name).unwrap();
    let (title, authors) = (column("title"), column("authors"));
    for row in reader.records() {
        let row = row.unwrap();
        *books.entry((collapsed(&row[title]), collapsed(&row[authors]))).or_default() += 1;
    }
    books
}

async fn read_back(api: &Api) -> Books {
    let mut books = Books::new();
    let mut after = String::from("0");
    loop {
        let cursor = if after == "0" { String::new() } else { format!("&after={after}") };
        let page = api.get(&format!("/books?limit=1000{cursor}")).await;
        let things = page.body["data"].as_array().unwrap().clone();
        let Some(last) = things.last() else { return books };
        after = last["id"].as_str().unwrap().to_owned();
        for thing in &things {
            let text = |key: &str| thing["info"][key].as_str().map(str::to_owned).unwrap();
            *books.entry((text("name"), text("author"))).or_default() += 1;
        }
        assert!(matches!(page.body, Value::Object(_)));
    }
}

fn collapsed(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
