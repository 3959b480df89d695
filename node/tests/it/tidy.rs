//! What the style asks for and no linter checks: sizes, words, crate borders, links.

use std::fs;
use std::path::{Path, PathBuf};

/// Lines of a file, without the tests at its end.
const MAX_LINES: usize = 450;
const MAX_COLUMNS: usize = 100;
/// Put together here, so that this file does not hold them.
const FORBIDDEN: [(&str, &str); 5] = [
    (concat!("to", "do!("), "finish it, or leave it out"),
    (concat!("unimpl", "emented!("), "finish it, or leave it out"),
    (concat!("db", "g!("), "use tracing"),
    (concat!("FIX", "ME"), "fix it, or open an issue"),
    (concat!("unbounded_", "channel("), "every queue has a bound"),
];
/// Which crate alone may depend on what: the design's table of crates.
const BORDERS: [(&str, &str); 7] = [
    ("libp2p", "rpc"),
    ("libp2p-stream", "rpc"),
    ("bincode", "rpc"),
    ("sled", "storage"),
    ("openraft", "node"),
    ("clap", "node"),
    ("axum", "gateway"),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// All files below a directory with this ending, what is built or hidden left out.
fn files(directory: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            let skipped = name.starts_with('.') || name == "target" || name == "bookmesh-data";
            if !skipped {
                found.extend(files(&path, ending));
            }
        } else if name.ends_with(ending) {
            found.push(path);
        }
    }
    found
}

fn rust_files() -> Vec<(PathBuf, String)> {
    let files = files(&root(), ".rs").into_iter();
    let read: Vec<_> =
        files.map(|path| (path.clone(), fs::read_to_string(path).unwrap())).collect();
    assert!(read.len() > 30, "the walk lost its way");
    read
}

fn is_test(path: &Path) -> bool {
    let in_tests =
        path.components().any(|part| ["tests", "benches"].iter().any(|d| part.as_os_str() == *d));
    in_tests || path.file_stem().unwrap().to_string_lossy().ends_with("tests")
}

fn assert_none(faults: &[String]) {
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn files_can_be_read_in_one_sitting() {
    let mut faults = Vec::new();
    for (path, text) in rust_files().into_iter().filter(|(path, _)| !is_test(path)) {
        let own = text.split("\n#[cfg(test)]\nmod tests").next().unwrap();
        let lines = own.lines().count();
        if lines > MAX_LINES {
            faults.push(format!("{}: {lines} lines, at most {MAX_LINES}", path.display()));
        }
    }
    assert_none(&faults);
}

#[test]
fn lines_fit_and_hold_no_forbidden_word() {
    let mut faults = Vec::new();
    for (path, text) in rust_files() {
        for (number, line) in text.lines().enumerate() {
            let mut fault = |what: &str| {
                faults.push(format!("{}:{}: {what}", path.display(), number + 1));
            };
            if line.chars().count() > MAX_COLUMNS {
                fault("more than 100 columns");
            }
            for (word, instead) in FORBIDDEN.iter().filter(|(word, _)| line.contains(word)) {
                fault(&format!("{word}: {instead}"));
            }
        }
    }
    assert_none(&faults);
}

#[test]
fn only_one_crate_names_each_foreign_world() {
    let mut faults = Vec::new();
    let mut seen = 0;
    for member in ["rpc", "storage", "node", "gateway", "examples"] {
        let manifest = fs::read_to_string(root().join(member).join("Cargo.toml")).unwrap();
        for (dependency, owner) in BORDERS {
            let names = manifest.lines().any(|line| {
                line.split(['.', ' ', '=']).next().is_some_and(|name| name == dependency)
            });
            seen += usize::from(names);
            if names && member != owner {
                faults.push(format!("{member} names {dependency}, which is {owner}'s alone"));
            }
        }
    }
    assert!(seen >= BORDERS.len(), "the manifests are not read as they are written");
    assert_none(&faults);
}

#[test]
fn links_in_the_documents_lead_somewhere() {
    let mut faults = Vec::new();
    for path in files(&root(), ".md") {
        let text = fs::read_to_string(&path).unwrap();
        for target in links(&text) {
            let file = target.split('#').next().unwrap();
            if !file.is_empty() && !path.parent().unwrap().join(file).exists() {
                faults.push(format!("{}: there is no {file}", path.display()));
            }
        }
    }
    assert_none(&faults);
}

/// The targets of all links of a document that stay within the project.
fn links(text: &str) -> Vec<String> {
    let after = text.split("](").skip(1);
    let targets = after.filter_map(|rest| rest.split(')').next());
    let local = targets.filter(|target| !target.contains("://"));
    local.map(str::to_owned).collect()
}

#[test]
fn links_are_found_in_a_text() {
    let text = "see [a](A.md), [b](b/c.md#d), [web](https://x.example) and [here](#top)";
    assert_eq!(links(text), ["A.md", "b/c.md#d", "#top"]);
}
