//! Asks before what can't be undone. Where nobody can be asked, only `--yes` will do.

use std::io::{self, IsTerminal, Write};

use super::failure::Failure;

/// Asks for a yes.
///
/// # Errors
/// When the answer is another one, or there is no terminal to ask on.
pub(super) fn yes(given: bool, question: &str) -> Result<(), Failure> {
    let agreed = |answer: &str| ["y", "yes"].contains(&answer.to_lowercase().as_str());
    ask(given, &format!("{question} [y/N] "), agreed)
}

/// Asks for a word to be typed, which nobody does by mistake.
///
/// # Errors
/// As [`yes`].
pub(super) fn typed(given: bool, question: &str, word: &str) -> Result<(), Failure> {
    ask(given, &format!("{question} "), |answer| answer == word)
}

fn ask(given: bool, question: &str, agreed: impl Fn(&str) -> bool) -> Result<(), Failure> {
    if given {
        return Ok(());
    }
    if !io::stdin().is_terminal() {
        let what = "there is no terminal to ask on: give --yes to go on without being asked";
        return Err(Failure::Usage(what.into()));
    }
    let mut out = io::stderr();
    write!(out, "{question}")?;
    out.flush()?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    if agreed(answer.trim()) {
        return Ok(());
    }
    Err(Failure::Failed("nothing was changed".into()))
}
