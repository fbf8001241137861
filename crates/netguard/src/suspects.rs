//! Who could have changed the rules: the process the kernel names, its parent, and programs that run
//! and are known for it.

use std::fs;
use std::path::Path;
use sysio::Root;

/// Programs that change rules while they run, by the name the kernel has for them (15 bytes,
/// `TASK_COMM_LEN`). One-shot loaders such as netfilter-persistent and ufw leave no process behind;
/// those are caught in the act, by the kernel's event.
const KNOWN: [&str; 22] = [
    "dockerd",
    "containerd",
    "podman",
    "netavark",
    "firewalld",
    "fail2ban-server",
    "sshguard",
    "crowdsec-firewa",
    "libvirtd",
    "virtnetworkd",
    "virtqemud",
    "lxd",
    "incusd",
    "NetworkManager",
    "systemd-network",
    "kube-proxy",
    "kube-router",
    "flanneld",
    "calico-node",
    "tailscaled",
    "miniupnpd",
    "wg-quick",
];
/// A small machine runs some hundred processes; a list without end is not read to it.
const PROCESSES: usize = 20_000;
/// A name has at most 16 bytes.
const NAME_LIMIT: u64 = 64;
/// `/proc/PID/stat` is a line.
const STAT_LIMIT: u64 = 4096;

/// Programs that run and are known to change rules; sorted.
pub(crate) fn running(root: &Root) -> Vec<String> {
    let Ok(entries) = fs::read_dir(root.path("/proc")) else { return Vec::new() };
    let number = |name: &str| name.bytes().all(|b| b.is_ascii_digit());
    let processes = entries.flatten().take(PROCESSES).filter(|e| e.file_name().to_str().is_some_and(number));
    let names = processes.filter_map(|entry| comm(&entry.path()));
    let mut known: Vec<String> = names.filter(|name| KNOWN.contains(&name.as_str())).collect();
    known.sort_unstable();
    known.dedup();
    known
}

/// `iptables (process 4711, started by dockerd)`; the parent is known only while the process lives.
pub(crate) fn described(root: &Root, pid: u32, name: &str) -> String {
    let directory = root.path(format!("/proc/{pid}"));
    // The number is of the first process namespace; in another it is another's, or nobody's.
    let parent = comm(&directory).filter(|comm| comm == name).and_then(|_| parent(root, &directory));
    match parent {
        Some(parent) => format!("{name} (process {pid}, started by {parent})"),
        None => format!("{name} (process {pid})"),
    }
}

fn parent(root: &Root, directory: &Path) -> Option<String> {
    let stat = sysio::file::read_bounded(&directory.join("stat"), STAT_LIMIT).ok()?;
    let stat = String::from_utf8_lossy(&stat);
    // `pid (name) state ppid …`, and a name may hold a bracket (proc(5)).
    let pid = stat.rsplit_once(')')?.1.split_whitespace().nth(1)?;
    comm(&root.path(format!("/proc/{pid}")))
}

fn comm(directory: &Path) -> Option<String> {
    let name = sysio::file::read_bounded(&directory.join("comm"), NAME_LIMIT).ok()?;
    Some(String::from_utf8_lossy(&name).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(root: &Root, pid: u32, name: &str, parent: u32) {
        let directory = root.path(format!("/proc/{pid}"));
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join("comm"), format!("{name}\n")).unwrap();
        fs::write(directory.join("stat"), format!("{pid} ({name}) S {parent} 1 1 0\n")).unwrap();
    }

    #[test]
    fn known_programs_are_found_and_a_parent_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::at(dir.path());
        process(&root, 1, "systemd", 0);
        process(&root, 300, "dockerd", 1);
        process(&root, 301, "fail2ban-server", 1);
        process(&root, 400, "ip) tables", 300);
        fs::create_dir_all(root.path("/proc/net")).unwrap();
        assert_eq!(running(&root), ["dockerd", "fail2ban-server"]);
        assert_eq!(described(&root, 400, "ip) tables"), "ip) tables (process 400, started by dockerd)");
        // Another process has the number by now, or none has.
        assert_eq!(described(&root, 400, "nft"), "nft (process 400)");
        assert_eq!(described(&root, 999, "nft"), "nft (process 999)");
    }
}
