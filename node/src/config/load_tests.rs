use std::io::Write;
use std::time::Duration;

use super::*;
use crate::config::{Environment, LogFormat};

const KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

fn no_env(_: &str) -> Option<String> {
    None
}

fn env(pairs: &'static [(&str, &str)]) -> impl Fn(&str) -> Option<String> {
    |name| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
}

fn file(text: &str) -> (tempfile::NamedTempFile, Overrides) {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    let flags = Overrides { config: Some(file.path().into()), ..Overrides::default() };
    (file, flags)
}

fn names(mistakes: &Mistakes) -> Vec<&str> {
    mistakes.0.iter().map(|mistake| mistake.name.as_str()).collect()
}

fn source_of<'a>(loaded: &'a Loaded, name: &str) -> &'a Shown {
    loaded.shown.iter().find(|shown| shown.name == name).unwrap()
}

#[test]
fn every_default_of_every_role_keeps_its_own_rule() {
    for role in Role::ALL {
        let flags = Overrides::default().with("rack_id", "book-rack-001");
        let settings = Settings::load(role, &flags, no_env).unwrap();
        let port = match role {
            Role::Up | Role::Gateway => 3000,
            Role::Ork => 8080,
            Role::Worker => 8081,
        };
        assert_eq!((settings.http_port, settings.p2p_port), (port, 4001));
        assert_eq!(settings.bootstrap_timeout, Duration::from_secs(15));
        assert_eq!((settings.replicas, settings.max_payload_bytes), (3, 1_048_576));
        assert_eq!(settings.replace_after, Duration::from_secs(60));
        assert!(settings.p2p_host.is_loopback() && !settings.mdns, "no key: loopback only");
    }
}

#[test]
fn a_flag_beats_the_environment_which_beats_the_file_which_beats_the_default() {
    let (_file, mut flags) = file("port = 1\np2p_port = 1\nlog_level = \"warn\"\n");
    flags = flags.with("port", "3");
    let env = env(&[("PORT", "2"), ("P2P_PORT", "2")]);
    let loaded = Loaded::load(Role::Ork, &flags, env).unwrap();
    let settings = &loaded.settings;
    assert_eq!((settings.http_port, settings.p2p_port), (3, 2));
    assert_eq!(settings.log_level, "warn");
    assert_eq!(source_of(&loaded, "PORT").source, "flag --port");
    assert_eq!(source_of(&loaded, "P2P_PORT").source, "environment P2P_PORT");
    assert!(source_of(&loaded, "LOG_LEVEL").source.starts_with("log_level in "));
    assert_eq!(source_of(&loaded, "HOST").source, "default");
}

#[test]
fn all_mistakes_are_reported_at_once_each_with_value_rule_and_source() {
    let (_file, mut flags) = file("rack_replicas = 2\ncolour = \"red\"\nhost = [1]\n");
    flags = flags.with("log_level", "loud");
    let env = env(&[("PORT", "65536"), ("MESH_KEY", "beef"), ("MDNS", "perhaps")]);
    let mistakes = Settings::load(Role::Worker, &flags, env).unwrap_err();
    let mut found = names(&mistakes);
    found.sort_unstable();
    let all =
        ["HOST", "LOG_LEVEL", "MDNS", "MESH_KEY", "PORT", "RACK_ID", "RACK_REPLICAS", "colour"];
    assert_eq!(found, all);
    let text = mistakes.to_string();
    assert!(text.starts_with("8 mistakes in the configuration:"), "{text}");
    let port = "PORT = \"65536\" (from environment PORT): must be a port, 0 to 65535";
    assert!(text.contains(port), "{text}");
    assert!(text.contains("LOG_LEVEL = \"loud\" (from flag --log-level): must be off,"), "{text}");
    assert!(text.contains("colour (from colour in /"), "{text}");
    assert!(text.contains("RACK_ID is missing; say which rack"), "{text}");
    assert!(!text.contains("beef"), "a wrong secret is still a secret: {text}");
}

#[test]
fn secrets_are_hidden_wherever_they_come_from() {
    let env = env(&[("MESH_KEY", KEY), ("STORE_PRIMARY_KEY", KEY)]);
    let loaded = Loaded::load(Role::Gateway, &Overrides::default(), env).unwrap();
    let shown = serde_json::to_string(&loaded.shown).unwrap();
    assert!(!shown.contains(KEY) && !format!("{loaded:?}").contains(KEY));
    assert_eq!(source_of(&loaded, "MESH_KEY").value, "(hidden)");
    assert_eq!(*loaded.settings.store_key.unwrap().to_hex(), KEY);
}

#[test]
fn with_a_mesh_key_the_mesh_listens_everywhere_and_without_one_it_must_not() {
    let keyed = Overrides::default().with("mesh_key", KEY);
    let settings = Settings::load(Role::Ork, &keyed, no_env).unwrap();
    assert!(settings.p2p_host.is_unspecified() && settings.mdns);
    let alone = keyed.with("p2p_host", "127.0.0.1").with("mdns", "on");
    assert!(!Settings::load(Role::Ork, &alone, no_env).unwrap().mdns, "never on loopback");

    let open = Overrides::default().with("p2p_host", "0.0.0.0");
    let mistakes = Settings::load(Role::Ork, &open, no_env).unwrap_err();
    assert_eq!(names(&mistakes), ["P2P_HOST"]);
    assert!(Settings::load(Role::Up, &open, no_env).is_ok(), "up makes a key of its own");
}

#[test]
fn a_key_file_is_read_and_a_key_beside_it_must_be_of_another_layer() {
    let mut key_file = tempfile::NamedTempFile::new().unwrap();
    writeln!(key_file, "{KEY}").unwrap();
    let path = key_file.path().to_str().unwrap();
    let flags = Overrides::default().with("mesh_key_file", path);
    let settings = Settings::load(Role::Ork, &flags, no_env).unwrap();
    assert_eq!(settings.mesh_key.unwrap().to_hex(), KEY);

    let both = flags.clone().with("mesh_key", KEY);
    assert_eq!(names(&Settings::load(Role::Ork, &both, no_env).unwrap_err()), ["MESH_KEY_FILE"]);

    let other =
        env(&[("MESH_KEY", "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff")]);
    let settings = Settings::load(Role::Ork, &flags, other).unwrap();
    assert_eq!(settings.mesh_key.unwrap().to_hex(), KEY, "the flag is closer");

    let closer = Overrides::default().with("mesh_key", "ff".repeat(32));
    let path = path.to_owned();
    let file_in_env = move |name: &str| (name == "MESH_KEY_FILE").then(|| path.clone());
    let settings = Settings::load(Role::Ork, &closer, file_in_env).unwrap();
    assert_eq!(settings.mesh_key.unwrap().to_hex(), "ff".repeat(32), "the flag is closer");

    let absent = Overrides::default().with("mesh_key_file", "/nowhere/key");
    assert_eq!(names(&Settings::load(Role::Ork, &absent, no_env).unwrap_err()), ["MESH_KEY_FILE"]);
}

#[test]
fn production_logs_json_unless_it_is_told_otherwise() {
    let production = env(&[("NODE_ENV", "production")]);
    let settings = Settings::load(Role::Ork, &Overrides::default(), production).unwrap();
    assert_eq!(settings.environment, Environment::Production);
    assert_eq!(settings.log_format, LogFormat::Json);
    let flags = Overrides::default().with("log_format", "pretty").with("environment", "staging");
    let settings = Settings::load(Role::Ork, &flags, no_env).unwrap();
    assert_eq!(settings.log_format, LogFormat::Pretty);
}

#[test]
fn an_empty_variable_is_one_that_is_not_set() {
    let empty = env(&[("PORT", ""), ("MESH_KEY", ""), ("BOOTSTRAP", "")]);
    assert_eq!(Settings::load(Role::Ork, &Overrides::default(), empty).unwrap().http_port, 8080);
}

#[test]
fn a_file_that_is_missing_or_no_toml_is_a_mistake_that_says_where() {
    let flags = Overrides { config: Some("/nowhere/b.toml".into()), ..Overrides::default() };
    let mistakes = Settings::load(Role::Ork, &flags, no_env).unwrap_err();
    assert_eq!(names(&mistakes), [CONFIG_ENV]);
    let (_file, flags) = file("port = 1\nhost = \n");
    let text = Settings::load(Role::Ork, &flags, no_env).unwrap_err().to_string();
    assert!(text.contains("line 2"), "{text}");
}

#[test]
fn lists_in_the_file_may_be_lists() {
    let (_file, flags) = file("rack_id = [\"a\", \"b\"]\nbootstrap = [\"x:1\", \"y:2\"]\n");
    let settings = Settings::load(Role::Worker, &flags, no_env).unwrap();
    assert_eq!((settings.racks.len(), settings.bootstrap.len()), (2, 2));
}

#[test]
fn no_name_is_listed_twice() {
    let keys = SETTINGS.iter().map(|setting| setting.key).collect();
    let flags = SETTINGS.iter().map(|setting| setting.flag).collect();
    let variables = SETTINGS.iter().flat_map(|setting| setting.env.iter().copied()).collect();
    for mut names in [keys, flags, variables] as [Vec<&str>; 3] {
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count, "{names:?}");
    }
}

#[test]
fn the_edge_is_open_by_default_and_a_burst_needs_a_rate() {
    let load = |pairs| Settings::load(Role::Gateway, &Overrides::default(), env(pairs));
    let open = load(&[]).unwrap();
    assert_eq!((open.rate_limit_rps, open.cors_origin), (None, None));
    assert_eq!(open.max_connections_per_client, None);

    let limited = load(&[("RATE_LIMIT_RPS", "50"), ("RATE_LIMIT_BURST", "200")]).unwrap();
    let numbers = [limited.rate_limit_rps, limited.rate_limit_burst].map(|n| n.unwrap().get());
    assert_eq!(numbers, [50, 200]);
    let off = load(&[("RATE_LIMIT_RPS", "off"), ("MAX_CONNECTIONS_PER_CLIENT", "off")]).unwrap();
    assert_eq!((off.rate_limit_rps, off.max_connections_per_client), (None, None));

    let wrong = load(&[
        ("RATE_LIMIT_BURST", "200"),
        ("CORS_ORIGIN", "https://a.example/path"),
        ("TRUSTED_PROXIES", "10.0.0.0/40"),
        ("MAX_CONNECTIONS_PER_CLIENT", "0"),
    ]);
    let mistakes = wrong.unwrap_err();
    let mut found = names(&mistakes);
    found.sort_unstable();
    let all = ["CORS_ORIGIN", "MAX_CONNECTIONS_PER_CLIENT", "RATE_LIMIT_BURST", "TRUSTED_PROXIES"];
    assert_eq!(found, all);
}

#[test]
fn a_mesh_key_that_is_to_be_made_is_made_by_no_look_at_the_settings() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("mesh/mesh.key");
    let flags = Overrides::default().with("mesh_key_file", path.to_str().unwrap());
    let mistakes = Settings::load(Role::Ork, &flags, no_env).unwrap_err().to_string();
    assert!(mistakes.contains("MESH_KEY_CREATE=on makes it"), "{mistakes}");

    let flags = flags.with("mesh_key_create", "on");
    let settings = Settings::load(Role::Ork, &flags, no_env).unwrap();
    assert_eq!(settings.mesh_key_to_make.as_deref(), Some(&*path));
    assert!(settings.mesh_key.is_none());
    assert!(settings.p2p_host.is_unspecified() && settings.mdns, "it is a mesh with a key");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);

    std::fs::create_dir(path.parent().unwrap()).unwrap();
    std::fs::write(&path, KEY).unwrap();
    let settings = Settings::load(Role::Ork, &flags, no_env).unwrap();
    assert_eq!(settings.mesh_key.unwrap().to_hex(), KEY);
    assert_eq!(settings.mesh_key_to_make, None);
}

#[test]
fn a_key_file_that_holds_no_key_is_refused_with_what_to_do() {
    for damaged in ["", "not a key", &KEY[1..]] {
        let (file, _) = file(damaged);
        let path = file.path().to_str().unwrap();
        let flags = Overrides::default().with("mesh_key_file", path).with("mesh_key_create", "on");
        let mistakes = Settings::load(Role::Ork, &flags, no_env).unwrap_err().to_string();
        assert!(mistakes.contains("put back the key that the other nodes have"), "{mistakes}");
        assert!(damaged.is_empty() || !mistakes.contains(damaged), "it may be nearly the secret");
        assert_eq!(std::fs::read_to_string(path).unwrap(), damaged);

        let flags = Overrides::default().with("store_primary_key_file", path);
        let mistakes = Settings::load(Role::Ork, &flags, no_env).unwrap_err().to_string();
        assert!(mistakes.contains("the key that the data were written with"), "{mistakes}");
    }
}

#[test]
fn a_mesh_key_is_made_only_where_a_file_is_named() {
    for role in Role::ALL {
        let flags = Overrides::default().with("rack_id", "a").with("mesh_key_create", "on");
        let mistakes = Settings::load(role, &flags, no_env).unwrap_err();
        assert_eq!(names(&mistakes), ["MESH_KEY_CREATE"]);
        assert!(mistakes.to_string().contains("only with MESH_KEY_FILE"), "{mistakes}");
        assert!(Settings::load(role, &flags.with("mesh_key_create", "off"), no_env).is_ok());
    }
}
