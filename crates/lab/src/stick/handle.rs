//! The test's hand on a running stick.

use std::fs::File;
use std::io::Write;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::carrier::{CarrierCommand, CarrierHandle, CarrierStats};
use crate::fault::{Fault, Kind, active};

/// What a test can do to a stick. Faults are [`crate::fault`]'s.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StickCommand {
    /// Its hub port lost power: everything in RAM is gone; SIM counters and settings kept in
    /// flash stay.
    PowerLost,
    /// Its hub port has power again.
    PowerRestored,
    /// Pulled out by hand.
    Unplug,
    /// Put back by hand.
    Replug,
    /// Switches a fault on, in it or in the network behind it.
    Fault(Fault),
    /// Switches a fault off, as a person or time would.
    Clear(Kind),
    /// Something for the network behind it.
    Carrier(CarrierCommand),
    /// Ends the stick's thread.
    Stop,
}

/// What the stick is on the bus.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Personality {
    /// Not there: no power, unplugged, starting or switching.
    #[default]
    Absent,
    /// `19d2:2000`, a CD-ROM drive.
    CdRom,
    /// `19d2:0031`, four serial interfaces.
    Modem,
    /// `19d2:2003`, the same four.
    OtherModem,
}

/// What can be seen of a stick.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts, not a state")]
pub struct StickState {
    /// Whether QEMU is connected.
    pub attached: bool,
    /// Whether it is plugged in and its port has power.
    pub powered: bool,
    /// What it is on the bus.
    pub personality: Personality,
    /// Whether the guest has chosen a configuration: its drivers are bound.
    pub configured: bool,
    /// Whether it hangs.
    pub hung: bool,
    /// Mode switches since the start.
    pub mode_switches: u64,
    /// PIN tries left on the SIM.
    pub pin_retries: u8,
    /// Registration as `+CREG?` reports it (3GPP TS 27.007 section 7.2).
    pub registration: u8,
    /// Faults that are on, one bit each: [`StickState::has`].
    pub faults: u64,
    /// Faults that were switched on since the start.
    pub faults_seen: u64,
    /// Resets on the bus while it was a modem.
    pub bus_resets: u64,
    /// Times it lost power.
    pub power_losses: u64,
    /// The carrier's counters.
    pub carrier: CarrierStats,
}

impl StickState {
    /// Whether a fault is on.
    pub fn has(&self, kind: Kind) -> bool {
        self.faults & active::bit(kind) != 0
    }
}

/// Handle on a running stick; cheap to clone. The stick ends with [`StickHandle::stop`] or with
/// the process.
#[derive(Debug, Clone)]
pub struct StickHandle {
    commands: Sender<StickCommand>,
    wake: Arc<File>,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
pub(crate) struct Shared {
    state: Mutex<StickState>,
    changed: Condvar,
}

impl Shared {
    pub(crate) fn publish(&self, state: StickState) {
        let mut guard = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if *guard != state {
            *guard = state;
            self.changed.notify_all();
        }
    }
}

impl StickHandle {
    pub(crate) fn new(commands: Sender<StickCommand>, wake: File, shared: Arc<Shared>) -> Self {
        Self { commands, wake: Arc::new(wake), shared }
    }

    /// Does something to the stick; a stick that has ended takes no notice.
    pub fn command(&self, command: StickCommand) {
        if self.commands.send(command).is_ok() {
            // A full pipe wakes the thread as well as one more byte would.
            let _ = (&*self.wake).write(&[1]);
        }
    }

    /// Its hub port lost power.
    pub fn power_lost(&self) {
        self.command(StickCommand::PowerLost);
    }

    /// Its hub port has power again.
    pub fn power_restored(&self) {
        self.command(StickCommand::PowerRestored);
    }

    /// The carrier behind it.
    pub fn carrier(&self) -> CarrierHandle {
        CarrierHandle::new(self.clone())
    }

    /// What can be seen of it now.
    pub fn state(&self) -> StickState {
        *self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until `wanted` holds, at most `limit`.
    ///
    /// # Errors
    /// The last state seen, when it never held.
    pub fn wait_for(
        &self,
        limit: Duration,
        wanted: impl Fn(&StickState) -> bool,
    ) -> Result<StickState, StickState> {
        let end = Instant::now() + limit;
        let mut guard = self.shared.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if wanted(&guard) {
                return Ok(*guard);
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(*guard);
            }
            guard = self.shared.changed.wait_timeout(guard, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Ends the stick's thread.
    pub fn stop(&self) {
        self.command(StickCommand::Stop);
    }
}
