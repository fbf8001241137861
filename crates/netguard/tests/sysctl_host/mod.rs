//! A host of one's own: a network, and an empty `/etc`, `/run`, `/usr/local` and `/usr/lib/sysctl.d`, in
//! which the real loaders and the real netguard run.

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::{Child, Command};
use std::time::Duration;
use sysio::Runner;
use sysio::command::Output;
use testnet::Namespace;

pub(crate) const NETGUARD: &str = env!("CARGO_BIN_EXE_netguard");
const FOLDERS: [&str; 4] = ["/etc/sysctl.d", "/run/sysctl.d", "/usr/local/lib/sysctl.d", "/usr/lib/sysctl.d"];
/// Every program here ends within milliseconds; this is for a busy machine.
const LIMIT: Duration = Duration::from_secs(60);

/// A network whose thread, and every program it starts, sees folders of its own.
pub(crate) fn host() -> Namespace {
    let host = Namespace::new();
    host.run(|| {
        unshare(CloneFlags::CLONE_NEWNS).expect("a mount namespace");
        for place in ["/etc", "/run", "/usr/local", "/usr/lib/sysctl.d"] {
            mount(Some("own"), place, Some("tmpfs"), MsFlags::empty(), Some("mode=755")).expect(place);
        }
        for folder in FOLDERS {
            fs::create_dir_all(folder).expect(folder);
        }
        fs::create_dir_all("/run/failberry").expect("a folder");
    });
    host
}

/// Writes a file on that host.
pub(crate) fn put(host: &Namespace, path: &str, text: &str) {
    let (path, text) = (path.to_owned(), text.to_owned());
    host.run(move || fs::write(path, text).expect("a file"));
}

/// Removes every sysctl file; to be called on the host.
pub(crate) fn clear() {
    for folder in FOLDERS {
        for entry in fs::read_dir(folder).expect(folder).flatten() {
            fs::remove_file(entry.path()).expect("removed");
        }
    }
    let _ = fs::remove_file("/etc/sysctl.conf");
}

/// Runs a program, whatever its exit code; to be called on the host.
pub(crate) fn output(program: &str, words: &[&str]) -> Output {
    Runner::new(program, words, LIMIT).output().expect(program)
}

/// What a setting reads on the host this is called on.
pub(crate) fn live(path: &str) -> String {
    fs::read_to_string(Path::new("/proc/sys").join(path)).expect(path).trim().to_owned()
}

/// The daemon's snapshot on that host.
pub(crate) fn snapshot(host: &Namespace) -> Value {
    let text = host.run(|| fs::read("/run/failberry/netguard.json").unwrap_or_default());
    serde_json::from_slice(&text).unwrap_or(Value::Null)
}

/// A condition of a snapshot.
pub(crate) fn condition<'a>(snapshot: &'a Value, id: &str) -> Option<&'a Value> {
    snapshot["conditions"].as_array()?.iter().find(|condition| condition["id"] == id)
}

/// A daemon that ends with the test.
pub(crate) struct Running(Child);

impl Running {
    /// netguard on that host.
    pub(crate) fn netguard(host: &Namespace) -> Self {
        host.run(|| Self(Command::new(NETGUARD).spawn().expect("netguard")))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
