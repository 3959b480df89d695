//! What the process uses of its machine, from Linux's `/proc`: proc_pid_stat(5),
//! proc_pid_status(5).

use std::time::Instant;

use serde::Serialize;
use utoipa::ToSchema;

/// `/proc` counts CPU time in hundredths of a second on every Linux architecture we build for.
const TICKS_PER_S: f64 = 100.0;

/// CPU and memory of this process; null where there is no `/proc`.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub(crate) struct SystemUse {
    /// Cores used, on average since the start: 0.5 is half of one core.
    #[schema(required = true)]
    cpu: Option<f64>,
    /// Resident bytes.
    #[schema(required = true)]
    memory: Option<u64>,
}

impl SystemUse {
    pub(crate) async fn since(start: Instant) -> Self {
        let stat = tokio::fs::read_to_string("/proc/self/stat").await;
        let status = tokio::fs::read_to_string("/proc/self/status").await;
        let seconds = start.elapsed().as_secs_f64().max(0.001);
        let cpu = stat.ok().and_then(|text| cpu_seconds(&text)).map(|cpu| {
            // Three digits are what a person reads.
            (cpu / seconds * 1_000.0).round() / 1_000.0
        });
        Self { cpu, memory: status.ok().and_then(|text| resident_bytes(&text)) }
    }
}

/// `utime` and `stime`, fields 14 and 15. The second field, the command, may contain spaces and
/// ends with the last parenthesis.
fn cpu_seconds(stat: &str) -> Option<f64> {
    let (_, after_command) = stat.rsplit_once(')')?;
    let mut fields = after_command.split_whitespace().skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some((user + system) / TICKS_PER_S)
}

fn resident_bytes(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_whatever_the_command_is_called() {
        let stat = "7 (a) b) S 1 2 3 4 5 6 7 8 9 10 250 50 0 0";
        assert_eq!(cpu_seconds(stat), Some(3.0));
        assert_eq!(resident_bytes("Name:\tx\nVmRSS:\t  12 kB\n"), Some(12_288));
        assert_eq!((cpu_seconds("?"), resident_bytes("")), (None, None));
    }
}
