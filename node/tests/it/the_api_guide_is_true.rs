//! Every request of docs/api.md is sent with real curl to a new mesh, in order, and every answer
//! has to be as it is shown there. `UPDATE_GUIDE=1` writes the answers that came into the guide.

use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::support::guide::{self, Mesh};
use crate::support::shown::{self, Shown};

fn file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/api.md")
}

/// The guide's text, cut into what stands before a request, the request, and its answer.
struct Step {
    before: String,
    request: String,
    answer: String,
}

fn steps(text: &str) -> (Vec<Step>, String) {
    let (mut steps, mut rest) = (Vec::new(), text);
    while let Some((before, after)) = rest.split_once("```sh\n") {
        let (request, after) = after.split_once("```\n").expect("a block that ends");
        let answer = ["\n```http\n", "\n```text\n"]
            .into_iter()
            .find_map(|fence| after.strip_prefix(fence)?.split_once("\n```\n"));
        let (answer, after) = answer.unwrap_or(("", after));
        steps.push(Step {
            before: before.to_owned(),
            request: request.trim_end().to_owned(),
            answer: answer.to_owned(),
        });
        rest = after;
    }
    (steps, rest.to_owned())
}

/// What a request of the guide prints.
fn run(mesh: &Mesh, request: &str) -> String {
    let command = request.replace("http://127.0.0.1:3000", &mesh.url());
    assert!(command.starts_with("curl ") && command.contains(&mesh.url()), "{request}");
    // Of a pipe its end is waited for alone: curl stays with a stream until it is stopped.
    let command = match command.split_once(" | ") {
        Some((curl, end)) => format!("exec {end} < <({curl})"),
        None => command,
    };
    let mut shell = Command::new("bash")
        .args(["-c", &command])
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("CURL_HOME", mesh.curl_home())
        .stdout(Stdio::piped())
        .process_group(0)
        .spawn()
        .unwrap();
    let mut printed = String::new();
    shell.stdout.take().unwrap().read_to_string(&mut printed).unwrap();
    // A stream goes on although nobody reads it any more.
    let group = format!("-{}", shell.id());
    let _ = Command::new("kill").args(["-s", "KILL", "--", &group]).stderr(Stdio::null()).status();
    shell.wait().unwrap();
    printed
}

#[test]
fn every_request_of_the_guide_is_answered_as_it_is_shown() {
    let mesh = Mesh::start("guide");
    let update = std::env::var_os("UPDATE_GUIDE").is_some();
    let (steps, end) = steps(&std::fs::read_to_string(file()).unwrap());
    assert!(steps.len() > 60, "the guide is not read as it is written");
    let (mut faults, mut text) = (Vec::new(), String::new());
    for Step { before, request, answer } in steps {
        let came = run(&mesh, &request);
        let real = Shown::parse(&came);
        if update {
            text.push_str(&format!("{before}```sh\n{request}\n```\n\n{}", block(&came)));
            continue;
        }
        let wrong = match (Shown::parse(&answer), real) {
            (Some(shown), Some(real)) => shown.faults(&real),
            (None, None) if !answer.is_empty() => shown::text_faults(&answer, &came),
            _ => vec!["it has no answer, or one of another kind".to_owned()],
        };
        if !wrong.is_empty() {
            faults.push(format!("{request}\n  {}\n{came}", wrong.join("\n  ")));
        }
    }
    if update {
        std::fs::write(file(), text + &end).unwrap();
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n\n"));
}

/// An answer as the guide shows it.
fn block(came: &str) -> String {
    match Shown::parse(came) {
        Some(real) => format!("```http\n{}\n```\n", guide::text(&real, came)),
        None => format!("```text\n{}\n```\n", came.trim_end()),
    }
}
