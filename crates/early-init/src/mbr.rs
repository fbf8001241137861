//! The partition table: recognising our card, and growing its last partition.
//!
//! Layout of a master boot record: UEFI specification 2.10, table 5.1 (legacy MBR) and 5.2 (partition record).

/// Bytes of the record, one sector.
pub const SIZE: usize = 512;
/// Disk signature of every Failberry card (ARCHITECTURE.md).
pub const SIGNATURE: u32 = 0xfa11_be77;
/// Partition of the data file system, the last one on the card.
pub const DATA: u8 = 4;
/// Bytes a sector, the unit of the table and of `/sys/class/block/*/size`.
pub const SECTOR: u64 = 512;
/// Free space worth a change of the table: less than this is rounding of the image's size.
pub const WORTH_GROWING: u64 = 8 * 1024 * 1024 / SECTOR;

const SIGNATURE_AT: usize = 440;
const TABLE_AT: usize = 446;
const RECORD: usize = 16;
const RECORDS: u8 = 4;
const END_CHS_AT: usize = 5;
const START_AT: usize = 8;
const LENGTH_AT: usize = 12;
const MAGIC_AT: usize = 510;
const MAGIC: [u8; 2] = [0x55, 0xaa];
/// CHS address that says "beyond CHS, use the LBA".
const BEYOND_CHS: [u8; 3] = [0xfe, 0xff, 0xff];
/// Partitions end at a MiB, the erase block alignment they started with.
const ALIGN: u64 = 1024 * 1024 / SECTOR;

/// The record of a Failberry card.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mbr([u8; SIZE]);

impl Mbr {
    /// The record, if it is one and carries our signature.
    pub fn ours(sector: [u8; SIZE]) -> Option<Self> {
        let mbr = Self(sector);
        (sector[MAGIC_AT..] == MAGIC && mbr.number(SIGNATURE_AT) == SIGNATURE).then_some(mbr)
    }

    /// Its bytes.
    pub fn bytes(&self) -> &[u8; SIZE] {
        &self.0
    }

    /// Numbers of the partitions it has.
    pub fn partitions(&self) -> impl Iterator<Item = u8> + '_ {
        (1..=RECORDS).filter(|&number| self.extent(number).is_some())
    }

    /// First sector and length of a partition.
    pub fn extent(&self, number: u8) -> Option<(u64, u64)> {
        if !(1..=RECORDS).contains(&number) {
            return None;
        }
        let record = record(number);
        let (start, length) = (self.number(record + START_AT), self.number(record + LENGTH_AT));
        (length > 0).then_some((start.into(), length.into()))
    }

    /// The record with the data partition up to the disk's end, when that wins enough and no other
    /// partition lies behind it.
    pub fn grown(&self, disk_sectors: u64) -> Option<Self> {
        let (start, length) = self.extent(DATA)?;
        if self.partitions().any(|n| n != DATA && self.extent(n).is_some_and(|(s, _)| s > start)) {
            return None;
        }
        // 32-bit sector counts: what lies beyond 2 TiB stays unused.
        let wanted = (disk_sectors / ALIGN * ALIGN).checked_sub(start)?.min(u32::MAX.into());
        if wanted < length + WORTH_GROWING {
            return None;
        }
        let mut new = self.clone();
        let record = record(DATA);
        let wanted = u32::try_from(wanted).ok()?;
        new.0[record + LENGTH_AT..record + LENGTH_AT + 4].copy_from_slice(&wanted.to_le_bytes());
        new.0[record + END_CHS_AT..record + END_CHS_AT + 3].copy_from_slice(&BEYOND_CHS);
        Some(new)
    }

    fn number(&self, at: usize) -> u32 {
        u32::from_le_bytes([self.0[at], self.0[at + 1], self.0[at + 2], self.0[at + 3]])
    }
}

fn record(number: u8) -> usize {
    TABLE_AT + RECORD * usize::from(number - 1)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The table of a card: start and length in sectors of p1 to p4, 0 for none.
    pub(crate) fn sector(signature: u32, table: [(u32, u32); 4]) -> [u8; SIZE] {
        let mut bytes = [0; SIZE];
        bytes[SIGNATURE_AT..SIGNATURE_AT + 4].copy_from_slice(&signature.to_le_bytes());
        for (number, (start, length)) in (1..).zip(table) {
            let at = record(number);
            bytes[at + START_AT..at + START_AT + 4].copy_from_slice(&start.to_le_bytes());
            bytes[at + LENGTH_AT..at + LENGTH_AT + 4].copy_from_slice(&length.to_le_bytes());
        }
        bytes[MAGIC_AT..].copy_from_slice(&MAGIC);
        bytes
    }

    pub(crate) const MIB: u32 = 2048;
    pub(crate) const TABLE: [(u32, u32); 4] =
        [(4 * MIB, 64 * MIB), (68 * MIB, 64 * MIB), (132 * MIB, 64 * MIB), (196 * MIB, 64 * MIB)];

    fn card() -> Mbr {
        Mbr::ours(sector(SIGNATURE, TABLE)).unwrap()
    }

    #[test]
    fn knows_our_card_by_its_signature_alone() {
        assert_eq!(card().partitions().collect::<Vec<_>>(), [1, 2, 3, 4]);
        assert_eq!(card().extent(2), Some((68 * 2048, 64 * 2048)));
        assert!(Mbr::ours(sector(SIGNATURE + 1, TABLE)).is_none());
        assert!(Mbr::ours([0; SIZE]).is_none());
        let mut no_magic = sector(SIGNATURE, TABLE);
        no_magic[MAGIC_AT] = 0;
        assert!(Mbr::ours(no_magic).is_none());
    }

    #[test]
    fn the_data_partition_grows_to_the_last_whole_mebibyte_once() {
        let grown = card().grown(1024 * 2048 + 77).unwrap();
        assert_eq!(grown.extent(4), Some((196 * 2048, (1024 - 196) * 2048)));
        for number in 1..=3 {
            assert_eq!(grown.extent(number), card().extent(number));
        }
        assert_eq!(grown.grown(1024 * 2048 + 77), None);
    }

    #[test]
    fn nothing_grows_that_has_no_room_or_is_not_last() {
        assert_eq!(card().grown(260 * 2048), None);
        assert_eq!(card().grown(100 * 2048), None, "a disk shorter than its table");
        let mut table = TABLE;
        table[2].0 = 500 * MIB;
        assert_eq!(Mbr::ours(sector(SIGNATURE, table)).unwrap().grown(1024 * 2048), None);
    }

    #[test]
    fn a_huge_disk_is_used_up_to_the_table_s_limit() {
        let grown = card().grown(1 << 40).unwrap();
        assert_eq!(grown.extent(4).unwrap().1, u64::from(u32::MAX));
    }
}
