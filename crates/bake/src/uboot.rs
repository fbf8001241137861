//! Builds U-Boot in our own configuration from Debian's source package, and its boot script.
//!
//! Debian's binary `u-boot-rpi` cannot read squashfs and starts USB before anything else, so the release's
//! source is built with `image/u-boot/failberry.config`. Built once: the result is cached by content.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::hash::hex;

/// Upstream tarball of Debian 13's source package `u-boot`.
const TARBALL: &str = "u-boot_2025.01.orig.tar.bz2";
/// SHA-256 of it, from the signed Sources index of trixie; a different file is never built.
const TARBALL_SHA256: &str = "cdef7d507c93f1bbd9f015ea9bc21fa074268481405501945abc6f854d5b686f";
/// Debian release whose index names the tarball.
const SUITE: &str = "trixie";
/// The date U-Boot prints: the release's own (2025-01-06), so that our commits do not change its bytes.
const BUILD_EPOCH: &str = "1736121600";
/// U-Boot's configuration for every 64-bit Pi.
const DEFCONFIG: &str = "rpi_arm64_defconfig";
/// 10 MB of index and 33 MB of source over a slow line.
const FETCH_LIMIT: Duration = Duration::from_secs(600);
/// The build takes 25 s on two idle cores.
const BUILD_LIMIT: Duration = Duration::from_secs(600);
/// Mirrors are sometimes in the middle of a sync.
const FETCH_TRIES: u32 = 3;
/// Pause before fetching again.
const FETCH_PAUSE: Duration = Duration::from_secs(20);
/// How often a running command is looked at.
const POLL: Duration = Duration::from_millis(50);
/// Lines of a failed command's log shown at once.
const TAIL_LINES: usize = 15;

/// What U-Boot is made from.
#[derive(Debug, Clone)]
pub struct Inputs {
    /// `image/u-boot`: `failberry.config` and `boot.cmd`.
    pub source: PathBuf,
    /// The cache (`FAILBERRY_CACHE`); `u-boot/` below it is ours.
    pub cache: PathBuf,
    /// Debian mirror (`FAILBERRY_MIRROR`); without one, the SDK's own from `/etc/apt/sources.list`.
    pub mirror: Option<String>,
}

/// What goes to the FAT partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artifacts {
    /// `u-boot.bin`, started by the firmware (`kernel=u-boot.bin`).
    pub binary: PathBuf,
    /// `boot.scr`, run by it.
    pub script: PathBuf,
}

/// Why there is no U-Boot.
#[derive(Debug, Error)]
pub enum UbootError {
    /// A file could not be read or written.
    #[error("{action} {path}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// With which file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A command failed.
    #[error("{step}: {cause}\n{tail}\nthe whole log: {log}")]
    Command {
        /// Which step.
        step: &'static str,
        /// What happened.
        cause: String,
        /// The last lines of its log.
        tail: String,
        /// All of it.
        log: PathBuf,
    },
    /// The tarball is not the one we know.
    #[error("check {path}: SHA-256 is {found}, expected {TARBALL_SHA256}: remove the file and try again")]
    Checksum {
        /// The file.
        path: PathBuf,
        /// What it hashes to.
        found: String,
    },
    /// U-Boot's Kconfig did not take our configuration.
    #[error("failberry.config: U-Boot did not take {}: correct the lines, or what they depend on", lines.join(", "))]
    Config {
        /// The lines it dropped or changed.
        lines: Vec<String>,
    },
    /// No mirror is known.
    #[error("no Debian mirror in /etc/apt/sources.list: name one in FAILBERRY_MIRROR")]
    NoMirror,
}

/// Builds what is not in the cache yet, and says where it is.
///
/// # Errors
/// The source cannot be fetched or is not the expected one, the configuration is not taken, a build step fails.
pub fn build(inputs: &Inputs) -> Result<Artifacts, UbootError> {
    let cache = inputs.cache.join("u-boot");
    make_folder(&cache)?;
    let fragment = read_text(&inputs.source.join("failberry.config"))?;
    let place =
        cache.join(key(&[include_str!("uboot.rs"), TARBALL_SHA256, BUILD_EPOCH, DEFCONFIG, &fragment]));
    let binary = place.join("u-boot.bin");
    if !binary.exists() {
        let tarball = source(&cache, inputs.mirror.as_deref())?;
        compile(&tarball, &fragment, &place)?;
    }
    Ok(Artifacts { binary, script: script(&inputs.source.join("boot.cmd"), &cache)? })
}

/// The verified tarball, fetched when it is not in the cache.
fn source(cache: &Path, mirror: Option<&str>) -> Result<PathBuf, UbootError> {
    let folder = cache.join("source");
    let tarball = folder.join(TARBALL);
    if !tarball.exists() {
        make_folder(&folder)?;
        fetch(&folder, mirror)?;
    }
    let bytes = fs::read(&tarball).map_err(io_error("read", &tarball))?;
    let found = hex(&Sha256::digest(bytes));
    if found == TARBALL_SHA256 { Ok(tarball) } else { Err(UbootError::Checksum { path: tarball, found }) }
}

/// Fetches the tarball by apt, which checks the index's signature, with lists and settings of our own.
fn fetch(folder: &Path, mirror: Option<&str>) -> Result<(), UbootError> {
    let mirror = match mirror.map(str::trim).filter(|m| !m.is_empty()) {
        Some(mirror) => mirror.to_owned(),
        None => first_mirror(&read_text(Path::new("/etc/apt/sources.list"))?).ok_or(UbootError::NoMirror)?,
    };
    let apt = folder.join("apt");
    for place in ["lists/partial", "cache/archives/partial"] {
        make_folder(&apt.join(place))?;
    }
    let list = apt.join("sources.list");
    fs::write(&list, format!("deb-src {mirror} {SUITE} main\n")).map_err(io_error("write", &list))?;
    let settings = [
        format!("Dir::Etc::sourcelist={}", list.display()),
        "Dir::Etc::sourceparts=/nonexistent".to_owned(),
        format!("Dir::State::lists={}", apt.join("lists").display()),
        format!("Dir::Cache={}", apt.join("cache").display()),
        // In a user namespace, and in a cache only root can enter, apt cannot become another user.
        "APT::Sandbox::User=root".to_owned(),
        "Acquire::Retries=3".to_owned(),
    ];
    let apt_get = |arguments: &[&str]| {
        let mut command = Command::new("apt-get");
        command.current_dir(folder).args(settings.iter().flat_map(|s| ["-o", s])).args(arguments);
        run("fetch u-boot", FETCH_LIMIT, &mut command, &folder.join("fetch.log"))
    };
    for left in (0..FETCH_TRIES).rev() {
        let done = apt_get(&["update", "-q"])
            .and_then(|()| apt_get(&["source", "-q", "--download-only", "--tar-only", "u-boot"]));
        match done {
            Err(_) if left > 0 => thread::sleep(FETCH_PAUSE),
            done => return done,
        }
    }
    Ok(())
}

/// The first mirror of an apt sources list in one-line style.
fn first_mirror(list: &str) -> Option<String> {
    list.lines()
        .filter_map(|line| line.strip_prefix("deb "))
        .filter_map(|rest| rest.split_whitespace().find(|word| word.contains(":/")))
        .map(str::to_owned)
        .next()
}

/// Builds into `<place>.new`, then renames, so that an interrupted build is never taken for a result.
fn compile(tarball: &Path, fragment: &str, place: &Path) -> Result<(), UbootError> {
    let new = place.with_extension("new");
    let tree = new.join("source");
    if new.exists() {
        fs::remove_dir_all(&new).map_err(io_error("remove", &new))?;
    }
    make_folder(&tree)?;
    let log = new.join("build.log");
    unpack(tarball, &tree, &log)?;
    let make = |arguments: &[&str]| {
        let mut command = Command::new("make");
        command.current_dir(&tree).args(arguments);
        for (name, value) in [
            ("ARCH", "arm"),
            ("CROSS_COMPILE", "aarch64-linux-gnu-"),
            ("SOURCE_DATE_EPOCH", BUILD_EPOCH),
            ("KBUILD_BUILD_USER", "failberry"),
            ("KBUILD_BUILD_HOST", "failberry"),
            ("LC_ALL", "C"),
        ] {
            command.env(name, value);
        }
        run("build u-boot", BUILD_LIMIT, &mut command, &log)
    };
    make(&["-s", DEFCONFIG])?;
    let config = tree.join(".config");
    let defaults = read_text(&config)?;
    // Of two lines for one symbol Kconfig takes the later.
    fs::write(&config, format!("{defaults}\n{fragment}")).map_err(io_error("write", &config))?;
    make(&["-s", "olddefconfig"])?;
    let taken = read_text(&config)?;
    let lines = refused(fragment, &taken);
    if !lines.is_empty() {
        return Err(UbootError::Config { lines });
    }
    let jobs = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    make(&["-s", &format!("-j{jobs}"), "u-boot.bin"])?;
    let binary = new.join("u-boot.bin");
    fs::copy(tree.join("u-boot.bin"), &binary).map_err(io_error("copy", &binary))?;
    fs::write(new.join("config"), taken).map_err(io_error("write", &new))?;
    fs::remove_dir_all(&tree).map_err(io_error("remove", &tree))?;
    fs::rename(&new, place).map_err(io_error("rename", &new))
}

/// Unpacks by tar; bzip2 is decoded here, because the SDK has no such program.
fn unpack(tarball: &Path, tree: &Path, log: &Path) -> Result<(), UbootError> {
    let failed = |cause: String| UbootError::Command {
        step: "unpack u-boot",
        cause,
        tail: tail(log),
        log: log.to_owned(),
    };
    let file = File::open(tarball).map_err(io_error("open", tarball))?;
    let errors = File::create(log).map_err(io_error("create", log))?;
    let mut child = Command::new("tar")
        .args(["-x", "--strip-components=1", "-C"])
        .arg(tree)
        .stdin(Stdio::piped())
        .stderr(errors)
        .spawn()
        .map_err(|e| failed(format!("start tar: {e}")))?;
    let mut pipe = child.stdin.take().ok_or_else(|| failed("no pipe to tar".to_owned()))?;
    let copied = io::copy(&mut bzip2::read::MultiBzDecoder::new(file), &mut pipe);
    drop(pipe);
    let status = child.wait().map_err(|e| failed(format!("wait for tar: {e}")))?;
    copied.map_err(|e| failed(format!("decode {}: {e}", tarball.display())))?;
    if status.success() { Ok(()) } else { Err(failed(format!("tar: {status}"))) }
}

/// Lines of the fragment that the final configuration does not hold. A switched-off symbol may also be
/// missing altogether.
fn refused(fragment: &str, config: &str) -> Vec<String> {
    let has = |line: &str| config.lines().any(|l| l == line);
    let is_set =
        |symbol: &str| config.lines().any(|l| l.strip_prefix(symbol).is_some_and(|r| r.starts_with('=')));
    fragment
        .lines()
        .filter(|line| match line.strip_prefix("# ").and_then(|l| l.strip_suffix(" is not set")) {
            Some(symbol) => is_set(symbol),
            None => line.starts_with("CONFIG_") && !has(line),
        })
        .map(str::to_owned)
        .collect()
}

/// `boot.scr` of `boot.cmd`.
fn script(commands: &Path, cache: &Path) -> Result<PathBuf, UbootError> {
    let place = cache.join(format!("script-{}", key(&[&read_text(commands)?])));
    let script = place.join("boot.scr");
    if script.exists() {
        return Ok(script);
    }
    make_folder(&place)?;
    let new = place.join("boot.scr.new");
    let mut command = Command::new("mkimage");
    command.env("SOURCE_DATE_EPOCH", BUILD_EPOCH);
    command
        .args(["-A", "arm64", "-T", "script", "-C", "none", "-n", "failberry", "-d"])
        .arg(commands)
        .arg(&new);
    run("make boot.scr", BUILD_LIMIT, &mut command, &place.join("mkimage.log"))?;
    fs::rename(&new, &script).map_err(io_error("rename", &new))?;
    Ok(script)
}

/// Runs a command, its output appended to the log, killed at the deadline.
fn run(step: &'static str, limit: Duration, command: &mut Command, log: &Path) -> Result<(), UbootError> {
    let failed = |cause: String| UbootError::Command { step, cause, tail: tail(log), log: log.to_owned() };
    let name = command.get_program().display().to_string();
    let out = File::options().create(true).append(true).open(log).map_err(io_error("open", log))?;
    let err = out.try_clone().map_err(io_error("open", log))?;
    // No terminal and nothing to read: a Kconfig prompt must end, not wait.
    let mut child = command
        .stdin(Stdio::null())
        .stdout(out)
        .stderr(err)
        .spawn()
        .map_err(|e| failed(format!("start {name}: {e}")))?;
    let deadline = Instant::now() + limit;
    loop {
        match child.try_wait() {
            Ok(Some(status)) if status.success() => return Ok(()),
            Ok(Some(status)) => return Err(failed(format!("{name}: {status}"))),
            Ok(None) if Instant::now() < deadline => thread::sleep(POLL),
            Ok(None) => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(failed(format!("{name}: not done after {} s", limit.as_secs())));
            }
            Err(e) => return Err(failed(format!("wait for {name}: {e}"))),
        }
    }
}

fn tail(log: &Path) -> String {
    let bytes = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
}

/// A short name for a list of texts: 64 bits of SHA-256 over them and their lengths.
fn key(texts: &[&str]) -> String {
    let mut sum = Sha256::new();
    for text in texts {
        sum.update((text.len() as u64).to_le_bytes());
        sum.update(text.as_bytes());
    }
    hex(&sum.finalize()[..8])
}

fn make_folder(path: &Path) -> Result<(), UbootError> {
    fs::create_dir_all(path).map_err(io_error("make", path))
}

fn read_text(path: &Path) -> Result<String, UbootError> {
    fs::read_to_string(path).map_err(io_error("read", path))
}

fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> UbootError {
    let path = path.to_owned();
    move |source| UbootError::Io { action, path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAGMENT: &str = include_str!("../../../image/u-boot/failberry.config");

    #[test]
    fn a_configuration_line_that_kconfig_drops_is_named() {
        let config = "CONFIG_BOOTDELAY=-2\nCONFIG_USB=y\nCONFIG_ENV_SIZE=0x4000\n";
        let fragment = "# a comment\nCONFIG_BOOTDELAY=-2\n# CONFIG_USB is not set\n# CONFIG_PCI is not set\nCONFIG_ENV_SIZE=0x10000\n";
        assert_eq!(refused(fragment, config), ["# CONFIG_USB is not set", "CONFIG_ENV_SIZE=0x10000"]);
    }

    #[test]
    fn the_environment_lies_between_partition_table_and_first_partition() {
        // ARCHITECTURE.md: p1 starts at 4 MiB.
        let number = |name: &str| {
            let line = FRAGMENT.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix("=0x")).unwrap();
            u64::from_str_radix(line, 16).unwrap()
        };
        let (size, first, second) =
            (number("CONFIG_ENV_SIZE"), number("CONFIG_ENV_OFFSET"), number("CONFIG_ENV_OFFSET_REDUND"));
        assert_eq!((first, second), (1 << 20, 2 << 20));
        assert!(first + size <= second && second + size <= 4 << 20);
    }

    #[test]
    fn finds_the_mirror_apt_uses() {
        let list = "# a comment\ndeb [signed-by=/k.gpg] http://mirror.example/debian trixie main\n";
        assert_eq!(first_mirror(list).as_deref(), Some("http://mirror.example/debian"));
        assert_eq!(first_mirror("deb-src http://mirror.example/ trixie main\n"), None);
    }

    #[test]
    fn a_tarball_with_another_content_is_refused() {
        let cache = tempfile::tempdir().unwrap();
        fs::create_dir_all(cache.path().join("source")).unwrap();
        fs::write(cache.path().join("source").join(TARBALL), "not u-boot").unwrap();
        let error = source(cache.path(), None).unwrap_err();
        assert!(matches!(error, UbootError::Checksum { .. }), "{error}");
    }

    #[test]
    fn the_boot_script_is_made_once_and_the_same_every_time() {
        let commands = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../image/u-boot/boot.cmd");
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let first = script(&commands, one.path()).unwrap();
        let made = fs::metadata(&first).unwrap().modified().unwrap();
        assert_eq!(first, script(&commands, one.path()).unwrap());
        assert_eq!(made, fs::metadata(&first).unwrap().modified().unwrap());
        assert_eq!(fs::read(&first).unwrap(), fs::read(script(&commands, two.path()).unwrap()).unwrap());
    }

    #[test]
    fn a_failing_command_shows_the_end_of_its_log() {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "seq 50; echo broken; exit 7"]);
        let error =
            run("demo", Duration::from_secs(10), &mut command, &folder.path().join("log")).unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("exit status: 7") && text.contains("50\nbroken") && !text.contains("\n20\n"),
            "{text}"
        );
    }

    #[test]
    fn a_command_that_hangs_is_killed_at_its_deadline() {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new("sleep");
        command.arg("60");
        let error =
            run("nap", Duration::from_millis(100), &mut command, &folder.path().join("log")).unwrap_err();
        assert!(error.to_string().contains("not done after"), "{error}");
    }
}
