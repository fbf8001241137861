//! The faults that are on, and how they end. Pure.

use std::time::Duration;

use super::{Cure, Event, Fault, Kind};

#[derive(Debug, Clone, Copy)]
struct Active {
    fault: Fault,
    left: u32,
    until: Option<Duration>,
}

/// The faults that are on in one place.
#[derive(Debug, Clone, Default)]
pub struct Faults(Vec<Active>);

impl Faults {
    /// Switches a fault on; one of the same kind is replaced.
    pub fn add(&mut self, now: Duration, fault: Fault) {
        self.clear(fault.kind);
        let until = fault.seconds.filter(|_| fault.cure == Cure::Time).map(|seconds| now + seconds);
        self.0.push(Active { fault, left: fault.cycles.max(1), until });
    }

    /// Switches a fault off; false when it was not on.
    pub fn clear(&mut self, kind: Kind) -> bool {
        let before = self.0.len();
        self.0.retain(|active| active.fault.kind != kind);
        self.0.len() < before
    }

    /// Whether a fault is on.
    pub fn has(&self, kind: Kind) -> bool {
        self.get(kind).is_some()
    }

    /// The fault of a kind that is on.
    pub fn get(&self, kind: Kind) -> Option<Fault> {
        self.0.iter().map(|active| active.fault).find(|fault| fault.kind == kind)
    }

    /// Something happened that may heal.
    pub fn event(&mut self, event: Event) {
        // What only lives in the stick's memory is gone with the power, however many of the lesser cures
        // it would have taken; what the power cures may outlive it for some cycles.
        if event == Event::Power {
            self.0.retain(|active| {
                active.fault.cure == Cure::Power || !active.fault.kind.row().room.is_in_stick()
            });
        }
        self.use_up(|fault| fault.cure.comes_with(event, fault.kind.row().room));
    }

    /// A call was spoilt by this fault: one less to come.
    pub fn spoilt_call(&mut self, kind: Kind) {
        self.use_up(|fault| fault.kind == kind && fault.cure == Cure::Redial);
    }

    /// Ends what time has cured.
    pub fn tick(&mut self, now: Duration) {
        self.0.retain(|active| active.until.is_none_or(|until| now < until));
    }

    /// When [`Self::tick`] has something to do.
    pub fn next_deadline(&self) -> Option<Duration> {
        self.0.iter().filter_map(|active| active.until).min()
    }

    /// One bit for each kind that is on.
    pub fn bits(&self) -> u64 {
        self.0.iter().fold(0, |bits, active| bits | bit(active.fault.kind))
    }

    fn use_up(&mut self, healed: impl Fn(&Fault) -> bool) {
        for active in &mut self.0 {
            if healed(&active.fault) {
                active.left -= 1;
            }
        }
        self.0.retain(|active| active.left > 0);
    }
}

/// The bit of a kind in [`Faults::bits`].
pub fn bit(kind: Kind) -> u64 {
    1 << kind as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Duration = Duration::ZERO;

    #[test]
    fn time_cures_what_time_cures() {
        let mut faults = Faults::default();
        faults.add(START, Fault { seconds: Some(Duration::from_secs(3)), ..Kind::SimBusy.into() });
        assert_eq!(faults.next_deadline(), Some(Duration::from_secs(3)));
        faults.tick(Duration::from_millis(2999));
        assert!(faults.has(Kind::SimBusy));
        faults.tick(Duration::from_secs(3));
        assert!(!faults.has(Kind::SimBusy));
    }

    #[test]
    fn what_lives_in_memory_goes_with_the_power_at_once() {
        let mut faults = Faults::default();
        faults.add(START, Fault { cycles: 3, ..Kind::SoftHang.into() });
        faults.event(Event::UsbReset);
        assert!(faults.has(Kind::SoftHang));
        faults.event(Event::Power);
        assert!(!faults.has(Kind::SoftHang));
    }

    #[test]
    fn a_hang_of_three_cycles_outlives_two() {
        let mut faults = Faults::default();
        faults.add(START, Fault { cycles: 3, ..Kind::Hang.into() });
        for _ in 0..2 {
            faults.event(Event::UsbReset);
            faults.event(Event::Power);
            assert!(faults.has(Kind::Hang));
        }
        faults.event(Event::Power);
        assert!(!faults.has(Kind::Hang));
    }

    #[test]
    fn only_the_fault_that_spoilt_the_call_is_used_up() {
        let mut faults = Faults::default();
        faults.add(START, Fault { cycles: 2, ..Kind::Busy.into() });
        faults.add(START, Kind::LcpSilence.into());
        faults.spoilt_call(Kind::Busy);
        assert_eq!(faults.bits(), bit(Kind::Busy) | bit(Kind::LcpSilence));
        faults.spoilt_call(Kind::Busy);
        assert_eq!(faults.bits(), bit(Kind::LcpSilence));
    }
}
