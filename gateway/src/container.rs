//! What the container lets this process use, by Linux's control groups: cgroups(7), and the
//! kernel's documents `cgroup-v2` and `cgroup-v1/memory`.
//!
//! A container usually sees its own group at the root of `/sys/fs/cgroup`, whatever path the
//! kernel gives for it; elsewhere the path leads to it from there. So both are looked at, and all
//! groups between them, since the smallest limit is the one that holds.

use std::fs::File;
use std::io::Read;

use bookmesh_rpc::mesh::BoxFuture;

use crate::gauges::{Family, GaugeSource, Gauges};

const MEMORY: Family = Family {
    name: "process_memory_limit_bytes",
    meaning: "What the container may use of memory; absent where nothing limits it.",
};
const CPU: Family = Family {
    name: "process_cpu_limit_cores",
    meaning: "What the container may use of CPU; absent where nothing limits it.",
};

const ROOT: &str = "/sys/fs/cgroup";
/// The most of a file that is read; each has a few lines.
const MAX_BYTES: u64 = 16 * 1024;
/// Groups within groups. Nobody nests them as deep.
const MAX_DEPTH: usize = 32;
/// What version 1 has where there is no limit is about this.
const UNLIMITED_BYTES: u64 = 1 << 62;

/// Tells of the container, where there is one.
pub(crate) struct Container;

impl GaugeSource for Container {
    fn gauges(&self) -> BoxFuture<'_, Gauges> {
        Box::pin(async {
            // Files that the kernel makes up: but they are files.
            let limits = tokio::task::spawn_blocking(|| Limits::find(content)).await;
            let Limits { memory_bytes, cpu_cores } = limits.unwrap_or_default();
            let mut gauges = Gauges::default();
            if let Some(bytes) = memory_bytes {
                gauges.set(MEMORY, &[], bytes as f64);
            }
            if let Some(cores) = cpu_cores {
                gauges.set(CPU, &[], cores);
            }
            gauges
        })
    }
}

fn content(path: &str) -> Option<String> {
    let mut text = String::new();
    File::open(path).ok()?.take(MAX_BYTES).read_to_string(&mut text).ok()?;
    Some(text)
}

#[derive(Debug, Default, PartialEq)]
struct Limits {
    memory_bytes: Option<u64>,
    cpu_cores: Option<f64>,
}

impl Limits {
    /// By what these files hold.
    fn find(read: impl Fn(&str) -> Option<String>) -> Self {
        // More than the machine has is no limit.
        let most = read("/proc/meminfo").and_then(|text| total_bytes(&text));
        let most = most.unwrap_or(u64::MAX).min(UNLIMITED_BYTES);
        let mut found = Self::default();
        for line in read("/proc/self/cgroup").unwrap_or_default().lines() {
            let mut fields = line.splitn(3, ':').skip(1);
            let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else { continue };
            let has = |name| controllers.split(',').any(|controller| controller == name);
            // Version 2 has one hierarchy for all, without a name.
            let memory = match (controllers, has("memory")) {
                ("", _) => groups(ROOT, path, "memory.max"),
                (_, true) => groups(&format!("{ROOT}/memory"), path, "memory.limit_in_bytes"),
                _ => Vec::new(),
            };
            let memory = memory.iter().filter_map(|file| bytes(&read(file)?));
            found.keep_memory(memory.filter(|bytes| *bytes < most).min());
            if controllers.is_empty() {
                let cpu = groups(ROOT, path, "cpu.max");
                cpu.iter()
                    .for_each(|file| found.keep_cpu(read(file).and_then(|text| cores(&text))));
            } else if has("cpu") {
                for group in groups(&format!("{ROOT}/cpu"), path, "cpu.cfs_") {
                    let quota = read(&format!("{group}quota_us"));
                    let period = read(&format!("{group}period_us"));
                    let both = quota.zip(period);
                    found.keep_cpu(both.and_then(|(quota, period)| {
                        cores(&format!("{} {}", quota.trim(), period.trim()))
                    }));
                }
            }
        }
        found
    }

    fn keep_memory(&mut self, bytes: Option<u64>) {
        self.memory_bytes = self.memory_bytes.into_iter().chain(bytes).min();
    }

    fn keep_cpu(&mut self, cores: Option<f64>) {
        self.cpu_cores = self.cpu_cores.into_iter().chain(cores).reduce(f64::min);
    }
}

/// Where a file is of a group and of all that it is in.
fn groups(mount: &str, path: &str, file: &str) -> Vec<String> {
    let mut files = vec![format!("{mount}/{file}")];
    // A group that is not below the one at the root can't be seen from here.
    if path.split('/').any(|part| part == "..") {
        return files;
    }
    let mut group = mount.to_owned();
    for part in path.split('/').filter(|part| !part.is_empty()).take(MAX_DEPTH) {
        group.push('/');
        group.push_str(part);
        files.push(format!("{group}/{file}"));
    }
    files
}

/// `max`, or bytes.
fn bytes(text: &str) -> Option<u64> {
    text.trim().parse().ok().filter(|bytes| *bytes > 0)
}

/// `max 100000` or `150000 100000`: microseconds of CPU time within microseconds of time. Version
/// 1 has -1 for `max`.
fn cores(text: &str) -> Option<f64> {
    let (quota, period) = text.trim().split_once(' ')?;
    let (quota, period): (u64, u64) = (quota.parse().ok()?, period.parse().ok()?);
    (quota > 0 && period > 0).then(|| quota as f64 / period as f64)
}

/// All memory of the machine, by `/proc/meminfo`.
fn total_bytes(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    const GIB: u64 = 1 << 30;

    /// The limits on a machine of 8 GiB with these files below `/sys/fs/cgroup`.
    fn limits(own: &str, files: &[(&str, &str)]) -> (Option<u64>, Option<f64>) {
        let mut all = BTreeMap::from([
            ("/proc/meminfo".to_owned(), "MemTotal:        8388608 kB\nMemFree: 1 kB\n"),
            ("/proc/self/cgroup".to_owned(), own),
        ]);
        all.extend(files.iter().map(|(path, text)| (format!("{ROOT}/{path}"), *text)));
        let Limits { memory_bytes, cpu_cores } =
            Limits::find(|path| all.get(path).map(|text| (*text).to_owned()));
        (memory_bytes, cpu_cores)
    }

    #[test]
    fn a_container_sees_its_own_group_at_the_root() {
        let own = [("memory.max", "536870912\n"), ("cpu.max", "150000 100000\n")];
        assert_eq!(limits("0::/\n", &own), (Some(GIB / 2), Some(1.5)));
        // Started from outside of its namespace, it is above what can be seen.
        assert_eq!(limits("0::/../..\n", &own), (Some(GIB / 2), Some(1.5)));
        let own = [
            ("memory/memory.limit_in_bytes", "536870912\n"),
            ("cpu/cpu.cfs_quota_us", "50000\n"),
            ("cpu/cpu.cfs_period_us", "100000\n"),
        ];
        let path = "5:memory:/docker/0a1b\n4:cpu,cpuacct:/docker/0a1b\n0::/docker/0a1b\n";
        assert_eq!(limits(path, &own), (Some(GIB / 2), Some(0.5)));
    }

    #[test]
    fn the_smallest_limit_of_all_groups_that_it_is_in_holds() {
        let files = [
            ("a.slice/memory.max", "1073741824\n"),
            ("a.slice/b.scope/memory.max", "2147483648\n"),
            ("a.slice/cpu.max", "max 100000\n"),
            ("a.slice/b.scope/cpu.max", "400000 100000\n"),
            ("c.slice/memory.max", "1\n"),
        ];
        assert_eq!(limits("0::/a.slice/b.scope\n", &files), (Some(GIB), Some(4.0)));
        let files = [
            ("memory/x/memory.limit_in_bytes", "1073741824\n"),
            ("memory/x/y/memory.limit_in_bytes", "9223372036854771712\n"),
        ];
        assert_eq!(limits("9:cpuset:/x\n4:memory:/x/y\n", &files), (Some(GIB), None));
    }

    #[test]
    fn where_there_is_no_limit_none_is_told() {
        let files = [("memory.max", "max\n"), ("cpu.max", "max 100000\n")];
        assert_eq!(limits("0::/\n", &files), (None, None));
        let files = [
            ("memory/memory.limit_in_bytes", "9223372036854771712\n"),
            ("cpu/cpu.cfs_quota_us", "-1\n"),
            ("cpu/cpu.cfs_period_us", "100000\n"),
        ];
        assert_eq!(limits("4:memory:/\n1:cpu:/\n", &files), (None, None));
        // All that the machine has, or more.
        assert_eq!(limits("0::/\n", &[("memory.max", "8589934592\n")]), (None, None));
        assert_eq!(limits("", &[]), (None, None));
        assert_eq!(limits("0::/\n", &[]), (None, None));
    }

    #[test]
    fn nonsense_limits_nothing() {
        for text in ["", "0", "-1", "x", "1 2 3", "100000 0", "0 100000", "18446744073709551616"] {
            let files = [("memory.max", text), ("cpu.max", text)];
            assert_eq!(limits("0::/\nx\n::\n1:\n", &files), (None, None), "{text:?}");
        }
        let deep = format!("0::{}", "/a".repeat(1_000));
        assert_eq!(groups(ROOT, &deep[3..], "memory.max").len(), MAX_DEPTH + 1);
    }
}
