//! `bookmesh completions`.

use std::io::Write;

use super::failure::Failure;
use crate::cli::Cli;

/// Prints the completions of one shell.
pub(super) fn run(shell: clap_complete::Shell) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "bookmesh", &mut script);
    std::io::stdout().write_all(&script)?;
    Ok(())
}
