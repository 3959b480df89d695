//! What a node's `/metrics` says, read as strictly as Prometheus does, and then some.

use std::collections::{BTreeMap, BTreeSet};

use super::Api;

pub type Labels = BTreeMap<String, String>;

/// One `/metrics`.
#[derive(Debug, Default)]
pub struct Metrics {
    pub families: BTreeMap<String, Family>,
}

#[derive(Debug, Default)]
pub struct Family {
    pub kind: String,
    /// By the sample's name, which a histogram has three of, and its labels.
    pub samples: BTreeMap<(String, Labels), f64>,
}

impl Family {
    /// The names of labels that any of its samples has, those of buckets left out.
    pub fn labels(&self) -> BTreeSet<&str> {
        let names = self.samples.keys().flat_map(|(_, labels)| labels.keys());
        names.map(String::as_str).filter(|name| *name != "le").collect()
    }
}

impl Metrics {
    pub async fn of(node: &Api) -> Self {
        Self::parse(node.get("/metrics").await.body.as_str().unwrap())
    }

    /// Panics when a family comes twice, lacks its meaning or its type, or has a sample twice.
    pub fn parse(text: &str) -> Self {
        let mut families: BTreeMap<String, Family> = BTreeMap::new();
        let mut current: Option<String> = None;
        let mut meant = None;
        assert!(text.ends_with('\n'), "the last line is cut off");
        for line in text.lines().filter(|line| !line.is_empty()) {
            if let Some(help) = line.strip_prefix("# HELP ") {
                let (name, meaning) = help.split_once(' ').expect(line);
                assert!(!meaning.trim().is_empty(), "{line}");
                meant = Some(name.to_owned());
            } else if let Some(family) = line.strip_prefix("# TYPE ") {
                let (name, kind) = family.split_once(' ').expect(line);
                assert_eq!(meant.take().as_deref(), Some(name), "no meaning before it: {line}");
                let family = Family { kind: kind.to_owned(), ..Family::default() };
                assert!(families.insert(name.to_owned(), family).is_none(), "twice: {line}");
                current = Some(name.to_owned());
            } else {
                let (name, labels, value) = sample(line);
                let of = current.as_deref().expect(line);
                let family = families.get_mut(of).unwrap();
                let part = name.strip_prefix(of).expect(line);
                let parts: &[&str] = match family.kind.as_str() {
                    "histogram" => &["_bucket", "_sum", "_count"],
                    _ => &[""],
                };
                assert!(parts.contains(&part), "a sample of another family: {line}");
                assert!(family.samples.insert((name, labels), value).is_none(), "twice: {line}");
            }
        }
        Self { families }
    }

    /// The value with exactly these labels.
    pub fn get(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let samples = &self.families.get(name)?.samples;
        samples.get(&(name.to_owned(), labels.collect())).copied()
    }

    /// The value of a rack's gauge without other labels.
    pub fn rack(&self, name: &str, rack: &str) -> Option<f64> {
        self.get(name, &[("rack", rack)])
    }

    /// The names of families that tell of a rack.
    pub fn of_rack(&self, rack: &str) -> Vec<&str> {
        let told = |family: &Family| {
            family.samples.keys().any(|(_, labels)| labels.get("rack").is_some_and(|is| is == rack))
        };
        let families = self.families.iter().filter(|(_, family)| told(family));
        families.map(|(name, _)| name.as_str()).collect()
    }
}

/// `name{label="value",…} value`.
fn sample(line: &str) -> (String, Labels, f64) {
    let end = line.find(['{', ' ']).expect(line);
    let (name, mut rest) = line.split_at(end);
    assert!(is_name(name), "{line}");
    let mut labels = Labels::new();
    if let Some(inner) = rest.strip_prefix('{') {
        rest = inner;
        while !rest.starts_with('}') {
            let (label, quoted) = rest.split_once("=\"").expect(line);
            assert!(is_name(label), "{line}");
            let (value, after) = unquoted(quoted).expect(line);
            assert!(labels.insert(label.to_owned(), value).is_none(), "{line}");
            rest = after.strip_prefix(',').unwrap_or(after);
        }
        rest = &rest[1..];
    }
    let value = rest.strip_prefix(' ').expect(line).parse().expect(line);
    (name.to_owned(), labels, value)
}

fn is_name(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_lowercase())
        && text.chars().all(|letter| matches!(letter, 'a'..='z' | '0'..='9' | '_'))
}

/// What stands before the quote that ends a label's value, and what comes after it.
fn unquoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => match letters.next()?.1 {
                'n' => value.push('\n'),
                escaped @ ('"' | '\\') => value.push(escaped),
                _ => return None,
            },
            _ => value.push(letter),
        }
    }
    None
}

/// One row of the table of metrics in `docs/observe.md`.
#[derive(Debug)]
pub struct Row {
    pub names: Vec<String>,
    pub labels: BTreeSet<String>,
    pub is_histogram: bool,
    pub told_by: String,
}

fn words(cell: &str) -> Vec<String> {
    let words = cell.split(", ").filter(|word| !word.is_empty());
    words.map(|word| word.trim_matches('`').to_owned()).collect()
}

/// The table.
pub fn documented() -> Vec<Row> {
    let path = format!("{}/../docs/observe.md", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).unwrap();
    let table = text.lines().skip_while(|line| !line.starts_with("| metric | labels |")).skip(2);
    let rows = table.take_while(|line| line.starts_with('|')).map(|line| {
        let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [names, labels, meaning, told_by] = cells[..] else { panic!("four cells: {line}") };
        assert!(!meaning.is_empty() && !told_by.is_empty(), "{line}");
        Row {
            names: words(names),
            labels: words(labels).into_iter().collect(),
            is_histogram: meaning.starts_with("histogram"),
            told_by: told_by.to_owned(),
        }
    });
    rows.collect()
}
