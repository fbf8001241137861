//! What answers to an independent question say of a neighbour entry.
//!
//! An entry may live for weeks with a wrong hardware address, because replies of one host confirmed
//! the entry of another (Linux before 4.11, and backports make the kernel's version no evidence).
//! Its states look healthy. The proof is a question of our own whose answer differs. That answer may
//! itself mend the entry (`arp_process` in net/ipv4/arp.c), so it is read before and after.

use netlink::{HardwareAddress, Neighbour, Nud};

/// What a check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Not asked yet.
    Unchecked,
    /// The entry holds no hardware address that packets would go to.
    Unused,
    /// The answer is what the entry says.
    Right,
    /// Nobody answered: some hosts do not, so this proves nothing.
    Silent,
    /// The answers differ from the entry.
    Wrong(HardwareAddress),
    /// So they did, and the kernel has taken the answer.
    Healed(HardwareAddress),
    /// So they do, and the entry is a person's or another program's.
    LeftAlone(HardwareAddress),
}

impl Verdict {
    /// One word.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Unchecked => "unchecked",
            Self::Unused => "unused",
            Self::Right => "right",
            Self::Silent => "silent",
            Self::Wrong(_) => "wrong",
            Self::Healed(_) => "healed",
            Self::LeftAlone(_) => "wrong-left-alone",
        }
    }
}

/// Judges an entry by its two readings and the answers between them.
pub fn judge(before: Option<&Neighbour>, answers: &[HardwareAddress], after: Option<&Neighbour>) -> Verdict {
    let Some((entry, used)) = before.and_then(|entry| Some((entry, in_use(entry)?))) else {
        return Verdict::Unused;
    };
    let Some(answer) = answers.first().copied() else { return Verdict::Silent };
    if answers.contains(&used) {
        return Verdict::Right;
    }
    match after.and_then(in_use) {
        None => Verdict::Healed(answer),
        Some(now) if answers.contains(&now) => Verdict::Healed(now),
        // It moved to a third one while we asked: only a fresh question can tell.
        Some(now) if now != used => Verdict::Unchecked,
        Some(_) if entry.state == Nud::Permanent || entry.learned_elsewhere => Verdict::LeftAlone(answer),
        Some(_) => Verdict::Wrong(answer),
    }
}

/// Where packets for it go.
pub(crate) fn in_use(entry: &Neighbour) -> Option<HardwareAddress> {
    entry.mac.filter(|_| entry.state.valid())
}

#[cfg(test)]
mod tests {
    use super::*;

    const RIGHT: HardwareAddress = HardwareAddress([2, 0, 0, 0, 0, 1]);
    const WRONG: HardwareAddress = HardwareAddress([2, 0, 0, 0, 0, 9]);

    fn entry(mac: HardwareAddress, state: Nud) -> Neighbour {
        Neighbour {
            link: 2,
            address: "192.0.2.1".parse().unwrap(),
            mac: Some(mac),
            state,
            learned_elsewhere: false,
            confirmed_ms: 0,
            updated_ms: 0,
        }
    }

    #[test]
    fn an_answer_that_differs_is_the_proof_and_silence_is_none() {
        let wrong = entry(WRONG, Nud::Reachable);
        assert_eq!(judge(Some(&wrong), &[RIGHT], Some(&wrong)), Verdict::Wrong(RIGHT));
        assert_eq!(judge(Some(&wrong), &[], Some(&wrong)), Verdict::Silent);
        assert_eq!(judge(Some(&wrong), &[WRONG, RIGHT], Some(&wrong)), Verdict::Right);
    }

    #[test]
    fn the_second_reading_tells_what_the_question_itself_mended() {
        let (wrong, right) = (entry(WRONG, Nud::Reachable), entry(RIGHT, Nud::Reachable));
        assert_eq!(judge(Some(&wrong), &[RIGHT], Some(&right)), Verdict::Healed(RIGHT));
        assert_eq!(judge(Some(&wrong), &[RIGHT], None), Verdict::Healed(RIGHT));
        let third = entry(HardwareAddress([2, 0, 0, 0, 0, 7]), Nud::Reachable);
        assert_eq!(judge(Some(&wrong), &[RIGHT], Some(&third)), Verdict::Unchecked);
    }

    #[test]
    fn what_a_person_or_another_program_set_is_left_alone() {
        let fixed = entry(WRONG, Nud::Permanent);
        assert_eq!(judge(Some(&fixed), &[RIGHT], Some(&fixed)), Verdict::LeftAlone(RIGHT));
        let foreign = Neighbour { learned_elsewhere: true, ..entry(WRONG, Nud::Stale) };
        assert_eq!(judge(Some(&foreign), &[RIGHT], Some(&foreign)), Verdict::LeftAlone(RIGHT));
    }

    #[test]
    fn an_entry_nothing_is_sent_by_cannot_be_wrong() {
        let failed = entry(WRONG, Nud::Failed);
        assert_eq!(judge(Some(&failed), &[RIGHT], Some(&failed)), Verdict::Unused);
        assert_eq!(judge(None, &[RIGHT], None), Verdict::Unused);
    }
}
