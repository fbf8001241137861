//! A new configuration while everything runs: the call is dropped only for what concerns it.

use sysio::Monotonic;

use super::pin::PinMemory;
use super::reach::Nowhere;
use super::{Action, Machine, Settings, State};
use crate::parse::Registration;

impl Machine {
    pub(super) fn on_settings(
        &mut self,
        now: Monotonic,
        settings: Settings,
        fresh_call: bool,
    ) -> Vec<Action> {
        let old = std::mem::replace(&mut self.settings, settings);
        if old.pin != self.settings.pin {
            self.pin = PinMemory::new(self.settings.pins_spent.clone());
        }
        if old.usb_path != self.settings.usb_path || old.imei != self.settings.imei {
            self.avoided.clear();
            // Asked again, because another one may be wanted now.
            self.identity.imei = None;
            return self.choose_again(now);
        }
        let abroad = self.network.registration == Some(Registration::Roaming) && !self.settings.roaming;
        let other_call = old.apn != self.settings.apn
            || old.pdp_type != self.settings.pdp_type
            || old.dial_number != self.settings.dial_number;
        if fresh_call || other_call {
            self.nowhere = Nowhere::default();
        }
        match self.state {
            State::Connected { .. } if fresh_call || other_call || abroad => self.hang_up(now),
            State::Dialling { .. } if self.session && (fresh_call || other_call) => self.hang_up(now),
            State::Blocked { .. } | State::Waiting { .. } if !self.session => self.begin(now),
            _ => self.judge_demand(now),
        }
    }

    fn choose_again(&mut self, now: Monotonic) -> Vec<Action> {
        let in_use = self.chosen.clone();
        let actions = self.on_bus(now, self.bus.clone());
        if self.chosen == in_use && self.session {
            // The same stick by its place; its IMEI is asked for before the next call.
            return if self.settings.imei.is_some() { self.on_redial(now) } else { actions };
        }
        actions
    }
}
