//! What the boot loader tells us: the kernel command line.

/// Parameter that names the slot (ARCHITECTURE.md).
const SLOT: &str = "failberry.slot=";

/// One of the two root file systems on the card.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Slot {
    /// Partition 2, also where nothing is said.
    #[default]
    A,
    /// Partition 3.
    B,
}

impl Slot {
    /// The slot a kernel command line asks for. As for the kernel, the last word wins; an unknown slot is
    /// an error, because booting another system than the one asked for would hide a failed update.
    ///
    /// # Errors
    /// The value, when it is neither `a` nor `b`.
    pub fn of_cmdline(cmdline: &str) -> Result<Self, String> {
        match cmdline.split_whitespace().filter_map(|word| word.strip_prefix(SLOT)).next_back() {
            None => Ok(Self::default()),
            Some("a") => Ok(Self::A),
            Some("b") => Ok(Self::B),
            Some(other) => Err(other.to_owned()),
        }
    }

    /// Its partition's number.
    pub fn partition(self) -> u8 {
        match self {
            Self::A => 2,
            Self::B => 3,
        }
    }

    /// As written on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::A => "a",
            Self::B => "b",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slot_a_is_the_default_and_the_last_word_wins() {
        assert_eq!(Slot::of_cmdline("console=ttyS1,115200 panic=10\n"), Ok(Slot::A));
        assert_eq!(Slot::of_cmdline("failberry.slot=b"), Ok(Slot::B));
        assert_eq!(Slot::of_cmdline("failberry.slot=b quiet failberry.slot=a\n"), Ok(Slot::A));
    }

    #[test]
    fn an_unknown_slot_is_refused() {
        assert_eq!(Slot::of_cmdline("failberry.slot=c"), Err("c".to_owned()));
        assert_eq!(Slot::of_cmdline("failberry.slot="), Err(String::new()));
    }
}
