//! The system's clock, and how it is set.

use std::time::{Duration, SystemTime};

use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_settime};

use crate::utc::Utc;

/// A wall clock.
pub trait WallClock {
    /// What it shows.
    fn now(&self) -> Utc;

    /// Sets it.
    ///
    /// # Errors
    /// What was tried and what the system said.
    fn set(&mut self, utc: Utc) -> Result<(), String>;
}

/// The system's.
#[derive(Clone, Copy, Debug)]
pub struct System;

impl WallClock for System {
    fn now(&self) -> Utc {
        Utc::of(SystemTime::now())
    }

    fn set(&mut self, utc: Utc) -> Result<(), String> {
        let since: Duration = utc.since_1970().ok_or("set the clock: a time before 1970")?;
        // timesyncd notices that somebody else set the clock (TFD_TIMER_CANCEL_ON_SET) and asks anew.
        clock_settime(ClockId::CLOCK_REALTIME, TimeSpec::from_duration(since))
            .map_err(|error| format!("set the clock to {}: {}", utc.words(), error.desc()))
    }
}
