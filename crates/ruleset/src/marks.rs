//! Marks on packets and connections: what `netguard`'s rules set and `uplink`'s rules and deletions
//! read. The lower 16 bits are left to a person's own rules.

/// The line a connection came in by, and of a packet: the line it must leave by.
pub const ARRIVED_MASK: u32 = 0x000f_0000;
/// The line a connection left by when it began.
pub const LEFT_MASK: u32 = 0x00f0_0000;
/// A packet of `uplink`'s own probes: never refused by any rule of ours.
pub const PROBE: u32 = 0x0100_0000;

/// A connection the metered guard refused: what still comes in for it is refused, too.
pub const REFUSED: u32 = 0x0200_0000;

/// DSCP of probes of the wired line: one of the code points for local use (RFC 2474 section 6, pool
/// 2, `xxxx11`). A house's router that has turned to this box as its backup hands such a probe back
/// to us; forwarded over the cellular line it would make the dead line look alive, and cost data.
pub const PROBE_DSCP: u8 = 0x2b;

/// A line to the internet, as marks name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Line {
    /// The house's wired line.
    Wired,
    /// The stick's.
    Cellular,
}

impl Line {
    const fn number(self) -> u32 {
        match self {
            Self::Wired => 1,
            Self::Cellular => 2,
        }
    }

    /// Its value under [`ARRIVED_MASK`].
    pub const fn arrived(self) -> u32 {
        self.number() << 16
    }

    /// Its value under [`LEFT_MASK`].
    pub const fn left(self) -> u32 {
        self.number() << 20
    }

    /// The mark of a probe that must leave by it.
    pub const fn probe(self) -> u32 {
        PROBE | self.arrived()
    }

    /// Its name in snapshots.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Wired => "wired",
            Self::Cellular => "cellular",
        }
    }
}
