//! Block map (bmap 2.0): which blocks of the image a flashing tool must write, with their checksums.
//!
//! A hole is a block whose old content on the card is harmless. Being zero does not make it one: zeros
//! are part of files, in a FAT they mean a free cluster, and in the environment's place a fresh environment.

use std::fmt::Write as _;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::error::{Error, IoContext};
use crate::files;
use crate::hash::sha256;

/// The format's usual block size.
const BLOCK: u64 = 4096;
/// Size of a sector in a partition table.
const SECTOR: usize = 512;
/// Offset of the partition table in the first sector, entry size and count (the PC's MBR).
const TABLE: usize = 446;
const ENTRY: usize = 16;
const ENTRIES: usize = 4;
/// Enough of slot B to wipe an older file system's superblock.
const SLOT_HEAD: u64 = 1 << 20;
/// Where a squashfs superblock has its length (Documentation/filesystems/squashfs.rst, `bytes_used`).
const SQUASHFS_LENGTH: u64 = 40;
/// Stands for the map's own checksum while that is computed.
const NO_CHECKSUM: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// A partition: first byte and length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Part {
    start: u64,
    length: u64,
}

/// Makes the block map of the card image.
///
/// # Errors
/// The image cannot be read or is not a card of ours.
pub fn make(image: &Path) -> Result<String, Error> {
    let size = files::size(image)?;
    let file = File::open(image).at("open", image)?;
    let mut head = [0; SECTOR];
    file.read_exact_at(&mut head, 0).at("read", image)?;
    let parts = parse_table(&head)
        .ok_or_else(|| Error::Invalid(format!("map {}: it has no four partitions", image.display())))?;
    let mut length = [0; 8];
    file.read_exact_at(&mut length, parts[1].start + SQUASHFS_LENGTH).at("read", image)?;
    let slot_length = u64::from_le_bytes(length);
    let mapped: Vec<u64> =
        (0..size.div_ceil(BLOCK)).filter(|number| matters(number * BLOCK, &parts, slot_length)).collect();
    let mut ranges = Vec::new();
    for (first, last) in join(&mapped) {
        let end = size.min((last + 1) * BLOCK);
        let mut bytes = vec![0; usize::try_from(end - first * BLOCK).unwrap_or_default()];
        file.read_exact_at(&mut bytes, first * BLOCK).at("read", image)?;
        ranges.push((first, last, sha256(&bytes)));
    }
    Ok(document(size, mapped.len(), &ranges))
}

// Partition table, environment, FAT and data file system always; of the slots what is read of them.
fn matters(offset: u64, parts: &[Part; ENTRIES], slot_length: u64) -> bool {
    let within = |part: &Part| offset.checked_sub(part.start).filter(|&at| at < part.length);
    match (within(&parts[1]), within(&parts[2])) {
        (Some(at), _) => at < slot_length,
        (_, Some(at)) => at < SLOT_HEAD,
        _ => true,
    }
}

fn parse_table(sector: &[u8]) -> Option<[Part; ENTRIES]> {
    let mut parts = [Part { start: 0, length: 0 }; ENTRIES];
    for (part, entry) in parts.iter_mut().zip(sector.get(TABLE..)?.chunks_exact(ENTRY)) {
        let number = |at: usize| {
            Some(u64::from(u32::from_le_bytes(entry.get(at..at + 4)?.try_into().ok()?)) * SECTOR as u64)
        };
        *part = Part { start: number(8)?, length: number(12)? };
        if part.length == 0 {
            return None;
        }
    }
    Some(parts)
}

fn join(blocks: &[u64]) -> Vec<(u64, u64)> {
    let mut ranges: Vec<(u64, u64)> = Vec::new();
    for &block in blocks {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == block => *last = block,
            _ => ranges.push((block, block)),
        }
    }
    ranges
}

fn document(size: u64, mapped: usize, ranges: &[(u64, u64, String)]) -> String {
    let mut text = format!(
        "<?xml version=\"1.0\" ?>\n<bmap version=\"2.0\">\n\
         \x20   <ImageSize> {size} </ImageSize>\n\
         \x20   <BlockSize> {BLOCK} </BlockSize>\n\
         \x20   <BlocksCount> {} </BlocksCount>\n\
         \x20   <MappedBlocksCount> {mapped} </MappedBlocksCount>\n\
         \x20   <ChecksumType> sha256 </ChecksumType>\n\
         \x20   <BmapFileChecksum> {NO_CHECKSUM} </BmapFileChecksum>\n    <BlockMap>\n",
        size.div_ceil(BLOCK)
    );
    for (first, last, sum) in ranges {
        let blocks = if first == last { first.to_string() } else { format!("{first}-{last}") };
        let _ = writeln!(text, "        <Range chksum=\"{sum}\"> {blocks} </Range>");
    }
    text.push_str("    </BlockMap>\n</bmap>\n");
    // The checksum is over the file with zeros in its own place (bmap-tools, BmapCreate.py).
    let sum = sha256(text.as_bytes());
    text.replacen(NO_CHECKSUM, &sum, 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    const MIB: u64 = 1 << 20;

    fn card() -> tempfile::NamedTempFile {
        let card = tempfile::NamedTempFile::new().unwrap();
        let file = card.as_file();
        file.set_len(24 * MIB).unwrap();
        for (number, (start, length)) in [(4, 8), (12, 4), (16, 4), (20, 4)].into_iter().enumerate() {
            let sectors = |mib: u64| u32::try_from(mib * MIB / SECTOR as u64).unwrap().to_le_bytes();
            let at = (TABLE + number * ENTRY) as u64;
            file.write_all_at(&sectors(start), at + 8).unwrap();
            file.write_all_at(&sectors(length), at + 12).unwrap();
        }
        file.write_all_at(&(3 * BLOCK - 7).to_le_bytes(), 12 * MIB + SQUASHFS_LENGTH).unwrap();
        file.write_all_at(b"old", 17 * MIB - 3).unwrap();
        card
    }

    #[test]
    fn maps_what_matters_and_nothing_else() {
        let map = make(card().path()).unwrap();
        // Everything to the slot's end, zeros or not; slot B's head; data.
        for range in ["> 0-3074 <", "> 4096-4351 <", "> 5120-6143 <"] {
            assert!(map.contains(range), "{range} missing in {map}");
        }
        assert_eq!(map.matches("<Range").count(), 3);
        assert!(map.contains(&format!("<MappedBlocksCount> {} <", 3075 + 256 + 1024)));
    }

    #[test]
    fn its_own_checksum_is_over_itself_with_zeros_in_place() {
        let map = make(card().path()).unwrap();
        let sum = map.split("<BmapFileChecksum> ").nth(1).unwrap().split(' ').next().unwrap();
        assert_eq!(sha256(map.replacen(sum, NO_CHECKSUM, 1).as_bytes()), sum);
    }

    #[test]
    fn a_ranges_checksum_is_of_its_bytes() {
        let card = card();
        let image = fs::read(card.path()).unwrap();
        let block = usize::try_from(BLOCK).unwrap();
        let sum = sha256(&image[4096 * block..4352 * block]);
        let range = format!("<Range chksum=\"{sum}\"> 4096-4351 </Range>");
        assert!(make(card.path()).unwrap().contains(&range));
    }

    #[test]
    fn an_image_without_partitions_is_refused() {
        let card = tempfile::NamedTempFile::new().unwrap();
        card.as_file().set_len(MIB).unwrap();
        assert!(make(card.path()).unwrap_err().to_string().contains("four partitions"));
    }
}
