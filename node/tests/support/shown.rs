//! Answers as documents show them, held against real ones. What is shown has to come exactly, but
//! for what differs from run to run: there the form has to be the same.

use serde_json::Value;

/// Headers that an answer has to show when they come, since they carry something for clients.
const TELLING: [&str; 9] = [
    "allow",
    "content-type",
    "etag",
    "link",
    "location",
    "retry-after",
    "x-applied-index",
    "x-missing-racks",
    "x-total-count",
];
/// What need not be shown.
const PLAIN: (&str, &str) = ("content-type", "application/json");
/// Numbers that differ from run to run.
const VOLATILE: [&str; 11] = [
    "applied_index",
    "committed_index",
    "cpu",
    "index",
    "last_index",
    "last_term",
    "memory",
    "part",
    "term",
    "uptime_s",
    "if_version",
];

/// An answer: what `curl --include` prints.
#[derive(Clone, Debug, PartialEq)]
pub struct Shown {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Shown {
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.replace("\r\n", "\n");
        let (head, body) = match text.split_once("\n\n") {
            Some((head, body)) => (head.to_owned(), body.to_owned()),
            None => (text.clone(), String::new()),
        };
        let mut lines = head.lines();
        let status = lines.next()?.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
        let headers = lines.filter_map(|line| {
            let (name, value) = line.split_once(':')?;
            Some((name.trim().to_lowercase(), value.trim().to_owned()))
        });
        Some(Self { status, headers: headers.collect(), body: body.trim_end().to_owned() })
    }

    /// Only the headers that tell something; JSON laid out for people.
    pub fn telling(&self) -> Self {
        let headers = self.headers.iter().filter(|(name, value)| {
            TELLING.contains(&name.as_str()) && (name.as_str(), value.as_str()) != PLAIN
        });
        let body = match serde_json::from_str::<Value>(&self.body) {
            Ok(_) => layout(&self.body, 0, 0),
            Err(_) => self.body.clone(),
        };
        Self { status: self.status, headers: headers.cloned().collect(), body }
    }

    /// What differs in a real answer.
    pub fn faults(&self, real: &Self) -> Vec<String> {
        let mut faults = Vec::new();
        if self.status != real.status {
            faults.push(format!("status {}, shown {}", real.status, self.status));
        }
        let (shown, came) = (self.telling(), real.telling());
        let mut names: Vec<_> = shown.headers.iter().chain(&came.headers).map(|it| &it.0).collect();
        names.sort();
        names.dedup();
        for name in names {
            let of = |answer: &Self| {
                let found = answer.headers.iter().find(|(known, _)| known == name);
                found.map(|(_, value)| header_form(name, value))
            };
            if of(&shown) != of(&came) {
                faults.push(format!("{name}: {:?}, shown {:?}", of(&came), of(&shown)));
            }
        }
        match (serde_json::from_str(&self.body), serde_json::from_str(&real.body)) {
            (Ok(shown), Ok(came)) => compare("", "", &shown, &came, &mut faults),
            _ => faults.extend(text_faults(&self.body, &real.body)),
        }
        faults
    }
}

/// Compact JSON laid out for people, with its keys and numbers as they come: what fits stands on
/// one line.
fn layout(json: &str, indent: usize, before: usize) -> String {
    let line = one_line(json);
    let bracket = json.starts_with(['{', '[']);
    if !bracket || indent + before + line.len() <= WIDTH {
        return line;
    }
    let parts = parts(&json[1..json.len() - 1]).into_iter().map(|part| {
        let key = key(part);
        let value = layout(&part[key.len()..], indent + 2, key.len() + 1);
        let gap = if key.is_empty() { "" } else { " " };
        format!("{}{key}{gap}{value}", " ".repeat(indent + 2))
    });
    let all = parts.collect::<Vec<_>>().join(",\n");
    format!("{}\n{all}\n{}{}", &json[..1], " ".repeat(indent), &json[json.len() - 1..])
}

/// Columns of what is laid out.
const WIDTH: usize = 96;

/// Where JSON has a character outside of strings, with its depth.
fn outside(json: &str) -> impl Iterator<Item = (usize, char, usize)> + '_ {
    let (mut in_string, mut escaped, mut depth) = (false, false, 0_usize);
    json.char_indices().filter_map(move |(at, c)| {
        if in_string {
            in_string = escaped || c != '"';
            escaped = !escaped && c == '\\';
            return None;
        }
        match c {
            '"' => in_string = true,
            '{' | '[' => depth += 1,
            '}' | ']' => depth -= 1,
            _ => {}
        }
        Some((at, c, depth))
    })
}

/// What stands between the outer commas.
fn parts(inner: &str) -> Vec<&str> {
    let (mut parts, mut from) = (Vec::new(), 0);
    for (at, _, _) in outside(inner).filter(|(_, c, depth)| *c == ',' && *depth == 0) {
        parts.push(&inner[from..at]);
        from = at + 1;
    }
    parts.push(&inner[from..]);
    parts
}

/// The key of an object's part, with its colon; empty in an array.
fn key(part: &str) -> &str {
    let colon = outside(part).find(|(_, c, depth)| *c == ':' && *depth == 0);
    colon.map_or("", |(at, _, _)| &part[..=at])
}

fn one_line(json: &str) -> String {
    let gaps: Vec<_> = outside(json).filter(|(_, c, _)| [',', ':'].contains(c)).collect();
    let (mut line, mut from) = (String::new(), 0);
    for (at, _, _) in gaps {
        line.push_str(&json[from..=at]);
        line.push(' ');
        from = at + 1;
    }
    line + &json[from..]
}

fn header_form(name: &str, value: &str) -> String {
    match name {
        "x-applied-index" => digits_to_one(value),
        // The order of methods is nobody's promise.
        "allow" => {
            let mut methods: Vec<_> = value.split(',').map(str::trim).collect();
            methods.sort_unstable();
            methods.join(",")
        }
        _ => value.to_owned(),
    }
}

/// Every number is one digit: text that counts something.
fn digits_to_one(text: &str) -> String {
    let mut form = String::new();
    for c in text.chars() {
        let c = if c.is_ascii_digit() { '0' } else { c };
        if c != '0' || !form.ends_with('0') {
            form.push(c);
        }
    }
    form
}

/// What differs between texts, line by line; JSON in a line is compared as such.
pub fn text_faults(shown: &str, came: &str) -> Vec<String> {
    // A heartbeat may come at any moment.
    let lines = |text: &str| -> Vec<String> {
        let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with(':'));
        let mut lines: Vec<_> = lines.map(str::to_owned).collect();
        lines.dedup_by(|later, line| later.starts_with("id:") && line.starts_with("id:"));
        lines
    };
    let (shown, came) = (lines(shown), lines(came));
    let mut faults = Vec::new();
    if shown.len() != came.len() {
        faults.push(format!("{} lines, shown {}: {came:?}", came.len(), shown.len()));
    }
    for (shown, came) in shown.iter().zip(&came) {
        let parts = |line: &str| {
            let json = line.find('{').and_then(|at| serde_json::from_str(&line[at..]).ok());
            (line.split('{').next().unwrap_or_default().to_owned(), json)
        };
        match (parts(shown), parts(came)) {
            ((before, Some(shown)), (real, Some(came))) if before == real => {
                compare("", "", &shown, &came, &mut faults);
            }
            _ if digits_to_one(shown) == digits_to_one(came) => {}
            _ => faults.push(format!("{came:?}, shown {shown:?}")),
        }
    }
    faults
}

fn compare(path: &str, key: &str, shown: &Value, came: &Value, faults: &mut Vec<String>) {
    match (shown, came) {
        (Value::Object(shown), Value::Object(came)) => {
            for name in shown.keys().filter(|name| !came.contains_key(*name)) {
                faults.push(format!("{path}/{name} does not come"));
            }
            for (name, came) in came {
                match shown.get(name) {
                    Some(shown) => compare(&format!("{path}/{name}"), name, shown, came, faults),
                    None => faults.push(format!("{path}/{name} is not shown: {came}")),
                }
            }
        }
        (Value::Array(shown), Value::Array(came)) => {
            if shown.len() != came.len() {
                faults.push(format!("{path} has {} items, shown {}", came.len(), shown.len()));
            }
            let (shown, came) = (in_order(shown), in_order(came));
            for (at, (shown, came)) in shown.iter().zip(&came).enumerate() {
                compare(&format!("{path}/{at}"), key, shown, came, faults);
            }
        }
        (Value::Number(a), Value::Number(b)) if a == b || VOLATILE.contains(&key) => {}
        (Value::String(a), Value::String(b)) if form(key, a) == form(key, b) => {}
        (a, b) if a == b => {}
        (shown, came) => faults.push(format!("{path} is {came}, shown {shown}")),
    }
}

/// Nodes stand in the order of their peer ids, which are drawn anew: in that of their roles.
fn in_order(items: &[Value]) -> Vec<Value> {
    let mut items = items.to_vec();
    if items.iter().all(|item| item["peer_id"].is_string() && item["addresses"].is_array()) {
        items.sort_by_key(|item| (item["role"].to_string(), item["racks"].to_string()));
    }
    items
}

/// A text that differs from run to run as its form; any other as itself.
fn form(key: &str, text: &str) -> String {
    let is_hex = |text: &str| text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    match key {
        "requestId" | "request_id" if text.len() == 16 && is_hex(text) => "16 hex digits".into(),
        "commands" if is_hex(text) => "hex digits".into(),
        "version" if text.split('.').count() == 3 => "a version".into(),
        "addresses" if text.starts_with("/ip4/") => address(text),
        "reason" | "message" => digits_of_log(text),
        _ if text.len() == 64 && is_hex(text) => "64 hex digits".into(),
        _ if is_time(text) => "a time".into(),
        _ => text.to_owned(),
    }
}

/// Ports and peers are drawn anew.
fn address(text: &str) -> String {
    let parts: Vec<_> = text.split('/').collect();
    let of = |at: usize, part: &str| match parts.get(at.wrapping_sub(1)) {
        Some(&"tcp" | &"udp" | &"p2p") => "x".to_owned(),
        _ => part.to_owned(),
    };
    parts.iter().enumerate().map(|(at, part)| of(at, part)).collect::<Vec<_>>().join("/")
}

/// A message may say where a log ends.
fn digits_of_log(text: &str) -> String {
    match text.split_once("ends at entry ").or_else(|| text.split_once("ends with entry ")) {
        Some((before, after)) => format!("{before}{}", digits_to_one(after)),
        None => text.to_owned(),
    }
}

/// RFC 3339, UTC, to the millisecond.
fn is_time(text: &str) -> bool {
    let form: String = text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    form == "0000-00-00T00:00:00.000Z"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(shown: &str, came: &str) -> usize {
        let of = |body: &str| {
            Shown::parse(&format!("HTTP/1.1 200 OK\netag: \"1\"\ndate: now\n\n{body}")).unwrap()
        };
        of(shown).faults(&of(came)).len()
    }

    #[test]
    fn what_is_wrong_missing_or_more_is_a_fault() {
        let shown = r#"{"id":"1","n":2,"at":"2026-01-31T09:30:00.123Z","l":[1]}"#;
        assert_eq!(faults(shown, &shown.replace("2026", "2027")), 0, "times differ");
        assert_eq!(faults(shown, &shown.replace("2026-01", "2026-1")), 1);
        assert_eq!(faults(shown, &shown.replace("\"1\"", "\"2\"")), 1);
        assert_eq!(faults(shown, &shown.replace("\"1\"", "1")), 1);
        assert_eq!(faults(shown, &shown.replace("\"n\":2,", "")), 1);
        assert_eq!(faults(shown, &shown.replace("\"n\":2", "\"n\":2,\"m\":3")), 1);
        assert_eq!(faults(shown, &shown.replace("[1]", "[1,1]")), 1);
        assert_eq!(faults(r#"{"term":1}"#, r#"{"term":7}"#), 0, "terms differ");
        assert_eq!(faults(r#"{"term":1}"#, r#"{"term":"7"}"#), 1);
    }

    #[test]
    fn what_is_laid_out_is_the_same_json() {
        let json = format!("{{\"a\":[1.10,{{}},\"x,:{{\"],\"long\":\"{}\"}}", "y".repeat(WIDTH));
        let shown = layout(&json, 0, 0);
        assert!(shown.starts_with("{\n  \"a\": [1.10, {}, \"x,:{\"],\n"), "{shown}");
        let of = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        assert_eq!(of(&shown), of(&json));
    }

    #[test]
    fn a_head_that_tells_something_else_is_a_fault() {
        let of = |head: &str| Shown::parse(&format!("HTTP/1.1 {head}\n\n{{}}")).unwrap();
        let shown = of("200 OK\netag: \"1\"");
        assert!(shown.faults(&of("200 OK\netag: \"1\"\ndate: x")).is_empty());
        for head in [
            "201 Created\netag: \"1\"",
            "200 OK\netag: \"2\"",
            "200 OK",
            "200 OK\netag: \"1\"\nlink: x",
        ] {
            assert_eq!(shown.faults(&of(head)).len(), 1, "{head}");
        }
    }
}
