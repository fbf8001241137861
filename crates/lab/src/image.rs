//! The image under test: a private copy per run, the user's files on its FAT partition, and what
//! QEMU needs taken out of it. The baked image itself is never written to.

use std::fs::{self, File, OpenOptions};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::error::{Context, Error, Result};
use crate::process;

/// Copying and extracting a few hundred megabytes takes seconds.
const COMMAND: Duration = Duration::from_secs(120);
/// MBR: sector size, offset of the partition table, size of an entry, closing signature.
const SECTOR: usize = 512;
const TABLE: usize = 446;
const ENTRY: usize = 16;
const SIGNATURE: [u8; 2] = [0x55, 0xaa];
/// Cards are larger than the image; the emulated one is, too, so that the data partition grows.
/// QEMU's SD card takes powers of two only (hw/sd/sd.c, `sd_realize`).
const CARD: u64 = 512 << 20;

/// Partitions by number, as ARCHITECTURE.md lays them out.
const BOOT: usize = 1;
const SLOT_A: usize = 2;

/// A private copy of an image.
#[derive(Debug)]
pub struct Card {
    path: PathBuf,
    /// First byte of every primary partition.
    starts: [u64; 4],
}

impl Card {
    /// Copies `image` to `path` and enlarges the copy to a card's size.
    ///
    /// # Errors
    /// When it cannot be copied or has no partition table.
    pub fn copy(image: &Path, path: PathBuf) -> Result<Self> {
        let mut cp = Command::new("cp");
        process::run(cp.args(["--sparse=always", "--reflink=auto"]).arg(image).arg(&path), COMMAND)?;
        let file = OpenOptions::new().read(true).write(true).open(&path);
        let mut file = file.context(format!("open {}", path.display()))?;
        let size = file.metadata().context(format!("size of {}", path.display()))?.len();
        file.set_len(size.next_power_of_two().max(CARD)).context(format!("enlarge {}", path.display()))?;
        let mut mbr = [0; SECTOR];
        file.read_exact(&mut mbr).context(format!("read {}", path.display()))?;
        let starts = starts(&mbr).ok_or_else(|| Error::Malformed {
            path: image.to_path_buf(),
            cause: "no partition table: not a baked image".to_owned(),
        })?;
        Ok(Self { path, starts })
    }

    /// Where the copy is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Puts a file on the FAT partition, as a user does after flashing.
    ///
    /// # Errors
    /// When it does not fit.
    pub fn put(&self, name: &str, content: &[u8]) -> Result<()> {
        let file = self.path.with_extension("put");
        fs::write(&file, content).context(format!("write {}", file.display()))?;
        let mut mcopy = self.mtool("mcopy");
        process::run(mcopy.arg("-o").arg(&file).arg(format!("::{name}")), COMMAND).map(drop)
    }

    /// Takes a file from the FAT partition.
    ///
    /// # Errors
    /// When it is not there.
    pub fn take(&self, name: &str, target: &Path) -> Result<()> {
        let mut mcopy = self.mtool("mcopy");
        process::run(mcopy.args(["-n", &format!("::{name}")]).arg(target), COMMAND).map(drop)
    }

    fn mtool(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.arg("-i").arg(format!("{}@@{}", self.path.display(), self.starts[BOOT - 1]));
        command
    }

    /// Takes a file from slot A's file system.
    ///
    /// # Errors
    /// When it is not there.
    pub fn take_from_slot(&self, name: &str, target: &Path) -> Result<()> {
        let mut unsquashfs = Command::new("unsquashfs");
        unsquashfs.args(["-o", &self.starts[SLOT_A - 1].to_string(), "-cat"]).arg(&self.path).arg(name);
        let output = process::run(&mut unsquashfs, COMMAND)?;
        if output.stdout.is_empty() {
            return Err(Error::Unexpected(format!("{name}: not in slot a of {}", self.path.display())));
        }
        fs::write(target, output.stdout).context(format!("write {}", target.display()))
    }
}

fn starts(mbr: &[u8; SECTOR]) -> Option<[u64; 4]> {
    if mbr[SECTOR - 2..] != SIGNATURE {
        return None;
    }
    let mut starts = [0; 4];
    for (start, entry) in starts.iter_mut().zip(mbr[TABLE..].chunks(ENTRY)) {
        // Bytes 8 to 11 of an entry: first sector, little endian.
        *start = u64::from(u32::from_le_bytes(entry.get(8..12)?.try_into().ok()?)) * SECTOR as u64;
    }
    (starts[SLOT_A - 1] > 0).then_some(starts)
}

/// The image to boot: `given`, or the newest one baked below `top`.
///
/// # Errors
/// When there is none.
pub fn find(given: Option<PathBuf>, top: &Path) -> Result<PathBuf> {
    if let Some(path) = given {
        File::open(&path).context(format!("open image {}", path.display()))?;
        return Ok(path);
    }
    let folder = top.join("build/deploy/rpi-arm64");
    let images = fs::read_dir(&folder).into_iter().flatten().flatten().map(|entry| entry.path());
    images
        .filter(|path| path.extension().is_some_and(|extension| extension == "img"))
        .max_by_key(|path| fs::metadata(path).and_then(|data| data.modified()).ok())
        .ok_or_else(|| {
            let folder = folder.display();
            Error::Unexpected(format!("no image in {folder}: run scripts/bake --machine rpi-arm64 first"))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mbr() -> [u8; 512] {
        let mut mbr = [0; 512];
        mbr[510..].copy_from_slice(&SIGNATURE);
        mbr[TABLE + 8..TABLE + 12].copy_from_slice(&8192_u32.to_le_bytes());
        mbr[TABLE + ENTRY + 8..TABLE + ENTRY + 12].copy_from_slice(&139_264_u32.to_le_bytes());
        mbr
    }

    #[test]
    fn finds_where_partitions_start() {
        assert_eq!(starts(&mbr()), Some([4 << 20, 68 << 20, 0, 0]));
    }

    #[test]
    fn refuses_a_disk_without_partition_table() {
        let mut disk = mbr();
        disk[511] = 0;
        assert_eq!(starts(&disk), None);
        assert_eq!(starts(&[0; 512]), None);
    }

    #[test]
    fn says_what_to_do_without_an_image() {
        let top = tempfile::tempdir().unwrap();
        let error = find(None, top.path()).unwrap_err().to_string();
        assert!(error.contains("scripts/bake"), "{error}");
    }

    #[test]
    fn the_copy_takes_files_and_the_image_stays_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let image = folder.path().join("base.img");
        let mut bytes = vec![0; 40 << 20];
        let mut mbr = mbr();
        mbr[TABLE + ENTRY + 8..TABLE + ENTRY + 12].copy_from_slice(&73_728_u32.to_le_bytes());
        bytes[..512].copy_from_slice(&mbr);
        fs::write(&image, &bytes).unwrap();
        let mut mformat = Command::new("mformat");
        mformat.args([
            "-i",
            &format!("{}@@{}", image.display(), 4 << 20),
            "-T",
            "65536",
            "-h",
            "64",
            "-s",
            "32",
        ]);
        process::run(mformat.arg("::"), COMMAND).unwrap();
        let before = fs::read(&image).unwrap();

        let card = Card::copy(&image, folder.path().join("card.img")).unwrap();
        card.put("failberry.toml", b"[modem]\r\n").unwrap();
        let out = folder.path().join("out");
        card.take("failberry.toml", &out).unwrap();

        assert_eq!(fs::read(&out).unwrap(), b"[modem]\r\n");
        assert_eq!(fs::metadata(card.path()).unwrap().len(), CARD);
        assert!(fs::read(&image).unwrap() == before, "the image was written to");
    }
}
