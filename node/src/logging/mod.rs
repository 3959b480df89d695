//! Log lines: on standard error, and in files where a directory is given.
//!
//! | file | idea |
//! |---|---|
//! | `line` | an event as one JSON object a line |
//! | `redact` | what is secret or personal, in names and in texts |
//! | `queue` | lines that wait for their thread, bounded; nobody waits for a pipe or a disk |
//! | `files` | the files of one process, rotated by size and by day |
//! | `keep` | what was rotated is compressed, and removed in time |
//!
//! Standard error is readable in development and JSON in production (`LOG_FORMAT`); files are
//! JSON always, since they are for machines and have no colours to lose.

mod files;
mod keep;
mod line;
mod queue;
mod redact;

use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use tracing::Subscriber;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::fmt::format;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

use self::files::LogFiles;
use self::line::{JsonFields, JsonLines};
use self::queue::{Queue, StandardError};
pub use crate::config::LogFormat as Format;

/// What libraries say unless asked: their warnings, and of consensus nothing, since a member that
/// can't be reached is an error of theirs several times a second. What ends a member comes back
/// to us as an error, and is a line of ours.
const LIBRARIES: &str = "openraft=off,libp2p=warn,libp2p_swarm=warn,libp2p_mdns=error,\
    libp2p_kad=error,sled=warn,hickory_resolver=error,hickory_proto=error,quinn=warn,yamux=warn";

/// How long the end of a process waits for its last lines to be written.
const FLUSH_WITHIN: Duration = Duration::from_secs(2);

/// How a process logs.
#[derive(Clone, Debug)]
pub struct LogConfig {
    /// A level (`info`) or directives (`info,openraft=debug`), which win over ours.
    pub level: String,
    /// How lines on standard error look.
    pub format: Format,
    /// Secret and personal values are replaced.
    pub redact: bool,
    /// What the process is, such as `worker`; files are named by it.
    pub role: &'static str,
    /// Where files are kept, if anywhere.
    pub files: Option<FilesConfig>,
}

/// The log files of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilesConfig {
    /// The directory; several processes may share it.
    pub dir: PathBuf,
    /// Bytes after which a file is rotated.
    pub max_bytes: u64,
    /// Rotated files that are kept, of each kind.
    pub keep_files: usize,
    /// How long they are kept at most.
    pub keep_for: Duration,
}

/// Why logging can't begin.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The level is none.
    #[error("LOG_LEVEL: {0}")]
    Level(#[from] ParseError),
    /// The directory can't be used.
    #[error("LOG_DIR: {}: {source}", dir.display())]
    Files {
        /// Which directory.
        dir: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
}

static QUEUES: OnceLock<Vec<Queue>> = OnceLock::new();
static NODE: OnceLock<String> = OnceLock::new();

/// Starts logging for the whole process. Later calls change nothing.
///
/// # Errors
/// [`LogError`].
pub fn init(config: &LogConfig) -> Result<(), LogError> {
    let filter = EnvFilter::builder().parse(format!("{LIBRARIES},{}", config.level))?;
    let failed = |dir: &PathBuf| {
        let dir = dir.clone();
        move |source| LogError::Files { dir, source }
    };
    let errors = Queue::start("stderr", StandardError).map_err(failed(&"stderr".into()))?;
    let mut queues = vec![errors.clone()];
    let files = match &config.files {
        Some(files) => {
            let sink = LogFiles::open(files, config.role).map_err(failed(&files.dir))?;
            let queue = Queue::start("files", sink).map_err(failed(&files.dir))?;
            queues.push(queue.clone());
            Some(queue)
        }
        None => None,
    };
    let ansi = io::stderr().is_terminal();
    let layers = layers(config, ansi, errors, files);
    // Somebody who embeds a node may have a subscriber of their own; theirs stays.
    if tracing_subscriber::registry().with(filter).with(layers).try_init().is_ok() {
        // The first that logs is the only one.
        let _ = QUEUES.set(queues);
        log_panics(config.format);
    }
    Ok(())
}

/// Counts lines that are dropped from now on; to be called once there is a recorder of metrics.
pub fn count_drops() {
    QUEUES.get().into_iter().flatten().for_each(Queue::count);
}

/// From now on lines name this node.
pub fn name_node(node: impl std::fmt::Display) {
    // A process that is several nodes has the name of none.
    let _ = NODE.set(node.to_string());
}

/// Waits until everything that was said is written, for `FLUSH_WITHIN` at most: whoever reads
/// may have stopped. Blocks; for the end of a process.
pub fn flush() {
    let until = Instant::now() + FLUSH_WITHIN;
    for queue in QUEUES.get().into_iter().flatten() {
        queue.flush(until);
    }
}

type Boxed<S> = Box<dyn Layer<S> + Send + Sync>;

fn layers<S>(config: &LogConfig, ansi: bool, errors: Queue, files: Option<Queue>) -> Vec<Boxed<S>>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let lines = |queue: Queue| {
        tracing_subscriber::fmt::layer()
            .fmt_fields(JsonFields { redact: config.redact })
            .event_format(JsonLines { role: config.role, redact: config.redact })
            .with_writer(queue)
            .boxed()
    };
    let readable = tracing_subscriber::fmt::layer::<S>().with_ansi(ansi).compact();
    let on_errors = match config.format {
        Format::Json => lines(errors),
        Format::Pretty if config.redact => {
            let fields = format::debug_fn(redact::write_field);
            let fields = tracing_subscriber::field::MakeExt::delimited(fields, " ");
            readable.fmt_fields(fields).with_writer(errors).boxed()
        }
        Format::Pretty => readable.with_writer(errors).boxed(),
    };
    std::iter::once(on_errors).chain(files.map(lines)).collect()
}

/// A panic is a line like every other, in files too. People get what they are used to as well.
fn log_panics(format: Format) {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let thread = std::thread::current();
        let (thread, at) =
            (thread.name().unwrap_or("?"), panic.location().map(|at| at.to_string()));
        let what = panic.payload_as_str().unwrap_or("?");
        tracing::error!(what, at, thread, "a panic");
        if format == Format::Pretty {
            usual(panic);
        }
    }));
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::Registry;

    use super::queue::tests::Kept;
    use super::*;

    fn config(format: Format, redact: bool) -> LogConfig {
        LogConfig { level: "info".into(), format, redact, role: "worker", files: None }
    }

    /// What is written of what a closure says.
    fn said(config: &LogConfig, say: impl FnOnce()) -> String {
        let kept = Kept::default();
        let queue = Queue::start("test", kept.clone()).unwrap();
        let subscriber = Registry::default().with(layers(config, false, queue.clone(), None));
        tracing::subscriber::with_default(subscriber, say);
        queue.flush(Instant::now() + Duration::from_secs(30));
        kept.text()
    }

    #[test]
    fn a_level_that_is_none_is_refused() {
        let config = LogConfig { level: "info,,=loud=".into(), ..config(Format::Json, true) };
        assert!(matches!(init(&config), Err(LogError::Level(_))));
        assert!(EnvFilter::builder().parse(format!("{LIBRARIES},openraft=debug")).is_ok());
    }

    #[test]
    fn a_line_is_one_object_with_what_its_span_knows() {
        let text = said(&config(Format::Json, true), || {
            let span = tracing::info_span!("call", request_id = "r-1", method = "getThing");
            let _entered = span.enter();
            tracing::warn!(rack = "book-rack-001", count = 3, ratio = 0.5, ok = true, "slow\nly");
        });
        assert_eq!(text.lines().count(), 1, "{text}");
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        let expected = serde_json::json!({
            "time": line["time"], "level": "WARN", "target": line["target"], "node": "worker",
            "role": "worker", "request_id": "r-1", "method": "getThing", "rack": "book-rack-001",
            "count": 3, "ratio": 0.5, "ok": true, "message": "slow\nly",
        });
        assert_eq!(line, expected);
        assert!(humantime::parse_rfc3339(line["time"].as_str().unwrap()).is_ok(), "{line}");
        assert!(line["target"].as_str().unwrap().starts_with("bookmesh_node::logging"));
    }

    fn say_secrets() {
        let span = tracing::info_span!("call", holder = "sesame-1");
        let _entered = span.enter();
        let json = r#"{"userId":"sesame-2"}"#;
        tracing::info!(
            user_id = "sesame-3", token = 4_711_081_508_155_u64, mesh_key = %"sesame-4",
            cookie = ?"sesame-5", path = "/books?userId=sesame-6&limit=3", body = json,
            inner = ?json, rack = "r",
            "authorization: Bearer sesame-7"
        );
    }

    #[test]
    fn nothing_secret_or_personal_is_written_in_production() {
        for format in [Format::Json, Format::Pretty] {
            let text = said(&config(format, true), say_secrets);
            // Longer than the time's fraction of a second, which may be any number.
            assert!(!text.contains("sesame") && !text.contains("4711081508155"), "{text}");
            assert!(text.contains("[redacted]") && text.contains("limit=3"), "{text}");
        }
    }

    #[test]
    fn developers_see_everything() {
        for format in [Format::Json, Format::Pretty] {
            let text = said(&config(format, false), say_secrets);
            for number in 1..=7 {
                assert!(text.contains(&format!("sesame-{number}")), "{number} in {text}");
            }
        }
    }
}
