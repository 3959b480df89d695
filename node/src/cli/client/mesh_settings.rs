//! `bookmesh settings`.

use std::io::Write;

use reqwest::Method;
use serde_json::{Map, Value};

use super::failure::Failure;
use super::http::{Answer, Api};
use super::terminal::{harmless, print_table, table};
use crate::cli::{SettingsArgs, SettingsChange};

/// What leaves a setting to each node.
const NONE: &str = "none";
const KNOWN: [&str; 2] = ["rack_replicas", "replace_after_ms"];

/// Shows the mesh's settings, changed before where that is asked for.
pub(super) async fn run(args: &SettingsArgs) -> Result<(), Failure> {
    match &args.change {
        None => show(Api::new(&args.server.url)?.get("/settings", &[]).await?, args.json),
        Some(SettingsChange::Set { values, server, json }) => {
            let body = parse(values)?;
            let api = Api::new(&server.url)?;
            show(api.send(Method::PUT, "/settings", &body).await?, *json)
        }
    }
}

/// `name=value` pairs as the gateway takes them.
fn parse(values: &[String]) -> Result<Value, Failure> {
    let mut body = Map::new();
    for pair in values {
        let Some((name, text)) = pair.split_once('=') else {
            return Err(Failure::Usage(format!("{pair:?} is no name=value")));
        };
        if !KNOWN.contains(&name) {
            let known = KNOWN.join(", ");
            return Err(Failure::Usage(format!("{name:?} is no setting; known are {known}")));
        }
        let value = match text.parse::<u64>() {
            _ if text == NONE => Value::Null,
            Ok(number) => number.into(),
            Err(_) => {
                let what = format!("{name}: must be a whole number or {NONE}, not {text:?}");
                return Err(Failure::Usage(what));
            }
        };
        if body.insert(name.to_owned(), value).is_some() {
            return Err(Failure::Usage(format!("{name} is given twice")));
        }
    }
    Ok(body.into())
}

fn show(answer: Answer, json: bool) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    let settings = answer.data();
    if json {
        return Ok(writeln!(out, "{settings}")?);
    }
    let mut rows = table(&["setting", "value"]);
    for (name, value) in settings.as_object().into_iter().flatten() {
        let value = if value.is_null() { "each node's own".to_owned() } else { value.to_string() };
        rows.add_row([harmless(name), harmless(&value)]);
    }
    Ok(print_table(&mut out, &rows)?)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parsed(pairs: &[&str]) -> Result<Value, Failure> {
        parse(&pairs.iter().map(|pair| (*pair).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn pairs_become_numbers_and_none_becomes_null() {
        let body = parsed(&["rack_replicas=3", "replace_after_ms=none"]).unwrap();
        assert_eq!(body, json!({"rack_replicas": 3, "replace_after_ms": null}));
    }

    #[test]
    fn what_is_no_setting_is_wrong_usage() {
        for wrong in [
            &["rack_replicas"][..],
            &["colour=1"],
            &["rack_replicas=x"],
            &["rack_replicas=1", "rack_replicas=3"],
        ] {
            assert!(matches!(parsed(wrong), Err(Failure::Usage(_))), "{wrong:?}");
        }
    }
}
