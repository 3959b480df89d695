//! The API's document as a judge of answers. Every answer that any test gets is held against it.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use jsonschema::Validator;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use super::http::Reply;

/// Headers that carry something for clients; each has to be in the document where it comes.
const HEADERS: [&str; 8] = [
    "etag",
    "link",
    "location",
    "retry-after",
    "x-applied-index",
    "x-missing-racks",
    "x-request-id",
    "x-total-count",
];

pub(crate) struct Contract {
    operations: Vec<Operation>,
    error: Validator,
}

pub(crate) struct Operation {
    pub(crate) id: String,
    pub(crate) method: String,
    pub(crate) path: String,
    /// What the document sends as an example.
    pub(crate) example: Option<Value>,
    answers: BTreeMap<u16, Answer>,
}

struct Answer {
    headers: Vec<String>,
    /// By media type.
    bodies: BTreeMap<String, Validator>,
}

impl Contract {
    /// The document of the gateway at this address, which all gateways have alike; `None` when it
    /// has none, as other roles.
    pub(crate) async fn at(to: SocketAddr) -> Option<&'static Self> {
        static CONTRACT: OnceCell<Contract> = OnceCell::const_new();
        let read = || async {
            let reply = super::Request::new("GET", "/openapi.json").exchange(to).await;
            (reply.status == 200).then(|| Self::of(reply.json())).ok_or(())
        };
        CONTRACT.get_or_try_init(read).await.ok()
    }

    fn of(mut document: Value) -> Self {
        close(&mut document["components"]["schemas"]);
        let judge = Judge { components: document["components"].take() };
        let mut operations = Vec::new();
        for (path, item) in document["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                operations.push(judge.operation(method, path, operation));
            }
        }
        let error = judge.validator(&json!({"$ref": "#/components/schemas/Error"}));
        Self { operations, error }
    }

    pub(crate) fn operations(&self) -> &[Operation] {
        &self.operations
    }

    /// The operation that a request is for.
    pub(crate) fn operation(&self, method: &str, target: &str) -> Option<&Operation> {
        let of_path = self.at_path(target);
        of_path.into_iter().find(|operation| operation.method.eq_ignore_ascii_case(method))
    }

    fn at_path(&self, target: &str) -> Vec<&Operation> {
        let path = target.split('?').next().unwrap();
        let exact: Vec<_> =
            self.operations.iter().filter(|operation| operation.path == path).collect();
        let fits = |operation: &&Operation| fits(&operation.path, path);
        if exact.is_empty() { self.operations.iter().filter(fits).collect() } else { exact }
    }

    /// Fails the test when the answer is not as the document says.
    pub(crate) fn judge(&self, method: &str, target: &str, reply: &Reply) {
        if reply.header("access-control-allow-methods").is_some() {
            // A preflight is the browser's business; the edge answers it for every route.
            return;
        }
        let what = format!("{method} {target}: {}", String::from_utf8_lossy(&reply.body));
        let Some(operation) = self.operation(method, target) else {
            let known = !self.at_path(target).is_empty();
            assert_eq!(reply.status, if known { 405 } else { 404 }, "{what}");
            assert_eq!(reply.header("allow").is_some(), known, "{what}");
            assert_valid(&self.error, &reply.json(), &what);
            return;
        };
        if [414, 431].contains(&reply.status) {
            // The edge's, before it is known which operation is meant.
            assert_valid(&self.error, &reply.json(), &what);
            return;
        }
        let answer = operation.answers.get(&reply.status);
        let answer = answer.unwrap_or_else(|| panic!("undocumented: {} {what}", reply.status));
        for name in HEADERS.iter().filter(|name| reply.header(name).is_some()) {
            assert!(
                answer.headers.iter().any(|known| known == name),
                "undocumented {name}: {what}"
            );
        }
        assert!(reply.header("x-request-id").is_some(), "{what}");
        let Some(kind) = reply.header("content-type") else {
            assert!(answer.bodies.is_empty() && reply.body.is_empty(), "no media type: {what}");
            return;
        };
        let body = answer.bodies.get(kind);
        let body = body.unwrap_or_else(|| panic!("undocumented {kind}: {what}"));
        if kind == "application/json" && reply.header("content-encoding").is_none() {
            assert_valid(body, &reply.json(), &what);
        }
    }
}

fn fits(template: &str, path: &str) -> bool {
    let (template, path) = (template.split('/'), path.split('/'));
    template.clone().count() == path.clone().count()
        && template.zip(path).all(|(part, given)| part.starts_with('{') || part == given)
}

fn assert_valid(validator: &Validator, value: &Value, what: &str) {
    let faults: Vec<_> = validator
        .iter_errors(value)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    assert!(faults.is_empty(), "{what}\n{}", faults.join("\n"));
}

struct Judge {
    components: Value,
}

impl Judge {
    fn validator(&self, schema: &Value) -> Validator {
        let mut schema = schema.clone();
        close_one(&mut schema);
        let root = json!({"allOf": [schema], "components": self.components});
        jsonschema::draft202012::new(&root).unwrap()
    }

    fn operation(&self, method: &str, path: &str, operation: &Value) -> Operation {
        let answers = operation["responses"].as_object().unwrap().iter();
        let answers =
            answers.map(|(status, answer)| (status.parse().unwrap(), self.answer(answer)));
        Operation {
            id: operation["operationId"].as_str().unwrap().to_owned(),
            method: method.to_owned(),
            path: path.to_owned(),
            example: operation.pointer("/requestBody/content/application~1json/example").map(
                |example| {
                    let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
                    assert_valid(&self.validator(schema), example, path);
                    example.clone()
                },
            ),
            answers: answers.collect(),
        }
    }

    /// With its own examples checked.
    fn answer(&self, answer: &Value) -> Answer {
        let empty = serde_json::Map::new();
        let of = |name: &str| answer[name].as_object().unwrap_or(&empty).iter();
        let bodies = of("content").map(|(kind, content)| {
            let validator = self.validator(&content["schema"]);
            if let Some(example) = content.get("example") {
                assert_valid(&validator, example, "an example of the document");
            }
            (kind.clone(), validator)
        });
        let headers = of("headers").map(|(name, _)| name.to_lowercase());
        Answer { bodies: bodies.collect(), headers: headers.collect() }
    }
}

/// Forbids fields that the document does not name, in all named schemas. To clients it leaves them
/// open, so that a field can be added; here one that is not documented is a fault.
fn close(schemas: &mut Value) {
    let parts: Vec<String> = schemas
        .as_object()
        .unwrap()
        .values()
        .flat_map(|schema| schema["allOf"].as_array().cloned().unwrap_or_default())
        .filter_map(|part| part["$ref"].as_str()?.rsplit('/').next().map(str::to_owned))
        .collect();
    for (name, schema) in schemas.as_object_mut().unwrap() {
        if !parts.contains(name) {
            close_one(schema);
        }
    }
}

fn close_one(schema: &mut Value) {
    let Some(object) = schema.as_object_mut() else { return };
    let named = object.contains_key("properties") && !object.contains_key("additionalProperties");
    if named || object.contains_key("allOf") {
        object.insert("unevaluatedProperties".into(), false.into());
    }
    for (_, property) in
        object.get_mut("properties").and_then(Value::as_object_mut).into_iter().flatten()
    {
        close_one(property);
    }
    if let Some(items) = object.get_mut("items") {
        close_one(items);
    }
}
