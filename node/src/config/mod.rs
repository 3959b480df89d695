//! What a node is told: defaults, then a TOML file, then the environment, then flags.
//!
//! | file | idea |
//! |---|---|
//! | `table` | every setting once: its names, its default, its rule, its meaning |
//! | `parse` | the rules, from text to a typed value |
//! | `file` | the TOML file as texts by key |
//! | `load` | the four layers become [`Settings`], or all [`Mistakes`] at once |
//! | `show` | the result with the source of each value, secrets hidden |
//! | `values`, `secret` | the types that settings have |

mod file;
mod load;
mod mistake;
mod parse;
mod secret;
mod show;
mod source;
mod table;
mod values;

pub use load::{Loaded, Overrides};
pub use mistake::{Mistake, Mistakes};
pub use secret::Secret32;
pub use show::Shown;
pub use source::Source;
pub use table::{CONFIG_ENV, Default, SETTINGS, Setting};
pub use values::{Environment, LogFormat, Role, Settings};
