//! Every example runs to its end.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use std::process::Command;

fn run(program: &str) -> String {
    let output = Command::new(program).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program}: {error}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_book_is_registered_and_read() {
    assert!(run(env!("CARGO_BIN_EXE_register_and_read")).contains("Jane Austen: Emma"));
}

#[test]
fn one_of_eight_callers_has_the_book() {
    let said = run(env!("CARGO_BIN_EXE_checkout_race"));
    assert_eq!(said.matches("refused: ").count(), 7, "{said}");
}

#[test]
fn the_log_is_followed() {
    assert!(run(env!("CARGO_BIN_EXE_follow_the_log")).contains("FoundRack"));
}
