//! The stick's first face: a CD-ROM drive with the vendor's Windows drivers.
//!
//! Bulk-only transport (USB Mass Storage Class Bulk-Only Transport 1.0) with the SCSI commands a
//! host's `usb-storage` and `sr` drivers and `usb_modeswitch` send. `usb_modeswitch`'s
//! `StandardEject` is ALLOW MEDIUM REMOVAL followed by START STOP UNIT with `LoEj`; the message for
//! `19d2:2000` is ZTE's own command 0x85 (usb-modeswitch-data).

/// Length of a command block wrapper (section 5.1).
const CBW_LEN: usize = 31;
const CBW_SIGNATURE: &[u8] = b"USBC";
const CSW_SIGNATURE: &[u8] = b"USBS";

/// Logical block of a CD (MMC-6).
const BLOCK: usize = 2048;
/// Blocks of the disc: the vendors' driver discs have a few megabytes.
const BLOCKS: u32 = 2048;
/// Longest read answered at once: what a driver asks for at most (`max_sectors` 240 KiB).
const READ_MAX: usize = 240 * 1024;

/// What the drive does with a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Transfers for the host, in order: data if any, then status.
    Transfers(Vec<Vec<u8>>),
    /// The same, and the stick is to switch to its second face.
    Switch(Vec<Vec<u8>>),
    /// Nothing: data of an OUT command, or not a command at all.
    Nothing,
}

/// Sense data: key, additional code, qualifier (SPC-4 section 4.5).
type Sense = [u8; 3];
const NO_SENSE: Sense = [0, 0, 0];
const INVALID_COMMAND: Sense = [5, 0x20, 0];
const OUT_OF_RANGE: Sense = [5, 0x21, 0];

enum Reply {
    Data(Vec<u8>),
    Switch,
    Failed(Sense),
}

/// The drive.
#[derive(Debug, Default)]
pub(crate) struct Cdrom {
    sense: Sense,
    /// Bytes of an OUT command's data stage still to come, and its status.
    swallow: Option<(usize, Vec<u8>)>,
}

impl Cdrom {
    /// Takes one bulk OUT transfer.
    pub(crate) fn bulk_out(&mut self, data: &[u8]) -> Outcome {
        if let Some((left, csw)) = self.swallow.take() {
            if data.len() >= left {
                return Outcome::Transfers(vec![csw]);
            }
            self.swallow = Some((left - data.len(), csw));
            return Outcome::Nothing;
        }
        if data.len() != CBW_LEN || !data.starts_with(CBW_SIGNATURE) {
            return Outcome::Nothing;
        }
        let wanted = u32::from_le_bytes([data[8], data[9], data[10], data[11]]) as usize;
        let is_in = data[12] & 0x80 != 0;
        let (reply, switch) = match self.scsi(&data[15..]) {
            Reply::Data(reply) => (Ok(reply), false),
            Reply::Switch => (Ok(Vec::new()), true),
            Reply::Failed(sense) => (Err(sense), false),
        };
        self.sense = reply.as_ref().err().copied().unwrap_or(NO_SENSE);
        let failed = reply.is_err();
        let mut reply = reply.unwrap_or_default();
        reply.truncate(if is_in { wanted } else { 0 });
        let csw = status(&data[4..8], wanted - reply.len(), failed);
        if !is_in && wanted > 0 {
            self.swallow = Some((wanted, csw));
            return Outcome::Nothing;
        }
        // A data stage the host expects ends with a short, maybe empty, packet (section 6.7.2).
        let transfers = if is_in && wanted > 0 { vec![reply, csw] } else { vec![csw] };
        if switch { Outcome::Switch(transfers) } else { Outcome::Transfers(transfers) }
    }

    /// Bulk-only reset (section 3.1).
    pub(crate) fn reset(&mut self) {
        *self = Self::default();
    }

    fn scsi(&mut self, command: &[u8]) -> Reply {
        const START_STOP_LOEJ: u8 = 0x02;
        match command[0] {
            // START STOP UNIT: ejecting (LoEj without Start) switches, as the vendor's driver does.
            0x1b if command[4] & 0x03 == START_STOP_LOEJ => Reply::Switch,
            // TEST UNIT READY, any other START STOP UNIT, PREVENT ALLOW MEDIUM REMOVAL
            0x00 | 0x1b | 0x1e => Reply::Data(Vec::new()),
            0x03 => Reply::Data(self.request_sense()),
            0x12 => Reply::Data(inquiry(command[4])),
            0x1a => Reply::Data(vec![3, 0, 0x80, 0]), // MODE SENSE (6): header, write protected
            0x5a => Reply::Data(vec![0, 6, 0, 0x80, 0, 0, 0, 0]), // MODE SENSE (10)
            0x25 => Reply::Data([(BLOCKS - 1).to_be_bytes(), 2048_u32.to_be_bytes()].concat()),
            0x28 => read(command),
            0x43 => Reply::Data(toc()),
            0x46 => Reply::Data(vec![0, 0, 0, 4, 0, 0, 0, 8]), // GET CONFIGURATION: CD-ROM profile
            0x4a => Reply::Data(vec![0, 6, 4, 0x10, 0, 2, 0, 0]), // GET EVENT STATUS: media present
            // ZTE's switch command.
            0x85 if command[1..5] == [1, 1, 1, 0x18] => Reply::Switch,
            _ => Reply::Failed(INVALID_COMMAND),
        }
    }

    /// Fixed format (SPC-4 section 4.5.3).
    fn request_sense(&self) -> Vec<u8> {
        let mut data = vec![0_u8; 18];
        data[0] = 0x70;
        data[2] = self.sense[0];
        data[7] = 10;
        data[12] = self.sense[1];
        data[13] = self.sense[2];
        data
    }
}

fn inquiry(allocation: u8) -> Vec<u8> {
    // Peripheral type 5 is a CD-ROM, removable; response format 2.
    let mut data = vec![0x05, 0x80, 0x00, 0x02, 31, 0, 0, 0];
    data.extend(b"ZTE     USB SCSI CD-ROM 2.31");
    data.truncate(usize::from(allocation));
    data
}

/// One data track and the lead-out (MMC-6 section 6.26).
fn toc() -> Vec<u8> {
    let mut data = vec![0, 18, 1, 1, 0, 0x14, 1, 0, 0, 0, 0, 0, 0, 0x14, 0xaa, 0];
    data.extend(BLOCKS.to_be_bytes());
    data
}

/// The disc is blank: nothing of the vendor's is ours to hand out.
fn read(command: &[u8]) -> Reply {
    let first = u32::from_be_bytes([command[2], command[3], command[4], command[5]]);
    let count = u32::from(u16::from_be_bytes([command[7], command[8]]));
    let bytes = count as usize * BLOCK;
    if first.checked_add(count).is_none_or(|end| end > BLOCKS) || bytes > READ_MAX {
        return Reply::Failed(OUT_OF_RANGE);
    }
    Reply::Data(vec![0; bytes])
}

/// Command status wrapper (section 5.2).
fn status(tag: &[u8], residue: usize, failed: bool) -> Vec<u8> {
    let mut csw = CSW_SIGNATURE.to_vec();
    csw.extend(tag);
    csw.extend(u32::try_from(residue).unwrap_or(u32::MAX).to_le_bytes());
    csw.push(u8::from(failed));
    csw
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A command wrapped as `usb_modeswitch` writes it: hexadecimal, 31 bytes.
    fn message(hex: &str) -> Vec<u8> {
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
    }

    fn transfers(outcome: Outcome) -> Vec<Vec<u8>> {
        match outcome {
            Outcome::Transfers(transfers) => transfers,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn standard_eject_switches_at_its_second_command() {
        let mut drive = Cdrom::default();
        let allow = message("5553424312345678000000000000061e000000000000000000000000000000");
        assert_eq!(transfers(drive.bulk_out(&allow)), [status(&[0x12, 0x34, 0x56, 0x78], 0, false)]);
        let eject = message("5553424312345679000000000000061b000000020000000000000000000000");
        assert!(matches!(drive.bulk_out(&eject), Outcome::Switch(t) if t[0].starts_with(b"USBS")));
    }

    #[test]
    fn vendors_message_switches_and_ends_its_data_stage() {
        let zte = message("55534243123456702000000080000c85010101180101010101000000000000");
        let Outcome::Switch(transfers) = Cdrom::default().bulk_out(&zte) else { panic!("no switch") };
        assert_eq!(transfers[0], [0_u8; 0]);
        assert_eq!(transfers[1][8..12], 32_u32.to_le_bytes());
    }

    #[test]
    fn unknown_command_fails_and_says_why_when_asked() {
        let mut drive = Cdrom::default();
        let unknown = message("5553424301000000080000008000062f000000000000000000000000000000");
        assert_eq!(transfers(drive.bulk_out(&unknown))[1][12], 1);
        let sense = message("55534243020000001200000080000603000000120000000000000000000000");
        let answer = transfers(drive.bulk_out(&sense));
        assert_eq!((answer[0][2], answer[0][12]), (5, 0x20));
    }

    #[test]
    fn inquiry_is_a_removable_cdrom_of_36_bytes() {
        let inquiry = message("55534243030000002400000080000612000000240000000000000000000000");
        let answer = transfers(Cdrom::default().bulk_out(&inquiry));
        assert_eq!((answer[0].len(), answer[0][0], answer[0][1]), (36, 5, 0x80));
    }

    #[test]
    fn read_beyond_the_end_is_refused() {
        let read = message("55534243040000000010000080000a2800000007ff00000200000000000000");
        assert_eq!(transfers(Cdrom::default().bulk_out(&read))[1][12], 1);
    }
}
