//! The TOML file as texts by key, so that it goes through the same rules as everything else.

use std::collections::BTreeMap;
use std::path::Path;

use super::{CONFIG_ENV, Mistake, SETTINGS, Setting, Source};

/// The largest file that is read, in bytes.
const MAX_BYTES: u64 = 1024 * 1024;

/// Texts by key of the table.
pub(super) type Texts = BTreeMap<&'static str, String>;

/// Reads a file; what is wrong with it goes to `mistakes`.
pub(super) fn read(path: &Path, named_by: &Source, mistakes: &mut Vec<Mistake>) -> Texts {
    let mut refuse = |allowed: String| {
        mistakes.push(Mistake {
            name: CONFIG_ENV.into(),
            value: Some(path.display().to_string()),
            allowed,
            source: named_by.clone(),
        });
        Texts::new()
    };
    let text = match read_small(path) {
        Ok(text) => text,
        Err(error) => return refuse(format!("a readable TOML file: {error}")),
    };
    match text.parse::<toml::Table>() {
        Ok(table) => texts(path, table, mistakes),
        Err(error) => {
            let at = error.span().map_or(1, |span| line_of(&text, span.start));
            refuse(format!("a TOML file; line {at}: {}", error.message().trim()))
        }
    }
}

/// A file's text, unless it is unreasonably large.
pub(super) fn read_small(path: &Path) -> std::io::Result<String> {
    let metadata = std::fs::metadata(path)?;
    if !metadata.is_file() {
        // A device or a pipe has no length to check.
        return Err(std::io::Error::other("it is no file"));
    }
    let bytes = metadata.len();
    if bytes > MAX_BYTES {
        let what = format!("it has {bytes} bytes, at most {MAX_BYTES} are read");
        return Err(std::io::Error::other(what));
    }
    std::fs::read_to_string(path)
}

fn line_of(text: &str, byte: usize) -> usize {
    text.bytes().take(byte).filter(|b| *b == b'\n').count() + 1
}

fn texts(path: &Path, table: toml::Table, mistakes: &mut Vec<Mistake>) -> Texts {
    let mut texts = Texts::new();
    for (key, value) in table {
        let source = Source::File { path: path.into(), key: key.clone() };
        match (Setting::by_key(&key), plain_text(&value)) {
            (Some(setting), Some(text)) => {
                texts.insert(setting.key, text);
            }
            (Some(setting), None) => {
                mistakes.push(Mistake::of(setting, value.type_str(), source));
            }
            (None, _) => mistakes.push(unknown(key, source)),
        }
    }
    texts
}

fn unknown(key: String, source: Source) -> Mistake {
    let known: Vec<_> = SETTINGS.iter().map(|setting| setting.key).collect();
    let allowed = format!("a known key, one of {}", known.join(", "));
    Mistake { name: key, value: None, allowed, source }
}

fn plain_text(value: &toml::Value) -> Option<String> {
    match value {
        toml::Value::String(text) => Some(text.clone()),
        toml::Value::Integer(number) => Some(number.to_string()),
        toml::Value::Boolean(on) => Some(on.to_string()),
        toml::Value::Array(items) => {
            let items: Option<Vec<_>> = items.iter().map(toml::Value::as_str).collect();
            items.map(|items| items.join(","))
        }
        _ => None,
    }
}
