//! The card's image: FAT partition, slot, data partition, put together by genimage from `image/card.cfg`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::error::{Error, IoContext};
use crate::files;
use crate::run::Runner;
use crate::stage::remove_tree;

/// Each of the tools writes at most a few hundred megabytes.
const LIMIT: Duration = Duration::from_secs(180);
/// Size of the FAT partition in KiB; the same as in `image/card.cfg`.
const BOOT_KIB: &str = "65536";
/// Volume serial, like the disk signature. After `--invariant`, which also fixes the label's time, but would
/// set another serial.
const BOOT_SERIAL: &str = "fa11be77";
/// Size of the data file system as shipped; the same as in `image/card.cfg`.
const DATA_SIZE: &str = "64M";
/// Identity of the data file system and seed of its folders' hashes: fixed, or two bakes would differ.
const DATA_UUID: &str = "fa11be77-0000-4000-8000-000000000004";

/// What goes on the card.
#[derive(Debug)]
pub struct Inputs<'a> {
    /// The repository.
    pub top: &'a Path,
    /// The packed slot.
    pub slot: &'a Path,
    /// Files of the FAT partition, by their name there.
    pub boot_files: &'a BTreeMap<String, PathBuf>,
    /// Time stamp of everything, seconds since 1970.
    pub epoch: u64,
}

/// Makes `work/card.img` and returns its path.
///
/// # Errors
/// A tool's.
pub fn make(runner: &Runner, inputs: &Inputs, work: &Path) -> Result<PathBuf, Error> {
    let input = work.join("input");
    remove_tree(&input)?;
    fs::create_dir_all(&input).at("make", &input)?;
    boot_partition(runner, inputs, &input)?;
    data_partition(runner, inputs, &input.join("data.ext4"))?;
    let slot = input.join("slot.squashfs");
    fs::hard_link(inputs.slot, &slot).at("link", &slot)?;
    let empty = work.join("empty");
    fs::create_dir_all(&empty).at("make", &empty)?;
    let scratch = work.join("genimage.tmp");
    remove_tree(&scratch)?;
    let mut genimage = Command::new("genimage");
    genimage.arg("--config").arg(inputs.top.join("image/card.cfg"));
    genimage.arg("--rootpath").arg(&empty).arg("--tmppath").arg(&scratch);
    genimage.arg("--inputpath").arg(&input).arg("--outputpath").arg(work);
    runner.command("genimage", LIMIT, &mut genimage)?;
    remove_tree(&scratch)?;
    remove_tree(&input)?;
    Ok(work.join("card.img"))
}

fn boot_partition(runner: &Runner, inputs: &Inputs, input: &Path) -> Result<(), Error> {
    let image = input.join("boot.vfat");
    let mut mkfs = Command::new("mkfs.vfat");
    mkfs.args(["-F", "32", "-s", "1", "-n", "FAILBERRY", "--invariant", "-i", BOOT_SERIAL, "-C"]);
    runner.command("mkfs-vfat", LIMIT, mkfs.arg(&image).arg(BOOT_KIB))?;
    let folder = input.join("boot");
    let mut copies = Vec::new();
    for (name, file) in inputs.boot_files {
        let copy = folder.join(name);
        files::install(file, &copy, 0o644)?;
        files::set_time(&copy, inputs.epoch)?;
        copies.push(copy);
    }
    let mut mcopy = Command::new("mcopy");
    // FAT keeps local time: say which.
    mcopy.env("TZ", "UTC").env("SOURCE_DATE_EPOCH", inputs.epoch.to_string());
    mcopy.args(["-m", "-i"]).arg(&image).args(&copies).arg("::");
    runner.command("mcopy", LIMIT, &mut mcopy)
}

fn data_partition(runner: &Runner, inputs: &Inputs, image: &Path) -> Result<(), Error> {
    let mut mkfs = Command::new("mkfs.ext4");
    mkfs.env("SOURCE_DATE_EPOCH", inputs.epoch.to_string());
    // 4 KiB blocks, which mke2fs would not choose for so small a file system: with 1 KiB ones the reserved
    // descriptor blocks end long before a large card does, when early-init grows it.
    mkfs.args(["-q", "-b", "4096", "-L", "failberry-data", "-U", DATA_UUID, "-m", "0"]);
    // Fully written here, so that the first boot on a card has no tables left to initialise.
    mkfs.arg("-E").arg(format!("hash_seed={DATA_UUID},lazy_itable_init=0,lazy_journal_init=0"));
    runner.command("mkfs-ext4", LIMIT, mkfs.arg(image).arg(DATA_SIZE))
}
