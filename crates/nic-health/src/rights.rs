//! What this process may do. Without a right everything looks healthy and nothing is ever mended, so
//! it is said at once and by name.

use sysio::{Root, file};

/// linux/capability.h.
const CAPABILITIES: [(u32, &str); 2] = [(12, "CAP_NET_ADMIN"), (13, "CAP_NET_RAW")];
/// /proc/self/status has two kilobytes.
const LARGEST: u64 = 64 * 1024;

/// The rights that are missing; none where that cannot be told.
pub(crate) fn missing(root: &Root) -> Vec<&'static str> {
    let status = file::read_bounded(&root.path("/proc/self/status"), LARGEST)
        .or_else(|_| file::read_bounded("/proc/self/status".as_ref(), LARGEST))
        .unwrap_or_default();
    let Some(held) = effective(&String::from_utf8_lossy(&status)) else { return Vec::new() };
    CAPABILITIES.iter().filter(|(bit, _)| held >> bit & 1 == 0).map(|(_, name)| *name).collect()
}

/// In words.
pub(crate) fn words(right: &str) -> String {
    let what = match right {
        "CAP_NET_RAW" => "ask who has an address",
        _ => "mend neighbour entries and cards",
    };
    format!("{what}: {right} is missing; run as root, or grant it in the unit (AmbientCapabilities={right})")
}

fn effective(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    u64::from_str_radix(line.trim(), 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rights_are_read_from_the_kernels_own_words() {
        assert_eq!(effective("Name:\tx\nCapEff:\t0000000000003000\n"), Some(0x3000));
        assert_eq!(effective("CapEff: many"), None);
        let top = tempfile::tempdir().unwrap();
        let proc = top.path().join("proc/self");
        std::fs::create_dir_all(&proc).unwrap();
        std::fs::write(proc.join("status"), "CapEff:\t0000000000002000\n").unwrap();
        assert_eq!(missing(&Root::at(top.path())), ["CAP_NET_ADMIN"]);
    }
}
