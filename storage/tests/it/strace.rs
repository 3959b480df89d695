//! Reads what `strace` recorded of a process: the writes to files below one directory, their
//! syncs, and the lines that it said.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const CALLS: &str = "trace=openat,creat,write,pwrite64,writev,pwritev,ftruncate,fallocate,\
    copy_file_range,sendfile,fdatasync,fsync,sync_file_range,rename,renameat,renameat2,link,linkat,\
    unlink,unlinkat,mkdir,mkdirat,rmdir";

/// What a call did.
#[derive(Debug, Clone)]
pub(crate) enum Op {
    /// Opened a file; makes it when it is not there.
    Open {
        path: PathBuf,
        truncate: bool,
    },
    /// Wrote to a file.
    Write {
        path: PathBuf,
        offset: usize,
        data: Vec<u8>,
    },
    /// Set a file's length.
    Truncate {
        path: PathBuf,
        length: usize,
    },
    /// `fsync`, of a file or a directory.
    Sync {
        path: PathBuf,
    },
    /// `fdatasync`.
    DataSync {
        path: PathBuf,
    },
    Rename {
        from: PathBuf,
        to: PathBuf,
    },
    Link {
        from: PathBuf,
        to: PathBuf,
    },
    Remove {
        path: PathBuf,
    },
    MakeDir {
        path: PathBuf,
    },
    /// A line on standard output.
    Say(String),
}

/// A call, from the line where it began to the line where it had ended.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) op: Op,
}

/// Runs a program under `strace`; answers what it did below `root`, by where each call ended.
pub(crate) fn record(root: &Path, program: &str, args: &[&str]) -> Vec<Event> {
    let trace = tempfile::NamedTempFile::new().unwrap();
    let status = Command::new("strace")
        .args(["-f", "-y", "-xx", "-s", "8388608", "-e", CALLS, "-o"])
        .arg(trace.path())
        .arg(program)
        .args(args)
        .stdout(Stdio::null())
        .status();
    let status = status.expect("this test needs strace: apt-get install strace");
    assert!(status.success(), "the traced program failed: {status}");
    parse(root, &std::fs::read_to_string(trace.path()).unwrap())
}

fn parse(root: &Path, trace: &str) -> Vec<Event> {
    let mut begun: HashMap<&str, (usize, &str)> = HashMap::new();
    let mut offsets: HashMap<PathBuf, usize> = HashMap::new();
    let mut events = Vec::new();
    for (number, line) in trace.lines().enumerate() {
        let (pid, call) = line.split_once(' ').unwrap();
        let call = call.trim_start();
        let (start, call, answer) = if let Some(begin) = call.strip_suffix(" <unfinished ...>") {
            begun.insert(pid, (number, begin));
            continue;
        } else if call.starts_with("<... ") {
            let (start, begin) = begun.remove(pid).unwrap();
            (start, begin, call.rsplit_once(" = ").unwrap().1)
        } else if let Some((call, answer)) = call.rsplit_once(" = ") {
            (number, call, answer)
        } else {
            continue; // A signal or an exit.
        };
        if answer.starts_with('-') || answer.starts_with('?') {
            continue;
        }
        for op in ops(root, call, answer, &mut offsets) {
            events.push(Event { start, end: number, op });
        }
    }
    events
}

fn ops(root: &Path, call: &str, answer: &str, offsets: &mut HashMap<PathBuf, usize>) -> Vec<Op> {
    let (name, args) = call.split_once('(').unwrap();
    let texts = quoted(args, '"', '"');
    let file = || PathBuf::from(String::from_utf8(quoted(args, '<', '>').remove(0)).unwrap());
    let named = |at: usize| PathBuf::from(String::from_utf8(texts[at].clone()).unwrap());
    let last_number = || -> usize {
        let (_, last) = args.trim_end_matches(')').rsplit_once(", ").unwrap();
        last.parse().unwrap()
    };
    let wrote = || answer.split(' ').next().unwrap().parse::<usize>().unwrap();
    if name == "write" && args.starts_with("1<") {
        let text = String::from_utf8(texts[0].clone()).unwrap();
        return text.lines().map(|line| Op::Say(line.to_owned())).collect();
    }
    let inside = |path: &PathBuf| path.starts_with(root);
    match name {
        "openat" | "creat" if inside(&named(0)) => {
            let path = named(0);
            if !args.contains("O_CREAT") && !args.contains("O_TRUNC") {
                return Vec::new();
            }
            assert!(!args.contains("O_APPEND"), "offsets of appending writes are not known");
            offsets.insert(path.clone(), 0);
            vec![Op::Open { path, truncate: args.contains("O_TRUNC") }]
        }
        "write" if inside(&file()) => {
            let offset = offsets.entry(file()).or_default();
            let data = texts[0][..wrote()].to_vec();
            let op = Op::Write { path: file(), offset: *offset, data };
            *offset += wrote();
            vec![op]
        }
        "pwrite64" if inside(&file()) => {
            let data = texts[0][..wrote()].to_vec();
            vec![Op::Write { path: file(), offset: last_number(), data }]
        }
        "ftruncate" if inside(&file()) => {
            vec![Op::Truncate { path: file(), length: last_number() }]
        }
        "fsync" if inside(&file()) => vec![Op::Sync { path: file() }],
        "fdatasync" if inside(&file()) => vec![Op::DataSync { path: file() }],
        "rename" | "renameat" | "renameat2" if inside(&named(0)) => {
            vec![Op::Rename { from: named(0), to: named(1) }]
        }
        "link" | "linkat" if inside(&named(0)) => vec![Op::Link { from: named(0), to: named(1) }],
        "unlink" | "unlinkat" | "rmdir" if inside(&named(0)) => {
            vec![Op::Remove { path: named(0) }]
        }
        "mkdir" | "mkdirat" if inside(&named(0)) => vec![Op::MakeDir { path: named(0) }],
        "writev" | "pwritev" | "fallocate" | "copy_file_range" | "sendfile" => {
            assert!(!inside(&file()), "{name} is not understood: {}", file().display());
            Vec::new()
        }
        // `sync_file_range` promises nothing after a power cut.
        _ => Vec::new(),
    }
}

/// The texts between two characters, which stand there as `\x..` each.
fn quoted(args: &str, open: char, close: char) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    let mut rest = args;
    while let Some((_, after)) = rest.split_once(open) {
        let Some((text, behind)) = after.split_once(close) else { break };
        let digits: Vec<u8> = text.bytes().filter(|byte| !b"\\x".contains(byte)).collect();
        if let Ok(bytes) = hex::decode(&digits) {
            found.push(bytes);
        }
        rest = behind;
    }
    found
}
