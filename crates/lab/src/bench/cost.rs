//! What a running process costs, as the kernel counts it.

use crate::error::{Context, Error, Result};

/// `USER_HZ`, the same on every Linux of ours.
const TICKS: f64 = 100.0;

/// Seconds of a core used so far, by it and by what it started and waited for.
pub(super) fn cpu(process: u32) -> Result<f64> {
    let path = format!("/proc/{process}/stat");
    let text = std::fs::read_to_string(&path).context(format!("read {path}"))?;
    // After the name in brackets: utime, stime, cutime, cstime are fields 14 to 17 (proc_pid_stat(5)).
    let fields = text.rsplit_once(')').map(|(_, rest)| rest.split_whitespace().skip(11).take(4));
    let ticks = fields.map(|fields| fields.filter_map(|field| field.parse::<f64>().ok()).sum::<f64>());
    ticks.map(|ticks| ticks / TICKS).ok_or_else(|| Error::Unexpected(format!("{path}: {text}")))
}

/// Memory that is its own, and its share of what it shares, in KiB.
pub(super) fn pss(process: u32) -> Result<u64> {
    let path = format!("/proc/{process}/smaps_rollup");
    let text = std::fs::read_to_string(&path).context(format!("read {path}"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok())
        .ok_or_else(|| Error::Unexpected(format!("{path}: no Pss")))
}
