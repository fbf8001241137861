//! Packets and configuration options, the same in every control protocol (RFC 1661 sections 5, 6).

/// Codes of control packets.
pub mod code {
    /// Asks for options.
    pub const CONFIGURE_REQUEST: u8 = 1;
    /// Accepts all of them.
    pub const CONFIGURE_ACK: u8 = 2;
    /// Suggests other values.
    pub const CONFIGURE_NAK: u8 = 3;
    /// Refuses options as such.
    pub const CONFIGURE_REJECT: u8 = 4;
    /// Asks to close.
    pub const TERMINATE_REQUEST: u8 = 5;
    /// Agrees to close.
    pub const TERMINATE_ACK: u8 = 6;
    /// Does not know a code.
    pub const CODE_REJECT: u8 = 7;
    /// LCP only: does not speak a protocol.
    pub const PROTOCOL_REJECT: u8 = 8;
    /// LCP only: are you there?
    pub const ECHO_REQUEST: u8 = 9;
    /// LCP only: yes.
    pub const ECHO_REPLY: u8 = 10;
    /// LCP only: to be ignored.
    pub const DISCARD_REQUEST: u8 = 11;
}

/// A control packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    /// What it is; see [`code`].
    pub code: u8,
    /// Matches answers to requests.
    pub id: u8,
    /// What follows the length field.
    pub data: Vec<u8>,
}

impl Packet {
    /// A packet of these parts.
    pub fn new(code: u8, id: u8, data: Vec<u8>) -> Self {
        Self { code, id, data }
    }

    /// Reads a packet; bytes beyond its length are padding. `None` when it is cut short.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let [code, id, high, low, ..] = *bytes else { return None };
        let length = usize::from(u16::from_be_bytes([high, low]));
        let data = bytes.get(4..length)?.to_vec();
        Some(Self { code, id, data })
    }

    /// Its bytes.
    pub fn bytes(&self) -> Vec<u8> {
        let length = u16::try_from(4 + self.data.len()).unwrap_or(u16::MAX).to_be_bytes();
        let mut bytes = vec![self.code, self.id, length[0], length[1]];
        bytes.extend(&self.data);
        bytes
    }
}

/// A configuration option.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opt {
    /// Its type, by protocol.
    pub kind: u8,
    /// Its value.
    pub value: Vec<u8>,
}

impl Opt {
    /// An option of these parts.
    pub fn new(kind: u8, value: impl Into<Vec<u8>>) -> Self {
        Self { kind, value: value.into() }
    }

    /// Reads a list of options; `None` when a length is wrong.
    pub fn parse_all(mut bytes: &[u8]) -> Option<Vec<Self>> {
        let mut options = Vec::new();
        while let [kind, length, ..] = *bytes {
            let (option, rest) = bytes.split_at_checked(usize::from(length))?;
            options.push(Self::new(kind, option.get(2..)?));
            bytes = rest;
        }
        bytes.is_empty().then_some(options)
    }

    /// The bytes of a list of options.
    pub fn write_all(options: &[Self]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for option in options {
            bytes.extend([option.kind, u8::try_from(2 + option.value.len()).unwrap_or(u8::MAX)]);
            bytes.extend(&option.value);
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_come_back_as_written() {
        let options = vec![Opt::new(1, [5, 220]), Opt::new(7, []), Opt::new(5, [1, 2, 3, 4])];
        assert_eq!(Opt::parse_all(&Opt::write_all(&options)), Some(options));
    }

    #[test]
    fn impossible_lengths_are_refused() {
        for bytes in [&[1_u8, 0][..], &[1, 1], &[1, 9, 0], &[1, 2, 5]] {
            assert_eq!(Opt::parse_all(bytes), None, "{bytes:?}");
        }
        assert_eq!(Packet::parse(&[1, 1, 0, 3]), None);
        assert_eq!(Packet::parse(&[1, 1, 0, 9, 0]), None);
    }

    #[test]
    fn padding_after_a_packet_is_ignored() {
        assert_eq!(Packet::parse(&[9, 3, 0, 5, 7, 0, 0]), Some(Packet::new(9, 3, vec![7])));
    }
}
