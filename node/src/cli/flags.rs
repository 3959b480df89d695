//! The flags that the table of settings gives.

use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Command, ValueHint, value_parser};

use crate::config::{CONFIG_ENV, Default, Overrides, Role, SETTINGS, Setting};

const CONFIG: &str = "config";
const HEADING: &str = "Settings";

/// Adds the settings' flags to a role's command.
pub(super) fn add(command: Command, role: Role) -> Command {
    with_racks(command, role, role == Role::Worker)
}

/// Adds a worker's flags to a command that names its rack already.
pub(super) fn add_to_named_rack(command: Command) -> Command {
    with_racks(command, Role::Worker, false)
}

fn with_racks(command: Command, role: Role, racks: bool) -> Command {
    let config = Arg::new(CONFIG)
        .long(CONFIG)
        .value_name("FILE")
        .value_hint(ValueHint::FilePath)
        .value_parser(value_parser!(PathBuf))
        .help_heading(HEADING)
        .help(format!("A TOML file of settings [env: {CONFIG_ENV}]"));
    let settings = SETTINGS.iter().filter(|setting| racks || !is_racks(setting));
    command.arg(config).args(settings.map(|setting| flag(setting, role)))
}

/// What was given, from the innermost command that was typed.
pub(super) fn read(matches: &ArgMatches) -> Overrides {
    let mut innermost = matches;
    while let Some((_, deeper)) = innermost.subcommand() {
        innermost = deeper;
    }
    let config = innermost.try_get_one::<PathBuf>(CONFIG).ok().flatten().cloned();
    let values = SETTINGS.iter().filter_map(|setting| {
        let texts = innermost.try_get_many::<String>(setting.key).ok().flatten()?;
        Some((setting.key, texts.cloned().collect::<Vec<_>>().join(",")))
    });
    Overrides { config, values: values.collect() }
}

fn is_racks(setting: &Setting) -> bool {
    setting.key == "rack_id"
}

/// A list may be given as several flags, which are put together as the other layers write it.
fn is_list(setting: &Setting) -> bool {
    is_racks(setting) || setting.key == "bootstrap"
}

fn flag(setting: &'static Setting, role: Role) -> Arg {
    let default = match setting.default {
        Default::Fixed(text) => format!("default: {text}; "),
        Default::ByRole(of) => format!("default: {}; ", of(role)),
        Default::Absent(_) | Default::Derived(_) => String::new(),
    };
    let action = if is_list(setting) { ArgAction::Append } else { ArgAction::Set };
    Arg::new(setting.key)
        .long(setting.flag)
        .value_name(setting.value)
        .action(action)
        .help_heading(HEADING)
        .help(format!("{} [{default}env: {}]", setting.doc, setting.name()))
}
