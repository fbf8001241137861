//! What comes from outside the stick: requests, a new configuration, the state of the wired line.

use modem_proto::machine::{Dial, Event, State};
use sysio::Monotonic;

use super::{DIAL, Driver, FORGET_PIN, HANG_UP, REACH_LOOK, REDIAL, WIRED_LOOK};
use crate::config::{self, ModemConfig};
use crate::{reach, wired};

impl Driver {
    pub(super) fn on_demand(&self) -> bool {
        self.settings.dial != Dial::Always
    }

    pub(super) fn look_at_wired(&mut self, now: Monotonic) {
        self.wired_at = now + WIRED_LOOK;
        self.step(now, Event::Wired(wired::read(&self.root, now)));
    }

    /// Asks `uplink` whether the call leads anywhere.
    pub(super) fn look_beyond(&mut self, now: Monotonic) {
        let State::Connected { link, since, .. } = self.machine.state() else { return };
        if now < self.reach_at {
            return;
        }
        self.reach_at = now + REACH_LOOK;
        let reach = reach::read(&self.root, now, &link.interface, *since);
        self.step(now, Event::Reach(reach));
    }

    pub(super) fn on_request(&mut self, now: Monotonic, name: &str) {
        let event = match name {
            REDIAL => Event::Redial,
            DIAL | HANG_UP if !self.on_demand() => {
                return log::warn!("request {name:?}: modem.dial is \"always\"; set it to \"on-demand\"");
            }
            DIAL => Event::Dial,
            HANG_UP => Event::HangUp,
            FORGET_PIN => Event::ForgetPin,
            _ => {
                return log::warn!(
                    "request {name:?}: unknown; {REDIAL}, {DIAL}, {HANG_UP} and {FORGET_PIN} are known"
                );
            }
        };
        log::info!("{name} requested");
        self.step(now, event);
    }

    /// Takes the configuration anew; one with mistakes changes nothing.
    pub(super) fn reload(&mut self, now: Monotonic) {
        let ModemConfig { mut settings, credentials, .. } = match config::load(&self.config_path) {
            Ok(config) => config,
            Err(error) => {
                log::warn!("reload: {error}; the configuration in use is kept");
                self.complaints.configuration = Some(error.to_string());
                return;
            }
        };
        self.complaints.configuration = None;
        settings.pins_spent = settings.pin.as_ref().map(|pin| self.pin_record.spent(pin)).unwrap_or_default();
        settings.oddities = Self::oddities(&self.quirks);
        let fresh_call = credentials != self.credentials;
        log::info!("reload: configuration taken");
        self.settings = settings.clone();
        self.credentials = credentials;
        self.step(now, Event::Reconfigured { settings, fresh_call });
        if self.on_demand() {
            self.look_at_wired(now);
        }
    }
}
