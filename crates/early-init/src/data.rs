//! The data partition: grown to the card's end, mounted, repaired or made anew where need be.
//!
//! The appliance must come up whatever power cuts did to this partition, so the ladder ends in memory:
//! mount, `e2fsck -p`, `e2fsck -y` twice, `mke2fs`, tmpfs. Everything but a plain mount leaves a notice, because
//! a user whose settings are gone must be told.

use std::io;
use std::time::Duration;

use crate::boot::ROOT;
use crate::disk::{self, Disk};
use crate::mbr;
use crate::ports::{Access, Machine, Mount};

/// Notices for the running system, one a line.
pub const NOTICE: &str = "/run/failberry-early/notice";

const TARGET: &str = "/newroot/data";
/// A full check of a 64 GB card takes minutes on a Pi 3; beyond this it hangs.
const TOOL_LIMIT: Duration = Duration::from_secs(600);
/// From this exit status on e2fsck left errors (e2fsck(8): 4 errors left uncorrected, 8 and up failures;
/// 1 and 2 are corrected).
const E2FSCK_FAILED: i32 = 4;
/// Folders the daemons' state lives in (ARCHITECTURE.md).
const FOLDERS: [(&str, u32); 3] =
    [("failberry", 0o755), ("failberry/config", 0o755), ("failberry/ssh", 0o700)];
/// Data in memory, when the card takes none.
const MEMORY_OPTIONS: &str = "size=16m,mode=0755";

/// A lost superblock takes two full repairs: the first restores it from a backup and then gives up on the
/// journal (e2fsck 1.47.2: "unable to set superblock flags", exit status 12), the second succeeds.
const REPAIRS: [&str; 3] = ["-p", "-y", "-y"];

/// Superblock of ext4: kernel Documentation/filesystems/ext4/super.rst.
const SUPERBLOCK_AT: u64 = 1024;
const SUPERBLOCK_SIZE: usize = 1024;
const BLOCKS_LOW_AT: usize = 0x4;
const LOG_BLOCK_SIZE_AT: usize = 0x18;
const MAGIC_AT: usize = 0x38;
const MAGIC: [u8; 2] = [0x53, 0xef];
const FEATURES_INCOMPATIBLE_AT: usize = 0x60;
const FEATURE_64BIT: u32 = 0x80;
const BLOCKS_HIGH_AT: usize = 0x150;
/// `s_log_block_size` counts from 1 KiB; 64 KiB is the largest.
const LARGEST_LOG_BLOCK_SIZE: u32 = 6;

/// Mounts `/data` in the new root and makes its folders.
///
/// # Errors
/// Not even memory could be mounted, or a folder could not be made: what, and why.
pub fn bring_up(machine: &mut dyn Machine, card: &Disk) -> Result<(), (String, io::Error)> {
    let mut notices = Vec::new();
    machine.make_folder(TARGET, 0o755).map_err(|e| (TARGET.to_owned(), e))?;
    if let Err(notice) = grow_partition(machine, card) {
        notices.push(notice);
    }
    let device = card.device(mbr::DATA);
    let mounted = match &device {
        Some(device) => mount_or_repair(machine, device, &mut notices),
        None => Err(format!("the card {} has no data partition", card.name)),
    };
    match (mounted, device) {
        (Ok(()), Some(device)) => {
            if let Err(notice) = grow_file_system(machine, card, &device) {
                notices.push(notice);
            }
        }
        (mounted, _) => {
            notices.extend(mounted.err());
            notices
                .push("settings and history are kept in memory and lost with the next power cut".to_owned());
            in_memory(machine)?;
        }
    }
    if let Err((path, error)) = folders(machine) {
        // It mounts, and its content is damaged: not a reason to reboot for ever.
        notices.push(format!("make {path}: {error}; settings and history are kept in memory"));
        in_memory(machine)?;
        folders(machine)?;
    }
    if let Err((path, error)) = leave(machine, &notices) {
        machine.say(&format!("early-init: warning: write {path}: {error}"));
    }
    Ok(())
}

fn in_memory(machine: &mut dyn Machine) -> Result<(), (String, io::Error)> {
    let memory = Mount {
        source: "tmpfs",
        target: TARGET,
        kind: "tmpfs",
        access: Access::Files,
        options: MEMORY_OPTIONS,
    };
    machine.mount(&memory).map_err(|e| (TARGET.to_owned(), e))
}

fn folders(machine: &mut dyn Machine) -> Result<(), (String, io::Error)> {
    for (folder, mode) in FOLDERS {
        let path = format!("{TARGET}/{folder}");
        machine.make_folder(&path, mode).map_err(|e| (path, e))?;
    }
    Ok(())
}

fn leave(machine: &mut dyn Machine, notices: &[String]) -> Result<(), (String, io::Error)> {
    if notices.is_empty() {
        return Ok(());
    }
    let text = notices.join("\n") + "\n";
    for notice in notices {
        machine.say(&format!("early-init: notice: {notice}"));
    }
    let file = format!("{ROOT}{NOTICE}");
    let folder = file.rsplit_once('/').map_or(ROOT, |(folder, _)| folder);
    machine.make_folder(folder, 0o755).map_err(|e| (folder.to_owned(), e))?;
    machine.write(&file, &text).map_err(|e| (file.clone(), e))
}

fn mount_or_repair(machine: &mut dyn Machine, device: &str, notices: &mut Vec<String>) -> Result<(), String> {
    let Err(first) = mount(machine, device) else { return Ok(()) };
    notices.push(format!("data partition {device} did not mount ({first})"));
    // Made anew only where e2fsck itself says, each time, that it cannot repair it.
    let mut beyond_repair = true;
    for way in REPAIRS {
        match tool(machine, &["/usr/sbin/e2fsck", way, device]) {
            Ok(status) if status < E2FSCK_FAILED && mount(machine, device).is_ok() => {
                notices.push(format!("data partition {device} was repaired by e2fsck {way}"));
                return Ok(());
            }
            Ok(status) => {
                beyond_repair &= status >= E2FSCK_FAILED;
                notices.push(format!("e2fsck {way} {device} did not help (exit status {status})"));
            }
            Err(error) => {
                beyond_repair = false;
                notices.push(format!("e2fsck {way} {device}: {error}"));
            }
        }
    }
    if !beyond_repair {
        return Err(format!("data partition {device} is left as it is"));
    }
    notices.push(format!("data partition {device} is made anew: settings and history are lost"));
    let made = tool(machine, &["/usr/sbin/mke2fs", "-q", "-F", "-t", "ext4", "-L", "failberry-data", device]);
    match made {
        Ok(0) => mount(machine, device).map_err(|e| format!("mount {device} made anew: {e}")),
        Ok(status) => Err(format!("mke2fs {device}: exit status {status}")),
        Err(error) => Err(format!("mke2fs {device}: {error}")),
    }
}

fn mount(machine: &mut dyn Machine, device: &str) -> io::Result<()> {
    machine.mount(&Mount { source: device, target: TARGET, kind: "ext4", access: Access::Files, options: "" })
}

/// The partition up to the card's end: the table first, then the kernel's idea of it.
fn grow_partition(machine: &mut dyn Machine, card: &Disk) -> Result<(), String> {
    let Some(sectors) = disk::sectors(machine, &card.name) else {
        return Err(format!("grow data partition: cannot read the size of {}", card.name));
    };
    let Some(grown) = card.mbr.grown(sectors) else { return Ok(()) };
    let device = format!("/dev/{}", card.name);
    machine
        .write_device(&device, 0, grown.bytes())
        .map_err(|e| format!("grow data partition on {device}: {e}"))?;
    // BLKPG_RESIZE_PARTITION works while another partition is mounted; re-reading the table does not.
    match tool(machine, &["/usr/bin/partx", "--update", "--nr", "4", &device]) {
        Ok(0) => Ok(()),
        Ok(status) => Err(format!("grow data partition: partx {device}: exit status {status}")),
        Err(error) => Err(format!("grow data partition: partx {device}: {error}")),
    }
}

/// The file system up to the partition's end, also when a power cut came between the two at an earlier boot.
fn grow_file_system(machine: &mut dyn Machine, card: &Disk, device: &str) -> Result<(), String> {
    let mut superblock = [0; SUPERBLOCK_SIZE];
    machine
        .read_device(device, SUPERBLOCK_AT, &mut superblock)
        .map_err(|e| format!("grow data file system: read {device}: {e}"))?;
    let name = card.partitions.iter().find(|(n, _)| *n == mbr::DATA).map_or("", |(_, name)| name);
    let (Some(used), Some(sectors)) = (file_system_sectors(&superblock), disk::sectors(machine, name)) else {
        return Err(format!("grow data file system: {device} has no readable size"));
    };
    if used + mbr::WORTH_GROWING > sectors {
        return Ok(());
    }
    match tool(machine, &["/usr/sbin/resize2fs", device]) {
        Ok(0) => Ok(()),
        Ok(status) => Err(format!("grow data file system: resize2fs {device}: exit status {status}")),
        Err(error) => Err(format!("grow data file system: resize2fs {device}: {error}")),
    }
}

fn tool(machine: &mut dyn Machine, program: &[&str]) -> io::Result<i32> {
    machine.run_in(ROOT, program, TOOL_LIMIT)
}

/// Size of an ext4 file system in sectors.
fn file_system_sectors(superblock: &[u8; SUPERBLOCK_SIZE]) -> Option<u64> {
    let number = |at: usize| superblock[at..at + 4].try_into().ok().map(u32::from_le_bytes);
    if superblock[MAGIC_AT..MAGIC_AT + 2] != MAGIC {
        return None;
    }
    let wide = number(FEATURES_INCOMPATIBLE_AT)? & FEATURE_64BIT != 0;
    let high = if wide { number(BLOCKS_HIGH_AT)? } else { 0 };
    let blocks = u64::from(high) << 32 | u64::from(number(BLOCKS_LOW_AT)?);
    let log = number(LOG_BLOCK_SIZE_AT)?;
    if log > LARGEST_LOG_BLOCK_SIZE {
        return None;
    }
    blocks.checked_mul((1024 / mbr::SECTOR) << log)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boot;
    use crate::fake::{Fake, Fault};

    fn superblock(blocks: u32, log: u32) -> [u8; SUPERBLOCK_SIZE] {
        let mut bytes = [0; SUPERBLOCK_SIZE];
        bytes[MAGIC_AT..MAGIC_AT + 2].copy_from_slice(&MAGIC);
        bytes[BLOCKS_LOW_AT..BLOCKS_LOW_AT + 4].copy_from_slice(&blocks.to_le_bytes());
        bytes[LOG_BLOCK_SIZE_AT..LOG_BLOCK_SIZE_AT + 4].copy_from_slice(&log.to_le_bytes());
        bytes
    }

    #[test]
    fn reads_the_size_from_the_superblock() {
        // mke2fs of 64 MiB: 16384 blocks of 4 KiB (log 2), or 65536 of 1 KiB.
        assert_eq!(file_system_sectors(&superblock(16384, 2)), Some(64 * 2048));
        assert_eq!(file_system_sectors(&superblock(65536, 0)), Some(64 * 2048));
        assert_eq!(file_system_sectors(&superblock(1, 40)), None);
        assert_eq!(file_system_sectors(&[0; SUPERBLOCK_SIZE]), None);
    }

    #[test]
    fn a_broken_file_system_is_repaired_and_the_user_told() {
        let mut machine = Fake::card();
        machine.fault = Some(Fault::DataBroken { mended_by: "e2fsck -y" });
        boot::run(&mut machine);
        assert!(machine.entered.is_some() && machine.mounted("/newroot/data") == Some("/dev/vda4"));
        assert_eq!(machine.ran, ["e2fsck -p", "e2fsck -y"]);
        let notice = machine.file("/newroot/run/failberry-early/notice").unwrap();
        assert!(notice.contains("was repaired by e2fsck -y") && !notice.contains("lost"), "{notice}");
    }

    #[test]
    fn it_is_made_anew_only_when_repair_fails() {
        let mut machine = Fake::card();
        machine.fault = Some(Fault::DataBroken { mended_by: "mke2fs -q" });
        boot::run(&mut machine);
        assert_eq!(machine.ran, ["e2fsck -p", "e2fsck -y", "e2fsck -y", "mke2fs -q"]);
        assert_eq!(machine.mounted("/newroot/data"), Some("/dev/vda4"));
        assert!(machine.file("/newroot/run/failberry-early/notice").unwrap().contains("are lost"));
    }

    #[test]
    fn a_dead_data_partition_is_replaced_by_memory() {
        let mut machine = Fake::card();
        machine.fault = Some(Fault::DataBroken { mended_by: "nothing" });
        boot::run(&mut machine);
        assert!(machine.entered.is_some(), "{:#?}", machine.console);
        assert_eq!(machine.mounted("/newroot/data"), Some("tmpfs"));
        assert!(machine.file("/newroot/run/failberry-early/notice").unwrap().contains("kept in memory"));
    }

    #[test]
    fn what_e2fsck_finds_whole_is_never_made_anew() {
        let mut machine = Fake::card();
        machine.fault = Some(Fault::DataUnmountable);
        boot::run(&mut machine);
        assert!(machine.entered.is_some() && !machine.ran.iter().any(|ran| ran.starts_with("mke2fs")));
        assert_eq!(machine.mounted("/newroot/data"), Some("tmpfs"));
    }

    #[test]
    fn a_data_partition_that_takes_no_folder_is_replaced_by_memory() {
        let mut machine = Fake::card();
        machine.fault = Some(Fault::FoldersBroken);
        boot::run(&mut machine);
        assert!(machine.entered.is_some() && machine.reboots == 0, "{:#?}", machine.console);
        assert_eq!(machine.mounted("/newroot/data"), Some("tmpfs"));
    }

    #[test]
    fn a_larger_card_is_used_whole_and_only_once() {
        let mut machine = Fake::card();
        machine.set_file("/sys/class/block/vda/size", "2097152\n");
        boot::run(&mut machine);
        assert_eq!(machine.ran, ["partx --update", "resize2fs /dev/vda4"]);
        let mut again = Fake::card();
        again.device = machine.device.clone();
        again.set_file("/sys/class/block/vda/size", "2097152\n");
        boot::run(&mut again);
        assert_eq!(again.ran, Vec::<String>::new(), "the table on the card is grown already");
    }

    #[test]
    fn a_file_system_left_small_by_a_power_cut_still_grows() {
        let mut machine = Fake::card();
        machine.set_file("/sys/class/block/vda4/size", "1000000\n");
        boot::run(&mut machine);
        assert_eq!(machine.ran, ["resize2fs /dev/vda4"]);
    }
}
