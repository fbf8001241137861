//! Interruption and deadlines: every wait of the lab goes through here, so that Ctrl-C ends it in
//! order (guards drop, machines quit) and nothing waits for ever.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::error::{Context, Error, Result};

/// How often a condition without an event of its own is looked at again.
const POLL: Duration = Duration::from_millis(100);

/// A flag raised by SIGINT, SIGTERM or SIGHUP.
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Catches the signals; a second one ends the process at once.
    ///
    /// # Errors
    /// When the handlers cannot be installed.
    pub fn on_signals() -> Result<Self> {
        let stop = Self::default();
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            signal_hook::flag::register_conditional_shutdown(signal, 130, stop.0.clone())
                .and_then(|_| signal_hook::flag::register(signal, stop.0.clone()))
                .context(format!("install handler of signal {signal}"))?;
        }
        Ok(stop)
    }

    /// Whether a signal came.
    ///
    /// # Errors
    /// [`Error::Interrupted`] when one did.
    pub fn check(&self) -> Result<()> {
        if self.0.load(Ordering::Relaxed) { Err(Error::Interrupted) } else { Ok(()) }
    }

    /// Asks `probe` again and again until it gives a value, at most for `limit`.
    ///
    /// `probe` returns `Ok(None)` for "not yet", and an error for what can never come right.
    ///
    /// # Errors
    /// The probe's error, [`Error::Timeout`] or [`Error::Interrupted`].
    pub fn wait<T>(
        &self,
        what: &str,
        limit: Duration,
        mut probe: impl FnMut() -> Result<Option<T>>,
    ) -> Result<T> {
        let deadline = Instant::now() + limit;
        loop {
            self.check()?;
            if let Some(value) = probe()? {
                return Ok(value);
            }
            if Instant::now() >= deadline {
                return Err(Error::Timeout { what: what.to_owned(), limit });
            }
            thread::sleep(POLL.min(deadline.saturating_duration_since(Instant::now())));
        }
    }

    /// Pauses for `length`, or less when interrupted.
    ///
    /// # Errors
    /// [`Error::Interrupted`].
    pub fn pause(&self, length: Duration) -> Result<()> {
        let end = Instant::now() + length;
        while Instant::now() < end {
            self.check()?;
            thread::sleep(POLL.min(end.saturating_duration_since(Instant::now())));
        }
        self.check()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wait_names_what_did_not_come() {
        let error = Stop::default().wait("the moon", Duration::ZERO, || Ok(None::<()>)).unwrap_err();
        assert_eq!(error.to_string(), "the moon: not within 0 s");
    }

    #[test]
    fn wait_ends_when_interrupted() {
        let stop = Stop::default();
        stop.0.store(true, Ordering::Relaxed);
        let error = stop.wait("x", Duration::from_secs(60), || Ok(None::<()>)).unwrap_err();
        assert!(matches!(error, Error::Interrupted));
    }

    #[test]
    fn wait_passes_a_final_error_on() {
        let error = Stop::default()
            .wait("x", Duration::from_secs(60), || Err::<Option<()>, _>(Error::Unexpected("broken".into())))
            .unwrap_err();
        assert_eq!(error.to_string(), "broken");
    }
}
