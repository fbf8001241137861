//! What people take away: image, download, block map, checksums and manifest in `build/deploy/<machine>`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::debian::{self, Package};
use crate::error::{Error, IoContext};
use crate::hash::sha256_file;
use crate::layer::{Layer, Machine};
use crate::manifest::Manifest;
use crate::run::Runner;
use crate::{VERSION, files};

/// Compressing 260 MB, most of it zeros or compressed already.
const XZ_LIMIT: Duration = Duration::from_secs(600);
/// The slot hardly compresses any further: the default preset takes three times as long for 2 %.
const XZ_PRESET: &str = "-0";

/// A finished bake.
#[derive(Debug)]
pub struct Inputs<'a> {
    /// The repository.
    pub top: &'a Path,
    /// Folder in `build/deploy`.
    pub folder: &'a str,
    /// What it was made for.
    pub machine: &'a Machine,
    /// What it was made of.
    pub layers: &'a [Layer],
    /// The stage with the list of packages.
    pub unpacked: &'a Path,
    /// The stage with slot, kernel and initramfs.
    pub slot: &'a Path,
    /// The stage with the card's image and its block map.
    pub card: &'a Path,
    /// Time stamp of everything, seconds since 1970.
    pub epoch: u64,
    /// Compress the image for downloading.
    pub compress: bool,
}

/// Puts the results into `build/deploy` and returns the file to flash.
///
/// # Errors
/// The compressor's or the file system's.
pub fn deploy(runner: &Runner, inputs: &Inputs) -> Result<PathBuf, Error> {
    let folder = inputs.top.join("build/deploy").join(inputs.folder);
    fs::create_dir_all(&folder).at("make", &folder)?;
    let name = format!("failberry-{VERSION}-{}", inputs.machine.name);
    let place = |suffix: &str| folder.join(format!("{name}.{suffix}"));
    let image = place("img");
    replace_by_copy(&inputs.card.join("card.img"), &image)?;
    replace_by_copy(&inputs.card.join("card.bmap"), &place("bmap"))?;
    let mut made = vec![image.clone()];
    let compressed = place("img.xz");
    if inputs.compress {
        let source = compress(runner, inputs.card)?;
        replace_by_copy(&source, &compressed)?;
        made.push(compressed);
    } else {
        // One of an earlier bake would not be this image.
        files::remove_any(&compressed)?;
    }
    files::write(&place("sha256"), checksums(&made)?.as_bytes(), 0o644)?;
    let packages = debian::packages(inputs.unpacked)?;
    files::write(&place("manifest.json"), manifest(inputs, &packages, &made)?.as_bytes(), 0o644)?;
    Ok(made.pop().unwrap_or(image))
}

fn compress(runner: &Runner, card: &Path) -> Result<PathBuf, Error> {
    const WHAT: &str = "compress the image";
    let compressed = card.join("card.img.xz");
    if compressed.is_file() {
        runner.cached(WHAT);
        return Ok(compressed);
    }
    let partial = card.join("card.img.xz.new");
    runner.step(WHAT, || {
        let mut xz = Command::new("xz");
        // Two threads always: the number of blocks, and with it the bytes, must not depend on the builder.
        xz.args([XZ_PRESET, "-T2", "-c"]).arg(card.join("card.img"));
        runner.command_to("xz", XZ_LIMIT, &mut xz, &partial)?;
        fs::rename(&partial, &compressed).at("rename", &partial)
    })?;
    Ok(compressed)
}

// The format of sha256sum(1), so that `sha256sum -c` checks it.
fn checksums(made: &[PathBuf]) -> Result<String, Error> {
    let mut sums = String::new();
    for file in made {
        let name = file.file_name().unwrap_or_default().display();
        let _ = writeln!(sums, "{}  {name}", sha256_file(file)?);
    }
    Ok(sums)
}

fn manifest(inputs: &Inputs, packages: &[Package], made: &[PathBuf]) -> Result<String, Error> {
    let mut sizes = BTreeMap::new();
    for (what, file) in [("slot", "slot.squashfs"), ("kernel", "vmlinuz"), ("initramfs", "initramfs.img")] {
        sizes.insert(what, files::size(&inputs.slot.join(file))?);
    }
    for (what, file) in ["image", "download"].into_iter().zip(made) {
        sizes.insert(what, files::size(file)?);
    }
    for (what, bytes) in &sizes {
        eprintln!("bake: {what:>9}: {:6.1} MiB", megabytes(*bytes));
    }
    let kernel = files::read(&inputs.slot.join("kernel-version"))?;
    Manifest::new(inputs.machine, inputs.layers, packages, &sizes, &kernel, inputs.epoch).to_json()
}

// For people's eyes only; the manifest has the bytes.
#[expect(clippy::cast_precision_loss, reason = "sizes are far below 2^52")]
fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

// A copy, so that whoever writes into the image (his APN, his PIN) does not write into the cache of
// the next one; by rename, so that a guest that still runs from the old image keeps it whole.
fn replace_by_copy(from: &Path, to: &Path) -> Result<(), Error> {
    let new = to.with_extension("new");
    files::remove_any(&new)?;
    fs::copy(from, &new).at("copy", &new)?;
    fs::rename(&new, to).at("rename", &new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replacing_leaves_the_old_file_to_those_who_have_it_open() {
        let folder = tempfile::tempdir().unwrap();
        let [first, second, place] = ["1", "2", "card.img"].map(|name| folder.path().join(name));
        fs::write(&first, "one").unwrap();
        fs::write(&second, "two").unwrap();
        replace_by_copy(&first, &place).unwrap();
        let open = fs::File::open(&place).unwrap();
        replace_by_copy(&second, &place).unwrap();
        assert_eq!(fs::read_to_string(&place).unwrap(), "two");
        assert_eq!(std::io::read_to_string(open).unwrap(), "one");
    }

    #[test]
    fn checksums_are_in_the_tools_format() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("abc.img");
        fs::write(&file, "abc").unwrap();
        let sums = checksums(&[file]).unwrap();
        assert!(sums.starts_with("ba7816bf") && sums.ends_with("15ad  abc.img\n"), "{sums}");
    }
}
