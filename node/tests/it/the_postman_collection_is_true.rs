//! Every request of docs/bookmesh.postman_collection.json is sent to a new mesh, in order, and
//! every answer has to be as it was saved there. Postman's own tests can't be run here; they have
//! to ask for what the saved answer has.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::support::guide::Mesh;
use crate::support::shown::Shown;

type Variables = BTreeMap<String, String>;

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text"))
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn filled(template: &str, variables: &Variables) -> String {
    let mut text = template.to_owned();
    for (name, value) in variables {
        text = text.replace(&format!("{{{{{name}}}}}"), value);
    }
    assert!(!text.contains("{{"), "a variable that is not there: {text}");
    text
}

/// All requests, of folders within folders too.
fn requests(item: &Value) -> Vec<&Value> {
    match item.get("item") {
        Some(items) => list(items).iter().flat_map(requests).collect(),
        None => vec![item],
    }
}

fn send(mesh: &Mesh, request: &Value, variables: &Variables) -> Shown {
    let mut curl = Command::new("curl");
    curl.env("CURL_HOME", mesh.curl_home()).args(["-X", text(&request["method"])]);
    for header in list(&request["header"]) {
        curl.args(["-H", &format!("{}: {}", text(&header["key"]), text(&header["value"]))]);
    }
    if let Some(body) = request.get("body") {
        curl.args(["--data-binary", &filled(text(&body["raw"]), variables)]);
    }
    let output = curl.arg(filled(text(&request["url"]["raw"]), variables)).output().unwrap();
    Shown::parse(&String::from_utf8(output.stdout).unwrap()).expect("an answer")
}

fn saved(example: &Value) -> Shown {
    let headers = list(&example["header"]).iter();
    let headers = headers.map(|it| (text(&it["key"]).to_owned(), text(&it["value"]).to_owned()));
    let status = u16::try_from(example["code"].as_u64().unwrap()).unwrap();
    Shown { status, headers: headers.collect(), body: text(&example["body"]).to_owned() }
}

#[test]
fn every_request_of_the_collection_is_answered_as_it_was_saved() {
    let mesh = Mesh::start("collection");
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
    let collection = std::fs::read(docs.join("bookmesh.postman_collection.json")).unwrap();
    let collection: Value = serde_json::from_slice(&collection).unwrap();
    assert!(text(&collection["info"]["schema"]).contains("v2.1.0"));
    let known = list(&collection["variable"]).iter();
    let mut variables: Variables =
        known.map(|it| (text(&it["key"]).to_owned(), text(&it["value"]).to_owned())).collect();
    variables.insert("baseUrl".to_owned(), mesh.url());
    let (mut faults, requests) = (Vec::new(), requests(&collection));
    assert!(requests.len() > 50, "the collection is not read as it is written");
    for item in requests {
        let name = text(&item["name"]);
        let [example] = list(&item["response"]) else { panic!("{name} has not one saved answer") };
        let example = saved(example);
        let tests = item["event"][0]["script"]["exec"].to_string();
        assert!(tests.contains(&format!("to.have.status({})", example.status)), "{name}: {tests}");
        let real = send(&mesh, &item["request"], &variables);
        let wrong = example.faults(&real);
        if !wrong.is_empty() {
            faults.push(format!("{name}\n  {}\n{}", wrong.join("\n  "), real.body));
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n\n"));
}
