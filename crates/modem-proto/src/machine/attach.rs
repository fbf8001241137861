//! Which stick of those on the bus is used, and what its coming and going means.

use sysio::Monotonic;

use super::apn::Lookup;
use super::{Action, Bus, Form, Identity, Machine, Network, Plan, State, Stick, Trouble, pace};

/// A stick that is passed over while it stays on the bus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Avoided {
    usb_path: String,
    why: Why,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    /// The configuration names another IMEI.
    OtherImei,
    /// It was stuck for long, and another one was there.
    Stuck,
}

impl Machine {
    pub(super) fn on_bus(&mut self, now: Monotonic, bus: Bus) -> Vec<Action> {
        let before = self.chosen().cloned();
        self.bus = bus;
        self.avoided.retain(|avoided| self.bus.sticks.iter().any(|stick| stick.usb_path == avoided.usb_path));
        self.chosen = self.choose().map(|stick| stick.usb_path.clone());
        let Some(stick) = self.chosen() else { return self.on_bus_empty(now) };
        let same = before.is_some_and(|before| before.is_same(stick));
        match stick.form {
            Form::CdRom => self.on_cd_rom(now),
            _ if same => self.on_ports(now),
            _ => self.on_new_modem(now),
        }
    }

    /// The stick in use stays; else the one that can do most at once.
    fn choose(&self) -> Option<&Stick> {
        let avoided =
            |stick: &Stick, why| self.avoided.contains(&Avoided { usb_path: stick.usb_path.clone(), why });
        let allowed = |stick: &&Stick| {
            let here = self.settings.usb_path.as_ref().is_none_or(|path| *path == stick.usb_path);
            // A card is not asked for its IMEI: it is used only where its place is named.
            let unknown = self.settings.imei.is_some()
                && self.settings.usb_path.is_none()
                && matches!(stick.form, Form::NetworkCard { .. });
            here && !unknown && !avoided(stick, Why::OtherImei)
        };
        let effort = |stick: &&Stick| {
            let form = match stick.form {
                Form::Serial { .. } => 0,
                Form::NetworkCard { .. } => 1,
                Form::CdRom => 2,
            };
            let in_use = self.chosen.as_ref() == Some(&stick.usb_path);
            (avoided(stick, Why::Stuck), !in_use, form)
        };
        self.bus.sticks.iter().filter(allowed).min_by_key(effort)
    }

    /// Leaves a stick that stays stuck for another one, if there is one.
    pub(super) fn use_another(&mut self, now: Monotonic) -> Option<Vec<Action>> {
        let current = self.chosen.clone()?;
        // A third one gets its turn, and after the last the first one again.
        self.avoided.push(Avoided { usb_path: current.clone(), why: Why::Stuck });
        let next = self.choose().map(|stick| stick.usb_path.clone())?;
        if next == current {
            self.avoided.retain(|avoided| avoided.why != Why::Stuck);
            return None;
        }
        Some(self.change_to(now, Some(next)))
    }

    /// It says an IMEI the configuration does not want.
    pub(super) fn reject_imei(&mut self, now: Monotonic) -> Vec<Action> {
        if let Some(usb_path) = self.chosen.clone() {
            self.avoided.push(Avoided { usb_path, why: Why::OtherImei });
        }
        let next = self.choose().map(|stick| stick.usb_path.clone());
        self.change_to(now, next)
    }

    fn change_to(&mut self, now: Monotonic, next: Option<String>) -> Vec<Action> {
        self.chosen = next;
        match self.chosen().map(|stick| &stick.form) {
            None => self.on_bus_empty(now),
            Some(Form::CdRom) => self.on_cd_rom(now),
            Some(_) => self.on_new_modem(now),
        }
    }

    /// Why there is no stick to use.
    pub(super) fn absence(&self) -> Trouble {
        let wanted = match (&self.settings.usb_path, &self.settings.imei) {
            _ if self.bus.sticks.is_empty() => return Trouble::Absent,
            (Some(path), _) => format!("no stick at USB path {path}"),
            (None, _) => {
                "no stick says the IMEI that modem.imei names (network cards are not asked)".to_owned()
            }
        };
        let there: Vec<&str> = self.bus.sticks.iter().map(|stick| stick.usb_path.as_str()).collect();
        Trouble::OtherStick(format!("{wanted}; there are sticks at {}", there.join(", ")))
    }

    fn on_bus_empty(&mut self, now: Monotonic) -> Vec<Action> {
        if let State::Absent { until, .. } = &mut self.state {
            *until = now + pace::LOOK_WHILE_ABSENT;
            return Vec::new();
        }
        self.lost_stick(now, "the stick left the USB bus");
        self.state = State::Absent { since: now, until: now + pace::LOOK_WHILE_ABSENT };
        self.release()
    }

    fn on_cd_rom(&mut self, now: Monotonic) -> Vec<Action> {
        if matches!(self.state, State::ModeSwitching { .. }) {
            return Vec::new();
        }
        self.lost_stick(now, "the stick came back as a CD-ROM");
        let until = now + pace::LOOK_WHILE_ABSENT;
        self.state = State::ModeSwitching { switch_at: now + pace::SWITCH_OURSELVES, until };
        self.release()
    }

    /// Its going is a loss only if it was in use.
    fn lost_stick(&mut self, now: Monotonic, words: &str) {
        if matches!(self.state, State::Connected { .. } | State::Ending { .. } | State::Standby { .. }) {
            self.note_loss(now, words);
        }
        if let Some(recovery) = &mut self.recovery {
            recovery.close(now, words);
        }
        self.forget_modem();
    }

    fn on_new_modem(&mut self, now: Monotonic) -> Vec<Action> {
        self.forget_modem();
        self.appeared = now;
        self.attempt = 0;
        self.plan = Some(Plan::Reopen);
        let mut actions = self.release();
        actions.extend(self.begin(now));
        actions
    }

    /// The ports of the stick we know changed.
    fn on_ports(&mut self, now: Monotonic) -> Vec<Action> {
        let Some(stick) = self.chosen() else { return Vec::new() };
        match (&self.state, &self.port) {
            (State::Probing { .. }, None) if stick.is_ready() => self.begin(now),
            (_, Some(port)) if !stick.ports().contains(port) && !self.session => {
                self.port = None;
                self.fail(now, Trouble::NoAnswer("the serial port vanished".to_owned()))
            }
            _ => Vec::new(),
        }
    }

    fn forget_modem(&mut self) {
        self.port = None;
        self.identity = Identity::default();
        self.network = Network::default();
        self.trouble = None;
        self.answered = false;
        self.stuck = None;
        self.lookup = Lookup::NotYet;
        self.missing.given_up = false;
        self.pin.power_lost();
    }

    /// Nobody told of a change: look for one.
    pub(super) fn look_again(&mut self, now: Monotonic) -> Vec<Action> {
        let mut actions = vec![Action::Scan];
        let cd_rom = self.chosen().filter(|stick| stick.form == Form::CdRom);
        let switch =
            cd_rom.map(|stick| Action::SwitchMode { usb_path: stick.usb_path.clone(), id: stick.id.clone() });
        match (&mut self.state, switch) {
            (State::ModeSwitching { switch_at, until }, Some(switch)) => {
                *until = now + pace::LOOK_WHILE_ABSENT;
                if now >= *switch_at {
                    *switch_at = now + pace::SWITCH_OURSELVES;
                    actions.push(switch);
                }
            }
            (State::Absent { until, .. } | State::ModeSwitching { until, .. }, _) => {
                *until = now + pace::LOOK_WHILE_ABSENT;
            }
            _ => {}
        }
        actions
    }
}
