//! The slot: one squashfs with kernel, initramfs, device trees and root.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::error::Error;
use crate::files;
use crate::run::Runner;

/// Compressing 130 MB at the highest level takes about half a minute on two cores.
const LIMIT: Duration = Duration::from_secs(600);
/// Larger blocks compress better and read slower; beyond this little is won.
const BLOCK_SIZE: &str = "256K";
/// zstd's level: 19 takes three times as long and saves 2 %.
const LEVEL: &str = "15";
/// What a slot may weigh: U-Boot and mobile data pay for every megabyte.
pub const BUDGET: u64 = 48 << 20;

/// Packs a root into `slot`. The same tree gives the same bytes.
///
/// # Errors
/// The tool's, or a slot over its budget.
pub fn pack(runner: &Runner, root: &Path, slot: &Path, epoch: u64) -> Result<(), Error> {
    let epoch = epoch.to_string();
    let mut command = Command::new("mksquashfs");
    command.arg(root).arg(slot).args(["-noappend", "-no-progress", "-no-xattrs", "-comp", "zstd"]);
    command.args(["-Xcompression-level", LEVEL, "-b", BLOCK_SIZE]);
    // U-Boot reads whole blocks: a device tree of 20 KB inside a shared fragment costs it a block of 256 KiB
    // and its decompression.
    command.args(["-action", "no-fragments@subpathname(boot)"]);
    command.args(["-mkfs-time", &epoch, "-all-time", &epoch]);
    // mksquashfs refuses to be told the time twice.
    command.env_remove("SOURCE_DATE_EPOCH");
    runner.command("squashfs", LIMIT, &mut command)?;
    let size = files::size(slot)?;
    if size > BUDGET {
        return Err(Error::Invalid(format!(
            "pack the slot: {size} bytes, {} more than its budget of {BUDGET}; drop packages or files in image/layers/",
            size - BUDGET
        )));
    }
    Ok(())
}
