//! Assembles the initramfs: early-init as `/init`, the kernel modules it loads, nothing else.
//!
//! The cpio archive is written here rather than by cpio(1), because the bytes must be the same on every
//! machine: owner 0, one fixed time, sorted names, inode numbers counted up.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use thiserror::Error;

/// Where early-init finds the modules it loads, one path a line, in loading order.
pub const MODULE_LIST: &str = "etc/failberry/early-modules";

/// zstd's highest level without `--ultra`: the archive is small, and U-Boot reads slowly (about 1.2 MB/s
/// on an emulated Pi 3).
const ZSTD_LEVEL: &str = "-19";
/// cpio "newc" magic; format: kernel Documentation/driver-api/early-userspace/buffer-format.rst.
const NEWC_MAGIC: &str = "070701";
/// Name that ends a cpio archive (same document).
const TRAILER: &str = "TRAILER!!!";
/// File type bits of `st_mode` (POSIX, in octal as in sys/stat.h).
const S_IFDIR: u32 = 0o040_000;
const S_IFREG: u32 = 0o100_000;

/// What an initramfs is made of.
#[derive(Debug, Clone)]
pub struct Inputs {
    /// The unpacked root that holds `usr/lib/modules/<release>`.
    pub root: PathBuf,
    /// Kernel release, the folder's name below `usr/lib/modules`.
    pub release: String,
    /// early-init, static, for the target.
    pub early_init: PathBuf,
    /// Modules to load, in the wanted order, by name; what they need is added.
    pub modules: Vec<String>,
    /// Time of every file (`SOURCE_DATE_EPOCH`).
    pub epoch: u32,
    /// Where the result goes.
    pub output: PathBuf,
}

/// Why no initramfs could be made.
#[derive(Debug, Error)]
pub enum InitramfsError {
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
    /// A module is neither in `modules.dep` nor built in.
    #[error("kernel {release} has no module {module}: correct its name in the layer's initramfs-modules")]
    NoModule {
        /// The module asked for.
        module: String,
        /// The kernel asked.
        release: String,
    },
    /// Modules need one another in a circle.
    #[error("modules.dep of kernel {release}: {module} needs itself")]
    Circle {
        /// A module of the circle.
        module: String,
        /// The kernel whose index is broken.
        release: String,
    },
    /// A compressor failed.
    #[error("{program} {path}: {cause}")]
    Compressor {
        /// The program.
        program: &'static str,
        /// Its input.
        path: PathBuf,
        /// What it said.
        cause: String,
    },
}

/// Makes the initramfs and returns its path (`inputs.output`).
///
/// # Errors
/// A module the kernel does not have, an unreadable file, a failing compressor.
pub fn assemble(inputs: &Inputs) -> Result<PathBuf, InitramfsError> {
    let folder = inputs.root.join("usr/lib/modules").join(&inputs.release);
    let index = Index::read(&folder)?;
    let order = index.closure(&inputs.modules, &inputs.release)?;

    let mut tree = Tree::default();
    for place in ["dev", "proc", "run", "sys"] {
        tree.folder(place);
    }
    tree.file("init", 0o755, read(&inputs.early_init)?);
    let mut list = String::new();
    for path in &order {
        let plain = format!("usr/lib/modules/{}", strip_compression(path));
        tree.file(&plain, 0o644, plain_module(&folder.join(path))?);
        list.push('/');
        list.push_str(&plain);
        list.push('\n');
    }
    tree.file(MODULE_LIST, 0o644, list.into_bytes());

    let packed = filter("zstd", &["-q", ZSTD_LEVEL, "-c"], &tree.archive(inputs.epoch), &inputs.output)?;
    fs::write(&inputs.output, packed).map_err(io_error("write", &inputs.output))?;
    Ok(inputs.output.clone())
}

/// `modules.dep` and `modules.builtin` by module name.
#[derive(Debug, Default)]
pub(crate) struct Index {
    paths: BTreeMap<String, (String, Vec<String>)>,
    builtin: BTreeSet<String>,
}

impl Index {
    /// Reads what depmod(8) and the kernel package list in `usr/lib/modules/<release>`.
    pub(crate) fn read(folder: &Path) -> Result<Self, InitramfsError> {
        let text = |name: &str| read_text(&folder.join(name));
        let mut index = Self::parse(&text("modules.dep")?, &text("modules.builtin")?);
        index.add_softdeps(&text("modules.softdep")?, &text("modules.alias")?);
        Ok(index)
    }

    // modules.dep(5): "path: path of what it needs …", the nearest need first.
    fn parse(dep: &str, builtin: &str) -> Self {
        let mut index = Self::default();
        for line in dep.lines() {
            let Some((path, needs)) = line.split_once(':') else { continue };
            let needs = needs.split_whitespace().map(module_name).collect();
            index.paths.insert(module_name(path), (path.to_owned(), needs));
        }
        index.builtin = builtin.lines().map(module_name).collect();
        index
    }

    // modules.softdep: "softdep ext4 pre: crypto-crc32c", where the need may be an alias that the running
    // kernel would resolve by modprobe, which an initramfs does not have. Without it ext4 does not mount.
    fn add_softdeps(&mut self, softdep: &str, alias: &str) {
        let aliases: BTreeMap<String, String> = alias
            .lines()
            .filter_map(|line| line.strip_prefix("alias ")?.split_once(' '))
            .map(|(alias, module)| (module_name(alias), module_name(module)))
            .collect();
        for line in softdep.lines() {
            let Some((name, needs)) = line.strip_prefix("softdep ").and_then(|rest| rest.split_once(" pre:"))
            else {
                continue;
            };
            let needs = needs.split(" post:").next().unwrap_or_default();
            let known = |need: &str| {
                let need = module_name(need);
                let module = aliases.get(&need).unwrap_or(&need);
                self.paths.contains_key(module).then(|| module.clone())
            };
            let found: Vec<String> = needs.split_whitespace().filter_map(known).collect();
            if let Some((_, all)) = self.paths.get_mut(&module_name(name)) {
                all.extend(found);
            }
        }
    }

    /// Paths of the modules and all they need, each after its needs.
    pub(crate) fn closure(&self, names: &[String], release: &str) -> Result<Vec<String>, InitramfsError> {
        let mut walk =
            Walk { index: self, release, order: Vec::new(), done: BTreeSet::new(), open: Vec::new() };
        for name in names {
            walk.visit(&module_name(name))?;
        }
        Ok(walk.order)
    }
}

struct Walk<'a> {
    index: &'a Index,
    release: &'a str,
    order: Vec<String>,
    done: BTreeSet<String>,
    open: Vec<String>,
}

impl Walk<'_> {
    fn visit(&mut self, name: &str) -> Result<(), InitramfsError> {
        if self.done.contains(name) || self.index.builtin.contains(name) {
            return Ok(());
        }
        if self.open.iter().any(|open| open == name) {
            return Err(InitramfsError::Circle { module: name.to_owned(), release: self.release.to_owned() });
        }
        let Some((path, needs)) = self.index.paths.get(name) else {
            return Err(InitramfsError::NoModule {
                module: name.to_owned(),
                release: self.release.to_owned(),
            });
        };
        self.open.push(name.to_owned());
        for need in needs {
            self.visit(need)?;
        }
        self.open.pop();
        self.done.insert(name.to_owned());
        self.order.push(path.clone());
        Ok(())
    }
}

/// The kernel's name of a module: file name without suffixes, `-` as `_`.
fn module_name(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or(path);
    strip_compression(file).trim_end_matches(".ko").replace('-', "_")
}

fn strip_compression(path: &str) -> &str {
    [".xz", ".zst", ".gz"].iter().find_map(|suffix| path.strip_suffix(suffix)).unwrap_or(path)
}

/// A module's bytes, decompressed: the whole archive compresses better than its parts, and
/// `finit_module` then needs no help from the kernel.
fn plain_module(path: &Path) -> Result<Vec<u8>, InitramfsError> {
    let bytes = read(path)?;
    match path.extension().and_then(|e| e.to_str()) {
        Some("xz") => filter("xz", &["-d", "-c"], &bytes, path),
        Some("zst") => filter("zstd", &["-q", "-d", "-c"], &bytes, path),
        Some("gz") => filter("gzip", &["-d", "-c"], &bytes, path),
        _ => Ok(bytes),
    }
}

/// Sends bytes through a program.
fn filter(
    program: &'static str,
    arguments: &[&str],
    input: &[u8],
    path: &Path,
) -> Result<Vec<u8>, InitramfsError> {
    let failed = |cause: String| InitramfsError::Compressor { program, path: path.to_owned(), cause };
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| failed(e.to_string()))?;
    let mut pipe = child.stdin.take().ok_or_else(|| failed("no pipe".to_owned()))?;
    // A thread feeds, because the program blocks once its output pipe is full.
    let output = std::thread::scope(|scope| {
        let feeder = scope.spawn(move || pipe.write_all(input));
        let output = child.wait_with_output();
        // A broken pipe shows in the program's status, checked below.
        let _ = feeder.join();
        output
    })
    .map_err(|e| failed(e.to_string()))?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    Err(failed(format!("{}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim())))
}

/// Files and folders of the archive by path.
#[derive(Debug, Default)]
struct Tree(BTreeMap<String, (u32, Vec<u8>)>);

impl Tree {
    fn folder(&mut self, path: &str) {
        if let Some((parent, _)) = path.rsplit_once('/') {
            self.folder(parent);
        }
        self.0.entry(path.to_owned()).or_insert((S_IFDIR | 0o755, Vec::new()));
    }

    fn file(&mut self, path: &str, mode: u32, bytes: Vec<u8>) {
        if let Some((parent, _)) = path.rsplit_once('/') {
            self.folder(parent);
        }
        self.0.insert(path.to_owned(), (S_IFREG | mode, bytes));
    }

    /// The archive; a folder's name sorts before what is in it, as the kernel needs it.
    fn archive(&self, epoch: u32) -> Vec<u8> {
        let mut out = Vec::new();
        for (inode, (path, (mode, bytes))) in (1..).zip(&self.0) {
            entry(&mut out, inode, *mode, epoch, path, bytes);
        }
        entry(&mut out, 0, 0, 0, TRAILER, &[]);
        out
    }
}

fn entry(out: &mut Vec<u8>, inode: u32, mode: u32, epoch: u32, name: &str, bytes: &[u8]) {
    let links = if mode & S_IFDIR == S_IFDIR { 2 } else { 1 };
    let size = u32::try_from(bytes.len()).expect("an initramfs file is far below 4 GiB");
    let name_size = u32::try_from(name.len() + 1).expect("names are short");
    // inode, mode, uid, gid, links, mtime, size, device ×2, special device ×2, name size, checksum
    let fields = [inode, mode, 0, 0, links, epoch, size, 0, 0, 0, 0, name_size, 0];
    out.extend_from_slice(NEWC_MAGIC.as_bytes());
    for field in fields {
        out.extend_from_slice(format!("{field:08X}").as_bytes());
    }
    out.extend_from_slice(name.as_bytes());
    out.push(0);
    pad(out);
    out.extend_from_slice(bytes);
    pad(out);
}

// Headers and contents start at multiples of four bytes.
fn pad(out: &mut Vec<u8>) {
    out.resize(out.len().next_multiple_of(4), 0);
}

fn read(path: &Path) -> Result<Vec<u8>, InitramfsError> {
    fs::read(path).map_err(io_error("read", path))
}

fn read_text(path: &Path) -> Result<String, InitramfsError> {
    fs::read_to_string(path).map_err(io_error("read", path))
}

fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> InitramfsError {
    let path = path.to_owned();
    move |source| InitramfsError::Io { action, path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEP: &str = "kernel/fs/ext4/ext4.ko.xz: kernel/fs/mbcache.ko.xz kernel/fs/jbd2/jbd2.ko.xz kernel/lib/crc32c.ko.xz\n\
        kernel/fs/jbd2/jbd2.ko.xz: kernel/lib/crc32c.ko.xz\n\
        kernel/fs/mbcache.ko.xz:\n\
        kernel/lib/crc32c.ko.xz:\n\
        kernel/drivers/mmc/host/sdhci-iproc.ko.xz:\n";

    fn names(list: &[&str]) -> Vec<String> {
        list.iter().map(|&s| s.to_owned()).collect()
    }

    #[test]
    fn loads_every_module_after_what_it_needs_and_once() {
        let order = Index::parse(DEP, "").closure(&names(&["ext4", "sdhci_iproc", "jbd2"]), "6.12").unwrap();
        let at = |part: &str| order.iter().position(|p| p.contains(part)).unwrap();
        assert!(at("crc32c") < at("jbd2") && at("jbd2") < at("ext4") && at("mbcache") < at("ext4"));
        assert_eq!(order.len(), 5);
    }

    #[test]
    fn a_soft_dependency_by_alias_is_loaded_first() {
        let dep = "kernel/fs/ext4/ext4.ko.xz:\nkernel/crypto/crc32c_generic.ko.xz:\n";
        let mut index = Index::parse(dep, "");
        index.add_softdeps(
            "softdep ext4 pre: crypto-crc32c post: later\nsoftdep gone pre: ext4\n",
            "alias crypto-crc32c crc32c_generic\nalias later ext4\n",
        );
        let order = index.closure(&names(&["ext4"]), "6.12").unwrap();
        assert_eq!(order, ["kernel/crypto/crc32c_generic.ko.xz", "kernel/fs/ext4/ext4.ko.xz"]);
    }

    #[test]
    fn a_built_in_module_is_not_looked_for() {
        let order =
            Index::parse("", "kernel/fs/squashfs/squashfs.ko\n").closure(&names(&["squashfs"]), "6.12");
        assert_eq!(order.unwrap(), Vec::<String>::new());
    }

    #[test]
    fn an_unknown_module_and_a_circle_are_named() {
        let unknown = Index::parse(DEP, "").closure(&names(&["etx4"]), "6.12").unwrap_err().to_string();
        assert!(unknown.contains("etx4") && unknown.contains("6.12"), "{unknown}");
        let circle =
            Index::parse("a.ko: b.ko\nb.ko: a.ko\n", "").closure(&names(&["a"]), "6.12").unwrap_err();
        assert!(matches!(circle, InitramfsError::Circle { .. }), "{circle}");
    }

    fn fixture(folder: &Path) -> Inputs {
        let modules = folder.join("usr/lib/modules/6.12/kernel");
        fs::create_dir_all(&modules).unwrap();
        fs::write(modules.join("a.ko.xz"), filter("xz", &["-c"], b"module a", folder).unwrap()).unwrap();
        fs::write(modules.join("b.ko"), b"module b").unwrap();
        fs::write(modules.join("../modules.dep"), "kernel/b.ko: kernel/a.ko.xz\nkernel/a.ko.xz:\n").unwrap();
        for empty in ["modules.builtin", "modules.softdep", "modules.alias"] {
            fs::write(modules.join("..").join(empty), "").unwrap();
        }
        fs::write(folder.join("early-init"), b"program").unwrap();
        Inputs {
            root: folder.to_owned(),
            release: "6.12".to_owned(),
            early_init: folder.join("early-init"),
            modules: names(&["b"]),
            epoch: 1_767_225_600,
            output: folder.join("initramfs.img"),
        }
    }

    #[test]
    fn cpio_reads_the_archive_back() {
        let folder = tempfile::tempdir().unwrap();
        let made = assemble(&fixture(folder.path())).unwrap();
        let plain = filter("zstd", &["-q", "-d", "-c"], &fs::read(&made).unwrap(), &made).unwrap();
        let listing = String::from_utf8(
            filter("cpio", &["-itv", "--quiet", "--numeric-uid-gid"], &plain, &made).unwrap(),
        );
        let listing = listing.unwrap();
        assert!(
            listing.lines().all(|line| line.split_whitespace().skip(2).take(2).eq(["0", "0"])),
            "{listing}"
        );
        assert!(listing.contains("-rwxr-xr-x") && listing.contains(" init\n"), "{listing}");
        let list = filter("cpio", &["-i", "--quiet", "--to-stdout", MODULE_LIST], &plain, &made).unwrap();
        assert_eq!(list, b"/usr/lib/modules/kernel/a.ko\n/usr/lib/modules/kernel/b.ko\n");
        let module =
            filter("cpio", &["-i", "--quiet", "--to-stdout", "usr/lib/modules/kernel/a.ko"], &plain, &made);
        assert_eq!(module.unwrap(), b"module a");
    }

    #[test]
    fn the_same_inputs_make_the_same_bytes_and_another_epoch_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let mut inputs = fixture(folder.path());
        let first = fs::read(assemble(&inputs).unwrap()).unwrap();
        let file = fs::File::options().append(true).open(&inputs.early_init).unwrap();
        file.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
        assert_eq!(first, fs::read(assemble(&inputs).unwrap()).unwrap());
        inputs.epoch += 1;
        assert_ne!(first, fs::read(assemble(&inputs).unwrap()).unwrap());
    }

    #[test]
    fn a_missing_early_init_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let mut inputs = fixture(folder.path());
        inputs.early_init = folder.path().join("nowhere");
        let message = assemble(&inputs).unwrap_err().to_string();
        assert!(message.contains("read") && message.contains("nowhere"), "{message}");
    }
}
