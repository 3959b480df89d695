//! `bookmesh config show`.

use std::io::Write;

use super::failure::Failure;
use super::terminal::{print_table, table};
use crate::cli::ConfigCommand;
use crate::config::Loaded;

/// Prints the settings of a role.
pub(super) fn run(command: &ConfigCommand) -> Result<(), Failure> {
    let ConfigCommand::Show { role, json, flags } = command;
    let loaded = Loaded::load(*role, flags, |name| std::env::var(name).ok())
        .map_err(|mistakes| Failure::Usage(mistakes.to_string()))?;
    let mut out = std::io::stdout().lock();
    if *json {
        serde_json::to_writer_pretty(&mut out, &loaded.shown).map_err(std::io::Error::from)?;
        writeln!(out)?;
        return Ok(());
    }
    let mut rows = table(&["setting", "value", "from"]);
    for shown in &loaded.shown {
        rows.add_row([shown.name, &shown.value, &shown.source]);
    }
    print_table(&mut out, &rows)?;
    Ok(())
}
