//! Four layers become settings, or all mistakes at once.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use super::file::{self, Texts};
use super::{
    CONFIG_ENV, Default, Mistake, Mistakes, Role, SETTINGS, Setting, Settings, Shown, Source,
};

/// What flags say.
#[derive(Clone, Debug, PartialEq, Eq, std::default::Default)]
pub struct Overrides {
    /// `--config`: the TOML file.
    pub config: Option<PathBuf>,
    /// Texts by the key of the table.
    pub values: BTreeMap<&'static str, String>,
}

impl Overrides {
    /// These, and one more.
    #[must_use]
    pub fn with(mut self, key: &'static str, text: impl Into<String>) -> Self {
        self.values.insert(key, text.into());
        self
    }
}

/// The settings, and where each came from.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The result.
    pub settings: Settings,
    /// One for each setting, in the order of the table.
    pub shown: Vec<Shown>,
}

impl Loaded {
    /// Reads all four layers. Touches nothing but `env` and the files that are named in them.
    ///
    /// # Errors
    /// [`Mistakes`], all of them at once.
    pub fn load(
        role: Role,
        flags: &Overrides,
        env: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, Mistakes> {
        let mut loading = Loading::new(role);
        // An empty variable is one that is not set: that is how compose files leave them out.
        let env = |name: &str| env(name).filter(|text| !text.is_empty());
        let file = loading.file(flags, &env);
        for setting in SETTINGS {
            if let Some((text, source)) = given(setting, flags, &env, file.as_ref()) {
                loading.take(setting, text, source);
            }
        }
        loading.defaults();
        loading.check();
        loading.finish()
    }
}

/// The text that counts for a setting: the flag's, else the environment's, else the file's.
fn given(
    setting: &Setting,
    flags: &Overrides,
    env: &impl Fn(&str) -> Option<String>,
    file: Option<&(PathBuf, Texts)>,
) -> Option<(String, Source)> {
    if let Some(text) = flags.values.get(setting.key) {
        return Some((text.clone(), Source::Flag(setting.flag)));
    }
    if let Some((name, text)) = setting.env.iter().find_map(|name| Some((*name, env(name)?))) {
        return Some((text, Source::Environment(name)));
    }
    let (path, texts) = file?;
    let text = texts.get(setting.key)?.clone();
    Some((text, Source::File { path: path.clone(), key: setting.key.into() }))
}

struct Loading {
    role: Role,
    settings: Settings,
    given: BTreeMap<&'static str, (String, Source)>,
    defaults: BTreeMap<&'static str, &'static str>,
    mistakes: Vec<Mistake>,
}

impl Loading {
    fn new(role: Role) -> Self {
        Self {
            role,
            settings: Settings::blank(),
            given: BTreeMap::new(),
            defaults: BTreeMap::new(),
            mistakes: Vec::new(),
        }
    }

    fn file(
        &mut self,
        flags: &Overrides,
        env: &impl Fn(&str) -> Option<String>,
    ) -> Option<(PathBuf, Texts)> {
        let (path, source) = match &flags.config {
            Some(path) => (path.clone(), Source::Flag("config")),
            None => (env(CONFIG_ENV)?.into(), Source::Environment(CONFIG_ENV)),
        };
        let texts = file::read(&path, &source, &mut self.mistakes);
        Some((path, texts))
    }

    fn take(&mut self, setting: &'static Setting, text: String, source: Source) {
        let taken = match setting.file_of.and_then(Setting::by_key) {
            Some(held) => self.take_from_file(setting, held, &text, &source),
            None => (setting.set)(&mut self.settings, text.trim())
                .ok_or_else(|| Mistake::of(setting, &text, source.clone())),
        };
        self.mistakes.extend(taken.err());
        self.given.insert(setting.key, (text, source));
    }

    /// The file's content counts unless the value itself was given closer to the command line.
    fn take_from_file(
        &mut self,
        setting: &Setting,
        held: &Setting,
        path: &str,
        source: &Source,
    ) -> Result<(), Mistake> {
        let refused = |allowed: String| {
            let (name, value) = (setting.name().into(), Some(path.into()));
            Mistake { name, value, allowed, source: source.clone() }
        };
        if let Some((_, direct)) = self.given.get(held.key) {
            if layer(direct) == layer(source) {
                let allowed = format!("left out when {} is given, or the other way", held.name());
                return Err(refused(allowed));
            }
            if layer(direct) > layer(source) {
                return Ok(());
            }
        }
        let text = match file::read_small(Path::new(path)) {
            Ok(text) => text,
            Err(error) if self.is_made(held, &error) => {
                // Whatever a layer further away gave.
                self.settings.mesh_key = None;
                self.settings.mesh_key_to_make = Some(path.into());
                return Ok(());
            }
            Err(error) => return Err(refused(format!("{}: {error}", setting.allowed))),
        };
        (held.set)(&mut self.settings, text.trim()).ok_or_else(|| {
            refused(format!("{}, and it holds something else: {}", setting.allowed, mending(held)))
        })
    }

    /// Whether a file that can't be read is one that is made by whoever starts a node.
    fn is_made(&self, held: &Setting, error: &io::Error) -> bool {
        let missing = error.kind() == ErrorKind::NotFound;
        held.key == "mesh_key" && self.settings.mesh_key_create && missing
    }

    /// Derived defaults come last: they look at what the others turned out to be.
    fn defaults(&mut self) {
        let is_derived = |setting: &&Setting| matches!(setting.default, Default::Derived(_));
        let (derived, plain): (Vec<&'static Setting>, Vec<_>) =
            SETTINGS.iter().partition(is_derived);
        for setting in plain.into_iter().chain(derived) {
            if self.given.contains_key(setting.key) {
                continue;
            }
            let text = match setting.default {
                Default::Absent(_) => continue,
                Default::Fixed(text) => text,
                Default::ByRole(of) => of(self.role),
                Default::Derived(of) => of(self.role, &self.settings),
            };
            if (setting.set)(&mut self.settings, text).is_none() {
                self.mistakes.push(Mistake::of(setting, text, Source::Default));
            }
            self.defaults.insert(setting.key, text);
        }
    }

    /// The rules between settings.
    fn check(&mut self) {
        if self.role == Role::Worker && !self.given.contains_key("rack_id") {
            let how = "say which rack it works for, such as --rack book-rack-001";
            let missing = Setting::by_key("rack_id").map(|rack| Mistake::missing(rack, how));
            self.mistakes.extend(missing);
        }
        self.settings.mdns &= !self.settings.p2p_host.is_loopback();
        self.refuse_strangers();
        if self.settings.mesh_key_create && !self.given.contains_key("mesh_key_file") {
            self.refuse("mesh_key_create");
        }
        if self.settings.rate_limit_burst.is_some() && self.settings.rate_limit_rps.is_none() {
            self.refuse("rate_limit_burst");
        }
    }

    /// A value that breaks a rule between settings.
    fn refuse(&mut self, key: &'static str) {
        let given = Setting::by_key(key).zip(self.given.get(key));
        let mistake =
            given.map(|(setting, (text, source))| Mistake::of(setting, text, source.clone()));
        self.mistakes.extend(mistake);
    }

    /// Without a mesh key anybody who can connect is in; so only this machine can. `up` makes a
    /// key of its own.
    fn refuse_strangers(&mut self) {
        let named = ["mesh_key", "mesh_key_file"].iter().any(|key| self.given.contains_key(key));
        if named || self.role == Role::Up || self.settings.p2p_host.is_loopback() {
            return;
        }
        self.refuse("p2p_host");
    }

    fn finish(self) -> Result<Loaded, Mistakes> {
        if !self.mistakes.is_empty() {
            return Err(Mistakes(self.mistakes));
        }
        let shown = SETTINGS.iter().map(|setting| {
            let given = self.given.get(setting.key);
            let default = self.defaults.get(setting.key).copied();
            Shown::new(setting, given, default)
        });
        Ok(Loaded { shown: shown.collect(), settings: self.settings })
    }
}

/// What to do about a file that was there and holds no key.
fn mending(held: &Setting) -> &'static str {
    match held.key {
        "mesh_key" => {
            "put back the key that the other nodes have, or remove the file for a new one"
        }
        _ => "put back the key that the data were written with",
    }
}

/// How close to the command line a source is.
fn layer(source: &Source) -> u8 {
    match source {
        Source::Default => 0,
        Source::File { .. } => 1,
        Source::Environment(_) => 2,
        Source::Flag(_) => 3,
    }
}

#[cfg(test)]
#[path = "load_tests.rs"]
mod tests;
